"""From a decoded frame to the picture that a player shows: its shape, its size, its way up, RGB."""

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.reformatter import VideoReformatter


class Turn(NamedTuple):
    """How a stored picture is turned to be shown: mirrored at its diagonal, then left to right, then top to bottom."""

    transpose: bool = False
    left_right: bool = False
    top_bottom: bool = False

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a picture (H, W, 3) turned, as a view."""
        if self.transpose:
            image = image.swapaxes(0, 1)
        return image[:: -1 if self.top_bottom else 1, :: -1 if self.left_right else 1]


def turn_of(frame: "VideoFrame") -> Turn:
    """Read the display matrix that came with a frame; a matrix that is no quarter turn counts as the nearest one."""
    data = cast("Mapping[str, bytes]", frame.side_data).get("DISPLAYMATRIX")
    if data is None:
        return Turn()
    # Row vectors: x' = a x + c y, y' = b x + d y (libavutil/display.h).
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(True, c < 0, b < 0)
    return Turn(False, a < 0, d < 0)


def rotation_of(turn: Turn) -> int:
    """Return the degrees clockwise of a turn; those of the turn that is left when a mirror is taken off."""
    if turn.transpose:
        return 90 if turn.left_right else 270
    return 180 if turn.top_bottom else 0


def shown_size(width: int, height: int, pixel: Fraction | None, turn: Turn) -> tuple[int, int]:
    """Return width and height as shown: square pixels, the right way up.

    Pixels that are square but for rounding (encoders even out sizes so) count as square, and absurd ones too.
    """
    if pixel is not None and Fraction(1, 8) <= pixel <= 8 and abs(pixel - 1) > Fraction(1, 100):
        width = max(1, round(width * pixel))
    return (height, width) if turn.transpose else (width, height)


def scaled_size(width: int, height: int, side: int | None) -> tuple[int, int]:
    """Return the size with the shorter side brought down to `side`, where it has more."""
    short = min(width, height)
    if side is None or short <= side:
        return width, height
    return max(1, round(width * side / short)), max(1, round(height * side / short))


class Painter:
    """Converts frames; keeps one scaler for each size, since setting one up costs more than using it."""

    def __init__(self) -> None:
        self._scalers: dict[tuple[int, int], VideoReformatter] = {}
        self._turn: Turn | None = None

    def paint(self, frame: "VideoFrame", width: int, height: int) -> npt.NDArray[np.uint8]:
        """Return a frame as shown: RGB, contiguous, (height, width, 3)."""
        from av.video.reformatter import VideoReformatter

        if self._turn is None:
            # Once: a frame whose side data was looked at lives on until the garbage collector comes round.
            self._turn = turn_of(frame)
        turn = self._turn
        if frame.interlaced_frame:
            frame = deinterlace(frame)
        size = (height, width) if turn.transpose else (width, height)
        scaler = self._scalers.get(size)
        if scaler is None:
            scaler = self._scalers[size] = VideoReformatter()
        how = _interpolation((frame.width, frame.height), size)
        scaled = scaler.reformat(frame, *size, format="rgb24", interpolation=how, threads=1)
        return np.array(turn.apply(cast("npt.NDArray[np.uint8]", scaled.to_ndarray())), order="C")


def _interpolation(old: tuple[int, int], new: tuple[int, int]) -> int:
    """Return swscale's flags: the mean of an area to make smaller, a cubic to make larger, with all of the colour."""
    from av.video.reformatter import Interpolation

    if old == new:
        return Interpolation.BICUBIC  # nothing is scaled; more flags would cost much and change little
    shrinks = new[0] <= old[0] and new[1] <= old[1]
    way = Interpolation.AREA if shrinks else Interpolation.BICUBIC
    return way | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def deinterlace(frame: "VideoFrame") -> "VideoFrame":
    """Return a frame made of its first field alone, lines in between drawn along edges (FFmpeg's filter `estdif`).

    It looks at one frame only, so that a frame gives the same picture however it was reached.
    """
    from av.filter import Graph

    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1_000_000)
    )
    graph.link_nodes(source, graph.add("estdif", "mode=frame:deint=all"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    graph.vpush(None)
    return graph.vpull()
