"""embed.videochat: what the network is fed, what comes of a window, and what is refused before anything is decoded."""

import json
import shutil
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scenes import GREEN, RED, disc, plain, square, windows

from local_llm import save as save_llm
from tiny_captioners import save_tiny_blip2
from tiny_videochat import tiny_embed
from videochat import Frame, Pool, Record, UnavailableError, Window
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.space import space_of
from videochat_plugins.perceive.embed_videochat import VideoChatEmbedder

QUERIES, WIDTH, SIDE = 5, 48, 28  # of the tiny network
SPACE = "weights@0123456789ab"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_embed(tmp_path_factory.mktemp("embed") / "network", llm_width=WIDTH, space=SPACE)


def build(folder: Path | str, **options: Any) -> VideoChatEmbedder:
    return VideoChatEmbedder(VideoChatEmbedder.Options(checkpoint=str(folder), **options))


def load(folder: Path, pool: Pool | None = None, **options: Any) -> VideoChatEmbedder:
    found = build(folder, **options)
    found.check()
    found.load(Pool("cpu") if pool is None else pool)
    return found


def scene(time: float) -> np.ndarray:
    return square(disc(plain(noise=20, seed=int(time * 100)), 40 + 20 * time, 120, 24, RED), 250, 40, 30, GREEN)


def pillow(frames: list[np.ndarray]) -> torch.Tensor:
    """What transformers makes of frames with CLIP's figures: (T, 3, side, side)."""
    from transformers import CLIPImageProcessorPil

    made = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    pixels: torch.Tensor = made(frames, return_tensors="pt")["pixel_values"]
    return pixels


def one(found: VideoChatEmbedder, window: Window) -> Record:
    ((record,),) = found.perceive([window])
    return record


def tokens(record: Record) -> np.ndarray:
    return np.asarray(record.tokens)


def fed(found: VideoChatEmbedder) -> list[torch.Tensor]:
    """The pictures of each forward from now on."""
    given: list[torch.Tensor] = []
    found.model.register_forward_pre_hook(lambda model, args: given.append(args[0]))
    return given


def test_a_window_is_one_record_of_as_many_tokens_for_every_length(folder: Path) -> None:
    for frames in (2, 8, 20):
        found = load(folder, frames=frames)
        (window,) = windows(scene, found, 4.0, 4.0)
        record = one(found, window)
        assert (record.kind, record.start, record.end, record.space) == ("embedding", 0.0, 4.0, SPACE)
        assert record.times == window.times
        assert len(record.times) == frames
        assert dict(record.meta) == {"media": "video"}
        assert (tokens(record).shape, tokens(record).dtype) == ((QUERIES, WIDTH), np.float32)


def test_tokens_are_the_networks_own(folder: Path) -> None:
    found = load(folder)
    (window,) = windows(scene, found, 4.0, 4.0)
    pixels = pillow(list(window.images))
    with torch.inference_mode():
        expected = found.model(pixels[None])[0].numpy()
    np.testing.assert_allclose(tokens(one(found, window)), expected, atol=1e-4)


@pytest.mark.parametrize("shape", [(180, 320), (320, 180), (28, 28), (40, 300)])
def test_frames_are_made_ready_as_clips_processor_does(shape: tuple[int, int], folder: Path) -> None:
    found = load(folder, frames=2)
    given = fed(found)
    images = np.random.default_rng(0).integers(0, 255, (2, *shape, 3), dtype=np.uint8)
    (whole,) = windows(scene, found, 1.0)
    one(found, Window(0.0, 1.0, whole.video, (Frame(0.2, images[0]), Frame(0.7, images[1]))))
    torch.testing.assert_close(given[0][0], pillow(list(images)), rtol=0, atol=1e-5)


def test_windows_share_forwards_and_one_copy_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from videochat_plugins.perceive import embed_videochat

    copies: list[int] = []
    upload = embed_videochat.upload
    monkeypatch.setattr(embed_videochat, "upload", lambda images, to: copies.append(len(images)) or upload(images, to))
    found = load(folder, frames=3, batch=2)
    given = fed(found)
    seen = windows(scene, found, 5.0)
    together = [tokens(record) for (record,) in found.perceive(seen)]
    assert [len(pixels) for pixels in given] == [2, 2, 1]
    assert copies == [6, 6, 3]
    alone = [tokens(one(load(folder, frames=3, batch=1), window)) for window in seen]
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)


