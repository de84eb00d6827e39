"""Giving each wanted time its frame, in two steps: choose by the index, then decode and let only the chosen through.

The frames are chosen before a decoder starts, so the program's filter `select` can drop all others, and only those
that are wanted are scaled, turned into RGB and sent. Its filter `showinfo`, in front, tells of every decoded frame. So
it is seen at once if the packets promised a frame that decoding does not give, or the other way round; then the whole
file is decoded once to learn what it really holds, and the rest is chosen anew.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from videochat import Frame, Video, VideoError, Want
from videochat_plugins.read.ffmpeg_decode import Decoding, Unexpected
from videochat_plugins.read.ffmpeg_file import File
from videochat_plugins.read.ffmpeg_index import frame_step, nearest
from videochat_plugins.read.pyav_picture import scaled_size
from videochat_plugins.read.refusal import DAMAGED

_AT_ONCE = 500  # wants that one run serves at most: what it is to select stands in its command line
_START = 30e6  # pixels that could be decoded in the time that another run takes to start
_READ = 10  # how many times as fast frames are read as decoded
_SLACK = 0.1  # seconds after the end that still belong to it, since declared durations are rounded


@dataclass(frozen=True, slots=True)
class Pick:
    """A want with the position of its frame in the index and the size that it is to have."""

    want: Want
    place: int
    size: tuple[int, int]


class Walk:
    """One pass over the wants."""

    def __init__(self, file: File, video: Video, keyframes: bool, threads: int) -> None:
        self._file = file
        self._video = video
        self._keyframes = keyframes
        self._threads = threads
        self._can_seek = file.can_seek

    def frames(self, wanted: Iterable[Want]) -> Iterator[Frame]:
        """Yield the frame nearest to each want (of two as near, the earlier); fewer if the file ends early.

        Raises:
            VideoError: if nothing can be decoded.
        """
        wants = iter(wanted)
        while waiting := deque(islice(wants, _AT_ONCE)):
            while waiting:
                picks = self._choose(waiting)
                if not picks:
                    return
                try:
                    for frame in self._given(self._stretch(picks)):
                        waiting.popleft()
                        yield frame
                except Unexpected as reason:
                    self._learn(reason)

    def _choose(self, wants: Iterable[Want]) -> list[Pick]:
        """Return what to give for wants, up to the first that lies after the end."""
        index = self._file.index
        places = index.keys if self._keyframes else range(len(index.pts))
        if not places:
            raise VideoError(f"{self._file.path}: {DAMAGED}")
        times = [index.times[place] for place in places] if self._keyframes else index.times
        end: float | None = None
        picks = []
        for want in wants:
            if want.time > times[-1]:
                end = self._end() if end is None else end
                if want.time > end + _SLACK:
                    break
            size = scaled_size(self._video.width, self._video.height, want.side)
            picks.append(Pick(want, places[nearest(times, want.time)], size))
        return picks

    def _end(self) -> float:
        """Return the end of what the last frame stands for.

        That is the end of the last packet if the file broke off; else no less than the duration, since players show
        the last frame for as long as sound goes on.
        """
        file = self._file
        shown, *others = file.ends
        step = float(frame_step(file.pictures))
        if file.index.decoded:  # packets without times tell less than the frames
            shown = max(shown, file.index.times[-1] + step)
        promised, reached = self._video.duration, max([shown, *others])
        if file.pictures.stated_end is not None:
            promised, reached = file.pictures.stated_end, shown
        broke_off = reached < promised - max(0.5, 2 * step)
        return shown if broke_off else max(shown, self._video.duration)

    def _stretch(self, picks: Sequence[Pick]) -> Sequence[Pick]:
        """Return the first of some picks, as many as are worth decoding in one run."""
        if not self._seeks:
            return picks
        width, height = self._file.size
        worth = _START / (width * height) * (_READ if self._keyframes else 1)
        for number, (pick, following) in enumerate(pairwise(picks), 1):
            key = self._key_before(following.place)
            if key is not None and key - pick.place > worth:
                return picks[:number]
        return picks

    @property
    def _seeks(self) -> bool:
        return self._can_seek and not self._file.index.decoded

    def _key_before(self, place: int) -> int | None:
        keys = self._file.index.keys
        at = bisect_right(keys, place) - 1
        return None if at < 0 else keys[at]

    def _given(self, picks: Sequence[Pick]) -> Iterator[Frame]:
        """Yield the frames of a stretch from one run of the program."""
        key = self._key_before(picks[0].place) if self._seeks else None
        places: dict[tuple[int, int], set[int]] = {}
        for pick in picks:
            places.setdefault(pick.size, set()).add(pick.place)
        index = self._file.index
        only_keys = self._keyframes and not index.decoded
        with Decoding(self._file, places, key or None, only_keys, self._threads) as decoding:
            frames: dict[tuple[int, int], tuple[int, Frame]] = {}
            for pick in picks:
                place, frame = frames.get(pick.size, (-1, None))
                if frame is None or place != pick.place:
                    frame = Frame(index.times[pick.place], decoding.picture(pick.place, pick.size))
                    frames[pick.size] = pick.place, frame
                yield frame

    def _learn(self, reason: Unexpected) -> None:
        """Make up for what was wrong with the last run.

        Raises:
            VideoError: if nothing is left to try.
        """
        if reason.interlaced:
            self._file.interlaced = True
        elif reason.after_seek:
            self._can_seek = False
        elif not self._file.index.decoded:
            self._file.look_again()
        else:
            raise VideoError(f"{self._file.path}: decodes differently each time; the file is damaged")
