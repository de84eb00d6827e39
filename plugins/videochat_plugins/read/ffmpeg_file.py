"""What is known of one file, each part found out when it is first needed."""

from fractions import Fraction
from functools import cached_property
from pathlib import Path

from videochat import Stream, Video, VideoError
from videochat_plugins.read.ffmpeg_header import Header, Track, read_header
from videochat_plugins.read.ffmpeg_index import (
    Index,
    Scan,
    Shown,
    config_of,
    decoded_index,
    frame_step,
    packet_index,
    scan,
)
from videochat_plugins.read.ffmpeg_process import Process
from videochat_plugins.read.ffmpeg_program import command, opened, written
from videochat_plugins.read.pyav_picture import Turn, rotation_of, shown_size
from videochat_plugins.read.pyav_source import STATES_DURATION
from videochat_plugins.read.refusal import DAMAGED, ONLY_SOUND
from videochat_plugins.read.timestamps import JUMP, latest

_TAIL = 5.0  # seconds at the end in which the last packets are looked for
_ROUNDED = 0.0051  # that a number may be off which is printed in hundredths
# Bare streams of pictures, without timestamps.
_BARE = {"h261", "h263", "h264", "hevc", "vvc", "m4v", "mpegvideo", "obu", "vc1", "dirac", "cavsvideo", "avs2", "avs3"}
_SEEKS = {"mov", "matroska", "mpegts", "flv"}  # where packets after a seek are those that streaming gives


class File:
    """A file, as the program tells of it."""

    def __init__(self, path: Path, timeout: float) -> None:
        self.path = path
        self.timeout = timeout

    @cached_property
    def header(self) -> Header:
        """What it says of itself."""
        return read_header(self.path, self.timeout)

    @property
    def pictures(self) -> Track:
        """The main stream of pictures.

        Raises:
            VideoError: if there is none.
        """
        if self.header.pictures is None:
            raise VideoError(f"{self.path}: {ONLY_SOUND}")
        return self.header.pictures

    @property
    def can_seek(self) -> bool:
        """Whether a seek in this kind of file can be relied on."""
        return self.header.formats[0] in _SEEKS

    @cached_property
    def packets(self) -> Scan:
        """All packets of the main streams."""
        found = scan(self.path, self.header, self.timeout)
        if self.header.pictures is not None and self.rate is not None:
            found.pictures.forget_times()
        return found

    @cached_property
    def offset(self) -> Fraction:
        """The file's own time of media time 0: its start as printed, made exact by a packet's time; 0 if below."""
        stated = self.header.start
        if stated is not None and stated <= 0:
            return Fraction(0)
        starts = [min(packets.pts) * packets.time_base for packets in self.packets if packets.pts]
        if stated is None:
            return max(Fraction(0), min(starts, default=Fraction(0)))
        return next((start for start in starts if abs(start - stated) <= Fraction(1, 1_000_000)), stated)

    @property
    def rate(self) -> Fraction | None:
        """Frames a second that a file without timestamps is given; None for one that has them."""
        bare = self.header.start is None and self.header.formats[0] in _BARE
        return 1 / frame_step(self.pictures) if bare else None

    @cached_property
    def index(self) -> Index:
        """The frames that there are, or that the packets promise."""
        promised = packet_index(self.packets.pictures, self.offset, self.latest) if self.rate is None else None
        return promised or self.look_again()

    def look_again(self) -> Index:
        """Decode all, since the packets do not tell which frames there are, and return the true index."""
        self.index = decoded_index(self.path, self.pictures, self.rate, self.offset, self.latest, self.timeout)
        return self.index

    @cached_property
    def first(self) -> tuple[Shown | None, Fraction]:
        """The first frame, None if none can be decoded, and the exact frame rate that FFmpeg works with (0: none)."""
        seen: list[Shown] = []
        rates = [Fraction(0)]

        def hear(line: str) -> None:
            if frame := Shown.of(line):
                seen.append(frame)
            elif config := config_of(line):
                rates[0] = config[1]
            elif self.pictures.rotation == 0:
                self.pictures.look_for_matrix(line)

        source = opened() if self.rate is None else opened(r=str(self.rate))
        shown = source[str(self.pictures.index)].filter("showinfo", checksum=0)
        only = written(shown, "-", **{"frames:v": 1}, f="null", fps_mode="passthrough")
        with Process(self.path, self.timeout, [], lambda _: command(self.path, [only]), hear) as process:
            try:
                process.finish()
            except VideoError:
                if process.crashed:
                    raise
        return (seen[0] if seen else None), rates[0]

    @cached_property
    def interlaced(self) -> bool:
        """Whether frames are to be deinterlaced that say that they need it."""
        frame, _ = self.first
        return self.pictures.interlaced or (frame is not None and frame.interlaced)

    @property
    def turn(self) -> Turn:
        """How the pictures are turned to be shown."""
        _ = self.first  # some codecs state it with the frame
        quarter = round(-self.pictures.rotation / 90) % 4
        return (Turn(), Turn(True, True, False), Turn(False, True, True), Turn(True, False, True))[quarter]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the pictures as stored.

        Raises:
            VideoError: if nothing tells it.
        """
        frame, _ = self.first
        size = frame.size if frame else self.pictures.size
        if not all(size):
            raise VideoError(f"{self.path}: {DAMAGED}")
        return size

    @property
    def fps(self) -> float:
        """Frames a second: exact if they come at a steady rate, else the average to two decimals."""
        printed, exact = self.pictures.fps, self.first[1]
        return float(exact) if printed and abs(float(exact) - printed) <= _ROUNDED else printed

    @cached_property
    def duration(self) -> float:
        """Seconds: as the file states it where its kind does, else to the end of the last packet."""
        header, kind = self.header, self.header.formats[0]
        states = kind in STATES_DURATION and not (kind == "matroska" and self.offset)
        if not states or not header.duration:
            return max(self.ends, default=0.0)
        stated = header.duration + float(min(Fraction(0), header.start or Fraction(0)) if kind == "mov" else 0)
        tags = [end for track in (header.pictures, header.sound) if track and (end := track.stated_end) is not None]
        found = self._ends(scan(self.path, header, self.timeout, last=_TAIL))
        for ends in (tags, found):
            if exact := [end for end in ends if abs(end - stated) <= _ROUNDED]:
                return max(exact)
        # Edit lists make what MP4 states for the whole too short: what there is counts.
        late = kind == "mov" and header.pictures is not None and stated < found[0] <= stated + JUMP
        return found[0] if late else stated

    @property
    def latest(self) -> float:
        """Seconds of media time after which no frame is believed to come."""
        return latest(self.duration)

    @cached_property
    def ends(self) -> list[float]:
        """Where pictures and sound end, those that there are, by all their packets; seconds of media time."""
        return self._ends(self.packets)

    def _ends(self, packets: Scan) -> list[float]:
        tracks = (self.header.pictures, self.header.sound)
        return [
            found.end(self.offset, frame_step(track)) for found, track in zip(packets, tracks, strict=True) if track
        ]

    @property
    def video(self) -> Video:
        """The facts of the file, as the rest of videochat knows them."""
        width = height = rotation = 0
        fps = 0.0
        if track := self.header.pictures:
            width, height = shown_size(*self.size, track.pixel, self.turn)
            rotation = rotation_of(self.turn)
            fps = self.fps or (len(self.packets.pictures.ends) / self.duration if self.duration else 0.0)
        streams = [
            Stream(track.kind, "unknown" if track.codec == "none" else track.codec, track.language)
            for track in self.header.tracks
            if track.kind != "video" or track.moving
        ]
        return Video(
            path=self.path,
            duration=self.duration,
            width=width,
            height=height,
            fps=fps,
            rotation=rotation,
            offset=float(self.offset),
            streams=tuple(streams),
        )
