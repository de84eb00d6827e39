"""The paper's stack with tiny random networks in place of its own: what it runs, how often, and what comes of it."""

import hashlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from benchmarks.checkpoints import save
from safetensors import safe_open

import videochat
from command_line import Done
from components import Counting
from media import make
from videochat import Stack
from videochat.context import Context
from videochat_plugins.models.pretrained import upload

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # openai-whisper reads its vocabulary so
    pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning"),  # and sorts tensors with numpy
]

SECONDS = 6
STACK = """\
extends: text
device: cpu
perceive:
  action: {{checkpoint: {action}}}
  caption: {{checkpoint: {caption}, max_tokens: 6, batch: 4}}
  tags: {{checkpoint: {tags}, threshold: 0, batch: 3}}
  dense: {{checkpoint: {dense}, max_tokens: 64, batch: 2}}
  # what a random network says is at once improbable and repetitive
  speech: {{model: {speech}, temperatures: [0], logprob: -100, compression: 100, no_speech: 1}}
refine:
  summary: {{checkpoint: {summary}, output_tokens: 8}}
llm: {{use: echo}}
"""
NETWORKS = (
    *("VideoMAEForVideoClassification", "BlipVisionModel", "SiglipVisionModel", "Florence2VisionBackbone"),
    *("AudioEncoder", "T5Stack"),
)
DOWNLOADS = {  # of the stack as it is shipped: the place, and how to get it by hand
    "MCG-NJU/videomae-base-finetuned-kinetics": ("perceive.action", "hf download {}"),
    "Salesforce/blip-image-captioning-base": ("perceive.caption", "hf download {}"),
    "google/siglip-base-patch16-224": ("perceive.tags", "hf download {}"),
    "florence-community/Florence-2-base": ("perceive.dense", "hf download {}"),
    "openai-whisper/base": ("perceive.speech", "whisper.load_model('base')"),
    "google/flan-t5-base": ("refine.summary", "hf download {}"),
}
# Runs a command where every attempt to reach a network is told and fails.
NO_NETWORK = """
import socket, sys
def refuse(*what, **how):
    print("NETWORK", file=sys.stderr)
    raise OSError("no network")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from videochat.cli import main
main()
"""


class Watched(NamedTuple):
    """What a watch did."""

    stack: Stack
    context: Context
    reader: Counting
    forwards: Counter[str]  # by class of network
    uploads: Counter[str]  # by module
    loaded: Counter[str]  # by file of weights
    hashed: Counter[str]

    @property
    def windows(self) -> dict[str, int]:
        return {cost.name: cost.windows for cost in self.context.ledger}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return save(tmp_path_factory.mktemp("models"), "tiny")