def test_lengths_are_not_mixed_in_a_forward_and_records_stay_in_order(folder: Path) -> None:
    found = load(folder, frames=4, batch=8)
    given = fed(found)
    first, empty, still, last = windows(scene, found, 4.0)
    empty = Window(empty.start, empty.end, empty.video, ())
    still = Window(still.start, still.end, still.video, still.frames[:1] * 4)
    made = [list(records) for records in found.perceive([first, empty, still, last])]
    assert [len(records) for records in made] == [1, 0, 1, 1]
    assert [records[0].start for records in made if records] == [0.0, 2.0, 3.0]
    assert [tuple(pixels.shape[:2]) for pixels in given] == [(1, 1), (2, 4)]


def test_a_picture_is_a_video_of_one_frame(folder: Path) -> None:
    found = load(folder, frames=8)
    (whole,) = windows(scene, found, 1.0)
    record = one(found, Window(0.0, 1.0, whole.video, whole.frames[:1] * 8))  # as a reader gives a picture
    assert record.times == whole.times[:1]
    assert dict(record.meta) == {"media": "image"}
    with torch.inference_mode():
        expected = found.model(pillow([whole.frames[0].image])[None])[0].numpy()
    np.testing.assert_allclose(tokens(record), expected, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_where_frames_are_few_some_are_seen_again(count: int, folder: Path) -> None:
    found = load(folder, frames=8)
    (whole,) = windows(scene, found, 1.0)
    record = one(found, Window(0.0, 1.0, whole.video, whole.frames[:count]))
    assert len(record.times) == 8
    assert list(record.times) == sorted(record.times)
    assert set(record.times) == set(whole.times[:count])


def test_no_frames_no_record(folder: Path) -> None:
    found = load(folder)
    (whole,) = windows(scene, found, 1.0)
    assert list(found.perceive([Window(0.0, 1.0, whole.video, ())])) == [()]
    assert list(found.perceive([])) == []


def moved(folder: Path, **options: Any) -> np.ndarray:
    """How far each token moves, at most, when frames change places and GMHRA cannot tell."""
    found = load(folder, frames=4, **options)
    for block in found.model.gmhra:
        block.dpe.weight.zero_()  # all that sees neighbours in time
    (window,) = windows(scene, found, 4.0, 4.0)
    swapped = [window.frames[i].image for i in (2, 0, 3, 1)]
    frames = tuple(Frame(time, image) for time, image in zip(window.times, swapped, strict=True))
    shuffled = Window(window.start, window.end, window.video, frames)
    change: np.ndarray = np.abs(tokens(one(found, window)) - tokens(one(found, shuffled))).max(axis=1)
    return change


def test_the_temporal_position_shows_the_order_of_frames_to_every_token(folder: Path, tmp_path: Path) -> None:
    without, given = moved(folder), moved(folder, temporal_position="sinusoidal")
    assert without.max() < 1e-5
    assert given.min() > 1e-3
    assert load(folder).model.config.temporal_position == "none"
    trained = tiny_embed(tmp_path / "trained", llm_width=WIDTH, space=SPACE, temporal_position="sinusoidal")
    np.testing.assert_allclose(moved(trained), given, atol=1e-4)
    assert moved(trained, temporal_position="none").max() < 1e-5


def test_one_network_for_all_who_use_it(folder: Path) -> None:
    pool = Pool("cpu")
    two, eight, timed = (
        load(folder, pool, **options) for options in ({"frames": 2}, {}, {"temporal_position": "sinusoidal"})
    )
    assert two.model is eight.model
    assert timed.model is not two.model
    assert len(pool) == 2


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_tokens_are_float32_whatever_they_were_computed_in(precision: str, folder: Path) -> None:
    found = load(folder, frames=2, precision=precision)
    (window,) = windows(scene, found, 1.0)
    made = tokens(one(found, window))
    assert made.dtype == np.float32
    assert np.array_equal(torch.tensor(made).to(getattr(torch, precision)).float().numpy(), made)


@pytest.mark.parametrize(
    ("precision", "mend"), [("float32", "its weights are damaged"), ("float16", "set its precision to float32")]
)
def test_numbers_that_overflow_are_told(precision: str, mend: str, folder: Path) -> None:
    found = load(folder, frames=2, precision=precision)
    found.model.llama_proj.weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match=rf"overflow in torch\.{precision}: {mend}"):
        list(found.perceive(windows(scene, found, 1.0)))


