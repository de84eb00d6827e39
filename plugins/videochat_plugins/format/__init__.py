"""Built-in plugins of the stage `format`."""
