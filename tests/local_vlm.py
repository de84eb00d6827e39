"""Both sides of tiny video-language models through the plugins, and the same models as transformers has them."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

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
    prompt = llm._writer.write(messages)
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
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    kinds = {"qwen2_5_vl": Qwen2VLImageProcessorPil, "video_llava": hf.VideoLlavaImageProcessor}
    return kinds[hf.AutoConfig.from_pretrained(folder).model_type].from_pretrained(folder)


def plain_ids(folder: Path, text: str, *media: Images, step: float = 1.0, tokens: int = 16) -> list[int]:
    """Return the ids that the plain model answers with, given a text with placeholders, and pixels in their order.

    Media with one picture are images, others videos with a frame every `step` seconds.
    """
    model, tokenizer, prepare = plain(folder)
    inputs = {"qwen2_5_vl": _qwen, "video_llava": _video_llava}[model.config.model_type](text, media, prepare, step)
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
