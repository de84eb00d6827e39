"""The segments of a video: found once, kept in the cache, always a tiling of the whole."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from videochat.cache import digest, identity, root, write_whole
from videochat.errors import PluginError, VideoChatError
from videochat.hookspecs import Event
from videochat.registry import registry
from videochat.video import Video
from videochat.window import Frame, Span, Want, sample_times, windows_over

if TYPE_CHECKING:
    from videochat.stack import Stack


def known_segments(stack: "Stack", video: Video) -> tuple[Span, ...] | None:
    """Return the segments, or None if they are not cached and the segmenter must see the video first."""
    if stack.segmenter.sampling() is None:
        return tiled(stack, video, stack.segmenter.segments(video, ()))
    try:
        return tuple(Span(*span) for span in json.loads(segments_file(stack, video).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def tiled(stack: "Stack", video: Video, spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the segments, once it is sure that they cover the whole video in order, without gap or overlap.

    Raises:
        PluginError: if they do not.
    """
    use = identity(stack.segmenter)["use"]
    try:
        found = tuple(spans)
    except VideoChatError:
        raise
    except Exception as error:  # a stranger's plugin may raise anything
        raise PluginError(f"segment {use}: {type(error).__name__}: {error}") from error
    edges = [0.0, *(span.end for span in found)]
    gaps = any(abs(span.start - edge) > 1e-6 for span, edge in zip(found, edges, strict=False))
    if gaps or any(span.end <= span.start for span in found) or abs(edges[-1] - video.duration) > 1e-6:
        raise PluginError(f"segment {use}: its segments do not tile the video from 0 to {video.duration:g} s")
    return found


def segments_file(stack: "Stack", video: Video) -> Path:
    """Return where the segments of a video are cached."""
    key = digest({"read": identity(stack.reader), "segment": identity(stack.segmenter, stack.pool)})
    return root() / video.hash[:32] / key / "segments.json"


def find_segments(stack: "Stack", video: Video) -> None:
    """Let the segmenter see the video, and keep what it found."""
    sampling = stack.segmenter.sampling()
    assert sampling is not None, "a segmenter that needs no frames needs no pass"
    parts = windows_over(60.0, Span(0.0, video.duration), ())  # so that the times of a film are never all held
    times = (time for part in parts for time in sample_times(part, sampling))
    frames = _counted(stack.reader.frames(video, (Want(time, sampling.side) for time in times)), video.duration)
    spans = tiled(stack, video, stack.segmenter.segments(video, frames))
    write_whole(segments_file(stack, video), json.dumps(spans))


def _counted(frames: Iterable[Frame], duration: float) -> Iterator[Frame]:
    """Pass frames on, and tell the observers each second of video that went by."""
    told = -1
    for frame in frames:
        if int(frame.time) > told:
            told = int(frame.time)
            registry().observe(Event("segment", "seconds", told, int(duration), detail="looking for segments"))
        yield frame
