"""The input that a model gets is the one that its checkpoint's own processor makes, to the last bit."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import media
from videochat import UnavailableError
from videochat_plugins.models.preprocess import Preprocess, target
from videochat_plugins.models.resample import FILTERS, Filter, resize

torch = pytest.importorskip("torch", reason="the extra models is not installed")
transformers = pytest.importorskip("transformers", reason="the extra models is not installed")
Image = pytest.importorskip("PIL.Image", reason="the extra models is not installed")

Pictures = npt.NDArray[np.uint8]

CLASSES = (
    "Bit",
    "Blip",
    "CLIP",
    "ConditionalDetr",
    "DeformableDetr",
    "Detr",
    "GroundingDino",
    "RTDetr",
    "Siglip",
    "ViT",
    "VideoMAE",
)
# What models are published with: as it stands in their folders, older forms among them.
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "clip before sizes were named": (
        "CLIP",
        {"feature_extractor_type": "CLIPFeatureExtractor", "size": 224, "crop_size": 224, "resample": 3},
    ),
    "blip": ("Blip", {"do_pad": True, "size_divisor": 32, "size": {"height": 384, "width": 384}}),
    "blip-2": ("Blip", {"size": {"height": 224, "width": 224}, "processor_class": "Blip2Processor"}),
    "florence-2": (
        "CLIP",
        {
            "auto_map": {"AutoProcessor": "processing_florence2.Florence2Processor"},
            "_valid_processor_keys": ["images"],
            "crop_size": {"height": 96, "width": 96},
            "do_center_crop": False,
            "do_convert_rgb": None,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "image_seq_length": 577,
            "size": {"height": 96, "width": 96},
        },
    ),
    "git": ("CLIP", {"size": {"shortest_edge": 96}, "crop_size": {"height": 96, "width": 96}}),
    "siglip": ("Siglip", {"size": {"height": 160, "width": 128}, "do_convert_rgb": True}),
    "siglip by shorter side": ("Siglip", {"size": 96}),
    "detr before sizes were named": (
        "Detr",
        {"feature_extractor_type": "DetrFeatureExtractor", "size": 160, "max_size": 200, "format": "coco_detection"},
    ),
    "detr by default": ("Detr", {"size": 128}),
    "detr with room": ("Detr", {"size": {"shortest_edge": 61, "longest_edge": 1333}}),
    "rt-detr": ("RTDetr", {"do_normalize": False, "pad_size": None, "size": {"height": 200, "width": 240}}),
    "videomae": (
        "VideoMAE",
        {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": {"shortest_edge": 112}},
    ),
    "a list": ("ViT", {"size": [90, 70]}),
    "within a box": ("ViT", {"size": {"max_height": 80, "max_width": 120}}),
    "a box that is wider": ("ViT", {"size": {"max_height": 300, "max_width": 120}}),
    "no resize": ("CLIP", {"do_resize": False, "crop_size": {"height": 50, "width": 70}}),
    "a crop that is larger": ("CLIP", {"size": {"shortest_edge": 50}, "crop_size": {"height": 75, "width": 64}}),
    "a crop of even less": ("CLIP", {"do_resize": False, "crop_size": {"height": 401, "width": 500}}),
    "no crop": ("VideoMAE", {"do_center_crop": False, "size": {"shortest_edge": 64}}),
    "no rescale": ("ViT", {"do_rescale": False, "size": 64}),
    "no normalise": ("ViT", {"do_normalize": False, "size": 64}),
    "nothing": ("ViT", {"do_resize": False, "do_rescale": False, "do_normalize": False}),
    "one mean": ("ViT", {"image_mean": 0.25, "image_std": 0.75, "size": 64}),
    "another factor": ("ViT", {"rescale_factor": 1 / 127.5, "size": 64}),
    "nulls leave steps out": ("CLIP", dict.fromkeys(["do_resize", "do_center_crop", "do_rescale", "do_normalize"])),
    "nulls of steps left out": ("RTDetr", {"image_mean": None, "image_std": None, "size": {"height": 64, "width": 64}}),
    **{f"filter {name}": ("ViT", {"resample": i, "size": 64}) for i, name in enumerate(FILTERS)},
}
NOISE = [(61, 97), (240, 135), (128, 128)]  # heights and widths


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Three frames of a real clip, (3, 114, 202, 3)."""
    made = media.make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=3, size=(202, 114))
    with av.open(str(made.path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def noise(height: int, width: int, count: int = 1) -> Pictures:
    return np.random.default_rng(height * width).integers(0, 256, (count, height, width, 3), np.uint8)


def write(folder: Path, settings: Mapping[str, Any], name: str = "preprocessor_config.json") -> Path:
    (folder / name).write_text(json.dumps(settings))
    return folder


def own(name: str, folder: Path, images: Pictures) -> npt.NDArray[np.float32]:
    """Return what the checkpoint's own processor makes of pictures, (N, 3, h, w)."""
    processor = getattr(transformers, f"{name}ImageProcessorPil").from_pretrained(folder)
    values = np.stack(processor(list(images), return_tensors="np")["pixel_values"])
    return values.reshape(-1, *values.shape[-3:]).astype(np.float32)


def assert_same(name: str, folder: Path, images: Pictures) -> None:
    found = Preprocess.read(folder)(torch.from_numpy(images))
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), own(name, folder, images))


