"""Commands that make or measure models: they come in through `register_commands`."""
