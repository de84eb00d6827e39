import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from importlib.metadata import EntryPoint
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy
import pytest
from pydantic import ConfigDict

from videochat import Component, Event, Perceiver, PluginError, Record, Sampling, Window, hookimpl
from videochat.registry import GROUP, Registry, registry

Register = Callable[[str, str, type[Component]], None]


class Dots(Perceiver):
    @property
    def emits(self) -> Collection[str]:
        return ("dot",)

    def sampling(self) -> Sampling:
        return Sampling(frames=1)

    def perceive(self, windows: Sequence[Window]) -> Iterator[Sequence[Record]]:
        for window in windows:
            yield [Record("dot", window.start, window.end)]


class Lax(Dots):
    class Options(Dots.Options):
        model_config = ConfigDict(extra="ignore")


class Uses(Dots):
    class Options(Dots.Options):
        use: int = 1


class NoOptions(Dots):
    Options = None


class StrangeOptions(Dots):
    class Options(Component.Options):
        pass


def brings(*components: tuple[Any, ...]) -> Any:
    """Return a plugin that registers components."""

    def register_components(register: Register) -> None:
        for component in components:
            register(*component)

    return SimpleNamespace(register_components=hookimpl(register_components))


def refusal(plugin: object, into: Registry | None = None) -> str:
    with pytest.raises(PluginError) as raised:
        (into or Registry()).register(plugin, "dots", "dots-for-all 1.2")
    assert "dots" in str(raised.value)
    assert "dots-for-all 1.2" in str(raised.value)
    return str(raised.value)


def test_a_component_is_found_by_its_name() -> None:
    found = Registry()
    found.register(brings(("perceive", "dots", Dots)), "dots", "dots-for-all 1.2")
    entry = found.find("perceive", "dots")
    assert (entry.cls, entry.plugin, entry.package) == (Dots, "dots", "dots-for-all 1.2")
    assert found.names("perceive") == ["dots"]
    assert found.names("llm") == []
    assert (found.name_of(Dots), found.package_of(Dots)) == ("dots", "dots-for-all")
    assert (found.name_of(Lax), found.package_of(Lax)) == (f"{__name__}:Lax", GROUP)


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (("percieve", "dots", Dots), "no such stage; did you mean perceive?"),
        (("segment", "dots", Dots), "not a subclass of videochat.Segmenter"),
        (("perceive", "dots", dict), "not a subclass of videochat.Perceiver"),
        (("perceive", "dots", Dots()), "not a subclass of videochat.Perceiver"),
        (("perceive", "dots", Perceiver), "does not implement emits, perceive, sampling"),
        (("perceive", "dots", Lax), 'must keep extra="forbid"'),
        (("perceive", "dots", Uses), "has the field `use`"),
        (("perceive", "dots", NoOptions), "Options is not a subclass of videochat.Perceiver.Options"),
        (("perceive", "dots", StrangeOptions), "Options is not a subclass of videochat.Perceiver.Options"),
        (("perceive", "", Dots), "needs a name"),
        (("perceive", 5, Dots), "needs a name"),
    ],
)
def test_a_component_that_does_not_keep_its_interface(component: tuple[Any, ...], said: str) -> None:
    message = refusal(brings(component))
    assert said in message
    assert "hook register_components" in message


def test_a_second_claim_on_a_name_is_an_error_and_the_first_stays() -> None:
    found = Registry()
    found.register(brings(("perceive", "dots", Dots)), "first", "one 1")
    assert "hook register_components: perceive 'dots': the name is taken by plugin first (one 1)" in refusal(
        brings(("perceive", "dots", Dots)), found
    )
    assert found.find("perceive", "dots").plugin == "first"
    assert "the name is taken by plugin dots" in refusal(brings(("perceive", "x", Dots), ("perceive", "x", Dots)))


def test_one_name_may_stand_in_two_stages() -> None:
    segmenter = registry().find("segment", "fixed").cls
    found = Registry()
    found.register(brings(("perceive", "fixed", Dots), ("segment", "fixed", segmenter)), "dots")
    assert found.find("segment", "fixed").cls is segmenter


def test_all_or_nothing() -> None:
    heard: list[Event] = []

    def register_components(register: Register) -> None:
        register("perceive", "dots", Dots)
        raise RuntimeError("and then it broke")

    plugin = SimpleNamespace(
        register_components=hookimpl(register_components), observe=hookimpl(lambda event: heard.append(event))
    )
    found = Registry()
    with pytest.raises(RuntimeError, match="broke"):
        found.register(plugin, "dots")
    assert found.entries == {}
    found.observe(Event("perceive", "dots"))
    assert heard == []
    found.register(brings(("perceive", "dots", Dots)), "dots")
    assert found.names("perceive") == ["dots"]


def test_a_misspelt_hook_is_named() -> None:
    def register_component(register: Register) -> None:
        pass

    message = refusal(SimpleNamespace(register_component=hookimpl(register_component)))
    assert "register_component" in message
    assert "unknown hook" in message


def test_wrong_arguments_of_a_hook_are_named() -> None:
    def register_components(registrar: Register) -> None:
        pass

    message = refusal(SimpleNamespace(register_components=hookimpl(register_components)))
    assert "register_components" in message
    assert "registrar" in message


