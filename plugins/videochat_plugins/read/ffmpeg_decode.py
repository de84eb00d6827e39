"""One run of the program that sends chosen frames, each in the sizes that it is wanted in.

    select -> showinfo -> select -> estdif -> split -> scale -> pipe        one pipe for each size
                                                   \\-> scale -> pipe

The pictures come as plain RGB without times; `showinfo` tells in the same order which frame each of them is.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from videochat import VideoError
from videochat_plugins.read.ffmpeg_file import File
from videochat_plugins.read.ffmpeg_index import Index, Shown, config_of, told
from videochat_plugins.read.ffmpeg_picture import Pictures
from videochat_plugins.read.ffmpeg_process import Process
from videochat_plugins.read.ffmpeg_program import command, opened, written

Size = tuple[int, int]


class Unexpected(Exception):
    """The frames that came are not those that the index lists, or need what was not foreseen."""

    def __init__(self, after_seek: bool, interlaced: bool) -> None:
        self.after_seek = after_seek
        self.interlaced = interlaced


class Decoding:
    """A run that sends the frames at some places of the index; a `with` block ends it.

    Args:
        file: what to decode.
        places: for each size (as shown), the places that are wanted in it.
        key: the place of the keyframe to start at; None: at the start of the file.
        only_keys: decode keyframes alone.
        threads: of the decoder.
    """

    def __init__(
        self, file: File, places: Mapping[Size, set[int]], key: int | None, only_keys: bool, threads: int
    ) -> None:
        self._index: Index = file.index
        self._places = {pts: place for place, pts in enumerate(self._index.pts)}
        self._after_seek = key is not None
        self._landed = key is None
        self._chosen = set[int]().union(*places.values())
        self._last = -1  # the place of the frame that was decoded last
        self._seen: set[int] = set()  # places of the chosen frames that were decoded
        self._wrong = False
        self._interlaced = False  # whether a frame turned up that should have been deinterlaced
        self._progressive = not file.interlaced
        turned = file.turn.transpose
        self._pictures = {size: Pictures(size[::-1] if turned else size) for size in places}
        self._due = {size: deque(sorted(wanted)) for size, wanted in places.items()}
        self._turn = file.turn
        self._key = key
        options: dict[str, Any] = {"threads": threads} if threads else {}
        if only_keys:
            options["skip_frame"] = "nokey"
        if file.rate is not None:
            options["r"] = str(file.rate)
        if key is not None:
            options |= {"ss": _seconds(self._index, key), "seek_timestamp": 1, "noaccurate_seek": None}

        def build(pipes: Sequence[int]) -> list[str]:
            return command(file.path, _outputs(file, self._index, places, pipes, options))

        self._process = Process(file.path, file.timeout, list(self._pictures.values()), build, self._hear)

    def picture(self, place: int, size: Size) -> npt.NDArray[np.uint8]:
        """Return a picture, upright, (height, width, 3); they are taken in order of place.

        Raises:
            Unexpected: if the frames that come are not those of the index.
            VideoError: if the program crashes, fails or hangs.
        """
        pictures, due = self._pictures[size], self._due[size]
        assert due[0] == place
        while not (place in self._seen and pictures.ready):
            if not self._process.step():
                self._finish(place)
            if self._wrong or (self._last > place and place not in self._seen):
                raise Unexpected(self._after_seek, self._interlaced)
        due.popleft()
        return np.ascontiguousarray(self._turn.apply(pictures.ready.popleft()))

    def _finish(self, place: int) -> None:
        """See how the program ended without a picture; if it never decoded it, that it has nothing to send is no fault.

        Raises:
            VideoError: if it crashed or failed.
        """
        try:
            self._process.finish()
        except VideoError:
            if self._process.crashed or place in self._seen:
                raise
        self._wrong = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def _hear(self, line: str) -> None:
        """Take note of what the program tells: a decoded frame, or the unit of their times."""
        if frame := Shown.of(line):
            self._note(frame)
        elif (config := config_of(line)) and config[0] != self._index.time_base:
            self._wrong = True
        elif self._after_seek and "corrupt decoded frame" in line:
            self._wrong = True  # the keyframe was not whole: intra refresh

    def _note(self, frame: Shown) -> None:
        place = self._places.get(frame.pts)
        if place is None:
            self._wrong = self._wrong or self._landed
            return
        self._landed = self._landed or place == self._key
        if not self._landed and place > (self._key or 0):
            self._wrong = True  # the seek led too far
        if place in self._chosen:
            self._seen.add(place)
            if frame.interlaced and self._progressive:
                self._interlaced = self._wrong = True
        self._last = max(self._last, place)


def _seconds(index: Index, key: int) -> str:
    """Return the file's own time of a frame in whole microseconds, not before it."""
    micro = -(-index.pts[key] * index.time_base * 1_000_000 // 1)
    return f"{float(Fraction(micro) / 1_000_000):.6f}"


def _outputs(
    file: File, index: Index, places: Mapping[Size, set[int]], pipes: Sequence[int], options: dict[str, Any]
) -> list[Any]:
    chosen = set[int]().union(*places.values())
    stream = told(opened(**options)[str(file.pictures.index)], file.offset, file.latest)
    stream = stream.filter("trim", end_pts=index.pts[max(chosen)] + 1)  # nothing after the last, which ends the run
    stream = stream.filter("select", _selection(chosen, index.pts))
    stored = file.size
    if file.interlaced and file.pictures.planar and min(stored) >= 16:
        stream = stream.filter("estdif", mode="frame", deint="interlaced")
        stream = stream.filter("settb", str(index.time_base))  # estdif counts in halves
    branches = stream.split() if len(places) > 1 else None
    outputs = []
    for number, (size, wanted) in enumerate(places.items()):
        branch = stream if branches is None else branches[number]
        if wanted != chosen:
            branch = branch.filter("select", _selection(wanted, index.pts))
        width, height = size[::-1] if file.turn.transpose else size
        branch = branch.filter("scale", width, height, flags=_flags(stored, (width, height))).filter("format", "rgb24")
        outputs.append(written(branch, f"pipe:{pipes[number]}", f="rawvideo", fps_mode="passthrough"))
    return outputs


def _selection(places: Iterable[int], pts: Sequence[int]) -> str:
    """Return an expression for FFmpeg's filters that holds for the frames at some places and no others.

    Neighbours make one range, and ranges a tree, so that it takes few steps to see that a frame is in none.
    """
    ranges: list[tuple[int, int]] = []
    for place in sorted(places):
        if ranges and ranges[-1][1] == place - 1:
            ranges[-1] = ranges[-1][0], place
        else:
            ranges.append((place, place))

    def tree(low: int, high: int) -> str:
        if high - low == 1:
            first, last = (pts[place] for place in ranges[low])
            return f"eq(pts,{first})" if first == last else f"between(pts,{first},{last})"
        middle = (low + high) // 2
        return f"if(lt(pts,{pts[ranges[middle][0]]}),{tree(low, middle)},{tree(middle, high)})"

    return tree(0, len(ranges))


def _flags(old: Size, new: Size) -> str:
    """Return swscale's flags, those of the reader `pyav`: an area's mean to make smaller, a cubic to make larger."""
    if old == new:
        return "bicubic"
    shrinks = new[0] <= old[0] and new[1] <= old[1]
    return f"{'area' if shrinks else 'bicubic'}+accurate_rnd+full_chroma_int"
