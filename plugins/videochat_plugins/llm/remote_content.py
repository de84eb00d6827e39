"""What the parts of a prompt become in a request: words as they are, frames as JPEG images."""

import base64
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from videochat import Frames, LLMError, Message, Text
from videochat.budget import estimate
from videochat.prompt import Part

Detail = Literal["auto", "low", "high"]
QUANTISER = "3"  # of the JPEG encoder, from 1 (best) to 31
# The tile rule of OpenAI's guide "Images and vision", with the figures of GPT-4o: an image is scaled to fit `SQUARE`,
# then until its shorter side is `SHORTER`; it takes `BASE` tokens and `TILE` for each square of `EDGE` pixels.
SQUARE, SHORTER, EDGE = 2048, 768, 512
BASE, TILE = 85, 170


def to_json(messages: Sequence[Message], side: int, detail: Detail) -> list[dict[str, Any]]:
    """Return the messages of a request; those without frames have plain text as their content.

    Servers take images from the user only, so a system message ends before its first frame, and the user says the rest.

    Raises:
        LLMError: if a part is neither text nor frames.
    """
    return [
        {"role": role, "content": content}
        for message in messages
        for role, content in _turns(message, _contents(message.parts, side, detail))
    ]


def count(part: Part, side: int, detail: Detail) -> int:
    """Estimate the tokens of a part: there is no tokenizer, and each family of models has a rule of its own for images.

    Raises:
        LLMError: if the part is neither text nor frames.
    """
    if isinstance(part, Frames):
        return sum(_image_tokens(*_fitted(frame.image.shape, side), detail) for frame in part.frames)
    return estimate(_words(part))


def jpeg(image: npt.NDArray[np.uint8], side: int) -> bytes:
    """Return an image (H, W, 3) as JPEG, its longer side scaled down to `side` pixels where it has more."""
    import av

    width, height = _fitted(image.shape, side)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(
        width, height, "yuvj444p", dst_colorspace="ITU601", dst_color_range="JPEG", interpolation="AREA"
    )
    encoder = av.VideoCodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, height, "yuvj444p", Fraction(1)
    encoder.options = {"qmin": QUANTISER, "qmax": QUANTISER}
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])


def encodable(text: str) -> str:
    """Replace half surrogates, which JSON and command lines can hold and no encoding can."""
    return text.encode("utf-8", "replace").decode()


def _turns(message: Message, contents: list[dict[str, Any]]) -> Iterator[tuple[str, str | list[dict[str, Any]]]]:
    if all(content["type"] == "text" for content in contents):
        yield message.role, "".join(content["text"] for content in contents)
        return
    if message.role == "system":
        if contents[0]["type"] == "text":
            yield "system", contents.pop(0)["text"]
        yield "user", contents
    else:
        yield message.role, contents


def _contents(parts: Sequence[Part], side: int, detail: Detail) -> list[dict[str, Any]]:
    """Return the content parts in order, neighbouring texts as one, empty ones left out."""
    contents: list[dict[str, Any]] = []
    words = ""
    for part in parts:
        if not isinstance(part, Frames):
            words += _words(part)
        elif part.frames:
            contents += [_text(words)] if words else []
            contents += [_picture(frame.image, side, detail) for frame in part.frames]
            words = ""
    return [*contents, _text(words)] if words else contents


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": encodable(words)}


def _picture(image: npt.NDArray[np.uint8], side: int, detail: Detail) -> dict[str, Any]:
    url = "data:image/jpeg;base64," + base64.b64encode(jpeg(image, side)).decode()
    # Only OpenAI's own models know the field, and "auto" is what they do without it.
    return {"type": "image_url", "image_url": {"url": url} if detail == "auto" else {"url": url, "detail": detail}}


def _words(part: Part) -> str:
    if not isinstance(part, Text):
        what = type(part).__name__
        raise LLMError(f"this llm takes text and frames, not {what}: use another llm or another prompt file")
    return part.text


def _fitted(shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return the width and height of an image (H, W, 3) as it is sent."""
    height, width = shape[:2]
    scale = min(1.0, side / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _image_tokens(width: int, height: int, detail: Detail) -> int:
    if detail == "low":
        return BASE
    scale = min(1.0, SQUARE / max(width, height))
    scale *= min(1.0, SHORTER / (scale * min(width, height)))
    return BASE + TILE * math.prod(math.ceil(round(length * scale) / EDGE) for length in (width, height))
