"""Ids as text, piece by piece."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videochat_plugins.llm.transformers_stream import TextStream

pytest.importorskip("transformers", reason="the extra models is not installed")

TEXT = st.text(st.sampled_from("ab #\n✓é🎈한\ufffd"), max_size=20)


@pytest.fixture(scope="module", params=["byte level", "byte fallback"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """A tokenizer whose every token is a byte, as GPT-2 and as Llama write bytes."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    if request.param == "byte level":
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        found = Tokenizer(models.BPE(vocab={letter: id for id, letter in enumerate(alphabet)}, merges=[]))
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        found.decoder = decoders.ByteLevel()
        return found
    vocabulary = {"<unk>": 0, "▁": 1, "a": 2, "b": 3, **{f"<0x{byte:02X}>": 4 + byte for byte in range(256)}}
    found = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    found.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    found.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return found


def stream(tokenizer: Any, ids: Sequence[int], *stop: str) -> tuple[list[str], TextStream]:
    text = TextStream(tokenizer.decode, stop)
    pieces = []
    for id in ids:
        pieces.append(text.add(id))
        if text.stopped:
            break
    return [piece for piece in [*pieces, text.rest()] if piece], text


@given(said=TEXT)
def test_the_pieces_are_the_text(tokenizer: Any, said: str) -> None:
    pieces, _ = stream(tokenizer, tokenizer.encode(said).ids)
    assert "".join(pieces) == said.lstrip()
    assert said.count("\ufffd") == sum(piece.count("\ufffd") for piece in pieces)  # no half of a letter


@given(said=TEXT, stops=st.lists(st.text(st.sampled_from("ab# é"), min_size=1, max_size=3), min_size=1, max_size=3))
def test_nothing_from_the_first_whole_stop_text_on_is_shown(tokenizer: Any, said: str, stops: list[str]) -> None:
    pieces, text = stream(tokenizer, tokenizer.encode(said).ids, *stops)
    whole = said.lstrip()
    ends = [(at + len(stop), at) for stop in stops if (at := whole.find(stop)) >= 0]
    assert text.stopped == bool(ends)
    assert "".join(pieces) == whole[: min(ends, default=(0, len(whole)))[1]]


@given(pieces=st.lists(TEXT, max_size=6), stops=st.lists(TEXT.filter(bool), max_size=3))
def test_how_the_text_is_cut_into_tokens_does_not_matter(pieces: list[str], stops: list[str]) -> None:
    def said(parts: Sequence[str]) -> str:
        text = TextStream(lambda ids: "".join(parts[id] for id in ids), stops)
        shown = ""
        for id in range(len(parts)):
            shown += text.add(id)
            if text.stopped:
                break
        return shown + text.rest()

    pieces = [piece.replace("\ufffd", "") for piece in pieces]
    assert said(pieces) == said("".join(pieces)) == said(["".join(pieces)])


def test_a_letter_of_four_bytes_comes_whole(tokenizer: Any) -> None:
    assert stream(tokenizer, tokenizer.encode("a🎈b").ids)[0] == ["a", "🎈", "b"]


def test_a_stop_text_that_only_begins_is_shown_as_soon_as_it_is_none(tokenizer: Any) -> None:
    assert stream(tokenizer, tokenizer.encode("a##b#").ids, "###")[0] == ["a", "##b", "#"]
    assert stream(tokenizer, tokenizer.encode("a##b###").ids, "###")[0] == ["a", "##b"]


def test_an_answer_cut_within_a_letter_shows_that(tokenizer: Any) -> None:
    ids = tokenizer.encode("a🎈").ids[:-1]
    assert "".join(stream(tokenizer, ids)[0]).rstrip("\ufffd") == "a"
