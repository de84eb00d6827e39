import re

from hypothesis import given
from hypothesis import strategies as st

from videochat import Record
from videochat.subtitles import write_srt, write_vtt

STAMP = r"[0-9]{2,}:[0-9]{2}:[0-9]{2}[.,][0-9]{3}"
TIMING = re.compile(rf"({STAMP}) --> ({STAMP})")
TEXTS = st.lists(
    st.text() | st.sampled_from(["-->", "--->", "a\n\n2\n00:00:00,000 --> 00:00:09,000\nb", "<b>", "{\\an8}", "&amp;"])
)


def records(texts: list[str]) -> list[Record]:
    return [Record("speech", i * 1.5, i * 1.5 + 1, text) for i, text in enumerate(texts)]


def test_srt() -> None:
    cues = [
        Record("speech", 0, 2.5, "Hey, Pheebs?"),
        Record("embedding", 1, 2),
        Record("text", 3661.25, 3662, "<i>5 --> 6{\\an8}"),
    ]
    assert "".join(write_srt(cues)) == (
        "1\n00:00:00,000 --> 00:00:02,500\nHey, Pheebs?\n\n2\n01:01:01,250 --> 01:01:02,000\n‹i›5 --› 6(\\an8)\n\n"
    )


def test_vtt() -> None:
    cues = [Record("speech", 0, 2.5, "Q&A: 5 --> 6"), Record("text", 3, 3, "<i>")]
    assert "".join(write_vtt(cues)) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nQ&amp;A: 5 --&gt; 6\n\n00:00:03.000 --> 00:00:03.001\n&lt;i&gt;\n\n"
    )


def test_a_file_without_cues_is_still_a_file() -> None:
    assert "".join(write_srt([])) == ""
    assert "".join(write_vtt([])) == "WEBVTT\n\n"


@given(TEXTS)
def test_no_text_breaks_out_of_its_cue(texts: list[str]) -> None:
    spoken = [record for record in records(texts) if record.text]
    srt = "".join(write_srt(spoken)).split("\n\n")[:-1]
    vtt = "".join(write_vtt(spoken)).split("\n\n")[1:-1]
    assert len(srt) == len(vtt) == len(spoken)
    assert [block.split("\n")[0] for block in srt] == [str(i + 1) for i in range(len(spoken))]
    for block in srt + vtt:
        *_, timing, text = block.split("\n")
        assert TIMING.fullmatch(timing)
        assert text
        assert not set("<>") & set(text)
        assert block.count("-->") == 1


def test_every_cue_ends_after_it_starts_and_begins_in_the_film() -> None:
    instants = [Record("text", -1, -0.5, "before"), Record("text", 2.0004, 2.0004, "at once")]
    for piece in [*write_srt(instants), *list(write_vtt(instants))[1:]]:
        found = TIMING.search(piece)
        assert found
        assert found[1] < found[2]
