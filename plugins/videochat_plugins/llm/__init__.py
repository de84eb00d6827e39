"""Built-in plugins of the stage `llm`."""
