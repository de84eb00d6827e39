"""Opening a file through FFmpeg's libraries: safely, with its clock and its streams."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from videochat import VideoError
from videochat.sidecar import SUFFIXES
from videochat_plugins.read.refusal import NO_STREAM, check_file, no_media

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

# Kinds of file that hold their media themselves. Left out are those that name other files or addresses (hls, dash,
# concat, sdp, image2, ...), that are devices, or that make pictures of any text (tty, bin).
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,live_flv,kux,asf,asf_o,wtv,ogg,nut,mxf,gxf,dv,"
    "ivf,rm,nsv,h261,h263,h264,hevc,vvc,m4v,av1,obu,vc1,dirac,cavsvideo,avs2,avs3,mjpeg,yuv4mpegpipe,gif,apng,webp,ico,"
    "avif,bmp_pipe,dds_pipe,dpx_pipe,exr_pipe,gif_pipe,hdr_pipe,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,pam_pipe,"
    "pbm_pipe,pcx_pipe,pgm_pipe,png_pipe,ppm_pipe,psd_pipe,qoi_pipe,sgi_pipe,sunrast_pipe,tiff_pipe,webp_pipe,"
    "jpegxl_anim,aac,ac3,eac3,ac4,adts,aiff,alac,amr,ape,au,caf,dts,dtshd,flac,gsm,latm,loas,mlp,mp2,mp3,mpc,mpc8,"
    "opus,qoa,spdif,tak,truehd,tta,voc,w64,wav,wv,xwma"
)

_FAULTS = 32  # faults in a row that the demuxer may report before the rest of the file is given up
_LOOK = 64  # packets in which the first of each stream is looked for

# Kinds of file whose headers state durations. FFmpeg guesses those of the others, from the bit rate or their tail.
STATES_DURATION = frozenset(
    {"mov", "matroska", "avi", "wav", "w64", "flac", "ogg", "flv", "asf", "mxf", "nut", "caf", "aiff"}
)
PIXELS = 2**26  # the most that a picture may have: a small file can hold a huge one, which costs its size many times


class Clock(NamedTuple):
    """Turns a stream's timestamps into seconds of media time and back, in whole numbers until the last step."""

    step: int
    zero: int
    unit: int

    @classmethod
    def of(cls, time_base: Fraction, offset: Fraction) -> Self:
        """Return the clock of a stream in a file whose media time 0 is at `offset` seconds."""
        return cls(
            time_base.numerator * offset.denominator,
            offset.numerator * time_base.denominator,
            time_base.denominator * offset.denominator,
        )

    def seconds(self, timestamp: int) -> float:
        """Return the media time of a timestamp."""
        return (timestamp * self.step - self.zero) / self.unit

    def timestamp(self, seconds: float) -> int:
        """Return the last timestamp at or before a media time."""
        return int((Fraction(seconds) * self.unit + self.zero) // self.step)


@dataclass(slots=True)
class Source:
    """An open file; leaving its `with` block closes it."""

    path: Path
    container: "InputContainer"
    offset: Fraction  # seconds; the file's own time of media time 0
    pictures: "VideoStream | None"
    sound: "AudioStream | None"
    gave_up: bool = False  # whether `packets` left the rest of the file unread

    def clock(self, stream: "Stream") -> Clock:
        """Return the clock of one of the streams."""
        return Clock.of(stream.time_base or Fraction(1, 1_000_000), self.offset)

    def declared_end(self, stream: "Stream") -> float | None:
        """Return where the file says that a stream ends, seconds of media time; None where it does not say."""
        if stream.duration is None or stream.start_time is None:
            return _tagged_end(stream)
        return self.clock(stream).seconds(stream.start_time + stream.duration)

    def only(self, stream: "Stream") -> None:
        """Let the demuxer drop all other streams, which saves reading them."""
        from av.stream import Discard

        for other in self.container.streams:
            other.discard = Discard.default if other.index == stream.index else Discard.all

    def packets(self, *streams: "Stream") -> "Iterator[Packet[Any]]":
        """Yield the packets of streams from where the file stands, passing over what the demuxer cannot read.

        After too many faults in a row the rest is left unread, and `gave_up` set.
        """
        import av

        faults = 0
        while faults < _FAULTS:
            try:
                for packet in self.container.demux(streams):
                    faults = 0
                    if packet.size:  # else a mark of the end
                        yield packet
                return
            except IndexError:  # PyAV stumbles at the end over streams that turned up on the way
                return
            except av.error.FFmpegError:
                faults += 1
        self.gave_up = True

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_source(path: Path) -> Source:
    """Open a local file.

    Raises:
        VideoError: if there is no such file, or it is none with pictures or sound that can be decoded.
    """
    import av

    check_file(path)
    try:
        source = _opened(path)
        if cast("int | None", source.container.start_time) is not None:
            return source
        with source:
            offset = _first_time(source)
        source = _opened(path)  # anew, since not every container can go back
        source.offset = offset
        return source
    except av.error.FFmpegError as error:
        raise VideoError(f"{path}: {_reason(path, error)}") from error


def open_subtitles(path: Path) -> Source:
    """Open a video for its subtitles, or a file that holds nothing else.

    Raises:
        VideoError: if there is no such file, or it is neither.
    """
    import av

    if path.suffix.lower() not in SUFFIXES:
        return open_source(path)
    check_file(path)
    try:
        return Source(path, _container(path, "srt,webvtt"), Fraction(0), None, None)
    except av.error.FFmpegError:
        raise VideoError(f"{path}: is not a subtitle file that can be read; it should be SubRip or WebVTT") from None


def _container(path: Path, formats: str) -> "InputContainer":
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": formats, "max_pixels": str(PIXELS)}
    return av.open(f"file:{path.absolute()}", metadata_errors="replace", options=options)


def _opened(path: Path) -> Source:
    container = _container(path, FORMATS)
    pictures, sound = _picture_stream(container), _sound_stream(container)
    if pictures is None and sound is None:
        container.close()
        raise VideoError(f"{path}: {NO_STREAM}")
    if pictures is not None:
        pictures.codec_context.options = {"max_pixels": str(PIXELS)}
    return Source(path, container, _offset(container), pictures, sound)


def is_video(stream: "Stream") -> bool:
    """Return whether a stream is moving pictures: cover art and thumbnails are not."""
    from av.stream import Disposition

    return stream.type == "video" and not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)