def test_out_of_memory_halves_the_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(folder, frames=2, batch=4)
    whole = found.model.stages

    def small(pixels: torch.Tensor, times: torch.Tensor) -> Any:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(pixels, times)

    monkeypatch.setattr(found.model, "stages", small)
    made = [list(records) for records in found.perceive(windows(scene, found, 5.0))]
    assert [len(records) for records in made] == [1] * 5
    assert found.notes == ["out of memory: batch 4 to 2"]


def test_the_space_is_the_checkpoints_or_that_of_the_named_model(folder: Path, tmp_path: Path) -> None:
    llm = save_llm(tmp_path / "llm")
    assert (build(folder).space, build(folder).width) == (SPACE, WIDTH)
    assert build(folder, llm=str(llm)).space == space_of(Checkpoint(str(llm)))
    assert (build("nowhere").space, build("nowhere").width) == ("", 0)


def refusal(folder: Path | str, **options: Any) -> str:
    found = build(folder, **options)
    with pytest.raises(UnavailableError) as error:
        found.check()
    return str(error.value)


def test_a_network_that_is_not_here_is_asked_for_with_how_to_make_it(tmp_path: Path) -> None:
    said = refusal(tmp_path / "none")
    assert str(tmp_path / "none") in said
    assert "`videochat convert` makes such a folder" in said


@pytest.mark.parametrize(("save", "kind"), [(save_llm, "llama"), (save_tiny_blip2, "blip-2")])
def test_another_models_folder_is_named_for_what_it_is(save: Callable[[Path], Path], kind: str, tmp_path: Path) -> None:
    said = refusal(save(tmp_path / "other"))
    assert f"is a {kind} model, and this needs a VideoChat-Embed" in said
    assert "videochat convert" in said


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert "has no config.json" in refusal(tmp_path)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_file_that_broke_off_is_named(copy: Path) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert f"{file} is damaged or cut short" in refusal(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "preprocessor_config.json"])
def test_a_file_that_is_missing_is_named(name: str, copy: Path) -> None:
    (copy / name).unlink()
    assert name in refusal(copy)


def changed(folder: Path, file: str, **values: Any) -> Path:
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    return folder


def test_a_language_model_that_is_not_known_is_asked_for(copy: Path, tmp_path: Path) -> None:
    changed(copy, "config.json", space="")
    said = refusal(copy)
    assert "does not say which language model it was trained for" in said
    assert "`llm`" in said
    assert "--llm" in said
    build(copy, llm=str(save_llm(tmp_path / "llm"))).check()


@pytest.mark.parametrize("values", [{"llm_width": "wide"}, {"vision_config": None}, {"gmhra_dropout": []}])
def test_a_config_that_makes_no_sense_is_refused(copy: Path, values: dict[str, Any]) -> None:
    changed(copy, "config.json", **values)
    assert build(copy).width == (0 if "llm_width" in values else WIDTH)
    with pytest.raises(UnavailableError, match=r"cannot be loaded: |sees pictures of 224x224"):
        load(copy)


def test_a_space_of_nothing_is_none(copy: Path) -> None:
    changed(copy, "config.json", space=None)
    assert build(copy).space == ""
    assert "does not say which language model it was trained for" in refusal(copy)


def test_pictures_of_another_size_than_the_networks_are_refused(copy: Path) -> None:
    changed(copy, "preprocessor_config.json", crop_size={"height": 56, "width": 56})
    said = refusal(copy)
    assert "sees pictures of 28x28" in said
    assert "56x56" in said


def test_weights_that_are_missing_or_of_other_shapes_are_named(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(copy / "model.safetensors")
    del state["gmhra.0.ln_1.weight"]
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnavailableError, match=r"lacks gmhra\.0\.ln_1\.weight"):
        load(copy)
    state["gmhra.0.ln_1.weight"] = torch.ones(7)
    save_file(state, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnavailableError, match=r"wrong shapes for gmhra\.0\.ln_1\.weight"):
        load(copy)


@pytest.mark.parametrize("values", [{"frames": 0}, {"frames": 65}, {"temporal_position": "linear"}, {"checkpoint": ""}])
def test_wrong_options_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VideoChatEmbedder.Options(**{"checkpoint": "somewhere", **values})
    with pytest.raises(ValidationError):
        VideoChatEmbedder.Options()  # type: ignore[call-arg]


def test_forwards_are_as_few_as_the_batch_allows(folder: Path) -> None:
    for count, batch in ((4, 4), (5, 2)):
        found = load(folder, frames=2, batch=batch)
        given = fed(found)
        list(found.perceive(windows(scene, found, float(count))))
        assert len(given) == ceil(count / batch)