@pytest.mark.parametrize("name", CLASSES)
def test_each_processor_as_it_saves_itself_and_by_its_defaults(name: str, tmp_path: Path, clip: Pictures) -> None:
    getattr(transformers, f"{name}ImageProcessorPil")().save_pretrained(tmp_path)
    assert_same(name, tmp_path, clip[1:2])
    saved = Preprocess.read(tmp_path)
    assert Preprocess.read(write(tmp_path, {"image_processor_type": f"{name}ImageProcessor"})) == saved


def test_vivit_goes_from_minus_one_to_one_before_it_normalises(tmp_path: Path, clip: Pictures) -> None:
    processor = transformers.VivitImageProcessor()
    processor.save_pretrained(tmp_path)
    wanted = processor(list(clip[:2]), return_tensors="np")["pixel_values"][0]
    found = Preprocess.read(tmp_path)(torch.from_numpy(clip[:2]))
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
    assert found.min() < -2  # as far as -3


@pytest.mark.parametrize("case", PUBLISHED)
def test_published_settings(case: str, tmp_path: Path, clip: Pictures) -> None:
    name, settings = PUBLISHED[case]
    write(tmp_path, {"image_processor_type": f"{name}ImageProcessorFast"} | settings)
    for images in (clip, *(noise(*size) for size in NOISE)):
        assert_same(name, tmp_path, images)


@pytest.mark.parametrize("size", [(360, 640), (640, 360), (720, 405)])
def test_frames_of_usual_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    for name in ("CLIP", "Blip"):
        write(tmp_path, {"image_processor_type": f"{name}ImageProcessor"})
        assert_same(name, tmp_path, noise(*size))


def test_a_batch_is_its_pictures(tmp_path: Path, clip: Pictures) -> None:
    preprocess = Preprocess.read(write(tmp_path, {"image_processor_type": "CLIPImageProcessor"}))
    images = torch.from_numpy(np.concatenate([clip, noise(114, 202)]))
    singles = torch.cat([preprocess(images[i : i + 1]) for i in range(len(images))])
    assert torch.equal(preprocess(images), singles)
    assert torch.equal(preprocess(images, torch.bfloat16), singles.to(torch.bfloat16))
    assert preprocess(images[:0]).shape == (0, 3, 224, 224)


def test_frames_stay_as_they_are(tmp_path: Path) -> None:
    settings = {"image_processor_type": "ViTImageProcessor", "do_resize": False, "do_rescale": False}
    images = torch.from_numpy(noise(20, 30))
    before = images.clone()
    Preprocess.read(write(tmp_path, settings))(images)
    assert torch.equal(images, before)


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    preprocess = Preprocess.read(write(tmp_path, {"image_processor_type": "ViTImageProcessor"}))
    for images in (torch.zeros(1, 8, 8, 3), torch.zeros(8, 8, 3, dtype=torch.uint8), torch.zeros(1, 3, 8, 8).byte()):
        with pytest.raises(ValueError, match=r"\(N, H, W, 3\) uint8"):
            preprocess(images)