def frame_rate(stream: "VideoStream") -> Fraction | None:
    """Return the average rate that a file states, or None where it states none that a video could have."""
    rates = (stream.average_rate, stream.guessed_rate)
    return next((rate for rate in rates if rate is not None and Fraction(1, 3600) <= rate <= 1000), None)


def _reason(path: Path, error: Exception) -> str:
    """Say in one sentence why FFmpeg refused a file that is there and not empty."""
    import av

    if isinstance(error, av.error.InvalidDataError | av.error.ArgumentError | av.error.EOFError | ValueError):
        return no_media(path)
    return no_media(path, getattr(error, "strerror", None) or str(error))


def _picture_stream(container: "InputContainer") -> "VideoStream | None":
    able = [stream for stream in container.streams.video if is_video(stream) and stream.codec_context is not None]
    best = container.streams.best("video")
    return best if best in able else next(iter(able), None)


def _sound_stream(container: "InputContainer") -> "AudioStream | None":
    able = [stream for stream in container.streams.audio if stream.codec_context is not None]
    best = container.streams.best("audio")
    return best if best in able else next(iter(able), None)


def _offset(container: "InputContainer") -> Fraction:
    """Return the container's start (0 if below), in the finer unit of the stream that it comes from."""
    start = max(Fraction(0), Fraction(container.start_time or 0, 1_000_000))
    for stream in container.streams:
        if stream.start_time is not None and stream.time_base is not None:
            exact = stream.start_time * stream.time_base
            if start > 0 and abs(exact - start) <= Fraction(1, 1_000_000):
                return exact
    return start


def _first_time(source: Source) -> Fraction:
    """Return where the first packets start, for a file of which FFmpeg could not tell; 0 if they do not say either."""
    main = [stream for stream in (source.pictures, source.sound) if stream is not None]
    starts: dict[int, Fraction] = {}
    for packet in itertools.islice(source.packets(*main), _LOOK):
        if packet.pts is not None and packet.stream_index not in starts:
            starts[packet.stream_index] = packet.pts * packet.time_base
        if len(starts) == len(main):
            break
    return max(Fraction(0), min(starts.values(), default=Fraction(0)))


def _tagged_end(stream: "Stream") -> float | None:
    """Return the end that a Matroska file states for a track in its tag DURATION (HH:MM:SS.n)."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds
