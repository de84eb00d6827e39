"""Finding the ffmpeg program, and what every command that runs it has in common."""

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

from videochat import UnavailableError
from videochat_plugins.read.pyav_source import FORMATS

_NAME = "INPUT"  # stands for the file, whose name may hold what ffmpeg-python cannot take
OLDEST = "5.1"  # the first that knows -fps_mode


def program() -> str:
    """Return the path of the program: `ffmpeg` on PATH, else the one that the package imageio-ffmpeg brings.

    Raises:
        UnavailableError: if there is neither.
    """
    if os.name != "posix":
        raise UnavailableError("reader ffmpeg talks to the program through POSIX pipes: use the reader pyav here")
    if found := shutil.which("ffmpeg"):
        return os.path.abspath(found)
    try:
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise UnavailableError(
            f"reader ffmpeg needs the program ffmpeg ({OLDEST} or newer): "
            "install it, or `pip install imageio-ffmpeg`, or use the reader pyav"
        ) from None


def require_program() -> None:
    """Make sure that the program and what builds its commands are here.

    Raises:
        UnavailableError: if one is not.
    """
    _builder()
    program()


def opened(**options: str | int | float | None) -> Any:
    """Return an input of ffmpeg-python, to be read safely; options stand before it, None for a switch.

    Frames keep the file's own timestamps, and are neither turned nor trimmed.
    """
    return _builder().input(
        _NAME,
        hide_banner=None,
        nostdin=None,
        nostats=None,
        loglevel="repeat+level+info",
        max_error_rate=1,
        protocol_whitelist="file",
        format_whitelist=FORMATS,
        copyts=None,
        noautorotate=None,
        **options,
    )


def written(stream: Any, target: str, **options: str | int | float | None) -> Any:
    """Return an output of a stream, or of several in a list."""
    streams = stream if isinstance(stream, list) else [stream]
    return _builder().output(*streams, target, **options)


def command(path: Path, outputs: list[Any]) -> list[str]:
    """Return the arguments that make some outputs of one input, which is a local file.

    Raises:
        UnavailableError: if there is no program.
    """
    arguments: list[str] = _builder().merge_outputs(*outputs).compile(cmd=program())
    return [f"file:{path.absolute()}" if argument == _NAME else argument for argument in arguments]


def _builder() -> Any:
    try:
        return importlib.import_module("ffmpeg")
    except ImportError:
        raise UnavailableError('reader ffmpeg needs ffmpeg-python: pip install "videochat[ffmpeg]"') from None