@pytest.mark.parametrize(
    ("name", "settings", "side"),
    [
        ("CLIP", {"size": {"shortest_edge": 256}}, 256),
        ("Blip", {}, 384),
        ("RTDetr", {"size": {"height": 480, "width": 640}}, 640),
        ("Detr", {}, 800),
        ("ViT", {"do_resize": False}, 224),
    ],
)
def test_side(name: str, settings: dict[str, Any], side: int, tmp_path: Path) -> None:
    assert Preprocess.read(write(tmp_path, {"image_processor_type": f"{name}ImageProcessor"} | settings)).side == side


# ---- where it is read from


def test_a_composite_processor_keeps_it_in_its_own_file(tmp_path: Path, clip: Pictures) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "?": 1}, unk_token="?"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    image = transformers.CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 48, "width": 64})
    transformers.GitProcessor(image, tokenizer).save_pretrained(tmp_path)
    assert not (tmp_path / "preprocessor_config.json").exists()
    assert_same("CLIP", tmp_path, clip)
    write(tmp_path, {"image_processor_type": "ViTImageProcessor"})  # transformers, too, looks there last
    assert_same("CLIP", tmp_path, clip)


def test_a_processor_file_without_images_is_passed_over(tmp_path: Path, clip: Pictures) -> None:
    write(tmp_path, {"processor_class": "BlipProcessor"}, "processor_config.json")
    write(tmp_path, {"image_processor_type": "BlipImageProcessor", "size": {"height": 64, "width": 64}})
    assert_same("Blip", tmp_path, clip)


@pytest.mark.parametrize("nested", [False, True])
def test_a_processor_of_videos_will_do(nested: bool, tmp_path: Path) -> None:
    settings = {"video_processor_type": "VideoMAEVideoProcessor", "do_sample_frames": True, "size": 64}
    if nested:
        write(tmp_path, {"video_processor": settings}, "processor_config.json")
    else:
        write(tmp_path, settings, "video_preprocessor_config.json")
    (tmp_path / "images").mkdir()
    images = write(tmp_path / "images", {"image_processor_type": "VideoMAEImageProcessor", "size": 64})
    assert Preprocess.read(tmp_path) == Preprocess.read(images)


# ---- refusals


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "image_processor_type is missing; there are: .*CLIPImageProcessor"),
        ({"image_processor_type": "Qwen2VLImageProcessor"}, "image_processor_type is Qwen2VLImageProcessor; there are"),
        ({"feature_extractor_type": "WhisperFeatureExtractor"}, "is WhisperFeatureExtractor; there are"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order: no such step"),
        ({"do_grayscale": True, "do_tile": 4}, "do_grayscale, do_tile: no such step"),
        ({"do_pad": True, "pad_size": {"height": 9, "width": 9}}, "pad_size: no such step"),
        ({"resample": None}, "resample: Input should be 0, 1, 2, 3 or 4"),
        ({"resample": 5}, "resample: Input should be 0, 1, 2, 3 or 4"),
        ({"size": {"longest_edge": 384}}, "longest_edge.*there are: height and width; shortest_edge"),
        ({"size": {"height": 384, "width": 384, "depth": 3}}, "depth.*there are: height and width"),
        ({"size": {"shortest_edge": 384, "width": 384}}, "there are: height and width"),
        ({"size": "large"}, "size: "),
        ({"size": 0}, "size: .*greater than 0"),
        ({"do_center_crop": True}, "crop_size is {}; there is: height and width"),
        ({"do_center_crop": True, "crop_size": {"shortest_edge": 9}}, "crop_size is .*; there is: height and width"),
        ({"image_mean": [0.5]}, "image_mean: "),
    ],
)
def test_what_it_does_not_do_is_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    named = settings if not settings or any(key.endswith("_type") for key in settings) else _VIT | settings
    write(tmp_path, named)
    with pytest.raises(UnavailableError, match=message) as refusal:
        Preprocess.read(tmp_path)
    assert str(refusal.value).startswith(str(tmp_path / "preprocessor_config.json"))


