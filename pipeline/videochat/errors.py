"""Everything that videochat raises on purpose.

    VideoChatError              exit code 1
    ├── StackError              2   the stack, an option or the way of calling is wrong
    │   └── PluginError         2   a plugin does not keep its interface
    ├── VideoError              3   the video cannot be read
    ├── LLMError                4   the language model failed to answer
    │   └── UnreachableError    4   its server cannot be reached
    └── UnavailableError        6   a model or an extra cannot be had

Each message says what, where, what is allowed and how to mend it. Commands print it without a traceback.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar


class VideoChatError(Exception):
    """The root of all; never raised itself."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a stack: `where` is file:line or the option of the command line that set it."""

    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)


class StackError(VideoChatError):
    """A stack that cannot be run, with every problem that was found in it."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems = (Problem("", "", problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class PluginError(StackError):
    """A plugin that does not keep its interface: names the plugin, the hook and the fault."""


class VideoError(VideoChatError):
    """A file that cannot be read as a video."""

    exit_code = 3


class LLMError(VideoChatError):
    """A language model that could not be reached, refused, or broke off."""

    exit_code = 4


class UnreachableError(LLMError):
    """A server that no request gets to: what is asked next will not get there either."""


class UnavailableError(VideoChatError):
    """A model or a pip extra that is not here and cannot be had."""

    exit_code = 6


def near(name: str, allowed: Iterable[str]) -> str:
    """Return ` (did you mean X?)` for the closest of the allowed names, or the whole list of them if none is close."""
    names = sorted(allowed)
    close = get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(names)}" if names else "; there are none"
