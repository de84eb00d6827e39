"""Reader ffmpeg: what holds for every reader, through the program."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

import media
from videochat import VideoError, Want
from videochat.registry import registry
from videochat_plugins.read import ffmpeg_frames
from videochat_plugins.read.ffmpeg import FFmpeg
from videochat_plugins.read.ffmpeg_decode import Decoding


@pytest.fixture(autouse=True)
def _program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave imageio-ffmpeg's program as the only one, whatever is on PATH."""
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def indices(path: Path, times: list[float], strategy: str = "auto") -> list[int]:
    reader = FFmpeg(FFmpeg.Options.model_validate({"strategy": strategy}))
    return [
        media.read_index(frame.image) for frame in reader.frames(reader.probe(path), [Want(time) for time in times])
    ]


def test_it_is_registered() -> None:
    assert registry().find("read", "ffmpeg").cls is FFmpeg


def test_subtitles_beside_a_video(tmp_path: Path) -> None:
    file = tmp_path / "clip.srt"
    file.write_text("1\n00:00:01,000 --> 00:00:02,500\n<i>Hello</i> there\n\n")
    assert list(FFmpeg().subtitles(file)) == [(1.0, 2.5, "Hello there")]


def test_names_that_mean_something_to_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = (
        "-i.mp4",
        "http:a?b#c.mp4",
        "concat:x|y.mp4",
        "100%d [ü]'\\.mp4",
        "pipe:0.mp4",
        os.fsdecode(b"bad\xff.mp4"),
    )
    monkeypatch.chdir(tmp_path)
    for name in names:
        path = media.make(tmp_path / "plain.mp4", frames=2).path.rename(name)
        assert indices(path, [0.0, 0.04]) == [0, 1]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"This is only text.\n" * 50, "not a video"),
        ("noise.mkv", bytes(range(256)) * 40, "not a video"),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\ninside.ts\n#EXT-X-ENDLIST\n", "not followed"),
        ("list.mp4", b"ffconcat version 1.0\nfile 'inside.ts'\n", "not followed"),
        ("cut.mp4", b"\0\0\0\x18ftypisom\0\0\0\0isomiso2\0\0\0\x08mdat", "index"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, data: bytes, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    media.make(tmp_path / "inside.ts", frames=10)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(VideoError, match=words):
        FFmpeg().probe(tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_sound_alone_has_no_frames(tmp_path: Path) -> None:
    path = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=1.0).path
    reader = FFmpeg()
    video = reader.probe(path)
    assert (video.width, video.has_audio, video.duration) == (0, True, 1.0)
    with pytest.raises(VideoError, match="no pictures"):
        list(reader.frames(video, [Want(0.0)]))


def test_no_sound(tmp_path: Path) -> None:
    reader = FFmpeg()
    assert list(reader.audio(reader.probe(media.make(tmp_path / "a.mp4", frames=3).path), 16_000)) == []


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    sound = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=1.0).path
    image = media.make(tmp_path / "a.mkv", frames=1, codec="mjpeg", options={"strict": "-1"}).path
    with av.open(str(sound)) as tones, av.open(str(image)) as cover, av.open(str(tmp_path / "b.mp4"), "w") as target:
        art = target.add_stream_from_template(cover.streams.video[0])
        track = target.add_stream_from_template(tones.streams.audio[0])
        art.disposition = av.stream.Disposition.attached_pic
        for source, stream in ((cover, art), (tones, track)):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    assert [stream.kind for stream in FFmpeg().probe(tmp_path / "b.mp4").streams] == ["audio"]


def test_nearest_frame_and_the_end(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.4, 0.45, 1.3, 1.4]
    path = media.make(tmp_path / "a.mkv", times=times).path
    assert indices(path, [0.0, 0.02, 0.2, 0.225, 0.425, 1.0, 1.34, 1.41, 2.0]) == [0, 0, 1, 1, 2, 4, 4, 5]


@pytest.mark.parametrize("strategy", ["auto", "keyframes"])
def test_the_last_frame_stays_while_sound_goes_on(tmp_path: Path, strategy: str) -> None:
    path = media.make(tmp_path / "a.mp4", frames=25, gop=5, tone=440, audio_seconds=3.0).path
    assert indices(path, [2.9, 3.5], strategy) == [24 if strategy == "auto" else 20]


