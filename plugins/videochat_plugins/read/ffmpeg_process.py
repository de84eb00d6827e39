"""One run of the program: its pipes drained together, its death and its silence told apart, and nothing left behind.

There are no threads. Whoever waits for something calls `step`, which reads whatever pipe has bytes, that of the
messages always among them, so that the program never waits for us while we wait for it.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

from videochat import UnavailableError, VideoError
from videochat_plugins.read.ffmpeg_program import OLDEST

_PIPE = 1 << 20  # bytes that the system is asked to hold in a pipe, so that the program can run ahead
_LINE = 1 << 16  # bytes of a line that are kept
_WORDS = 200  # characters of a message that are passed on
_MESSAGE = re.compile(r"(?:\[[^\]]* @ 0x[0-9a-f]+\] )*\[(\w+)\] (.*)")
_SAYS_NOTHING = (
    "Conversion failed",
    "Nothing was written",
    "Task finished",
    "Terminating thread",
    "Error opening input f",
)


class Sink(Protocol):
    """Takes what comes out of one pipe."""

    @property
    def full(self) -> bool:
        """Whether it is to be left alone until somebody has taken something out."""

    def read(self, pipe: int) -> bool:
        """Read what is there, once; False if the pipe has ended."""


class Lines:
    """Gives each line to a function as soon as it is whole."""

    full = False  # never left alone

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._rest = b""

    def read(self, pipe: int) -> bool:
        """Read what is there, once; False if the pipe has ended."""
        data = os.read(pipe, _LINE)
        *lines, rest = (self._rest + data).split(b"\n")
        if not data and rest:
            lines, rest = [rest], b""
        for line in lines:
            self._tell(line.decode("utf-8", "replace"))
        self._rest = rest[:_LINE]
        return bool(data)


class Process:
    """A running program; leaving its `with` block ends it at once, whatever it is doing.

    Args:
        path: the file that it reads, for messages.
        timeout: seconds without a byte from it, while somebody waits, after which it counts as hung.
        sinks: take its outputs.
        build: returns the command, given the numbers of the pipes that the outputs are to be written to.
        said: gets what it writes for people, line by line, without the level.

    Raises:
        UnavailableError: if the program cannot be started.
    """

    def __init__(
        self,
        path: Path,
        timeout: float,
        sinks: Sequence[Sink],
        build: Callable[[Sequence[int]], list[str]],
        said: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.path = path
        self._timeout = timeout
        self._said = said
        self._complaint = ""
        self._sinks: dict[int, Sink] = {}
        writing: list[int] = []
        try:
            for sink in [*sinks, Lines(self._hear)]:
                reading, end = os.pipe()
                writing.append(end)
                self._sinks[reading] = sink
                _widen(end)
            *outputs, messages = writing
            self._process = subprocess.Popen(
                build(outputs),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=messages,
                pass_fds=outputs,
                start_new_session=True,  # Ctrl-C is for us: we end it
            )
        except OSError as error:
            self._close_pipes()
            raise UnavailableError(f"reader ffmpeg cannot start the program ffmpeg: {error.strerror}") from None
        except BaseException:
            self._close_pipes()
            raise
        finally:
            for end in writing:
                os.close(end)

    def step(self) -> bool:
        """Wait for bytes and give them to their sinks; False once all pipes have ended.

        Raises:
            VideoError: if nothing comes in time; the program is ended then.
        """
        if not self._sinks:
            return False
        waiting = select.poll()
        for pipe, sink in self._sinks.items():
            if not sink.full:
                waiting.register(pipe, select.POLLIN)
        ready = waiting.poll(self._timeout * 1000)
        if not ready:
            raise self._silence()
        for pipe, _ in ready:
            if not self._sinks[pipe].read(pipe):
                del self._sinks[pipe]
                os.close(pipe)
        return True

    @property
    def crashed(self) -> bool:
        """Whether a signal ended the program, ours or another."""
        return (self._process.returncode or 0) < 0

    def finish(self) -> None:
        """Read all that is left, and see how the program ended.

        Raises:
            VideoError: if it crashed or failed.
            UnavailableError: if it is too old.
        """
        while self.step():
            pass
        try:
            code = self._process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            raise self._silence() from None
        self.close()
        if not code:
            return
        if "Unrecognized option" in self._complaint or "Option not found" in self._complaint:
            raise UnavailableError(f"the program ffmpeg is too old: {OLDEST} or newer is needed ({self._complaint})")
        says = f": {self._complaint}" if self._complaint else ""
        if code < 0:
            raise VideoError(f"{self.path}: the program ffmpeg crashed on it ({_signal(-code)}){says}")
        raise VideoError(f"{self.path}: the program ffmpeg failed on it (exit code {code}){says}")

    def close(self) -> None:
        """End the program and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # gone already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close_pipes()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _silence(self) -> VideoError:
        self.close()
        return VideoError(
            f"{self.path}: the program ffmpeg gave nothing for {self._timeout:g} seconds and was ended; "
            "the file may be damaged (the reader's option `timeout` gives it longer)"
        )

    def _close_pipes(self) -> None:
        for pipe in self._sinks:
            os.close(pipe)
        self._sinks.clear()

    def _hear(self, line: str) -> None:
        message = _MESSAGE.match(line)
        level, words = message.groups() if message else ("", line)
        if level in ("", "error", "fatal", "panic") and words.strip() and not words.startswith(_SAYS_NOTHING):
            self._complaint = _plain(words, self.path)
        self._said(words)


def _plain(words: str, path: Path) -> str:
    """Return what the program said on one line, without control characters and without the folder of the file."""
    words = words.replace(f"file:{path.absolute()}", path.name).replace(str(path.absolute()), path.name)
    words = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return words if len(words) <= _WORDS else words[: _WORDS - 1] + "…"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _widen(pipe: int) -> None:
    import fcntl

    with contextlib.suppress(OSError, AttributeError):  # Linux alone can, and may not allow it
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)
