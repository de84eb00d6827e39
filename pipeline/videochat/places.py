"""Where the shipped prompts and configs are, and the user's own."""

from collections.abc import Sequence
from pathlib import Path

import platformdirs

from videochat.errors import Problem, StackError, near

_SUFFIX = {"configs": ".yaml", "prompts": ".txt"}


def shipped(folder: str) -> Path:
    """Return the shipped `configs` or `prompts` folder: two folders up in a checkout, beside this file in a wheel."""
    here = Path(__file__).resolve().parent
    beside = here / folder
    return beside if beside.is_dir() else here.parent.parent / folder


def own(folder: str) -> Path:
    """Return the user's own `configs` or `prompts` folder, which comes before the shipped one."""
    return platformdirs.user_config_path("videochat") / folder


def names(folder: str) -> Sequence[str]:
    """Return the names that can be given without a path."""
    return sorted({path.stem for base in (own(folder), shipped(folder)) for path in base.glob(f"*{_SUFFIX[folder]}")})


def locate(folder: str, name: str, beside: Path | None = None) -> Path:
    """Return the file of a config or prompt: a path (from the folder `beside`, if given), or a name.

    Raises:
        StackError: if there is none.
    """
    suffix = _SUFFIX[folder]
    try:
        if name.endswith((suffix, ".yml")) or "/" in name or "\\" in name:
            path = (beside or Path()) / Path(name).expanduser()
            if path.is_file():
                return path
            raise StackError([Problem("", "", f"no such file: {path}")])
        for base in (own(folder), shipped(folder)):
            if (path := base / f"{name}{suffix}").is_file():
                return path
    except (OSError, RuntimeError, ValueError) as error:  # too long, not allowed to look, nobody's home
        said = getattr(error, "strerror", None) or error
        raise StackError([Problem("", "", f"{name[:80]!r} names no file: {said}")]) from None
    raise StackError([Problem("", "", f"no {folder[:-1]} is called {name!r}{near(name, names(folder))}")])
