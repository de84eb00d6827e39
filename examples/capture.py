"""Run the commands that the README shows, for real, and draw what they print as docs/capture.svg.

    python examples/capture.py [OUT]
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
COMMANDS = (
    ("watch", "clip.mp4"),
    ("ask", "clip.mp4", "Which way does the red ball move after the cut?"),
    ("ask", "clip.mp4", "What text is shown, and when?"),
    ("ask", "clip.mp4", "Is there an elephant?"),
)


def main() -> None:
    """Run the commands in a folder that holds the example as clip.mp4."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent / "docs" / "capture.svg"
    console = Console(record=True, width=110, file=sys.stdout, force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "example.mp4", Path(folder) / "clip.mp4")
        for command in COMMANDS:
            words = " ".join(f'"{word}"' if " " in word else word for word in command)
            run = [sys.executable, "-m", "videochat.cli", *command]
            done = subprocess.run(run, cwd=folder, capture_output=True, text=True, check=True)
            said = done.stdout.partition("\nplugin ")[0].rstrip()  # without the ledger, whose seconds differ each time
            console.print(Text.assemble(("$ ", "green"), (f"videochat {words}", "bold")))
            console.print(Text(f"{said}\n"))
    drawn = console.export_svg(title="videochat")
    # It would fetch a font from elsewhere; the reader's own will do.
    out.write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
