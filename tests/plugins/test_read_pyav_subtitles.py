"""Subtitles read through FFmpeg's libraries: files beside a video, streams in it, and damaged ones."""

import subprocess
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media import make
from videochat import Cue, VideoError
from videochat.sidecar import subtitle_file
from videochat_plugins.read.pyav import PyAV

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Mind</i> the <font color="#ff0000">gap</font>.

2
00:00:02,000 --> 00:00:03,000
{\\an8}Two
lines

3
01:00:00,040 --> 01:00:01,000
An hour later
"""
VTT = """WEBVTT

NOTE nobody says this

STYLE
::cue { color: red }

opening
00:01.000 --> 00:02.500 align:start position:10%
<v Anna>Mind the <b>gap</b>.</v>

00:02.000 --> 00:03.000
Two
lines

01:00:00.040 --> 01:00:01.000
An hour later
"""
CUES = [Cue(1.0, 2.5, "Mind the gap."), Cue(2.0, 3.0, "Two lines"), Cue(3600.04, 3601.0, "An hour later")]


def read(path: Path) -> list[Cue]:
    return list(PyAV().subtitles(path))


def written(folder: Path, text: str | bytes, name: str = "clip.srt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(("name", "text"), [("clip.srt", SRT), ("clip.vtt", VTT)])
@pytest.mark.parametrize("change", ["none", "crlf", "bom"])
def test_files_of_both_kinds_say_the_same(tmp_path: Path, name: str, text: str, change: str) -> None:
    data = text.replace("\n", "\r\n" if change == "crlf" else "\n").encode()
    assert read(written(tmp_path, b"\xef\xbb\xbf" + data if change == "bom" else data, name)) == CUES


@pytest.mark.parametrize(
    "data",
    ["Größe “quoted”".encode(), "Größe “quoted”".encode("cp1252"), "Größe “quoted”".encode("utf-16")],
    ids=["utf-8", "cp1252", "utf-16"],
)
def test_encodings(tmp_path: Path, data: bytes) -> None:
    head = "1\n00:00:01,000 --> 00:00:02,000\n"
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    path = written(tmp_path, (head + "Größe “quoted”\n").encode("utf-16") if wide else head.encode() + data + b"\n")
    assert [cue.text for cue in read(path)] == ["Größe “quoted”"]


def test_cues_come_in_order_of_time_and_the_empty_ones_not_at_all(tmp_path: Path) -> None:
    blocks = ["00:00:05,000 --> 00:00:06,000\nlate", "00:00:01,000 --> 00:00:02,000\nearly"]
    blocks += ["00:00:03,000 --> 00:00:04,000\n<i> </i>", "00:00:04,000 --> 00:00:03,000\nbackwards"]
    text = "\n\n".join(f"{i}\n{block}" for i, block in enumerate(blocks, 1))
    cues = read(written(tmp_path, text))
    assert [cue.text for cue in cues if cue.text != "backwards"] == ["early", "late"]
    assert all(cue.start <= cue.end for cue in cues)
    assert all(a.start <= b.start for a, b in pairwise(cues))


@pytest.mark.parametrize(
    ("name", "head", "words"),
    [
        ("clip.srt", "1\n00:00:01,000 --> 00:00:02,000\n", r"50 % of C:\temp and C:\new, 1 < 2 & so {on}, {2"),
        ("clip.vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\n", r"50 % of C:\temp and C:\new, \Nope & so {on}, {2"),
    ],
)
def test_braces_and_backslashes_of_the_words_stay(tmp_path: Path, name: str, head: str, words: str) -> None:
    (cue,) = read(written(tmp_path, f"{head}{words}\n", name))
    assert cue.text == words


ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour
Style: Default,Arial,20,&H00FFFFFF

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Default,Ann,0,0,0,,{\\b1}Yes{\\b0}, {a note}well,\\Nso\\nit\\his
Dialogue: 0,0:00:01.50,0:00:02.00,Default,,0,0,0,,{\\an7\\p1}m 0 0 l 10 0 10 10{\\p0}
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,Nobody says this
"""


def test_styles_notes_and_drawings_are_no_words(tmp_path: Path) -> None:
    path = with_subtitles(tmp_path, "clip.mkv", written(tmp_path, ASS, "words.ass"), "copy")
    assert read(path) == [Cue(1.0, 2.0, "Yes, well, so it is")]


def with_subtitles(folder: Path, name: str, words: Path, codec: str, start: int = 0) -> Path:
    """Make a video of four seconds with a stream of subtitles in it."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    film = make(folder / "film.mkv", frames=100, size=(64, 48)).path
    command = [ffmpeg, "-v", "error", "-i", film, "-i", words, "-t", "4", "-c:v", "copy", "-c:s", codec]
    subprocess.run([*command, "-output_ts_offset", str(start), folder / name], check=True)
    return folder / name


@pytest.mark.parametrize("text", ["", "\n\n", "no subtitles here", "WEBVTT\n", "\0" * 1000, "1\n99:99 --> x\nword"])
@pytest.mark.parametrize("name", ["clip.srt", "clip.vtt"])
def test_a_file_without_subtitles_has_none_or_says_so(tmp_path: Path, text: str, name: str) -> None:
    path = written(tmp_path, text, name)
    try:
        cues = read(path)
    except VideoError:
        return
    assert cues == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(SRT) - 1), st.binary(min_size=1, max_size=4)), max_size=12),
    name=st.sampled_from(["clip.srt", "clip.vtt"]),
)
def test_damaged_files_are_read_as_far_as_they_go(tmp_path: Path, edits: list[tuple[int, bytes]], name: str) -> None:
    data = bytearray((SRT if name == "clip.srt" else VTT).encode())
    for at, piece in edits:
        data[at : at + len(piece)] = piece
    try:
        cues = read(written(tmp_path, bytes(data), name))
    except VideoError:
        return
    assert all(0 <= cue.start <= cue.end and cue.text for cue in cues)


@pytest.mark.parametrize("start", [0, 5])
@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "subrip"), ("clip.mkv", "ass"), ("clip.mp4", "mov_text")])
def test_a_stream_in_the_video_is_in_the_videos_time(tmp_path: Path, name: str, codec: str, start: int) -> None:
    words = written(tmp_path, SRT.replace("02,500", "02,000"), "words.srt")
    path = with_subtitles(tmp_path, name, words, codec, start)
    video = PyAV().probe(path)
    assert video.offset == pytest.approx(start, abs=0.1)
    assert subtitle_file(video) == path
    late = start - video.offset
    found = read(path)
    assert [cue.text for cue in found] == ["Mind the gap.", "Two lines"]
    assert [time for cue in found for time in cue[:2]] == pytest.approx(
        [1 + late, 2 + late, 2 + late, 3 + late], abs=0.002
    )


def test_a_video_without_subtitles_has_none(tmp_path: Path) -> None:
    assert read(make(tmp_path / "clip.mp4", frames=5, size=(64, 48)).path) == []


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for name in ("gone.srt", "gone.mkv"):
        with pytest.raises(VideoError, match="no such file"):
            read(tmp_path / name)


def test_a_file_that_names_others_is_not_followed(tmp_path: Path) -> None:
    written(tmp_path, SRT, "secret.srt")
    for text in (f"#EXTM3U\n{tmp_path}/secret.srt\n", f"ffconcat version 1.0\nfile {tmp_path}/secret.srt\n"):
        with suppress(VideoError):
            assert read(written(tmp_path, text)) == []
