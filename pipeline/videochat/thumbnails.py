"""Small pictures of a video as JPEG, for pages that carry all they show."""

from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from videochat.component import Reader
from videochat.errors import VideoError
from videochat.video import Video
from videochat.window import Want

LONG = 224  # pixels of the longer side
_QUALITY = 5  # the encoder's quantiser: 2 is best, 31 worst


def thumbnails(reader: Reader, video: Video, times: Iterable[float]) -> dict[float, bytes]:
    """Return a JPEG of the frame nearest to each time, all from one pass over the video.

    What cannot be decoded, as at the end of a damaged file, is left out.
    """
    wanted = sorted(set(times))
    found: dict[float, bytes] = {}
    if not (video.has_pictures and wanted):
        return found
    side = max(1, round(min(video.width, video.height) * LONG / max(video.width, video.height)))
    with suppress(VideoError):
        frames = reader.frames(video, (Want(time, side) for time in wanted))
        for time, frame in zip(wanted, frames, strict=False):
            found[time] = jpeg(frame.image)
    return found


def jpeg(image: npt.NDArray[np.uint8]) -> bytes:
    """Return an RGB image (H, W, 3) as a JPEG file."""
    import av

    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = image.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1)
    encoder.qmin = encoder.qmax = _QUALITY
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))