@pytest.fixture(scope="module")
def stack(places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("stack") / "stack.yaml"
    file.write_text(STACK.format(**places))
    return file


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=10 * SECONDS, fps=10, tone=300.0).path


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def cache(shared_cache: Path, first: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each test find what the first watch left."""
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(shared_cache))


@pytest.fixture(scope="module")
def first(stack: Path, clip: Path, shared_cache: Path) -> Watched:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEOCHAT_CACHE", str(shared_cache))
        return watch(stack, clip)


def watch(file: Path, clip: Path, *settings: str, llm: str | None = None) -> Watched:
    """Watch a clip and count what it takes."""
    stack = videochat.load(str(file), settings, llm)
    stack.reader = reader = Counting()
    forwards, uploads, loaded, hashed = Counter[str](), Counter[str](), Counter[str](), Counter[str]()

    def ran(network: Any, given: Any, made: Any) -> None:
        if type(network).__name__ != "T5Stack" or not network.config.is_decoder:
            forwards[type(network).__name__] += 1

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("videochat_plugins.perceive.") and vars(module).get("upload") is upload:
                patch.setattr(module, "upload", counted(upload, uploads, lambda images, device, name=name: name))
        opened = counted(safe_open, loaded, lambda file, **how: Path(file).parent.name)
        patch.setattr("transformers.modeling_utils.safe_open", opened)
        patch.setattr(torch, "load", counted(torch.load, loaded, lambda file, **how: Path(file.name).stem))
        patch.setattr(hashlib, "file_digest", counted(hashlib.file_digest, hashed, lambda file, how: file.name))
        handle = torch.nn.modules.module.register_module_forward_hook(ran)
        try:
            context = stack.watch(clip)
        finally:
            handle.remove()
    return Watched(stack, context, reader, forwards, uploads, loaded, hashed)


def counted(call: Callable[..., Any], counts: Counter[str], name: Callable[..., str]) -> Callable[..., Any]:
    def wrapped(*given: Any, **named: Any) -> Any:
        counts[name(*given, **named)] += 1
        return call(*given, **named)

    return wrapped


def test_every_part_has_worked(first: Watched) -> None:
    assert first.context.faults == ()
    assert first.windows == {
        "action": 1, "caption": SECONDS, "tags": SECONDS, "dense": 2, "subtitles": 0, "speech": 1, "summary": 1,
    }  # fmt: skip
    kinds = {record.kind: record.source for record in first.context.records}
    assert kinds == {
        "action": "action", "caption": "caption", "tag": "tags", "region": "dense", "speech": "speech",
        "summary": "summary",
    }  # fmt: skip
    assert [note for cost in first.context.ledger for note in cost.notes] == []


def test_pictures_are_decoded_once_for_all_models(first: Watched) -> None:
    asked = {cost.name: cost.frames for cost in first.context.ledger}
    assert asked == {"action": 16, "caption": 6, "tags": 6, "dense": 2, "subtitles": 0, "speech": 0, "summary": 0}
    assert first.reader.passes == 1


def test_forwards_are_as_few_as_the_batches_allow(first: Watched) -> None:
    found = {name: first.forwards[name] for name in NETWORKS}
    assert found == {
        "VideoMAEForVideoClassification": 1,
        "BlipVisionModel": ceil(SECONDS / 4),
        "SiglipVisionModel": ceil(SECONDS / 3),
        "Florence2VisionBackbone": ceil(2 / 2),
        "AudioEncoder": 2,  # for the language, and for the words
        "T5Stack": 1,  # the encoder; all captions at once
    }


def test_a_batch_is_one_copy_to_the_device(first: Watched) -> None:
    assert {name.rpartition(".")[2]: count for name, count in first.uploads.items()} == {
        "action": 1,
        "caption_blip": ceil(SECONDS / 4),
        "tags": ceil(SECONDS / 3),
        "dense_florence2": ceil(2 / 2),
    }


def test_each_weight_file_is_loaded_once(first: Watched, places: dict[str, Path]) -> None:
    assert first.loaded == dict.fromkeys(places, 1)
    assert set(first.hashed.values()) == {1}
    weights = {str(place if place.is_file() else place / "model.safetensors") for place in places.values()}
    assert weights <= set(first.hashed)


def test_the_prompt_is_table_1_and_table_2(first: Watched) -> None:
    texts = [line.text for line in first.context.lines()]
    stamp = r"\d\d:\d\d-\d\d:\d\d"
    tags = r"[^\n\[\]]+(?:, [^\n\[\]]+){4}"
    regions = r"(?:[^\n\[\];]+: \[\d+, \d+, \d+, \d+\];(?: |(?=\n)))+"
    block = rf"{stamp} [^\n:]+\n{tags}\n(?:{regions}\n)?(?:{stamp}: [^\n]+\n)*"
    whole = "".join(f"{text}\n" for text in texts)
    assert re.fullmatch(rf"action \d+, [^\n]+\n(?:{block}){{{SECONDS}}}", whole), whole
    starts = [text[:11] for text in texts if re.match(rf"{stamp} ", text)]
    assert starts == [f"00:0{i}-00:0{i + 1}" for i in range(SECONDS)]
    boxes = [tuple(map(int, box)) for box in re.findall(r"\[(\d+), (\d+), (\d+), (\d+)\]", whole)]
    assert boxes
    assert all(x1 <= x2 <= 160 and y1 <= y2 <= 120 for x1, y1, x2, y2 in boxes)  # pixels of the source

    answer = "".join(first.stack.chat(first.context).ask("What is red?"))
    table2 = (Path(__file__).parent.parent / "prompts" / "table2.txt").read_text()
    lines = [line for line in table2.splitlines() if not line.startswith("#")]
    for part in re.split(r"\{\w+\}", "\n".join(lines)):
        assert part.strip() in answer
    assert "Question: What is red?" in answer
    assert "\n".join(texts) in answer[answer.index("in temporal order:") :]


def test_a_second_watch_runs_nothing(first: Watched, stack: Path, clip: Path) -> None:
    again = watch(stack, clip)
    assert (again.forwards, again.uploads, again.loaded, again.hashed) == ({}, {}, {}, {})
    assert (again.reader.passes, again.reader.chunks_given) == (0, 0)
    assert set(again.windows.values()) == {0}
    assert {cost.name: cost.cached for cost in again.context.ledger} == first.windows
    assert list(again.context.records) == list(first.context.records)


def test_another_language_model_perceives_nothing_anew(first: Watched, stack: Path, clip: Path) -> None:
    other = watch(stack, clip, llm="extractive")
    assert (other.forwards, other.reader.passes) == ({}, 0)
    assert list(other.context.records) == list(first.context.records)
    answer = "".join(other.stack.chat(other.context).ask("What is shown from 0:02 to 0:03?"))
    assert "00:02-00:03" in answer


def test_one_model_at_a_time_finds_the_same(
    first: Watched, stack: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path))
    alone = watch(stack, clip, "residency=one_at_a_time")
    assert alone.context.faults == ()
    assert alone.windows == first.windows
    assert list(alone.context.records) == list(first.context.records)
    assert alone.forwards == first.forwards
    assert alone.loaded == first.loaded
    assert alone.reader.passes == 4  # of the four that see pictures, each its own


@pytest.fixture
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which no model was ever downloaded, and may be."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def without_network(*arguments: str | Path) -> Done:
    command = [sys.executable, "-c", NO_NETWORK, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    return Done(done.returncode, done.stdout, done.stderr)


def test_a_plan_names_each_download_and_asks_no_network(nothing_here: Path, clip: Path) -> None:
    done = without_network("plan", clip, "-c", "text")
    assert (done.code, done.err) == (0, "")
    for name, (place, _) in DOWNLOADS.items():
        assert re.search(rf"^download {name} for {place}: [1-9]\d+ MB$", done.out, re.MULTILINE), done.out
    sizes = [int(size) for size in re.findall(r"^download \S+ for .*: (\d+) MB$", done.out, re.MULTILINE)]
    (total,) = re.findall(r"^download (\d+) MB in all$", done.out, re.MULTILINE)
    assert sum(sizes) == pytest.approx(int(total), abs=len(sizes))
    assert list(nothing_here.iterdir()) == []


def test_a_watch_says_how_to_get_each_model(nothing_here: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = without_network("watch", clip, "-c", "text")
    assert (done.code, done.out) == (6, "")
    sentences = done.err.removeprefix("error: ").splitlines()
    assert len(sentences) == len(DOWNLOADS), done.err
    for sentence, (name, (_, how)) in zip(sentences, DOWNLOADS.items(), strict=True):
        assert name.removeprefix("openai-whisper/") in sentence
        assert how.format(name) in sentence
        assert sentence.endswith("the stack `offline` needs none")


def test_the_network_would_be_missed(nothing_here: Path, clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "stack.yaml"
    file.write_text("perceive:\n  speech: {use: asr.whisper, model: tiny}\n")
    done = without_network("watch", clip, "-c", file)
    assert done.code == 6
    assert "NETWORK" in done.err