_VIT = {"image_processor_type": "ViTImageProcessor"}


def test_steps_that_are_not_taken_are_no_reason_to_refuse(tmp_path: Path) -> None:
    plain = Preprocess.read(write(tmp_path, _VIT))
    write(tmp_path, _VIT | {"do_flip_channel_order": False, "do_thumbnail": None, "do_reduce_labels": True, "crop": 1})
    assert Preprocess.read(tmp_path) == plain


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"preprocessor_config\.json is missing.*download it"):
        Preprocess.read(tmp_path)


@pytest.mark.parametrize(
    "name", ["preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"]
)
@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1]", b'"size"'])
def test_a_file_that_is_no_json_object(name: str, text: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text)
    with pytest.raises(UnavailableError, match=r"JSON.*download it again") as refusal:
        Preprocess.read(tmp_path)
    assert str(refusal.value).startswith(str(tmp_path / name))


# ---- resampling


def pillow(image: Pictures, height: int, width: int, kernel: Filter) -> Pictures:
    return np.asarray(Image.fromarray(image).resize((width, height), FILTERS.index(kernel)))


def planes(image: Pictures) -> Any:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


_EDGE = st.one_of(st.integers(1, 12), st.integers(1, 200))


@given(
    have=st.tuples(_EDGE, _EDGE),
    want=st.tuples(_EDGE, _EDGE),
    kernel=st.sampled_from(FILTERS),
    extreme=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_resize_gives_the_bytes_of_pillow(
    have: tuple[int, int], want: tuple[int, int], kernel: Filter, extreme: bool, seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*have, 3), np.uint8)
    if extreme:  # black and white: where sums overshoot
        image = np.where(image < 128, 0, 255).astype(np.uint8)
    found = resize(planes(image), want, kernel).numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(found, pillow(image, *want, kernel))


@pytest.mark.parametrize("kernel", FILTERS)
@pytest.mark.parametrize(("have", "want"), [((1080, 7), (24, 9)), ((9, 1920), (9, 100)), ((64, 64), (64, 64))])
def test_resize_by_much_along_one_axis(have: tuple[int, int], want: tuple[int, int], kernel: Filter) -> None:
    image = noise(*have)[0]
    found = resize(planes(image), want, kernel).numpy().transpose(1, 2, 0)
    np.testing.assert_array_equal(found, pillow(image, *want, kernel))


@given(data=st.data(), have=st.tuples(_EDGE, _EDGE), want=st.tuples(_EDGE, _EDGE), kernel=st.sampled_from(FILTERS))
def test_a_crop_is_a_part_of_the_whole(
    data: st.DataObject, have: tuple[int, int], want: tuple[int, int], kernel: Filter
) -> None:
    image = planes(noise(*have)[0])
    starts = [data.draw(st.integers(0, edge - 1)) for edge in want]
    rows, columns = (
        slice(start, data.draw(st.integers(start + 1, edge))) for start, edge in zip(starts, want, strict=True)
    )
    assert torch.equal(resize(image, want, kernel, (rows, columns)), resize(image, want, kernel)[:, rows, columns])


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), short=st.integers(1, 900), room=st.integers(0, 900))
def test_target_is_the_processors(height: int, width: int, short: int, room: int) -> None:
    from transformers import image_transforms

    array = np.broadcast_to(np.uint8(0), (height, width, 3))
    last = transformers.image_utils.ChannelDimension.LAST
    assert target({"shortest_edge": short}, height, width) == image_transforms.get_resize_output_image_size(
        array, short, default_to_square=False, input_data_format=last
    )
    size = {"shortest_edge": short, "longest_edge": short + room}
    expected = image_transforms.get_size_with_aspect_ratio((height, width), short, short + room)
    assert target(size, height, width) == expected
