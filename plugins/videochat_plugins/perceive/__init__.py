"""Built-in plugins of the stage `perceive`."""
