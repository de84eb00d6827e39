"""`python -m videochat.cli`."""

from videochat.cli import main

main()