def test_a_refused_plugin_does_not_taint_those_after_it() -> None:
    found = Registry()
    refusal(SimpleNamespace(register_component=hookimpl(lambda register: None)), found)
    found.register(brings(("perceive", "dots", Dots)), "good")
    assert found.names("perceive") == ["dots"]


def test_two_plugins_of_one_name() -> None:
    heard: list[Event] = []
    first = SimpleNamespace(observe=hookimpl(lambda event: heard.append(event)))
    found = Registry()
    found.register(first, "dots", "one 1")
    assert "another plugin has that name" in refusal(brings(("perceive", "dots", Dots)), found)
    found.observe(Event("perceive", "dots"))
    assert len(heard) == 1, "the first plugin lost its hooks"


def test_observers_hear_of_events_and_may_leave_out_the_argument() -> None:
    heard: list[object] = []
    found = Registry()
    found.register(SimpleNamespace(observe=hookimpl(lambda event: heard.append(event))), "one")
    found.register(SimpleNamespace(observe=hookimpl(lambda: heard.append("something"))), "two")
    event = Event("perceive", "dots", 1, 2)
    found.observe(event)
    assert {str(what) for what in heard} == {str(event), "something"}


@pytest.mark.parametrize(
    ("use", "said"),
    [("dot", "no perceive plugin is called 'dot'; did you mean dots?"), ("zzz", "; there are: dots"), ("", "dots")],
)
def test_a_name_that_is_not_there(use: str, said: str) -> None:
    found = Registry()
    found.register(brings(("perceive", "dots", Dots)), "dots")
    with pytest.raises(PluginError) as raised:
        found.find("perceive", use)
    assert said in str(raised.value)
    assert "skipped" not in str(raised.value)
    with pytest.raises(PluginError, match="there are none"):
        found.find("refine", "join")


def module(monkeypatch: pytest.MonkeyPatch, name: str, **values: Any) -> EntryPoint:
    """Return the entry point of a module made here."""
    made = ModuleType(name)
    vars(made).update(values)
    monkeypatch.setitem(sys.modules, name, made)
    return EntryPoint(name, name, GROUP)


def test_broken_plugins_are_named_and_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "raises_here.py").write_text("raise RuntimeError('cannot\\n\\tstart')")
    (tmp_path / "exits_here.py").write_text("import sys; sys.exit('no licence')")
    (tmp_path / "syntax_here.py").write_text("def")
    monkeypatch.syspath_prepend(str(tmp_path))
    good = brings(("perceive", "dots", Dots))
    points = [
        EntryPoint("missing", "no_such_module_here", GROUP),
        EntryPoint("raises", "raises_here", GROUP),
        EntryPoint("exits", "exits_here", GROUP),
        EntryPoint("syntax", "syntax_here", GROUP),
        EntryPoint("attribute", "json:no_such_attribute", GROUP),
        module(monkeypatch, "abstract", register_components=brings(("perceive", "x", Perceiver)).register_components),
        module(monkeypatch, "misspelt", register_componets=hookimpl(lambda register: None)),
        module(monkeypatch, "zz_good", register_components=good.register_components),
        module(monkeypatch, "empty"),
    ]
    found = Registry()
    found.discover(points)
    reasons = {broken.plugin: broken.reason for broken in found.broken}
    assert set(reasons) == {"missing", "raises", "exits", "syntax", "attribute", "abstract", "misspelt"}
    assert "no_such_module_here" in reasons["missing"]
    assert reasons["raises"] == "RuntimeError: cannot start"
    assert "no licence" in reasons["exits"]
    assert "SyntaxError" in reasons["syntax"]
    assert "does not implement" in reasons["abstract"]
    assert "register_componets" in reasons["misspelt"]
    assert found.names("perceive") == ["dots"]
    with pytest.raises(PluginError, match="skipped, since they do not load: abstract, attribute, exits"):
        found.find("perceive", "x")


def test_one_module_behind_two_entry_points_is_registered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    point = module(monkeypatch, "twice", register_components=brings(("perceive", "dots", Dots)).register_components)
    found = Registry()
    found.discover([point, EntryPoint("twice.again", "twice", GROUP)])
    assert found.names("perceive") == ["dots"]
    assert [broken.plugin for broken in found.broken] == ["twice.again"]
    assert "AssertionError" not in found.broken[0].reason


def test_the_built_ins_come_in_by_the_same_door() -> None:
    assert {"pyav"} <= set(registry().names("read"))
    assert {"fixed"} <= set(registry().names("segment"))
    assert {"table1", "timeline"} <= set(registry().names("format"))
    assert registry() is registry()
    assert isinstance(registry().manager, pluggy.PluginManager)


def test_help_loads_no_component_and_asking_for_one_loads_all() -> None:
    code = (
        "import sys; from videochat.registry import registry; found = registry();"
        "loaded = [name for name in sys.modules if name.startswith('videochat_plugins.perceive.')];"
        "assert not loaded, loaded; found.find('perceive', 'look'); assert not found.broken;"
        "assert 'videochat_plugins.llm.echo' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
