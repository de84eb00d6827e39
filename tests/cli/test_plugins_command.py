"""`videochat plugins`."""

import pytest

from command_line import complaint, run
from videochat.component import STAGES


def test_lists_all_stages(parts: dict[str, str]) -> None:
    done = run("plugins")
    assert (done.code, done.err) == (0, "")
    for name in ("pyav", "fixed", "look", "join", "timeline", "extractive", "told"):
        assert any(name in line.split() for line in done.out.splitlines())
    assert "no-such-package-anywhere" in done.out


def test_list_as_json() -> None:
    found = run("plugins", "--json").json
    assert found["skipped"] == []
    assert {plugin["stage"] for plugin in found["plugins"]} == set(STAGES)
    by_name = {plugin["name"]: plugin for plugin in found["plugins"]}
    assert by_name["look"]["missing"] == ""
    assert by_name["look"]["about"]
    assert "pip install" in by_name["needy"]["missing"]
    assert by_name["needy"]["package"] == "videochat-speakers 1.0"


@pytest.mark.parametrize("name", ["look", "perceive.look", "openai", "ocr.rapidocr", "pyav"])
def test_one(name: str) -> None:
    done = run("plugins", name)
    assert (done.code, done.err) == (0, "")
    assert "what it means" in done.out
    (found,) = run("plugins", name, "--json").json
    assert found["options"]["properties"] is not None
    assert set(found["options"].get("properties", {})) <= set(done.out.split())


def test_one_that_cannot_run_here() -> None:
    assert "cannot run here: needy needs no-such-package-anywhere" in run("plugins", "needy").out


@pytest.mark.parametrize(("name", "near"), [("lok", "look"), ("extractiv", "extractive"), ("", "there are: ")])
def test_unknown(name: str, near: str) -> None:
    assert near in complaint(run("plugins", name), 2)
