"""Reader pyav: what a probe says of a file."""

import os
from fractions import Fraction
from pathlib import Path

import av
import pytest

import media
from videochat import VideoError
from videochat_plugins.read.pyav import PyAV


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.mp4", {}),
        ("late.mkv", {"start": 5.0}),
        ("late.ts", {"start": 5.0, "b_frames": 2}),
        ("stream.webm", {"codec": "libvpx", "options": {"cpu-used": "8"}, "container_options": {"live": "1"}}),
        ("stream.mkv", {"b_frames": 2, "container_options": {"live": "1"}}),
        ("raw.h264", {"b_frames": 2}),
        ("old.mpg", {"codec": "mpeg2video"}),
        ("fragments.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov+default_base_moof"}}),
    ],
)
def test_duration_ends_with_the_last_frame(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    made = media.make(tmp_path / name, **options)
    video = PyAV().probe(made.path)
    assert video.duration == pytest.approx(2.0, abs=0.001)
    assert video.fps == pytest.approx(25, abs=0.5)
    assert (video.width, video.height) == (160, 120)
    assert video.has_pictures
    assert not video.has_audio


def test_duration_of_a_variable_frame_rate(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", times=[0, 0.1, 0.5, 0.52, 3.0, 3.25])
    assert PyAV().probe(made.path).duration == pytest.approx(3.25 + 1 / 25, abs=0.001)  # as the encoder says


def test_frame_rate_is_counted_where_the_file_states_nonsense(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.ts", times=[0, 0.1, 0.5, 0.52, 3.0, 3.2111])
    assert 0.5 < PyAV().probe(made.path).fps < 100


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_size_is_the_one_that_is_shown(tmp_path: Path, rotation: int) -> None:
    made = media.make(tmp_path / "a.mp4", frames=3, rotation=rotation, sar=Fraction(3, 2), size=(120, 80))
    video = PyAV().probe(made.path)
    assert video.rotation == rotation
    assert (video.width, video.height) == made.size
    assert made.size == ((80, 180) if rotation in (90, 270) else (180, 80))


def test_pixels_that_are_square_but_for_rounding(tmp_path: Path) -> None:
    made = media.make(tmp_path / "a.mp4", frames=2, sar=Fraction(1280, 1281))
    assert PyAV().probe(made.path).width == 160


def test_streams(tmp_path: Path) -> None:
    video = PyAV().probe(media.make(tmp_path / "a.mkv", frames=10, tone=440).path)
    assert [(stream.kind, stream.codec) for stream in video.streams] == [("video", "h264"), ("audio", "aac")]


def test_sound_alone(tmp_path: Path) -> None:
    video = PyAV().probe(
        media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=2.5).path
    )
    assert (video.width, video.height, video.fps) == (0, 0, 0)
    assert video.has_audio
    assert not video.has_pictures
    assert video.duration == pytest.approx(2.5)


def test_cover_art_is_no_video(tmp_path: Path) -> None:
    sound = media.make(tmp_path / "a.flac", frames=0, tone=440, audio_codec="flac", audio_seconds=1.0).path
    image = _picture(tmp_path / "cover.png")
    with av.open(str(sound)) as tones, av.open(str(image)) as cover, av.open(str(tmp_path / "b.mp4"), "w") as target:
        art = target.add_stream_from_template(cover.streams.video[0])
        track = target.add_stream_from_template(tones.streams.audio[0])
        art.disposition = av.stream.Disposition.attached_pic
        for source, stream in ((cover, art), (tones, track)):
            for packet in source.demux():
                if packet.size:
                    packet.stream = stream
                    target.mux(packet)
    video = PyAV().probe(tmp_path / "b.mp4")
    assert [stream.kind for stream in video.streams] == ["audio"]
    assert not video.has_pictures


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_a_picture_is_a_video_of_one_frame(tmp_path: Path, name: str) -> None:
    video = PyAV().probe(_picture(tmp_path / name))
    assert (video.width, video.height) == (160, 120)
    assert 0 < video.duration <= 0.1
    assert video.has_pictures


def test_offset_is_where_the_file_starts(tmp_path: Path) -> None:
    assert PyAV().probe(media.make(tmp_path / "a.mkv", frames=5, start=7.5).path).offset == 7.5


def test_odd_names(tmp_path: Path) -> None:
    for name in ("http:a?b#c.mp4", "concat:x|y.mp4", "100%d [ü].mp4", os.fsdecode(b"bad\xff.mp4")):
        made = media.make(tmp_path / "plain.mp4", frames=2)
        path = tmp_path / name
        made.path.rename(path)
        assert PyAV().probe(path).width == 160


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"This is only text.\n" * 50, "not a video"),
        ("text.txt", b"This is only text.\n" * 50, "not a video"),
        ("one.mp4", b"x", "not a video"),
        ("noise.mkv", bytes(range(256)) * 40, "not a video"),
        ("words.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n", "not a video"),
    ],
)
def test_what_is_no_media(
    tmp_path: Path, name: str, data: bytes, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    _refused(path, words)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file(tmp_path: Path) -> None:
    _refused(tmp_path / "none.mp4", "no such file")
    _refused(tmp_path, "folder")
    _refused(tmp_path / ("x" * 300), "cannot be opened")
    _refused(Path("a\0b.mp4"), "cannot be opened")
    os.mkfifo(tmp_path / "pipe.mp4")
    _refused(tmp_path / "pipe.mp4", "not a regular file")


def test_cut_off_before_the_index(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    made = media.make(tmp_path / "a.mp4")
    _refused(media.cut(made.path, tmp_path / "b.mp4", 0.7), "index")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\n{path}\n#EXT-X-ENDLIST\n"),
        ("a.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"),
        ("a.ffconcat", "ffconcat version 1.0\nfile '{path}'\n"),
        ("a.mp4", "ffconcat version 1.0\nfile '{path}'\n"),
        ("a.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        ("a.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{path}</BaseURL></MPD>'),
    ],
)
def test_files_that_name_others_are_not_followed(tmp_path: Path, name: str, text: str) -> None:
    inside = media.make(tmp_path / "inside.ts", frames=10).path
    path = tmp_path / name
    path.write_text(text.format(path=inside.name))
    _refused(path, "not followed")


def _refused(path: Path, words: str) -> None:
    with pytest.raises(VideoError) as caught:
        PyAV().probe(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def _picture(path: Path) -> Path:
    codec = {".png": "png", ".jpg": "mjpeg", ".bmp": "bmp"}[path.suffix]
    context = av.CodecContext.create(codec, "w")
    context.width, context.height, context.time_base = 160, 120, Fraction(1, 25)
    context.pix_fmt = {"png": "rgb24", "mjpeg": "yuvj420p", "bmp": "bgr24"}[codec]
    frame = av.VideoFrame.from_ndarray(media.draw(5, 160, 120), format="rgb24").reformat(format=context.pix_fmt)
    frame.pts = 0
    path.write_bytes(b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)]))
    return path
