"""Built-in plugins of the stage `read`."""
