"""Runs the command line: in this process, which is quick, or in one of its own, which is real."""

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from videochat.cli import main

CHEAP = "segment: {use: fixed, seconds: 1}\nperceive:\n  told: {use: told}\nllm: {use: talker}\n"


class Done(NamedTuple):
    """What came of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """Run a command here; its standard streams are no terminals."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    typed = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    code: Any = 0
    argv = ["videochat", *map(str, arguments)]
    with redirect_stdout(out), redirect_stderr(err), patch("sys.stdin", typed), patch("sys.argv", argv):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    said = []
    for stream in (out, err):
        stream.flush()
        said.append(stream.buffer.getvalue().decode("utf-8"))
    return Done(code, *said)


def command(*arguments: str | Path) -> list[str]:
    """Return the command line that runs a command in a process of its own."""
    return [sys.executable, "-m", "videochat.cli", *map(str, arguments)]


def spawn(*arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None, **more: Any) -> Done:
    """Run a command in a process of its own."""
    whole = {**os.environ, **(env or {})}
    done = subprocess.run(command(*arguments), input=stdin, capture_output=True, env=whole, timeout=60, **more)
    return Done(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def start(*arguments: str | Path, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
    """Start a command that Ctrl-C reaches, whatever this process was started with."""
    return subprocess.Popen(
        command(*arguments),
        env={**os.environ, **(env or {})},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **more,
    )


def complaint(done: Done, code: int) -> str:
    """Return the one message of a command that failed as it should: no result, no traceback, nothing else said."""
    assert done.code == code, done
    assert done.out == "", done
    assert "Traceback" not in done.err
    usage = r"Usage: videochat .*\nTry 'videochat .*--help' for help.\n\n"
    message = re.sub(usage, "", done.err)
    assert message.endswith("\n"), done
    assert message.count("\n") == 1, done
    assert message.lower().startswith("error: "), done
    return message


def distribute(folder: Path, name: str, module: str, extras: Mapping[str, str] | None = None) -> Path:
    """Write the metadata of an installed plugin, so that a folder on the path counts as a distribution."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    for extra, requirement in (extras or {}).items():
        lines += [f"Provides-Extra: {extra}", f'Requires-Dist: {requirement}; extra == "{extra}"']
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    (info / "entry_points.txt").write_text(f"[videochat]\n{module} = {module}\n")
    return folder
