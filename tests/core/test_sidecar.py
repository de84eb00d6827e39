"""Which file a video's subtitles are read from."""

from pathlib import Path

import pytest

from videochat import Stream, Video
from videochat.sidecar import TEXT_CODECS, subtitle_file


def found(folder: Path, *names: str, streams: tuple[Stream, ...] = (), video: str = "clip.mp4") -> str | None:
    for name in names:
        (folder / name).write_text("")
    path = subtitle_file(Video(folder / video, 10.0, 64, 48, streams=streams))
    return None if path is None else path.name


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((), None),
        (("clip.srt",), "clip.srt"),
        (("clip.vtt",), "clip.vtt"),
        (("clip.vtt", "clip.srt"), "clip.srt"),
        (("clip.en.srt", "clip.de.vtt"), "clip.de.vtt"),
        (("clip.de.srt", "clip.vtt"), "clip.vtt"),
        (("clip.en.srt",), "clip.en.srt"),
        (("clip.en.forced.srt", "clip2.srt", "other.srt", "clip.txt", "clip.ass", "srt"), None),
    ],
)
def test_a_file_beside_it(tmp_path: Path, names: tuple[str, ...], chosen: str | None) -> None:
    assert found(tmp_path, *names) == chosen


def test_a_name_with_dots_and_brackets(tmp_path: Path) -> None:
    video = "a.b [1080p] *?.mkv"
    assert found(tmp_path, "a.b.srt", "a.en.srt", video=video) is None
    assert found(tmp_path, "a.b [1080p] *?.en.srt", video=video) == "a.b [1080p] *?.en.srt"


@pytest.mark.parametrize("codec", sorted(TEXT_CODECS))
def test_a_stream_of_words_in_itself(tmp_path: Path, codec: str) -> None:
    streams = (Stream("video", "h264"), Stream("subtitle", codec))
    assert found(tmp_path, streams=streams) == "clip.mp4"
    assert found(tmp_path, "clip.srt", streams=streams) == "clip.srt"


@pytest.mark.parametrize("codec", ["hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"])
def test_pictures_of_words_are_none(tmp_path: Path, codec: str) -> None:
    assert found(tmp_path, streams=(Stream("subtitle", codec),)) is None


def test_a_stream_of_another_kind_is_none(tmp_path: Path) -> None:
    assert found(tmp_path, streams=(Stream("data", "text"),)) is None


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "clip.srt").mkdir()
    (tmp_path / "clip.en.srt").symlink_to(tmp_path / "nothing")
    assert found(tmp_path) is None


def test_a_video_whose_folder_is_gone_has_none(tmp_path: Path) -> None:
    assert subtitle_file(Video(tmp_path / "gone" / "clip.mp4", 10.0, 64, 48)) is None


def test_a_subtitle_file_is_not_its_own(tmp_path: Path) -> None:
    assert found(tmp_path, "clip.srt", video="clip.srt") is None
