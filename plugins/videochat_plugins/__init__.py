"""The built-in plugins of videochat, one folder for each stage."""
