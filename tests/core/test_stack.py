from pathlib import Path

import pytest
import yaml

import videochat
from videochat import Stack, StackError
from videochat.cache import digest
from videochat.places import shipped
from videochat_plugins.segment.fixed import Fixed

CONFIGS = sorted(shipped("configs").glob("*.yaml"))


def test_a_stack_in_python_of_names_mappings_and_instances() -> None:
    fixed = Fixed(Fixed.Options(seconds=3))
    stack = Stack(
        segment=fixed,
        perceive={"look": "look", "more": {"use": "look", "over": 2}},
        refine={"join": "join"},
        format="table1",
    )
    assert stack.segmenter is fixed
    assert list(stack.perceivers) == ["look", "more"]
    assert stack.perceivers["more"].options.over == 2
    assert [place for place, _ in stack.components()] == [
        *("read", "segment", "perceive.look", "perceive.more", "refine.join", "format", "llm")
    ]


def test_a_bare_stack_has_what_it_needs() -> None:
    stack = Stack()
    assert (stack.perceivers, stack.refiners, stack.name, stack.fence) == ({}, {}, "stack", True)
    assert stack.pool.wanted == "auto"


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_is_filled_loads_as_the_same_stack(path: Path, tmp_path: Path) -> None:
    filled = videochat.load(path.stem).filled()
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(filled, sort_keys=False))
    again = videochat.load(str(copy)).filled()
    assert again == filled
    assert list(again) == list(filled)
    assert digest(again) == digest(filled)


def test_filled_writes_every_default_out() -> None:
    filled = Stack(perceive={"a.b": "look"}, about="mine", fence=False, device="cpu").filled()
    assert filled["segment"] == {"use": "fixed", "seconds": 1.0}
    assert filled["perceive"]["a.b"]["use"] == "look"
    assert (filled["about"], filled["fence"], filled["device"], filled["prompt"]) == ("mine", False, "cpu", "timeline")
    assert set(filled["perceive"]) == {"a.b"}


def test_load_takes_settings_and_an_llm() -> None:
    stack = videochat.load("offline", ["segment.max=20", "perceive.text=null", "fence=false"], llm="echo")
    assert stack.filled()["segment"]["max"] == 20
    assert "text" not in stack.perceivers
    assert stack.filled()["llm"]["use"] == "echo"
    assert not stack.fence
    assert stack.name == "offline"


def test_load_of_what_is_not_there() -> None:
    with pytest.raises(StackError, match="did you mean offline"):
        videochat.load("ofline")
    with pytest.raises(StackError, match=r"llm.use: no llm plugin is called 'ech'"):
        videochat.load(llm="ech")


def test_an_empty_part_of_a_stack_is_its_default(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("about:\nperceive:\nrefine: {}\nllm:\nprompt:\n")
    stack = videochat.load(str(tmp_path / "s.yaml"))
    assert stack.perceivers == {}
    assert stack.filled() == Stack().filled()


def test_null_drops_a_perceiver_without_a_base(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("perceive: {a: null, b: look}")
    assert list(videochat.load(str(tmp_path / "s.yaml")).perceivers) == ["b"]


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "mps", "", "cuda:-1"])
def test_only_devices_that_there_are(device: str) -> None:
    with pytest.raises(StackError, match="device: must be auto, cpu, cuda, cuda:0"):
        Stack(device=device)


def test_a_prompt_that_shows_the_video_itself_needs_somebody_who_can_see_it() -> None:
    with pytest.raises(StackError, match="prompt: shows the model the video itself, and the llm takes neither"):
        Stack(prompt="frames", llm="extractive")
