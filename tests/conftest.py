"""Every test has a cache and a config folder of its own."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ["HF_HUB_OFFLINE"] = "1"  # read when the library is first imported: no test asks a hub

# Tiny networks are quickest on one thread, and a sum is always taken in one order.
os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("tests", deadline=None)  # a busy machine is no fault
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that holds this test's `cache` and the user's `config`."""
    folder = tmp_path_factory.mktemp("own")
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(folder / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: folder / "config" / name)
    return folder
