"""The side of a video-language model that sees: slots, times and layouts, whatever the frames are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from local_vlm import embedder, film, look
from tiny_vlms import SAVED, WIDTH
from videochat import Record, Tokens, UnavailableError, Window
from videochat_plugins.perceive.embed_vlm import VlmEmbedder

# Rows of a slot of frames of 64 x 48.
EACH = {"video_llava": 17, "qwen2_5_vl": 12, "internvl": 4, "llava_onevision": 4, "smolvlm": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save(tmp_path_factory.mktemp("models") / kind) for kind, save in SAVED.items()}


@pytest.fixture(params=[*SAVED])
def folder(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Path:
    return folders[request.param]


def see(folder: Path, *windows: Window, **options: Any) -> list[list[Record]]:
    return [list(records) for records in embedder(folder, **options).perceive(windows)]


def test_what_a_record_holds(folder: Path) -> None:
    eye = embedder(folder)
    ((record,),) = see(folder, look(film(8), start=10.0))
    assert record.kind == "embedding"
    assert eye.emits == {"embedding"}
    assert (record.start, record.end) == (10.0, 18.0)
    assert record.times == tuple(10.5 + i for i in range(8))
    assert record.space == eye.space
    slots, layout = record.meta["slots"], record.meta["layout"]
    assert slots == 8 / eye.family.frames_in_slot
    assert layout["media"] == "video"
    assert record.tokens is not None
    assert record.tokens.shape == (slots * EACH[folder.name], WIDTH)
    assert record.tokens.dtype == np.float32
    assert Record.from_json(record.to_json(), record.tokens).meta == record.meta


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        ("video_llava", [0, 16, 34, 51, 85]),
        ("qwen2_5_vl", [0, 12, 12, 24, 36]),
        ("internvl", [0, 52, 8, 12, 20]),  # an image in 3 x 4 tiles and one of the whole
        ("llava_onevision", [0, 44, 8, 12, 20]),  # an image of 16, and 4 lines of 6 with a newline
        ("smolvlm", [0, 52, 8, 12, 20]),
    ],
)
def test_any_number_of_frames(folders: dict[str, Path], kind: str, rows: list[int]) -> None:
    windows = [look(film(count)) for count in (0, 1, 2, 3, 5)]
    found = see(folders[kind], *windows)
    assert [sum(len(np.asarray(r.tokens)) for r in records) for records in found] == rows
    media = [records[0].meta["layout"]["media"] if records else "" for records in found]
    assert media == ["", "image", "video", "video", "video"]


def test_a_frame_that_comes_many_times_is_an_image(folder: Path) -> None:
    """As of a picture, or a film of one frame."""
    window = look(film(1))
    again = Window(window.start, window.end, window.video, window.frames * 8)
    ((one,), (many,)) = see(folder, window, again)
    assert np.array_equal(one.tokens, many.tokens)  # type: ignore[arg-type]
    assert one.meta == many.meta
    assert many.times == window.times


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (7, 3), (48, 64), (300, 20), (640, 360)])
def test_frames_of_any_size(folder: Path, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0)
    images = [noise.integers(0, 255, (size[1], size[0], 3), np.uint8) for _ in range(2)]
    ((record,),) = see(folder, look(images))
    assert record.tokens is not None
    assert np.isfinite(record.tokens).all()  # type: ignore[call-overload]
    if "grid" in record.meta["layout"]:
        rows, columns = record.meta["layout"]["grid"]
        assert len(record.tokens) == rows * columns / 4  # type: ignore[arg-type]
        assert 16 * 4 <= rows * columns * 16 <= 16 * 16 * 24
        assert rows <= columns or size[1] > size[0]


def test_windows_of_a_video_are_joined_and_do_not_depend_on_each_other(folder: Path) -> None:
    windows = [look(film(4, first=i), start=i * 4.0) for i in range(3)]
    apart = [see(folder, window)[0][0] for window in windows]
    together = [records[0] for records in see(folder, *windows, batch=5)]
    for one, other in zip(apart, together, strict=True):
        np.testing.assert_allclose(one.tokens, other.tokens, atol=1e-4)  # type: ignore[call-overload]
    (joined,) = Tokens.join(together)
    assert joined.slots == sum(record.meta["slots"] for record in together)


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_slots_do_not_depend_on_each_other(folder: Path, batch: int) -> None:
    frames = film(8)
    ((whole,),) = see(folder, look(frames), batch=batch)
    ((half,),) = see(folder, look(frames[4:]))
    rows = len(np.asarray(half.tokens))
    np.testing.assert_allclose(np.asarray(whole.tokens)[-rows:], half.tokens, atol=1e-4)  # type: ignore[call-overload]


def test_out_of_memory_halves_the_batch(folder: Path) -> None:
    import torch

    eye = embedder(folder, batch=4)
    expected = see(folder, look(film(8)))[0][0]
    encode = eye.family.encode

    def fail(model: Any, pixels: torch.Tensor, layout: Any) -> torch.Tensor:
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(model, pixels, layout)

    eye.family.encode = fail  # type: ignore[method-assign]
    ((record,),) = eye.perceive([look(film(8))])
    np.testing.assert_allclose(record.tokens, expected.tokens, atol=1e-4)  # type: ignore[call-overload]
    assert eye.notes == ["out of memory: batch 4 to 2"]


@pytest.mark.parametrize(("precision", "dtype"), [("bfloat16", np.float32), ("float16", np.float16)])
def test_a_precision(folder: Path, precision: Any, dtype: Any) -> None:
    """Numbers that numpy has no type for are kept in a wider one."""
    ((record,),) = see(folder, look(film(4)), precision=precision)
    ((exact,),) = see(folder, look(film(4)))
    assert record.tokens is not None
    assert record.tokens.dtype == dtype
    assert np.abs(np.asarray(record.tokens) - np.asarray(exact.tokens)).max() < 0.2 * np.abs(exact.tokens).max()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "mend"), [("float32", "weights are damaged"), ("bfloat16", "set its precision to float32")]
)
def test_numbers_that_overflow_are_told(folder: Path, precision: Any, mend: str) -> None:
    eye = embedder(folder, precision=precision)
    encode = eye.family.encode
    eye.family.encode = lambda *given: encode(*given) * float("inf")  # type: ignore[method-assign]
    with pytest.raises(ValueError, match=rf"overflow in torch\.{precision}: .*{mend}"):
        list(eye.perceive([look(film(2))]))


def test_what_it_asks_to_see(folder: Path) -> None:
    eye = VlmEmbedder(VlmEmbedder.Options(checkpoint=str(folder), frames=5, side=20))
    sampling = eye.sampling()
    assert (sampling.frames, sampling.over) == (5, "video")
    assert sampling.side == (20 if folder.name == "qwen2_5_vl" else 32)  # of any size, or pictures of 32
    assert VlmEmbedder.Options(checkpoint=str(folder)).frames == 8


@pytest.mark.parametrize(
    ("kind", "does"),
    [
        ("video_llava", "crops them"),
        ("internvl", "resizes each image"),
        ("llava_onevision", "resizes each image"),
    ],
)
def test_pictures_of_another_size_than_the_tower_takes(
    folders: dict[str, Path], tmp_path: Path, kind: str, does: str
) -> None:
    import shutil

    folder = Path(shutil.copytree(folders[kind], tmp_path / "copy"))
    file = folder / "preprocessor_config.json"
    file.write_text(file.read_text().replace("32", "48"))
    with pytest.raises(UnavailableError, match=rf"sees pictures of 32x32, and its preprocessor_config\.json {does} to"):
        embedder(folder)
    file.write_text(file.read_text().replace('"resample": 3', '"resample": "soft"'))
    with pytest.raises(UnavailableError, match=r"preprocessor_config\.json: resample: "):
        embedder(folder)
    file.write_text("{")
    with pytest.raises(UnavailableError, match="no JSON can be read from it"):
        embedder(folder)


@pytest.mark.parametrize("options", [{"frames": 0}, {"side": 0}, {"quantisation": "2bit"}, {"checkpoint": " "}])
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        VlmEmbedder.Options(**options)
