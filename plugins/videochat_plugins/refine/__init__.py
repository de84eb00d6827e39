"""Built-in plugins of the stage `refine`."""
