"""`videochat train`: both stages from the command line, interrupted, on several processes, and with wrong data."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import make_clips, make_images, save_network, write_captions, write_config, write_talks
from transformers import TrainingArguments

from command_line import Done, complaint, run, start
from local_llm import save as save_llm
from tiny_captioners import save_tiny_blip2
from tiny_llama import CHAT
from videochat import Pool
from videochat.hookspecs import Event, hookimpl
from videochat.registry import registry
from videochat_plugins.learn.train_config import read_config
from videochat_plugins.learn.train_load import load_network, look
from videochat_plugins.learn.train_model import TRAINED, Learner, digest_of
from videochat_plugins.learn.train_trainer import arguments
from videochat_plugins.llm.transformers import Transformers
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.space import space_of
from videochat_plugins.perceive.embed_videochat import VideoChatEmbedder

BATCH = {"video": 4, "image": 4}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data for both stages, a language model that knows nothing, and a network without dropout."""
    folder = tmp_path_factory.mktemp("world")
    clips = make_clips(folder / "videos", 8)
    write_captions(folder / "captions.json", clips, make_images(folder / "images", clips[:4]))
    write_talks(folder / "talks.json", clips)
    save_llm(folder / "llm", chat=False, hidden_size=64)
    save_network(folder / "network", folder / "llm", gmhra_dropout=0.0)
    return folder


def config(world: Path, file: Path, stage: str = "stage1", **values: Any) -> Path:
    data = "captions.json" if stage == "stage1" else "talks.json"
    told: dict[str, Any] = {"model": world / "network", "llm": world / "llm", "data": world / data, "batch": BATCH}
    told |= {"out": file.with_suffix(""), "steps": 6, "lr": 3e-3, "save_every": 2}
    return write_config(file, **told | values)


def train(stage: str, file: Path, *more: str) -> Any:
    done = run("train", stage, file, "--json", "--quiet", *more)
    assert done.code == 0, done.err
    return done.json


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in log(out) if "loss" in row]


def weights(folder: Path, trained: bool) -> dict[str, torch.Tensor]:
    state = load_file(folder / "model.safetensors")
    return {name: weight for name, weight in state.items() if bool(TRAINED.fullmatch(name)) == trained}


@pytest.fixture(scope="module")
def aligned(world: Path) -> Path:
    """What stage 1 made in 6 steps; an evaluation after each third."""
    captions = str(world / "captions.json")
    told = train("stage1", config(world, world / "one.json", eval=captions, eval_every=3))
    (world / "one.told").write_text(json.dumps(told))
    return world / "one"


def test_stage_1_changes_the_papers_parts_and_leaves_the_others_bit_for_bit(world: Path, aligned: Path) -> None:
    before, after = (digest_of(weights(folder, trained=False)) for folder in (world / "network", aligned))
    assert before == after
    old, new = (weights(folder, trained=True) for folder in (world / "network", aligned))
    assert old.keys() == new.keys()
    same = {name for name, weight in old.items() if torch.equal(weight, new[name])}
    assert same == set()
    assert losses(aligned)[-1] < losses(aligned)[0]


def test_the_folder_loads_as_it_is_and_is_tied_to_its_language_model(world: Path, aligned: Path) -> None:
    embedder = VideoChatEmbedder(VideoChatEmbedder.Options(checkpoint=str(aligned)))
    embedder.check()
    assert embedder.space == space_of(Checkpoint(str(world / "llm")))
    embedder.load(Pool("cpu"))
    state = load_file(aligned / "model.safetensors")
    assert all(torch.equal(weight, state[name]) for name, weight in embedder.model.state_dict().items())
    assert json.loads((aligned / "config.json").read_text())["llm"] == str(world / "llm")


