"""Whether the pip extras that components need are installed, read from the packages' own metadata."""

import re
from collections.abc import Callable, Collection, Iterable
from importlib.metadata import PackageNotFoundError, distribution, requires

from videochat.component import Component
from videochat.errors import UnavailableError
from videochat.registry import registry


def missing(cls: type[Component]) -> str:
    """Return the one sentence that says what a component class lacks here and how to get it, or nothing."""
    what = _absent(cls)
    return f"{registry().name_of(cls)} needs {what}" if what else ""


def require(components: Collection[Component]) -> None:
    """Check that all components can run here before any work is done.

    Raises:
        UnavailableError: naming each extra that is missing and the pip command that gets it, or each model that is
            missing or damaged.
    """
    lacking: dict[str, list[str]] = {}  # what is to be had, and who needs it: one sentence for all of them
    for cls in dict.fromkeys(map(type, components)):
        if what := _absent(cls):
            lacking.setdefault(what, []).append(registry().name_of(cls))
    if lacking:
        sentences = (f"{', '.join(uses)} need{'s' * (len(uses) == 1)} {what}" for what, uses in lacking.items())
        raise UnavailableError("\n".join(sentences))
    _all_of_them(component.check for component in components)


def prepare(components: Collection[Component]) -> None:
    """Make sure that all components can run here, and download the model files that are not here.

    Raises:
        UnavailableError: naming what is missing and how to get it.
    """
    require(components)
    _all_of_them(component.fetch for component in components if not all(w.here for w in component.weights()))


def _all_of_them(tries: Iterable[Callable[[], None]]) -> None:
    """Call all, and tell of every one that fails.

    Raises:
        UnavailableError: if one fails.
    """
    faults: dict[str, None] = {}  # in order, each once: two components may need the same model
    for attempt in tries:
        try:
            attempt()
        except UnavailableError as error:
            faults[str(error)] = None
    if faults:
        raise UnavailableError("\n".join(faults))


def _absent(cls: type[Component]) -> str:
    """Return the packages of its extra that a component class lacks here and the command that gets them, or nothing."""
    if not cls.extra:
        return ""
    package = registry().package_of(cls)
    extra = re.sub(r"[-_.]+", "[-_.]+", cls.extra)  # metadata may write it with another of these
    wanted = [line for line in requires(package) or () if re.search(rf"extra\s*==\s*['\"]{extra}['\"]", line)]
    absent = [name for line in wanted if (found := re.match(r"[\w.-]+", line)) and not _installed(name := found[0])]
    if not absent:
        return ""
    return f'{", ".join(absent)}: pip install "{package}[{cls.extra}]"'


def _installed(name: str) -> bool:
    try:
        distribution(name)  # without reading what it says of itself, which takes ten times as long
    except PackageNotFoundError:
        return False
    return True
