"""What any server may send, byte by byte."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videochat import Usage
from videochat_plugins.llm.openai_stream import LIMIT, GarbledError, events, read_event
from videochat_plugins.llm.remote import Delta
from videochat_plugins.llm.remote_failure import says

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "message", "content", "error", "usage", "detail", "finish_reason"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def chunk(text: str) -> bytes:
    return json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False).encode()


@settings(deadline=None)
@given(st.lists(st.text()), st.lists(st.integers(0, 400)), st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n: ping\n\n"]))
def test_how_the_bytes_are_cut_changes_nothing(texts: list[str], cuts: list[int], gap: bytes) -> None:
    data = b"".join(b"data: " + chunk(text) + gap for text in texts) + b"data: [DONE]\n\nafter"
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in pairwise(edges)]
    *deltas, last = map(read_event, events(pieces))
    assert [delta.text for delta in deltas] == texts
    assert last == Delta(done=True)


@settings(deadline=None)
@given(st.text())
def test_a_plain_body_is_one_event(text: str) -> None:
    data = b" \n" + chunk(text) + b"\n"
    assert [read_event(event).text for event in events([data[:1], data[1:9], data[9:]])] == [text]


@settings(deadline=None)
@given(st.lists(st.binary()))
def test_any_bytes_are_read_or_named_garbled(pieces: list[bytes]) -> None:
    for event in events(pieces):
        try:
            read_event(event)
        except GarbledError:
            continue


@settings(deadline=None)
@given(VALUES)
def test_any_json_is_read_or_named_garbled(value: Any) -> None:
    try:
        delta = read_event(json.dumps(value).encode())
    except GarbledError:
        return
    assert delta.finish in ("", "stop", "length", "content_filter")
    delta.text.encode()


def test_an_endless_line_is_not_collected() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 65536

    with pytest.raises(GarbledError, match=str(LIMIT)):
        list(events(endless()))
    assert taken * 65536 <= LIMIT + 2 * 65536


def test_the_last_event_may_have_counts_only() -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    assert read_event(json.dumps({"choices": [], "usage": usage}).encode()) == Delta(usage=Usage(8, 3))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("no", "no"),
        ({"message": "no", "code": 1}, "no"),
        ({"error": {"message": "no"}}, "no"),
        ({"message": {"detail": ["no"]}}, '["no"]'),
        ({"message": ""}, ""),
        ({}, ""),
        (7, "7"),
    ],
)
def test_an_errors_words_are_found(error: object, words: str) -> None:
    assert says(error) == words
