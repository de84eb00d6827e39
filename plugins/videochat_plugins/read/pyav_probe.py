"""The facts of a file: from its headers, one decoded frame, and its packets where the headers do not say."""

import itertools
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from videochat import Stream, Video, VideoError
from videochat_plugins.read.pyav_picture import Turn, rotation_of, shown_size, turn_of
from videochat_plugins.read.pyav_source import PIXELS, STATES_DURATION, Source, frame_rate, is_video, open_source
from videochat_plugins.read.refusal import NO_PICTURE
from videochat_plugins.read.timestamps import JUMP, End

if TYPE_CHECKING:
    import av.stream
    from av.video.frame import VideoFrame

_TRIES = 200  # packets in which a first frame is looked for
_TAIL = 40  # packets at the end in which the last frame shown is looked for: codecs reorder no more than 16


def probe(path: Path) -> Video:
    """Return the facts of a file.

    Raises:
        VideoError: if the file cannot be read.
    """
    with open_source(path) as source:
        duration = _stated_duration(source)
        width = height = 0
        turn = Turn()
        fps: Fraction | float | None = None
        if source.pictures is not None:
            stream = source.pictures
            frame = _first_frame(source)
            width, height = (frame.width, frame.height) if frame else (stream.width, stream.height)
            if not (width and height):
                why = f"the file is damaged, or its pictures have over {PIXELS:,} pixels"
                raise VideoError(f"{path}: {NO_PICTURE}; {why}")
            turn = turn_of(frame) if frame else turn
            width, height = shown_size(width, height, stream.sample_aspect_ratio, turn)
            fps = frame_rate(stream)
            if duration is not None and (last := _last_shown(source, duration)) >= duration:
                duration = last + float(_step(stream))
        if duration is None:
            duration, pictures = _scanned(path)
            fps = fps or (pictures / duration if duration else None)
        return Video(
            path=path,
            duration=duration,
            width=width,
            height=height,
            fps=float(fps or 0),
            rotation=rotation_of(turn),
            offset=float(source.offset),
            streams=tuple(_streams(source)),
        )


def _streams(source: Source) -> list[Stream]:
    found = []
    for stream in source.container.streams:
        if stream.type in ("audio", "subtitle") or is_video(stream):
            codec = stream.codec_context.codec.canonical_name if stream.codec_context is not None else "unknown"
            found.append(Stream(stream.type, codec, stream.language or ""))
    return found


def _first_frame(source: Source) -> "VideoFrame | None":
    """Decode the first frame, which alone tells how it is to be turned; None if there is none near the start."""
    import av

    assert source.pictures is not None
    source.pictures.codec_context.thread_count = 1  # more would only fill a queue first
    for packet in itertools.chain(itertools.islice(source.packets(source.pictures), _TRIES), [None]):
        try:
            for frame in source.pictures.decode(packet):
                return frame
        except av.error.FFmpegError:
            continue
    return None


def _stated_duration(source: Source) -> float | None:
    """Return the duration in the headers, or None if they hold none that is to be relied on."""
    kinds = source.container.format.name.split(",")
    # Matroska counts from 0, not from the first frame: with an offset it depends on the writer what its duration means.
    if kinds[0] not in STATES_DURATION or (kinds[0] == "matroska" and source.offset):
        return None
    main = [stream for stream in (source.pictures, source.sound) if stream is not None]
    if kinds[0] in ("mov", "avi"):
        ends = [end for stream in main if (end := source.declared_end(stream)) is not None and end > 0]
        if len(ends) == len(main):
            return max(ends)
    declared = source.container.duration
    return declared / 1e6 if declared and declared > 0 else None


def _last_shown(source: Source, stated: float) -> float:
    """Return the media time of the last frame of an MP4 that codes frames out of order; 0 for all other files.

    What such a file has `stated` as its duration is the sum of the steps from frame to frame in order of decoding.
    Where these vary, the last frame may be shown after that.
    """
    import av

    stream = source.pictures
    if stream is None or not stream.codec_context.has_b_frames or "mov" not in source.container.format.name.split(","):
        return 0.0
    entries = stream.index_entries
    if not 0 < stream.frames <= len(entries):
        return 0.0
    try:
        source.container.seek(entries[max(0, len(entries) - _TAIL)].timestamp, stream=stream, any_frame=True)
    except av.error.FFmpegError:
        return 0.0
    tail = itertools.islice(source.packets(stream), _TAIL)
    last = source.clock(stream).seconds(max((packet.pts for packet in tail if packet.pts is not None), default=0))
    return last if last <= stated + JUMP else 0.0


def _scanned(path: Path) -> tuple[float, int]:
    """Read all packets, decode none; return the end of the last of pictures or sound, and how many hold pictures."""
    import av

    with open_source(path) as source:
        main: list[av.stream.Stream] = [stream for stream in (source.pictures, source.sound) if stream is not None]
        clocks = {stream.index: source.clock(stream) for stream in main}
        ends = {stream.index: End() for stream in main}
        steps = {stream.index: _step(stream) for stream in main}
        counts = dict.fromkeys(clocks, 0)
        for packet in source.packets(*main):
            index = packet.stream_index
            counts[index] += 1
            if packet.pts is None:
                ends[index].add(float(counts[index] * steps[index]))
            elif packet.duration:
                ends[index].add(clocks[index].seconds(packet.pts + packet.duration))
            else:
                ends[index].add(clocks[index].seconds(packet.pts) + float(steps[index]))
        pictures = counts.get(source.pictures.index, 0) if source.pictures is not None else 0
        return max((end.believed for end in ends.values()), default=0.0), pictures


def _step(stream: "av.stream.Stream") -> Fraction:
    """Return how long a packet lasts that does not say it itself, seconds."""
    from av.video.stream import VideoStream

    return 1 / (frame_rate(stream) or Fraction(25)) if isinstance(stream, VideoStream) else Fraction(0)
