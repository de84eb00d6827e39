"""Which frames a file has, and when: from its packets, without decoding; or from decoding it all where they do not say.

The packets come from FFmpeg's muxer `framecrc`, which writes a line for each; the frames from its filter `showinfo`.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Self

from videochat import VideoError
from videochat_plugins.read.ffmpeg_header import Header, Track
from videochat_plugins.read.ffmpeg_process import Lines, Process
from videochat_plugins.read.ffmpeg_program import command, opened, written
from videochat_plugins.read.pyav_source import Clock
from videochat_plugins.read.refusal import DAMAGED
from videochat_plugins.read.timestamps import End

# The program mends what it takes for disorder: a wild time would become that of all later packets, too. It goes by the
# time of decoding, so all packets get the same one. Sound is then said to start at that, too: where a packet ends is
# therefore sent as its duration.
_NEVER = -(10**12)  # before any time that there is
_ORDER = {"video": _NEVER, "audio": "STARTPTS"}
_DISCARDED = 4  # a packet's flag: decoded, but not shown
# Kinds of file whose clock has 33 bits. The program takes the way back from a jump of most of its range for its turn,
# and puts off all that follows, pictures and sound.
_TURNING = {"mpegts", "mpeg"}
_TURN = 0.9 * 2**33
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
    """What the packets of one stream that are shown say; times are in units of the time base."""

    time_base: Fraction = Fraction(1)
    pts: list[int] = field(default_factory=list)  # for sound: where the first starts, again and again
    keys: set[int] = field(default_factory=set)
    ends: list[int | None] = field(default_factory=list)  # of each packet, as the file has them; None: without a time

    def add(self, pts: int, end: int, key: bool) -> None:
        """Take in one packet."""
        if end <= _NEVER:
            self.ends.append(None)
            return
        self.pts.append(pts)
        self.ends.append(end)
        if key:
            self.keys.add(pts)

    @property
    def timeless(self) -> bool:
        """Whether some have no time."""
        return len(self.pts) < len(self.ends)

    @property
    def leap(self) -> int:
        """The longest way on from the end of one to that of the next."""
        ends = [end for end in self.ends if end is not None]
        return max((after - before for before, after in pairwise(ends)), default=0)

    def forget_times(self) -> None:
        """Drop all times, since they are made up."""
        self.pts, self.keys, self.ends = [], set(), [None] * len(self.ends)

    def end(self, offset: Fraction, step: Fraction) -> float:
        """Return where they end, seconds of media time; `step` is how long a packet without a time lasts."""
        clock, found = Clock.of(self.time_base, offset), End()
        for number, end in enumerate(self.ends, 1):
            found.add(float(number * step) if end is None else clock.seconds(end))
        return found.believed


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
    """Read the packets of the main streams, all or those of about the `last` seconds, without decoding any.

    Raises:
        VideoError: if the program crashes, fails or hangs, or misunderstands a timestamp.
    """
    found = Scan(Packets(), Packets())
    main = [(packets, track) for packets, track in zip(found, (header.pictures, header.sound), strict=True) if track]
    source = opened() if last is None else opened(sseof=-last)

    def build(pipes: Sequence[int]) -> list[str]:
        outputs = []
        for pipe, (_, track) in zip(pipes, main, strict=True):
            times = f"setts=pts=PTS:dts={_ORDER[track.kind]}:duration=PTS+DURATION-({_NEVER})"
            listed = written(source[str(track.index)], f"pipe:{pipe}", f="framecrc", c="copy", copyinkf=None, bsf=times)
            outputs.append(listed)
        return command(path, outputs)

    with Process(path, timeout, [_listed(packets, frame_step(track)) for packets, track in main], build) as process:
        process.finish()
    if header.formats[0] in _TURNING and any(packets.leap > _TURN for packets in found):
        raise VideoError(
            f"{path}: a damaged timestamp makes the program ffmpeg lose track of time; use the reader pyav"
        )
    return found


def _listed(packets: Packets, step: Fraction) -> Lines:
    """Take the lines of `framecrc` into packets; one that does not state how long it lasts does for `step` seconds."""
    units = 0

    def read(line: str) -> None:
        nonlocal units
        if line.startswith("#tb 0: "):
            packets.time_base = Fraction(line[7:])
            units = round(step / packets.time_base)
        elif line[:1].isdigit():
            _, _, pts, duration, size, _, *more = line.split(",")
            flags = next((int(part.strip()[2:], 16) for part in more if part.startswith(" F=")), 1)
            if int(size) and not flags & _DISCARDED:
                end = int(duration) + _NEVER
                packets.add(int(pts), end if end != int(pts) else end + units, key=bool(flags & 1))

    return Lines(read)


def packet_index(packets: Packets, offset: Fraction, latest: float) -> Index | None:
    """Return the index that packets promise, without frames later than `latest`; None if some packets have no time."""
    last = Clock.of(packets.time_base, offset).timestamp(latest)
    believed = {pts for pts in packets.pts if pts <= last}
    if packets.timeless or not believed:
        return None
    return Index.of(packets.time_base, offset, believed, packets.keys, decoded=False)


def told(stream: Any, offset: Fraction, latest: float) -> Any:
    """Return a stream of frames that `showinfo` tells of, all but those whose time does not rise or is past `latest`.

    These must go first: what follows, be it a filter or who reads what is told, relies on the order of times.
    """
    rises = f"not(lte(pts,prev_selected_pts))*lte(t,{float(offset) + latest:.6f})"
    return stream.filter("select", rises).filter("showinfo", checksum=0)


def decoded_index(
    path: Path, track: Track, rate: Fraction | None, offset: Fraction, latest: float, timeout: float
) -> Index:
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
    shown = told(source[str(track.index)], offset, latest)
    done = command(path, [written(shown, "-", f="null", fps_mode="passthrough")])
    with Process(path, timeout, [], lambda _: done, hear) as process:
        try:
            process.finish()
        except VideoError:
            if process.crashed or pts:
                raise
    if not pts:
        raise VideoError(f"{path}: {DAMAGED}")
    return Index.of(time_base, offset, pts, keys, decoded=True)
