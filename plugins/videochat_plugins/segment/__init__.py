"""Built-in plugins of the stage `segment`."""
