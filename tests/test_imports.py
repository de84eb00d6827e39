"""Importing videochat stays light, and packaging says what the code needs."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from videochat.component import STAGES
from videochat.registry import registry

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = sorted((ROOT / "pipeline").rglob("*.py"))
PLUGINS = sorted((ROOT / "plugins").rglob("*.py"))

LIGHT = {
    "videochat",
    "videochat_plugins",
    "filelock",
    "numpy",
    "platformdirs",
    "pluggy",
    "pydantic",
    "pydantic_core",
    "yaml",
}
TERMINAL = {"click", "rich", "typer"}  # light enough for the command line, not for `import videochat`
HEAVY = {
    *("PIL", "av", "cv2", "langchain", "onnxruntime", "openai", "rapidocr", "safetensors", "scenedetect"),
    *("torch", "torchvision", "transformers", "ultralytics", "whisper"),
}
# They define classes on torch's and transformers' own, and are imported by what loads them.
_MODELS = ROOT / "plugins" / "videochat_plugins" / "models"
_LEARN = ROOT / "plugins" / "videochat_plugins" / "learn"
NETWORKS = {_MODELS / "uniformerv2.py", *(_MODELS / "videochat_embed").glob("*.py")}
NETWORKS |= {_LEARN / f"train_{name}.py" for name in ("log", "model", "trainer")}
# What a library that we import runs on, or finds by itself.
ENGINES = {"accelerate", "bitsandbytes", "langchain_openai", "onnxruntime", "sentencepiece", "tensorboard"}
# Where the name of the distribution is another.
MODULES = {
    "ffmpeg-python": "ffmpeg",
    "openai-whisper": "whisper",
    "opencv-python-headless": "cv2",
    "pyyaml": "yaml",
    "scenedetect-headless": "scenedetect",
}


def run_at_import(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the statements that importing a module runs: not those in functions, nor those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from run_at_import(other)
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from run_at_import(child)


def imported(statement: ast.AST) -> set[str]:
    """Return the top-level packages that a statement imports."""
    if isinstance(statement, ast.Import):
        return {alias.name.partition(".")[0] for alias in statement.names}
    if isinstance(statement, ast.ImportFrom) and not statement.level:
        return {str(statement.module).partition(".")[0]}
    return set()


def everything_imported(paths: list[Path]) -> set[str]:
    """Return the top-level packages that files import anywhere, by a statement or by name."""
    found: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            found |= imported(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
                found |= {str(arg.value).partition(".")[0] for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@pytest.mark.parametrize("path", CORE + PLUGINS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_heavy_import_at_module_level(path: Path) -> None:
    allowed = LIGHT | sys.stdlib_module_names | (TERMINAL if "cli" in path.parts else set())
    allowed |= {"torch", "transformers"} if path in NETWORKS else set()
    for statement in run_at_import(ast.parse(path.read_text())):
        assert imported(statement) <= allowed, f"{path.name}:{statement.lineno}: import it in the function that uses it"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import torch", {"torch"}),
        ("class A:\n  if True:\n    from av.video import x", {"av"}),
        ("try:\n  import cv2\nexcept ImportError:\n  cv2 = None", {"cv2"}),
        ("def f():\n  import torch", set()),
        ("class A:\n  def f(self):\n    import torch", set()),
        ("if TYPE_CHECKING:\n  import torch\nelse:\n  import av", {"av"}),
    ],
)
def test_what_counts_as_module_level(source: str, found: set[str]) -> None:
    assert set().union(*(imported(statement) for statement in run_at_import(ast.parse(source)))) == found


def test_core_never_imports_plugins() -> None:
    assert "videochat_plugins" not in everything_imported(CORE)


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import videochat", set()),
        ("import videochat; [getattr(videochat, name) for name in videochat.__all__]", set()),
        ("import sys, videochat.cli; sys.argv = ['videochat', '--help']; videochat.cli.main()", TERMINAL),
        ("from videochat.registry import registry; assert registry().entries; assert not registry().broken", set()),
    ],
    ids=["import", "every name", "--help", "all plugins"],
)
def test_a_fresh_process_loads_nothing_heavy(code: str, allowed: set[str]) -> None:
    report = "import atexit, json, sys; atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))"
    done = subprocess.run([sys.executable, "-c", f"{report}\n{code}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = {name.partition(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}
    assert not loaded & (HEAVY | TERMINAL) - allowed


def test_entry_points_name_the_modules_that_register() -> None:
    named = set(PROJECT["entry-points"]["videochat"].values())
    assert {name for name in named if importlib.util.find_spec(name) is None} == set()
    hooks = {"register_components", "register_commands"}
    registering = set()
    for path in PLUGINS:
        defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        if defined & hooks:
            registering.add(".".join(path.relative_to(ROOT / "plugins").with_suffix("").parts))
    assert registering == named


def test_what_waits_until_a_component_is_asked_for_brings_nothing_else() -> None:
    for name, module in PROJECT["entry-points"]["videochat"].items():
        if name.partition(".")[0] in STAGES:
            tree = ast.parse((ROOT / "plugins" / Path(*module.split("."))).with_suffix(".py").read_text())
            defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert not defined & {"register_commands", "observe"}, module


def test_extras_of_components_exist() -> None:
    extras = set(PROJECT["optional-dependencies"])
    ours = [entry for entry in registry().entries.values() if entry.cls.__module__.startswith("videochat_plugins.")]
    assert ours
    assert {entry.cls.extra for entry in ours} <= extras | {""}


def test_every_dependency_is_imported_somewhere() -> None:
    requirements = {*PROJECT["dependencies"]}.union(*PROJECT["optional-dependencies"].values())
    names = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower() for requirement in requirements}
    modules = {MODULES.get(name, name.replace("-", "_")) for name in names}
    assert modules - ENGINES - everything_imported(CORE + PLUGINS) == set()