def test_what_came_of_it_is_told(world: Path, aligned: Path) -> None:
    told = json.loads((world / "one.told").read_text())
    kept = json.loads((aligned / "trained.json").read_text())
    assert told == kept
    assert kept["stage"] == "stage1"
    assert kept["data"] == {"image": 4, "video": 8}
    assert kept["trained"] == digest_of(weights(aligned, trained=True))
    rows = log(aligned)
    assert [row["step"] for row in rows] == [1, 2, 3, 3, 4, 5, 6, 6]
    assert [row["step"] for row in rows if "eval_loss" in row] == [3, 6]
    assert kept["loss"] == {"first": losses(aligned)[0], "last": losses(aligned)[-1]}
    assert {"epoch", "learning_rate", "grad_norm", "cut", "unreadable"} < rows[0].keys()
    assert rows[-1]["epoch"] == 2.0  # of 3 batches each


def test_tensorboard_reads_the_log(aligned: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(aligned / "tensorboard")).Reload()
    scalars = found.Scalars("stage1/loss")
    assert [row.step for row in scalars] == [1, 2, 3, 4, 5, 6]
    assert [row.value for row in scalars] == pytest.approx(losses(aligned))


def test_checkpoints_hold_what_is_trained_and_no_more_than_are_to_be_kept(aligned: Path) -> None:
    found = sorted(path.name for path in (aligned / "checkpoints").iterdir())
    assert found == ["checkpoint-4", "checkpoint-6"]
    state = load_file(aligned / "checkpoints" / "checkpoint-6" / "trained.safetensors")
    assert {name.removeprefix("network.") for name in state} == {*weights(aligned, trained=True)}


def test_the_rate_rises_and_falls_to_its_floor(world: Path, tmp_path: Path) -> None:
    train("stage1", config(world, tmp_path / "c.json", steps=10, lr=1e-3, warmup=0.2, floor=0.1))
    rates = [row["learning_rate"] for row in log(tmp_path / "c")]
    assert rates[:3] == pytest.approx([0, 5e-4, 1e-3])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert 1e-4 < rates[-1] < 2e-4


def test_stage_2_starts_from_what_stage_1_learnt(world: Path, aligned: Path, tmp_path: Path) -> None:
    """The original ignores it: the option that names it has another name there."""
    train("stage2", config(world, tmp_path / "c.json", "stage2", model=aligned, steps=1, lr=1e-9))
    end = weights(tmp_path / "c", trained=True)
    first, one = (weights(folder, trained=True) for folder in (world / "network", aligned))
    assert all(torch.allclose(weight, one[name], atol=1e-7) for name, weight in end.items())
    assert not any(torch.allclose(weight, first[name], atol=1e-7) for name, weight in end.items())


@pytest.mark.parametrize("model", ["network", "llm"])
def test_stage_2_refuses_what_no_stage_1_made(world: Path, tmp_path: Path, model: str) -> None:
    said = complaint(run("train", "stage2", config(world, tmp_path / "c.json", "stage2", model=world / model)), 6)
    assert ("is not what stage 1 leaves" if model == "network" else "has no preprocessor_config.json") in said
    assert not (tmp_path / "c").exists()


def test_stage_2_refuses_weights_that_are_not_those_of_its_stage_1(world: Path, aligned: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(aligned, tmp_path / "other"))
    state = load_file(other / "model.safetensors")
    state["llama_proj.bias"] += 1
    save_file(state, other / "model.safetensors", {"format": "pt"})
    said = complaint(run("train", "stage2", config(world, tmp_path / "c.json", "stage2", model=other), "--quiet"), 6)
    assert "its weights are not those that trained.json tells of" in said


