"""Plugins of strangers: the one that docs/plugins.md writes, installed and used; broken ones, named and skipped."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from command_line import distribute, spawn

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(# ([\w-]+\.\w+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = {name: (language, text) for language, text, name in BLOCK.findall(PAGE)}
EXAMPLE = ROOT / "examples" / "example.mp4"


def test_the_page_writes_three_files() -> None:
    assert {name: language for name, (language, _) in FILES.items()} == {
        "dark.py": "python",
        "pyproject.toml": "toml",
        "night.yaml": "yaml",
    }
    assert len(FILES["dark.py"][1].splitlines()) < 30


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder into which pip has installed exactly what the page says, without a network."""
    for needed in ("pip", "hatchling"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("target")
    for name, (_, text) in FILES.items():
        (source / name).write_text(text, encoding="utf-8")
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check")
    words = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), "."]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (target / "night.yaml").write_text(FILES["night.yaml"][1], encoding="utf-8")
    return target


def test_it_is_there_like_any_other(installed: Path) -> None:
    done = spawn("plugins", "dark", env={"PYTHONPATH": str(installed)})
    assert (done.code, done.err) == (0, "")
    assert "perceive dark   (videochat-dark 1.0)" in done.out
    assert "below" in done.out


def test_it_is_used_from_yaml(installed: Path) -> None:
    pytest.importorskip("cv2", reason="the extra offline is not installed")
    others = [word for name in ("text", "regions", "motion") for word in ("--set", f"perceive.{name}=null")]
    done = spawn("watch", EXAMPLE, "-c", installed / "night.yaml", *others, env={"PYTHONPATH": str(installed)})
    assert (done.code, done.err) == (0, "")
    found = [line.partition(" ")[0] for line in done.out.splitlines() if line.endswith("dark: the picture is dark")]
    assert found == ["00:06-00:12"]  # the second shot


def broken(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.py").write_text(text)
    return distribute(folder, f"videochat-{name}", name)


MISSPELT = """
from videochat import hookimpl

@hookimpl
def register_component(register):
    pass
"""
TAKEN = """
from videochat import Perceiver, Sampling, hookimpl

class Look(Perceiver):
    emits = ("look",)
    def sampling(self):
        return Sampling()
    def perceive(self, windows):
        return [[] for _ in windows]

@hookimpl
def register_components(register):
    register("perceive", "mine", Look)
    register("perceive", "told", Look)
    register("perceive", "told", Look)
"""
HALF = """
from videochat import Perceiver, hookimpl

class Half(Perceiver):
    emits = ("look",)

@hookimpl
def register_components(register):
    register("perceive", "half", Half)
"""
EXITS = "import sys\nsys.exit('no \\x1b[31mway')\n"
COMMANDS = """
from videochat import hookimpl

@hookimpl
def register_commands(cli):
    raise RuntimeError("no commands today")
"""


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("raises", "raise RuntimeError('bad day \\x1b[31m')", "RuntimeError: bad day"),
        ("absent", "import no_such_module_anywhere", "no_such_module_anywhere"),
        ("syntax", "def (:", "SyntaxError"),
        ("misspelt", MISSPELT, "register_component"),
        ("taken", TAKEN, "'told'"),
        ("half", HALF, "does not implement"),
        ("exits", EXITS, "SystemExit"),
        ("commands", COMMANDS, "no commands today"),
    ],
)
def test_a_broken_plugin_is_named_and_skipped(
    name: str, text: str, words: str, clip: Path, cheap: Path, parts: dict[str, str], tmp_path: Path
) -> None:
    broken(tmp_path, name, text)
    path = os.pathsep.join([str(tmp_path), parts["PYTHONPATH"]])
    done = spawn("watch", clip, "-c", cheap, env={"PYTHONPATH": path})
    assert done.code == 0, done
    assert done.out.startswith("00:00-00:01 caption: a bar code\n")
    assert done.err.startswith(f"warning: plugin {name}")
    assert words in done.err
    assert done.err.count("\n") == 1
    assert "\x1b" not in done.err
    assert "Traceback" not in done.err


def test_broken_plugins_do_not_take_each_other_down(tmp_path: Path) -> None:
    broken(tmp_path, "raises", "raise RuntimeError('bad day')")
    broken(tmp_path, "misspelt", MISSPELT)
    done = spawn("plugins", "--json", env={"PYTHONPATH": str(tmp_path)})
    assert done.code == 0
    assert {skipped["plugin"] for skipped in done.json["skipped"]} == {"raises", "misspelt"}
    assert done.err.count("warning: plugin ") == 2
    assert "look" in {plugin["name"] for plugin in done.json["plugins"]}
    asked = spawn("config", "check", "--set", "perceive.x={use: half}", env={"PYTHONPATH": str(tmp_path)})
    assert "misspelt, raises" in asked.err  # perhaps one of them had it


def test_a_command_of_a_stranger(tmp_path: Path) -> None:
    text = """
from videochat import VideoError, hookimpl

@hookimpl
def register_commands(cli):
    @cli.command()
    def hello(name: str) -> None:
        print("hello", name)
        raise VideoError("no film")
"""
    broken(tmp_path, "greeter", text)
    done = spawn("hello", "you", env={"PYTHONPATH": str(tmp_path)})
    assert done == (3, "hello you\n", "error: no film\n")
