"""Commands under test share a cache, know the parts of speakers.py, and have a few tiny videos."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import speakers
from command_line import CHEAP, distribute
from media import make
from videochat.registry import registry


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that makes speakers.py a distribution with an extra that is not installed."""
    folder = tmp_path_factory.mktemp("parts")
    return distribute(folder, "videochat-speakers", "speakers", {"heavy": "no-such-package-anywhere>=2"})


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def parts(
    own_folders: Path, shared_cache: Path, parts_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """Install the parts here; return the environment in which a new process has them too."""
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(shared_cache))
    known = registry()  # built before the parts are on the path, or it would find them by itself
    monkeypatch.setattr(sys, "path", [*sys.path, str(parts_folder)])
    before = dict(known.entries)
    known.register(speakers, "speakers", "videochat-speakers 1.0")
    yield {"PYTHONPATH": os.pathsep.join([str(parts_folder), str(Path(speakers.__file__).parent)])}
    known.manager.unregister(name="speakers")
    known.entries.clear()
    known.entries.update(before)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `clip.mp4`, two seconds of pictures, and two stacks: `cheap.yaml` does no work."""
    folder = tmp_path_factory.mktemp("clips")
    make(folder / "clip.mp4", frames=20, fps=10, size=(64, 48))
    (folder / "cheap.yaml").write_text(CHEAP)
    (folder / "look.yaml").write_text("perceive:\n  look: {use: look}\nrefine:\n  join: {use: join}\n")
    return folder


@pytest.fixture
def clip(clips: Path) -> Path:
    return clips / "clip.mp4"


@pytest.fixture
def cheap(clips: Path) -> Path:
    return clips / "cheap.yaml"


@pytest.fixture
def look(clips: Path) -> Path:
    pytest.importorskip("cv2", reason="the extra offline is not installed")
    return clips / "look.yaml"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