def test_interrupted_it_goes_on_with_the_same_losses(world: Path, tmp_path: Path) -> None:
    values = {"steps": 30, "model": save_network(tmp_path / "network", world / "llm")}  # with dropout
    train("stage1", config(world, tmp_path / "whole.json", **values))
    file = config(world, tmp_path / "killed.json", **values)
    out = tmp_path / "killed"
    process = start("train", "stage1", file, "--quiet", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "checkpoints" / "checkpoint-2" / "digests.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "trained.json").exists()
    told = train("stage1", file)
    assert 2 <= told["resumed"] < 30
    assert losses(out) == losses(tmp_path / "whole")
    assert digest_of(weights(out, trained=True)) == digest_of(weights(tmp_path / "whole", trained=True))


def test_two_processes_learn_what_one_does(world: Path, tmp_path: Path, damaged: Path) -> None:
    """As the page says it: `accelerate launch`, here with gloo; what the second cannot read is told by the first."""
    shared = {"steps": 4, "eval": str(damaged), "eval_every": 4, "bad": "skip"}
    (unread,) = train("stage1", config(world, tmp_path / "one.json", **shared))["unread"]
    assert unread.startswith(f"{damaged}: entry 1: ")
    file = config(world, tmp_path / "two.json", batch={"video": 2, "image": 2}, **shared)
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--main_process_port", "0", "-m", "videochat.cli"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *launch, "train", "stage1", str(file), "--json", "--quiet"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert (told["processes"], told["unread"]) == (2, [unread])
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(one) == len(two) == 5
    for row, other in zip(one, two, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)
    ends = [weights(tmp_path / name, trained=True) for name in ("one", "two")]
    assert all(torch.allclose(weight, ends[1][name], atol=1e-4) for name, weight in ends[0].items())


def test_batches_of_one_step_learn_what_one_of_their_size_does(world: Path, tmp_path: Path) -> None:
    """Each token counts the same, whichever batch it is in."""
    rows = [row for row in json.loads((world / "captions.json").read_text()) if "video" in row][:4]
    rows[0]["caption"] = "it moves and moves and moves"
    (data := world / "uneven.json").write_text(json.dumps(rows))
    train("stage1", config(world, tmp_path / "one.json", data=data, steps=3))
    values = {"batch": {"video": 1, "image": 1}, "accumulate": 4}
    train("stage1", config(world, tmp_path / "four.json", data=data, steps=3, **values))
    assert losses(tmp_path / "four") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


def test_half_precision_and_less_memory_learn_much_the_same(world: Path, tmp_path: Path) -> None:
    train("stage1", config(world, tmp_path / "plain.json", steps=4))
    values = {"precision": "bfloat16", "checkpointing": True, "accumulate": 2, "batch": {"video": 2, "image": 2}}
    train("stage1", config(world, tmp_path / "half.json", steps=4, **values))
    plain, half = losses(tmp_path / "plain"), losses(tmp_path / "half")
    assert half[0] == pytest.approx(plain[0], rel=0.2)
    assert half[-1] < half[0]
    assert digest_of(weights(tmp_path / "half", trained=False)) == digest_of(weights(world / "network", trained=False))
    assert {weight.dtype for weight in weights(tmp_path / "half", trained=True).values()} == {torch.float32}


def test_adapters_of_the_language_model_load_where_it_answers(world: Path, aligned: Path, tmp_path: Path) -> None:
    before = space_of(Checkpoint(str(world / "llm")))
    told = train("stage2", config(world, tmp_path / "c.json", "stage2", model=aligned, lora={"rank": 2}))
    assert space_of(Checkpoint(str(world / "llm"))) == before
    assert told["space"] == before
    adapter = tmp_path / "c" / "adapter"
    adapted = Transformers(Transformers.Options(model=str(world / "llm"), adapter=str(adapter), device="cpu"))
    plain = Transformers(Transformers.Options(model=str(world / "llm"), template="videochat", device="cpu"))
    logits = []
    for llm in (adapted, plain):
        llm.load(Pool("cpu"))
        assert llm._decoder is not None
        logits.append(llm._decoder.model(torch.tensor([[1, 20, 30]])).logits)
    assert not torch.allclose(*logits, atol=1e-4)
    state = load_file(adapter / "adapter_model.safetensors")
    assert any(weight.abs().max() > 0 for name, weight in state.items() if "lora_B" in name)
    assert {name for name in weights(tmp_path / "c", trained=True) if "lora" in name} == set()


def test_stage_1_starts_from_blip_2(world: Path, tmp_path: Path) -> None:
    blip2 = save_tiny_blip2(tmp_path / "blip2")
    train("stage1", config(world, tmp_path / "c.json", model=blip2))
    theirs, ours = load_file(blip2 / "model.safetensors"), weights(tmp_path / "c", trained=False)
    assert all(torch.equal(weight, theirs[name]) for name, weight in ours.items())
    embedder = VideoChatEmbedder(VideoChatEmbedder.Options(checkpoint=str(tmp_path / "c")))
    embedder.check()
    assert embedder.width == 64
    assert losses(tmp_path / "c")[-1] < losses(tmp_path / "c")[0]


def test_what_is_drawn_anew_is_no_two_queries_alike_and_a_silent_gmhra(world: Path, tmp_path: Path) -> None:
    """The original starts its queries as zeros, which only their places tell apart."""
    read = read_config(config(world, tmp_path / "c.json", fresh=True), "stage1")
    network = load_network(look(read, "stage1"), "float32")
    queries = network.extra_query_tokens[0]
    assert len({tuple(row.tolist()) for row in queries}) == len(queries)
    pixels = torch.randn(2, 3, 3, 56, 56)
    assert (network.encode(pixels)[:, -1] == 0).all()
    known = weights(world / "network", trained=True)
    same = {name for name, weight in network.state_dict().items() if name in known and torch.equal(weight, known[name])}
    assert same == {"vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias"}


def test_a_network_for_another_language_model_is_refused_or_begun_anew(world: Path, tmp_path: Path) -> None:
    other = save_llm(tmp_path / "other", chat=False, hidden_size=32)
    said = complaint(run("train", "stage1", config(world, tmp_path / "c.json", llm=other)), 6)
    assert "makes embeddings 64 wide" in said
    assert "train stage 1 with `fresh: true`" in said
    alike = save_llm(tmp_path / "alike", chat=False, hidden_size=64, seed=3)
    assert "makes embeddings for weights@" in complaint(
        run("train", "stage1", config(world, tmp_path / "c.json", llm=alike)), 6
    )
    train("stage1", config(world, tmp_path / "c.json", llm=other, fresh=True, steps=1))
    assert json.loads((tmp_path / "c" / "config.json").read_text())["llm_width"] == 32


def test_wrong_entries_are_refused_or_left_out_and_told(world: Path, tmp_path: Path) -> None:
    rows = json.loads((world / "captions.json").read_text())
    rows[1]["video"] = "videos/none.mp4"
    rows[2]["caption"] = "it says ### here"
    data = world / "wrong.json"
    data.write_text(json.dumps(rows))
    file = config(world, tmp_path / "c.json", data=data, steps=1)
    done = run("train", "stage1", file)
    assert done.code == 2
    assert f"{data}: entry 1: there is no file {world / 'videos' / 'none.mp4'}" in done.err
    file = config(world, tmp_path / "c.json", data=data, steps=1, bad="skip")
    done = run("train", "stage1", file, "--quiet")
    assert done.code == 0, done.err
    assert f"warning: left out: {data}: entry 1: there is no file" in done.err
    assert f"warning: left out: {data}: entry 2: an answer holds '###', which ends an answer" in done.err
    assert "6 videos, 4 images; 2 left out" in done.out
    assert len(json.loads((tmp_path / "c" / "trained.json").read_text())["left_out"]) == 2


def test_what_is_wrong_of_what_is_held_out_is_told_too(world: Path, tmp_path: Path) -> None:
    rows = json.loads((world / "captions.json").read_text())
    rows[1]["video"] = "videos/none.mp4"
    (data := world / "wrong_eval.json").write_text(json.dumps(rows))
    file = config(world, tmp_path / "c.json", eval=data, steps=1, bad="skip")
    done = run("train", "stage1", file, "--check", "--json")
    assert f"warning: left out: {data}: entry 1: there is no file" in done.err
    assert len(done.json["left_out"]) == 1
    assert len(train("stage1", file)["left_out"]) == 1


@pytest.fixture
def damaged(world: Path, tmp_path: Path) -> Path:
    clips = make_clips(tmp_path / "videos", 4)
    clips[1].path.write_bytes(clips[1].path.read_bytes()[:500])
    return write_captions(tmp_path / "captions.json", clips)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_video_stops_the_training_and_is_named(
    world: Path, tmp_path: Path, damaged: Path, workers: int
) -> None:
    file = config(world, tmp_path / "c.json", data=damaged, workers=workers, steps=2)
    said = complaint(run("train", "stage1", file, "--quiet"), 3)
    assert f"{damaged}: entry 1: " in said
    assert "001.mp4" in said


def test_or_is_left_out_and_told(world: Path, tmp_path: Path, damaged: Path) -> None:
    done = run("train", "stage1", config(world, tmp_path / "c.json", data=damaged, bad="skip", steps=2), "--quiet")
    assert done.code == 0, done.err
    assert f"another clip was taken for one that cannot be read: {damaged}: entry 1: " in done.err
    assert "2 times one could not be read" in done.out


def test_what_cannot_be_read_is_remembered_once_however_often_it_is_drawn_and_beyond_an_interruption(
    world: Path, tmp_path: Path, damaged: Path
) -> None:
    values = {"data": damaged, "eval": damaged, "eval_every": 1, "bad": "skip", "steps": 5, "save_every": 4}
    file = config(world, tmp_path / "c.json", **values)
    told = train("stage1", file)
    assert told["unreadable"] == 5
    (unread,) = told["unread"]
    checkpoints = tmp_path / "c" / "checkpoints"
    history = json.loads((checkpoints / "checkpoint-4" / "trainer_state.json").read_text())["log_history"]
    assert [entry for row in history for entry in row.get("unread", ())] == [unread]
    shutil.rmtree(checkpoints / "checkpoint-5")
    (tmp_path / "c" / "trained.json").unlink()
    videos = tmp_path / "videos"
    (videos / "001.mp4").write_bytes((videos / "000.mp4").read_bytes())  # it can be read from now on
    told = train("stage1", file)
    assert (told["resumed"], told["unreadable"], told["unread"]) == (4, 4, [unread])


def test_out_of_memory_says_what_helps(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "forward", fail)
    said = complaint(run("train", "stage1", config(world, tmp_path / "c.json"), "--quiet"), 2)
    assert "training ran out of memory on cpu: lower `batch` and raise `accumulate`" in said


def test_texts_that_are_too_long_are_counted_or_refused(world: Path, tmp_path: Path) -> None:
    values = {"length": 4, "steps": 1}
    told = train("stage1", config(world, tmp_path / "cut.json", **values))
    assert told["cut"] == 4
    done = run("train", "stage1", config(world, tmp_path / "c.json", over_long="refuse", **values))
    assert done.code == 2
    assert "captions.json: entry 0: has text of over 4 tokens" in done.err
    assert "raise `length`, or have it cut with `over_long: cut`" in done.err
    captions = json.loads((world / "captions.json").read_text())
    (short := world / "short.json").write_text(json.dumps([{**row, "caption": "a"} for row in captions]))
    held_out = {**values, "data": short, "eval": world / "captions.json", "over_long": "refuse"}
    done = run("train", "stage1", config(world, tmp_path / "c.json", **held_out))
    assert done.code == 2
    assert "captions.json: entry 0: has text of over 4 tokens" in done.err
    done = run("train", "stage1", config(world, tmp_path / "c.json", **values), "--check")
    assert done.code == 0
    assert "8 videos, 4 images; 0 left out" in done.out
    assert "12 texts are over long" in done.out
    assert not (tmp_path / "c").exists()


def test_nothing_goes_unlogged_where_a_checkpoint_falls_between_two_lines(world: Path, tmp_path: Path) -> None:
    told = train("stage1", config(world, tmp_path / "c.json", length=4, steps=3, save_every=2, log_every=10))
    assert [row["step"] for row in log(tmp_path / "c")] == [2, 3]
    assert told["cut"] == 12
    assert told["loss"] == {"first": losses(tmp_path / "c")[0], "last": losses(tmp_path / "c")[1]}


def test_a_process_takes_one_gpu_of_several(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainer would split batches among them, which have one count of tokens."""
    read = read_config(config(world, tmp_path / "c.json"), "stage1")
    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda _: 4))
    assert arguments(read, 1, tmp_path).n_gpu == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is such a device")
def test_a_device_that_is_not_here_is_refused(world: Path, tmp_path: Path) -> None:
    said = complaint(run("train", "stage1", config(world, tmp_path / "c.json", device="cuda"), "--check"), 2)
    assert "there is no device cuda:0" in said


def test_a_chat_form_that_ends_no_answer_is_told_before_anything_is_loaded(world: Path, tmp_path: Path) -> None:
    form = tmp_path / "endless.jinja"
    form.write_text(CHAT.replace("'</s>'", "' '"))
    done = run("train", "stage1", config(world, tmp_path / "c.json", template=form))
    assert "ends none: set `template`" in complaint(done, done.code)
    assert not (tmp_path / "c").exists()


def test_another_prompt_or_number_of_processes_is_another_training(world: Path, tmp_path: Path) -> None:
    """Both settle what is learnt in which step, so that none goes on from another's checkpoint."""
    prompt = tmp_path / "short.txt"
    prompt.write_text("<Video>{video}</Video> {question}")
    file = config(world, tmp_path / "c.json", prompt=prompt, steps=1)
    train("stage1", file)
    (tmp_path / "c" / "trained.json").unlink()
    prompt.write_text("<Video>{video}</Video> Now, {question}")
    assert "holds another training" in complaint(run("train", "stage1", file), 2)
    prompt.write_text("<Video>{video}</Video> {question}")
    kept = json.loads((run_file := tmp_path / "c" / "train.json").read_text())
    run_file.write_text(json.dumps(kept | {"processes": 2}))
    assert "on another number of processes" in complaint(run("train", "stage1", file), 2)
    run_file.write_text(json.dumps(kept))
    assert train("stage1", file)["resumed"] == 1


def test_a_folder_of_something_else_is_left_alone(world: Path, aligned: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "mine.txt").write_text("x")
    file = config(world, tmp_path / "c.json")
    assert "no training wrote it" in complaint(run("train", "stage1", file), 2)
    assert "no training wrote it" in complaint(run("train", "stage1", file, "--force"), 2)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["mine.txt"]
    captions = str(world / "captions.json")
    done = complaint(run("train", "stage1", config(world, world / "one.json", eval=captions, eval_every=3)), 2)
    assert "is trained already" in done
    done = complaint(run("train", "stage1", config(world, world / "one.json", lr=1e-5)), 2)
    assert "holds another training" in done


def test_a_training_never_replaces_what_it_starts_from(world: Path, aligned: Path) -> None:
    file = config(world, aligned.parent / "itself.json", "stage2", model=aligned, out=aligned)
    assert "which this training starts from" in complaint(run("train", "stage2", file, "--force"), 2)
    assert (aligned / "trained.json").is_file()


def test_nor_the_videos_that_it_reads(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "videos", tmp_path / "c" / "videos")
    shutil.copytree(world / "images", tmp_path / "c" / "images")
    (tmp_path / "c" / "train.json").write_text("{}")
    said = complaint(run("train", "stage1", config(world, tmp_path / "c.json", root=tmp_path / "c"), "--force"), 2)
    assert "which this training starts from" in said
    assert (tmp_path / "c" / "videos").is_dir()


@pytest.fixture
def seen() -> Iterator[list[Event]]:
    """What observers are told."""

    class Observer:
        @hookimpl
        def observe(self, event: Event) -> None:
            found.append(event)

    found: list[Event] = []
    registry().manager.register(observer := Observer())
    yield found
    registry().manager.unregister(observer)


def test_observers_are_told_how_far_it_is_and_people_what_came_of_it(
    world: Path, tmp_path: Path, seen: list[Event]
) -> None:
    done: Done = run("train", "stage1", config(world, tmp_path / "c.json", steps=2))
    assert done.code == 0, done.err
    assert [(event.stage, event.name, event.done, event.total) for event in seen] == [
        ("train", "stage1", step, 2) for step in range(3)
    ]
    assert str(seen[-1].detail).startswith("loss ")
    assert "stage1: 2 steps" in done.out
    assert f"written to {tmp_path / 'c'}" in done.out
    assert done.err == ""
