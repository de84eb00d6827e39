"""Nothing is left out: hooks are documented, options described, plugins tested, configs whole."""

import ast
import inspect
from pathlib import Path

import pytest

import videochat
from videochat import hookspecs
from videochat.optiondocs import option_docs
from videochat.registry import Entry, registry

ROOT = Path(__file__).parent.parent
HOOKS = [name for name, hook in vars(hookspecs).items() if hasattr(hook, "videochat_spec")]
BUILT_INS = [entry for entry in registry().entries.values() if entry.cls.__module__.startswith("videochat_plugins.")]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
SOURCES = sorted(path for folder in ("pipeline", "plugins") for path in (ROOT / folder).rglob("*.py"))


def test_there_is_something_to_check() -> None:
    assert HOOKS
    assert BUILT_INS
    assert CONFIGS


def test_no_built_in_is_broken() -> None:
    assert registry().entries
    assert registry().broken == []


@pytest.mark.parametrize("name", HOOKS)
def test_hook_is_documented_with_its_signature(name: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
    assert f"{name}({arguments})" in (ROOT / "docs" / "plugins.md").read_text()


@pytest.mark.parametrize("entry", BUILT_INS, ids=lambda entry: f"{entry.stage}.{entry.name}")
def test_every_option_is_described(entry: Entry) -> None:
    assert [name for name, text in option_docs(entry.cls.Options).items() if not text] == []


@pytest.mark.parametrize("entry", BUILT_INS, ids=lambda entry: f"{entry.stage}.{entry.name}")
def test_every_built_in_has_a_docstring_and_a_test(entry: Entry) -> None:
    assert entry.cls.__doc__
    _, stage, name = entry.cls.__module__.split(".")
    assert stage == entry.stage
    assert list((ROOT / "tests" / "plugins").glob(f"test_{stage}_{name}*.py"))


@pytest.mark.parametrize("entry", BUILT_INS, ids=lambda entry: f"{entry.stage}.{entry.name}")
def test_every_built_in_stands_in_the_table_of_plugins(entry: Entry) -> None:
    table = (ROOT / "docs" / "stacks.md").read_text().partition("## Every plugin")[2]
    assert f"`{entry.name}`" in table


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_validates_and_plans(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))
    stack = videochat.load(str(path))
    assert stack.plan(ROOT / "examples" / "example.mp4")
    assert list(tmp_path.rglob("records.jsonl")) == []  # a plan runs nothing


def test_public_names() -> None:
    names = videochat.__all__
    assert len(set(names)) == len(names)  # their order is ruff's rule RUF022
    for name in names:  # they are loaded when first asked for
        assert getattr(videochat, name) is not None
    declared = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(Path(videochat.__file__).read_text()))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("videochat.")
        for alias in node.names
    }
    assert declared == set(names)  # what type checkers see is what there is


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400
