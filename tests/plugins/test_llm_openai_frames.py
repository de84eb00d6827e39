"""Frames in a prompt: what the server gets to see, in which order, and what it is counted as."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import make, read_index
from openai_server import serving, stream
from videochat import Frame, Frames, Generation, Message, Stack, Text
from videochat_plugins.llm.openai import OpenAI
from videochat_plugins.llm.remote_content import count, jpeg

pytest.importorskip("openai", reason="the extra openai is not installed")

Image = npt.NDArray[np.uint8]


def scene(height: int, width: int, shift: int = 0) -> Image:
    """Return a smooth picture with a red and a blue patch; no two shifts give the same."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 200 / width, y * 200 / height, np.full_like(x, 40 + 40 * shift)], -1).astype(np.uint8)
    image[height // 8 : height // 3, width // 8 : width // 3] = (255, 0, 0)
    image[height // 2 : -height // 8, width // 2 : -width // 8] = (0, 0, 255)
    return image


def decoded(url: str) -> Image:
    kind, _, data = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    with av.open(io.BytesIO(base64.b64decode(data, validate=True))) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def error(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def sent(*messages: Message, **options: Any) -> list[dict[str, Any]]:
    with serving(stream("x")) as server:
        model = OpenAI(OpenAI.Options(base_url=server.url, timeout=5, **options))
        assert list(model.answer(messages, Generation())) == ["x"]
        found: list[dict[str, Any]] = server.requests[0].body["messages"]
    return found


def frames(*images: Image) -> Frames:
    return Frames(tuple(Frame(float(i), image) for i, image in enumerate(images)))


def test_the_server_sees_the_frames_between_the_words_in_order() -> None:
    images = [scene(90, 160, shift) for shift in range(3)]
    parts = (Text("Look: "), Text("at 0 s"), frames(*images[:2]), Text("at 2 s"), frames(images[2]), Text("Which?"))
    (message,) = sent(Message("user", parts))
    assert message["role"] == "user"
    kinds = [content["type"] for content in message["content"]]
    assert kinds == ["text", "image_url", "image_url", "text", "image_url", "text"]
    assert [content.get("text") for content in message["content"] if content["type"] == "text"] == [
        "Look: at 0 s",
        "at 2 s",
        "Which?",
    ]
    pictures = [content["image_url"] for content in message["content"] if content["type"] == "image_url"]
    assert all(picture.keys() == {"url"} for picture in pictures)
    for image, picture in zip(images, pictures, strict=True):
        assert error(decoded(picture["url"]), image) < 3
        assert all(error(decoded(picture["url"]), other) > 5 for other in images if other is not image)


def test_a_system_message_ends_before_its_first_frame() -> None:
    system = Message("system", (Text("You watch. "), frames(scene(32, 32)), Text("00:00 a ball")))
    first, second, third = sent(system, Message("user", (Text("Which?"),)))
    assert first == {"role": "system", "content": "You watch. "}
    assert second["role"] == "user"
    assert [content["type"] for content in second["content"]] == ["image_url", "text"]
    assert third == {"role": "user", "content": "Which?"}
    (only,) = sent(Message("system", (frames(scene(32, 32)),)))
    assert (only["role"], len(only["content"])) == ("user", 1)


def test_messages_without_frames_keep_plain_text() -> None:
    talk = (Message("system", (Text("a"), frames(), Text("b"))), Message("user", (frames(), Text(""))))
    assert sent(*talk) == [{"role": "system", "content": "ab"}, {"role": "user", "content": ""}]


@pytest.mark.parametrize(("size", "shape"), [((360, 640), (54, 96, 3)), ((640, 360), (96, 54, 3)), ((40, 50), None)])
def test_the_longer_side_is_bounded(size: tuple[int, int], shape: tuple[int, ...] | None) -> None:
    image = scene(*size)
    (message,) = sent(Message("user", (frames(image),)), side=96)
    seen = decoded(message["content"][0]["image_url"]["url"])
    assert seen.shape == (shape or image.shape)
    assert error(seen, scene(*seen.shape[:2])) < 6  # the same picture, not a part of it


def test_detail_is_passed_on() -> None:
    (message,) = sent(Message("user", (frames(scene(32, 32)),)), detail="low")
    assert message["content"][0]["image_url"]["detail"] == "low"


@given(st.integers(1, 40), st.integers(1, 40), st.integers(4, 32), st.randoms(use_true_random=False))
def test_every_size_can_be_sent(height: int, width: int, side: int, random: Any) -> None:
    colour = [random.randrange(256) for _ in range(3)]
    image = np.full((height, width, 3), colour, np.uint8)
    with av.open(io.BytesIO(jpeg(image, side))) as file:
        seen = next(file.decode(video=0)).to_ndarray(format="rgb24")
    assert max(seen.shape[:2]) == min(side, max(height, width))
    assert np.abs(seen.astype(int) - colour).max() <= 6


def test_a_frame_that_is_a_view_of_another_is_sent_as_it_looks() -> None:
    image = scene(48, 64)[:, ::-1]
    with av.open(io.BytesIO(jpeg(image, 64))) as file:
        assert error(next(file.decode(video=0)).to_ndarray(format="rgb24"), image) < 3


def test_a_talk_shows_the_model_the_frames_of_the_video(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", frames=50, size=(320, 240)).path
    with serving(stream("A bar code.")) as server:
        llm = {"use": "openai", "base_url": server.url, "frames": 4, "side": 256}
        stack = Stack(llm=llm, prompt="frames")
        assert "".join(stack.chat(stack.watch(clip)).ask("What is shown?")) == "A bar code."
        contents = [message["content"] for message in server.requests[0].body["messages"]]
    pictures = [part["image_url"]["url"] for content in contents for part in content if "image_url" in part]
    seen = [decoded(picture) for picture in pictures]
    assert [image.shape for image in seen] == [(192, 256, 3)] * 4
    assert [read_index(image) for image in seen] == pytest.approx([6.25, 18.75, 31.25, 43.75], abs=1)


def test_no_frames_are_wanted_where_none_are_to_be_sent() -> None:
    assert OpenAI(OpenAI.Options(frames=0)).sampling() is None


@pytest.mark.parametrize(
    ("size", "side", "tokens"),
    [
        ((1024, 1024), 2048, 765),  # OpenAI's own examples
        ((4096, 2048), 2048, 1105),
        ((512, 512), 2048, 255),
        ((720, 1280), 512, 255),  # one tile
        ((720, 1280), 2048, 85 + 170 * 6),
        ((1080, 1920), 2048, 85 + 170 * 6),
    ],
)
def test_frames_are_counted_by_the_published_rule(size: tuple[int, int], side: int, tokens: int) -> None:
    image = np.zeros((*size, 3), np.uint8)
    model = OpenAI(OpenAI.Options(side=side))
    assert model.count(frames(image)) == tokens
    assert model.count(frames(image, image)) == 2 * tokens
    assert count(frames(image), side, "low") == 85


def test_no_frames_take_no_tokens() -> None:
    assert OpenAI().count(Frames(())) == 0


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(32, 2048))
def test_an_image_is_never_counted_above_the_largest(height: int, width: int, side: int) -> None:
    image = np.broadcast_to(np.uint8(0), (height, width, 3))
    tiles = (count(frames(image), side, "high") - 85) / 170
    assert 1 <= tiles <= math.ceil(2048 / 512) * math.ceil(768 / 512)
