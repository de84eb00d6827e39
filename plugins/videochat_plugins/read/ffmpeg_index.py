"""Which frames a file has, and when: from its packets, without decoding; or from decoding it all where they do not say.

The packets come from FFmpeg's muxer `framecrc`, which writes a line for each; the frames from its filter `showinfo`.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, Self

from videochat import VideoError
from videochat_plugins.read.ffmpeg_header import Header, Track
from videochat_plugins.read.ffmpeg_process import Lines, Process
from videochat_plugins.read.ffmpeg_program import command, opened, written
from videochat_plugins.read.pyav_source import Clock

_NO_TIME = -(1 << 63)
_DISCARDED = 4  # a packet's flag: decoded, but not shown
_SHOWN = re.compile(r"n:\s*\d+ pts:\s*(-?\d+) .* s:(\d+)x(\d+) i:(.) iskey:(\d)")
_CONFIG = re.compile(r"config in time_base: (\d+)/(\d+), frame_rate: (\d+)/(\d+)")


class Shown(NamedTuple):
    """A decoded frame, as the filter `showinfo` tells of it."""

    pts: int
    size: tuple[int, int]
    interlaced: bool
    key: bool

    @classmethod
    def of(cls, line: str) -> Self | None:
        """Read a line; None if it tells of no frame with a time."""
        found = _SHOWN.match(line)
        if found is None:
            return None
        return cls(int(found[1]), (int(found[2]), int(found[3])), found[4] in "TB", found[5] == "1")


def config_of(line: str) -> tuple[Fraction, Fraction] | None:
    """Read time base and frame rate (0: unknown) from a line of `showinfo`; None if it is another line."""
    found = _CONFIG.match(line)
    if found is None or not (int(found[1]) and int(found[2])):
        return None
    rate = Fraction(int(found[3]), int(found[4])) if int(found[4]) else Fraction(0)
    return Fraction(int(found[1]), int(found[2])), rate


@dataclass(slots=True)
class Packets:
    """What the packets of one stream say; times are in units of the time base."""

    time_base: Fraction = Fraction(1)
    pts: list[int] = field(default_factory=list)  # of those that are shown
    keys: set[int] = field(default_factory=set)
    count: int = 0
    timeless: int = 0  # packets without a time
    end: int | None = None  # of the one that ends last

    def add(self, pts: int, duration: int, flags: int) -> None:
        """Take in one packet."""
        self.count += 1
        if pts == _NO_TIME:
            self.timeless += 1
            return
        if not flags & _DISCARDED:
            self.pts.append(pts)
            self.end = max(pts + duration, pts if self.end is None else self.end)
            if flags & 1:
                self.keys.add(pts)

    def forget_times(self) -> None:
        """Drop all times, since they are made up."""
        self.pts, self.keys, self.timeless, self.end = [], set(), self.count, None

    def ends(self, offset: Fraction, step: Fraction) -> float:
        """Return the end of the last packet, seconds of media time; `step` is how long one without a time lasts."""
        timed = 0.0 if self.end is None else float(self.end * self.time_base - offset)
        return max(timed, float(self.timeless and self.count * step))


class Scan(NamedTuple):
    """The packets of the main streams; of a stream that is not there, none."""

    pictures: Packets
    sound: Packets


@dataclass(frozen=True, slots=True)
class Index:
    """The frames of a file in order of time."""

    time_base: Fraction
    pts: Sequence[int]
    times: Sequence[float]  # seconds of media time
    keys: Sequence[int]  # positions of the keyframes
    decoded: bool  # whether decoding has found it, so that it lists what there is and not what the packets promise

    @classmethod
    def of(cls, time_base: Fraction, offset: Fraction, pts: set[int], keys: set[int], decoded: bool) -> Self:
        """Return the index of frames with some timestamps, given the file's own time of media time 0."""
        clock, ordered = Clock.of(time_base, offset), sorted(pts)
        places = [place for place, one in enumerate(ordered) if one in keys]
        return cls(time_base, ordered, [clock.seconds(one) for one in ordered], places, decoded)


def nearest(times: Sequence[float], time: float) -> int:
    """Return the position of the nearest of some times, which are in order; of two as near, the earlier."""
    after = bisect_left(times, time)
    if after == len(times):
        return after - 1
    return after - 1 if after and time - times[after - 1] <= times[after] - time else after


def frame_step(track: Track) -> Fraction:
    """Return how long a picture lasts on average, seconds; for sound 0."""
    if track.kind != "video":
        return Fraction(0)
    return 1 / Fraction(track.fps or 25).limit_denominator(100_000)


def scan(path: Path, header: Header, timeout: float, last: float | None = None) -> Scan:
    """Read the packets of the main streams, all or those of about the `last` seconds, without decoding any."""
    found = Scan(Packets(), Packets())
    main = [(packets, track) for packets, track in zip(found, (header.pictures, header.sound), strict=True) if track]
    steps = [0] * len(main)  # units that stand for a duration which a packet does not state

    def read(line: str) -> None:
        if line.startswith("#tb "):
            number, base = line[4:].split(": ")
            packets, track = main[int(number)]
            packets.time_base = Fraction(base)
            steps[int(number)] = round(frame_step(track) / packets.time_base)
        elif line[:1].isdigit():
            number, _, pts, duration, size, _, *more = line.split(",")
            flags = next((int(part.strip()[2:], 16) for part in more if part.startswith(" F=")), 1)
            if int(size):
                main[int(number)][0].add(int(pts), int(duration) or steps[int(number)], flags)

    source = opened() if last is None else opened(sseof=-last)
    streams = [source[str(track.index)] for _, track in main]

    def build(pipes: Sequence[int]) -> list[str]:
        return command(path, [written(streams, f"pipe:{pipes[0]}", f="framecrc", c="copy", copyinkf=None)])

    with Process(path, timeout, [Lines(read)], build) as process:
        process.finish()
    return found


def packet_index(packets: Packets, offset: Fraction) -> Index | None:
    """Return the index that packets promise; None if some of them have no time."""
    if packets.timeless or not packets.pts:
        return None
    return Index.of(packets.time_base, offset, set(packets.pts), packets.keys, decoded=False)


def decoded_index(path: Path, track: Track, rate: Fraction | None, offset: Fraction, timeout: float) -> Index:
    """Decode all pictures of a file, to see which there are; `rate` for a file without timestamps.

    Raises:
        VideoError: if there are none.
    """
    pts: set[int] = set()
    keys: set[int] = set()
    time_base = Fraction(0)

    def hear(line: str) -> None:
        nonlocal time_base
        if frame := Shown.of(line):
            pts.add(frame.pts)
            if frame.key:
                keys.add(frame.pts)
        elif config := config_of(line):
            time_base = config[0]

    source = opened() if rate is None else opened(r=str(rate))
    shown = source[str(track.index)].filter("showinfo", checksum=0)
    done = command(path, [written(shown, "-", f="null", fps_mode="passthrough")])
    with Process(path, timeout, [], lambda _: done, hear) as process:
        process.finish()
    if not pts:
        raise VideoError(f"{path}: no picture in it can be decoded; the file is damaged")
    return Index.of(time_base, offset, pts, keys, decoded=True)
