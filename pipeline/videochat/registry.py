"""Finds plugins through the entry-point group `videochat` and keeps what they register.

Built-ins and strangers come in by the same door. A plugin that fails to load, or that does not keep its interface, is
named in `Registry.broken` and skipped; it never takes the others down.
"""

import inspect
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from videochat import hookspecs
from videochat.component import STAGES, Component
from videochat.errors import PluginError, near
from videochat.hookspecs import Event

GROUP = "videochat"


@dataclass(frozen=True, slots=True)
class Entry:
    """A component that can be named in a stack."""

    stage: str
    name: str
    cls: type[Component]
    plugin: str  # the entry point that brought it
    package: str  # the distribution and its version


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that was skipped, and why."""

    plugin: str
    package: str
    reason: str


class Registry:
    """The components that are installed."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.broken: list[Broken] = []
        self._entries: dict[tuple[str, str], Entry] = {}
        self._waiting: list[EntryPoint] = []

    @property
    def entries(self) -> dict[tuple[str, str], Entry]:
        """The components by stage and name; all are loaded when this is first read."""
        self._load_waiting()
        return self._entries

    def discover(self, points: Iterable[EntryPoint]) -> None:
        """Load and register the plugins behind entry points; those that fail end up in `broken`.

        Where there are no strangers, what brings only components waits until one is asked for: the help of the command
        line needs none.
        """
        ours = {point: point.dist is not None and point.dist.name == GROUP for point in points}
        # Our own first: a stranger cannot take a built-in's name.
        ordered = sorted(ours, key=lambda point: (not ours[point], point.name))
        self._waiting = [point for point in ordered if point.name.partition(".")[0] in STAGES and all(ours.values())]
        self._load([point for point in ordered if point not in self._waiting])

    def _load_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._load(waiting)

    def _load(self, points: Iterable[EntryPoint]) -> None:
        for point in points:
            package = f"{point.dist.name} {point.dist.version}" if point.dist else ""
            try:
                self._register(point.load(), point.name, package)
            except (Exception, SystemExit) as error:  # a stranger's module may raise anything
                self.broken.append(Broken(point.name, package, _reason(error)))

    def register(self, plugin: object, name: str, package: str = "") -> None:
        """Register one plugin: all that it brings, or nothing.

        Raises:
            PluginError: if it implements a hook that does not exist, with the wrong arguments, or brings a component
                that does not keep its interface or whose name is taken.
        """
        self._load_waiting()  # nobody takes the names of what waits
        self._register(plugin, name, package)

    def _register(self, plugin: object, name: str, package: str) -> None:
        if self.manager.has_plugin(name):
            raise PluginError(f"plugin {name} ({package}): another plugin has that name")
        found: dict[tuple[str, str], Entry] = {}

        def register(stage: str, use: str, cls: type[Component]) -> None:
            fault = _fault(stage, use, cls)
            if taken := self._entries.get((stage, use)) or found.get((stage, use)):
                fault = fault or f"the name is taken by plugin {taken.plugin} ({taken.package})"
            if fault:
                raise PluginError(f"plugin {name} ({package}), hook register_components: {stage} {use!r}: {fault}")
            found[stage, use] = Entry(stage, use, cls, name, package)

        try:
            self.manager.register(plugin, name)
            self.manager.check_pending()  # a misspelt hook
            for impl in self.manager.hook.register_components.get_hookimpls():
                if impl.plugin_name == name:
                    impl.function(*(register for argument in impl.argnames if argument == "register"))
        except (Exception, SystemExit) as error:
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            if isinstance(error, pluggy.PluginValidationError):
                raise PluginError(f"plugin {name} ({package}): {_reason(error)}") from error
            raise
        self._entries.update(found)

    def find(self, stage: str, use: str) -> Entry:
        """Return the component of that name.

        Raises:
            PluginError: if there is none; the message gives near names, and says if a broken plugin might have had it.
        """
        if entry := self.entries.get((stage, use)):
            return entry
        hint = near(use, self.names(stage))
        skipped = ", ".join(broken.plugin for broken in self.broken)
        also = f" (skipped, since they do not load: {skipped})" if skipped else ""
        raise PluginError(f"no {stage} plugin is called {use!r}{hint}{also}")

    def names(self, stage: str) -> Sequence[str]:
        """Return the names that a stage knows, sorted."""
        return sorted(name for at, name in self.entries if at == stage)

    def name_of(self, cls: type[Component]) -> str:
        """Return the name that a component class is registered under, or its import path."""
        named = (entry.name for entry in self.entries.values() if entry.cls is cls)
        return next(named, f"{cls.__module__}:{cls.__qualname__}")

    def package_of(self, cls: type[Component]) -> str:
        """Return the name of the distribution that brought a component class."""
        packages = (entry.package.split(" ")[0] for entry in self.entries.values() if entry.cls is cls)
        return next(packages, GROUP)

    def observe(self, event: Event) -> None:
        """Tell all observers of one step; one that raises is named and hears no more."""
        for impl in self.manager.hook.observe.get_hookimpls():
            try:
                impl.function(*(event for argument in impl.argnames if argument == "event"))
            except Exception as error:  # a stranger's plugin may raise anything
                self.manager.unregister(impl.plugin)
                warnings.warn(f"observer {impl.plugin_name} was taken out: {_reason(error)}", stacklevel=2)


@cache
def registry() -> Registry:
    """Return the registry of all installed plugins, built at the first call."""
    found = Registry()
    found.discover(entry_points(group=GROUP))
    return found


def _fault(stage: str, use: str, cls: Any) -> str:
    """Return how a component fails to keep its interface, or nothing."""
    if stage not in STAGES:
        return f"no such stage{near(stage, STAGES)}"
    base = STAGES[stage]
    if not (isinstance(use, str) and use):
        return "a component needs a name"
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"{cls!r} is not a subclass of videochat.{base.__name__}"
    if inspect.isabstract(cls):
        return f"{cls.__qualname__} does not implement {', '.join(sorted(cls.__abstractmethods__))}"
    if not (isinstance(cls.Options, type) and issubclass(cls.Options, base.Options)):
        return f"{cls.__qualname__}.Options is not a subclass of videochat.{base.__name__}.Options"
    if cls.Options.model_config.get("extra") != "forbid":
        return f'{cls.__qualname__}.Options must keep extra="forbid", or misspelt options would pass unseen'
    if "use" in cls.Options.model_fields:
        return f"{cls.__qualname__}.Options has the field `use`, which names the plugin in a stack: call it otherwise"
    return ""


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