def test_cut_off(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", frames=250, gop=25, tone=440, container_options={"movflags": "faststart"})
    found = indices(media.cut(made.path, tmp_path / "b.mp4", 0.5), [i / 5 for i in range(49)])
    assert 10 < len(found) < 40
    assert all(abs(index - 5 * i) <= 3 for i, index in enumerate(found))


def test_frames_that_are_lost_are_made_up_for(tmp_path: Path) -> None:
    """Damage takes frames away that the packets promise: their neighbours are given instead."""
    made = media.make(tmp_path / "a.mkv", frames=100, gop=20, codec="ffv1", size=(64, 48))
    path = media.blot(made.path, tmp_path / "b.mkv", 0.4, 0.45)
    reader = FFmpeg()
    found = list(reader.frames(reader.probe(path), [Want(time) for time in made.times]))
    expected = [frame.time for frame in found]
    assert expected == sorted(expected)
    assert len(found) == 100
    right = [i for i, frame in enumerate(found) if abs(frame.time - made.times[i]) < 0.001]
    assert 50 < len(right) < 100


def test_sparse_wants_are_reached_by_seeking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.make(tmp_path / "a.mp4", frames=600, gop=25, b_frames=2, size=(64, 48)).path
    monkeypatch.setattr(ffmpeg_frames, "_START", 1e5)
    starts: list[int | None] = []
    plain = Decoding.__init__

    def noted(self: Decoding, *given: object) -> None:
        starts.append(given[2])
        plain(self, *given)

    monkeypatch.setattr(Decoding, "__init__", noted)
    assert indices(path, [0.4, 8.0, 8.2, 20.0]) == [10, 200, 205, 500]
    assert starts == [None, 200, 500]


def test_many_wants_take_several_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = media.make(tmp_path / "a.mp4", b_frames=2).path
    monkeypatch.setattr(ffmpeg_frames, "_AT_ONCE", 7)
    assert indices(path, [i / 25 for i in range(50)]) == list(range(50))


def test_a_frame_is_made_once_for_each_size(tmp_path: Path) -> None:
    reader = FFmpeg()
    video = reader.probe(media.make(tmp_path / "a.mp4", frames=3).path)
    wants = [Want(0.0, 60), Want(0.0), Want(0.01, 60), Want(0.01, 200), Want(0.04, 60)]
    a, b, c, d, e = reader.frames(video, wants)
    assert a is c
    assert b is d  # both as large as the source
    assert a.image.shape == (60, 80, 3)
    assert e.time != a.time


def test_wants_without_end_are_taken_bit_by_bit(tmp_path: Path) -> None:
    reader = FFmpeg()
    video = reader.probe(media.make(tmp_path / "a.mp4").path)

    def wanted() -> Iterator[Want]:
        while True:
            yield Want(0.5)

    frames = reader.frames(video, wanted())
    assert [media.read_index(next(frames).image) for _ in range(3)] == [12, 12, 12]
    frames.close()


def test_no_wants(tmp_path: Path) -> None:
    assert indices(media.make(tmp_path / "a.mp4", frames=3).path, []) == []


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    reader = FFmpeg()
    media.make(tmp_path / "a.mp4", frames=10)
    assert reader.probe(tmp_path / "a.mp4").duration == pytest.approx(0.4)
    media.make(tmp_path / "a.mp4", frames=20)
    assert reader.probe(tmp_path / "a.mp4").duration == pytest.approx(0.8)


def test_size_stays_when_the_source_changes_its_own(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate([(160, 120), (320, 240)]):
        with av.open(str(media.make(tmp_path / f"{number}.h264", frames=10, size=size).path)) as source:
            parts.append(b"".join(bytes(packet) for packet in source.demux() if packet.size))
    (tmp_path / "both.h264").write_bytes(b"".join(parts))
    assert indices(tmp_path / "both.h264", [i / 25 for i in range(20)]) == [*range(10), *range(10)]
