"""Whether the pip extras that components need are installed, read from the packages' own metadata."""

import re
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires, version

from videochat.component import Component
from videochat.errors import UnavailableError
from videochat.registry import registry


def missing(cls: type[Component]) -> str:
    """Return the one sentence that says what a component class lacks here and how to get it, or nothing."""
    if not cls.extra:
        return ""
    package = registry().package_of(cls)
    extra = re.sub(r"[-_.]+", "[-_.]+", cls.extra)  # metadata may write it with another of these
    wanted = [line for line in requires(package) or () if re.search(rf"extra\s*==\s*['\"]{extra}['\"]", line)]
    absent = [name for line in wanted if (found := re.match(r"[\w.-]+", line)) and not _installed(name := found[0])]
    if not absent:
        return ""
    use = registry().name_of(cls)
    return f'{use} needs {", ".join(absent)}: pip install "{package}[{cls.extra}]"'


def require(components: Collection[Component]) -> None:
    """Check that all components can run here before any work is done.

    Raises:
        UnavailableError: naming each extra that is missing and the pip command that gets it.
    """
    sentences = dict.fromkeys(sentence for component in components if (sentence := missing(type(component))))
    if sentences:
        raise UnavailableError("\n".join(sentences))
    for component in components:
        component.check()


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
