"""Both sides of tiny video-language models through the plugins, and the same models as transformers has them."""

from collections.abc import Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from local_llm import generated, say, user
from media import draw
from videochat import Frame, Generation, Message, Pool, Text, Tokens, Video, Window
from videochat_plugins.llm.vlm import VideoLanguageModel
from videochat_plugins.perceive.embed_vlm import VlmEmbedder

Images = Sequence[npt.NDArray[np.uint8]]
POOL = Pool("cpu")  # a model that is not changed is loaded once for all tests


def film(count: int, size: tuple[int, int] = (64, 48), first: int = 0) -> list[npt.NDArray[np.uint8]]:
    """Return frames that differ, of a width and height."""
    noise = np.random.default_rng(first)
    shown = [draw(first + i * 37, *size) // 2 for i in range(count)]
    return [image + noise.integers(0, 120, image.shape, np.uint8) for image in shown]


def look(images: Images, start: float = 0.0, step: float = 1.0) -> Window:
    """Return frames as a window of a video, one every `step` seconds."""
    height, width = images[0].shape[:2] if images else (48, 64)
    frames = tuple(Frame(start + (i + 0.5) * step, image) for i, image in enumerate(images))
    return Window(start, start + max(1, len(images)) * step, Video(Path("clip.mp4"), 100.0, width, height), frames)


def embedder(folder: Path, pool: Pool = POOL, **options: Any) -> VlmEmbedder:
    """Return the side that sees, loaded."""
    found = VlmEmbedder(VlmEmbedder.Options(checkpoint=str(folder), device="cpu", **options))
    found.check()
    found.load(pool)
    return found


def answerer(folder: Path, pool: Pool = POOL, **options: Any) -> VideoLanguageModel:
    """Return the side that answers, loaded."""
    found = VideoLanguageModel(VideoLanguageModel.Options(model=str(folder), device="cpu", **options))
    found.check()
    found.load(pool)
    return found


def see(folder: Path, images: Images, start: float = 0.0, step: float = 1.0, **options: Any) -> Tokens:
    """Return what the side that sees makes of frames."""
    ((record,),) = embedder(folder, **options).perceive([look(images, start, step)])
    (tokens,) = Tokens.join([record])
    return tokens


def about(*parts: Tokens | str, question: str = "What moves?") -> list[Message]:
    """Return a prompt that shows parts before a question."""
    return [user(*parts, Text(question, "question"))]


def ask(llm: VideoLanguageModel, messages: Sequence[Message], tokens: int = 16) -> str:
    """Return a whole answer."""
    return say(llm, messages, max_tokens=tokens)


def ids_of(llm: VideoLanguageModel, messages: Sequence[Message], tokens: int = 16) -> list[int]:
    """Return the ids of an answer, those that end it among them."""
    assert llm._decoder is not None
    prompt = llm.writer.write(messages)
    sampler = llm._decoder.sampler(Generation(), top_k=None, top_p=None, repetition_penalty=None)
    found: list[int] = []
    for id in llm._decoder.draw(prompt, sampler, tokens):
        found.append(id)
        if id in llm._decoder.ends:
            break
    return found


@cache
def plain(folder: Path) -> tuple[Any, Any, Any]:
    """Return model, tokenizer and image processor as transformers itself loads them."""
    import transformers as hf

    model = hf.AutoModelForImageTextToText.from_pretrained(folder).eval()
    return model, hf.AutoTokenizer.from_pretrained(folder), processor(folder)


def processor(folder: Path) -> Any:
    """Return a folder's image processor, one that works with Pillow."""
    import transformers as hf
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    kinds = {
        "internvl": GotOcr2ImageProcessorPil,
        "llava_onevision": LlavaOnevisionImageProcessorPil,
        "qwen2_5_vl": Qwen2VLImageProcessorPil,
        "smolvlm": SmolVLMImageProcessorPil,
        "video_llava": hf.VideoLlavaImageProcessor,
    }
    return kinds[hf.AutoConfig.from_pretrained(folder).model_type].from_pretrained(folder)


def plain_ids(
    folder: Path, text: str, *media: Images, start: float = 0.0, step: float = 1.0, tokens: int = 16
) -> list[int]:
    """Return the ids that the plain model answers with, given a text with placeholders, and pixels in their order.

    Media with one picture are images, others videos with a frame every `step` seconds, as `look` has them.
    """
    model, tokenizer, prepare = plain(folder)
    ways = {
        "internvl": _internvl,
        "llava_onevision": _llava_onevision,
        "qwen2_5_vl": _qwen,
        "smolvlm": partial(_smolvlm, start=start),
        "video_llava": _video_llava,
    }
    inputs = ways[model.config.model_type](text, media, prepare, step)
    ids = tokenizer(inputs.pop("text"), add_special_tokens=False, return_tensors="pt")["input_ids"]
    if (kinds := inputs.pop("kinds", None)) is not None:
        inputs["mm_token_type_ids"] = sum((ids == tokenizer.convert_tokens_to_ids(t)) * n for t, n in kinds.items())
    model.model.rope_deltas = None
    return generated(model, {"input_ids": ids, **inputs}, ids.shape[1], tokens)


def _video_llava(text: str, media: Sequence[Images], prepare: Any, step: float) -> dict[str, Any]:
    import torch

    made = [prepare(list(images), return_tensors="pt", return_legacy_image_output=False) for images in media]
    stills = [m["pixel_values"] for m in made if len(m["pixel_values"]) == 1]
    films = [m["pixel_values"] for m in made if len(m["pixel_values"]) > 1]
    inputs = {"text": text.replace("<image>", "<image>" * 16)}
    if stills:
        inputs["pixel_values"] = torch.cat(stills)
    if films:
        inputs["text"] = inputs["text"].replace("<video>", "<video>" * 17 * len(films[0]))
        inputs["pixel_values_videos"] = torch.stack(films)
    return inputs


def _internvl(text: str, media: Sequence[Images], prepare: Any, step: float) -> dict[str, Any]:
    """Write and cut what is shown as the class's own processor does, which needs torchvision to be made."""
    import torch
    from transformers.models.internvl.processing_internvl import InternVLProcessor

    marks = {"start_image_token": "<img>", "end_image_token": "</img>", "image_token": "<pad>", "image_seq_length": 4}
    writer: Any = SimpleNamespace(**marks)
    pixels = []
    for images in media:
        made = prepare(list(images), crop_to_patches=len(images) == 1, return_tensors="pt")
        pixels.append(made["pixel_values"])
        if len(images) == 1:
            shown = InternVLProcessor.replace_image_token(writer, {"num_patches": [len(pixels[-1])]}, 0)
            text = text.replace("<IMG_CONTEXT>", shown, 1)
        else:
            shown = InternVLProcessor.replace_video_token(writer, {"pixel_values_videos": [pixels[-1]]}, 0)
            text = text.replace("<video>", shown, 1)
    inputs: dict[str, Any] = {"text": text.replace("<pad>", "<IMG_CONTEXT>")}
    return inputs | ({"pixel_values": torch.cat(pixels)} if pixels else {})


def _llava_onevision(text: str, media: Sequence[Images], prepare: Any, step: float) -> dict[str, Any]:
    """Count rows as the class's own processor does, which needs torchvision to be made."""
    import torch
    from transformers.models.llava_onevision.processing_llava_onevision import LlavaOnevisionProcessor

    writer = LlavaOnevisionProcessor.__new__(LlavaOnevisionProcessor)
    said = {"num_image_tokens": 16, "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_2"}
    vars(writer).update(said, image_processor=prepare, image_token="<still>", video_token="<film>")
    inputs: dict[str, Any] = {}
    if stills := [images[0] for images in media if len(images) == 1]:
        inputs = dict(prepare(stills, return_tensors="pt"))
        for number in range(len(stills)):
            text = text.replace("<image>", writer.replace_image_token(inputs, number), 1)
    if films := [images for images in media if len(images) > 1]:
        wholes = [prepare(list(images), return_tensors="pt")["pixel_values"][:, 0] for images in films]
        inputs["pixel_values_videos"] = torch.stack(wholes)
        text = text.replace("<video>", writer.replace_video_token(inputs, 0))
    return {**inputs, "text": text.replace("<still>", "<image>").replace("<film>", "<video>")}


def _smolvlm(text: str, media: Sequence[Images], prepare: Any, step: float, start: float) -> dict[str, Any]:
    """Write what is shown as the class's own processor does, which needs torchvision and num2words."""
    import torch
    from transformers.models.smolvlm import processing_smolvlm
    from transformers.video_utils import VideoMetadata

    marks = {"fake_image_token": "<fake_token_around_image>", "global_image_token": "<global-img>"}
    writer: Any = SimpleNamespace(**marks, image_token="<pad>", image_seq_len=4)
    own = processing_smolvlm.SmolVLMProcessor
    words = {2: "two", 3: "three", 4: "four", 5: "five", 8: "eight", 16: "sixteen"}
    pixels = []
    for images in media:
        still = len(images) == 1
        made = prepare(list(images), do_image_splitting=still, return_row_col_info=True, return_tensors="pt")
        pixels.append(made["pixel_values"].flatten(0, 1))
        if still:
            shown = own.replace_image_token(writer, made, 0)
        else:
            times = [start + (i + 0.5) * step for i in range(len(images))]
            told = VideoMetadata(len(images), fps=1.0, duration=start + len(images) * step, frames_indices=times)
            made = {"pixel_values": pixels[-1][None], "video_metadata": [told]}
            with patch.object(processing_smolvlm, "num2words", words.__getitem__):
                shown = own.replace_video_token(writer, made, 0)
        text = text.replace("<image>", shown, 1)
    inputs: dict[str, Any] = {"text": text.replace("<pad>", "<image>")}
    return inputs | ({"pixel_values": torch.cat(pixels)[None]} if pixels else {})


def _qwen(text: str, media: Sequence[Images], prepare: Any, step: float) -> dict[str, Any]:
    """Make videos of images' patches, which hold the one picture twice: the first of one, the second of the next."""
    import torch

    pixels: dict[str, list[Any]] = {"image": [], "video": []}
    grids: dict[str, list[Any]] = {"image": [], "video": []}
    for images in media:
        kind = "image" if len(images) == 1 else "video"
        made = [prepare([image], return_tensors="pt") for image in images]
        patches = [m["pixel_values"].reshape(-1, 3, 2, 8, 8) for m in made]
        patches += patches[-1:] * (len(patches) % 2)
        slots = [torch.stack([a[:, :, 0], b[:, :, 1]], 2) for a, b in list(pairwise(patches))[::2]]
        _, rows, columns = made[0]["image_grid_thw"][0].tolist()
        pixels[kind].append(torch.cat(slots).flatten(1))
        grids[kind].append([len(slots), rows, columns])
        token = f"<|{kind}_pad|>"
        text = text.replace(token, "<pad>" * (len(slots) * rows * columns // 4), 1)
        text = text.replace("<pad>", f"<{kind}>")
    text = text.replace("<image>", "<|image_pad|>").replace("<video>", "<|video_pad|>")
    inputs: dict[str, Any] = {"text": text, "kinds": {"<|image_pad|>": 1, "<|video_pad|>": 2}}
    for kind, name in (("image", "pixel_values"), ("video", "pixel_values_videos")):
        if pixels[kind]:
            inputs[name] = torch.cat(pixels[kind])
            inputs[f"{kind}_grid_thw"] = torch.tensor(grids[kind])
    if grids["video"]:
        inputs["second_per_grid_ts"] = torch.tensor([2 * step] * len(grids["video"]))
    return inputs
