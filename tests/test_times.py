"""The truth of times, from the file to the printed stamp: real files whose every frame and sound has a known time."""

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate, count, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import Echo, Seeing
from media import draw, make, read_index
from videochat import Formatter, Record, Stack, Window
from videochat.window import Sampling, sample_times
from videochat_plugins.format.table1 import Table1
from videochat_plugins.format.timeline import Timeline

TICK = 0.0011  # seconds that the clock of a container rounds to: Matroska's counts milliseconds
EPS = 1e-6
RATES = [1.0, 10.0, 12.5, 24000 / 1001, 25.0, 30000 / 1001, 50.0, 60000 / 1001]  # frames a second
NEW = (str(number) for number in count())  # a word that makes a perceiver another one, of which no cache knows
LINE = re.compile(r"(?:(\d+):)?(\d\d):(\d\d)-(?:(\d+):)?(\d\d):(\d\d) (?:caption: )?frame (\d+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@st.composite
def frame_times(draw_: st.DrawFn, *, longest: int = 800) -> list[float]:
    """Draw the times of a film's frames: of a constant rate, or with gaps of up to `longest` milliseconds."""
    if draw_(st.booleans()):
        rate = draw_(st.sampled_from(RATES))
        return [i / rate for i in range(draw_(st.integers(2, 60)))]
    gaps = draw_(st.lists(st.integers(10, longest), min_size=1, max_size=30))
    return [at / 1000 for at in accumulate(gaps, initial=0)]


def film(folder: Path, times: Sequence[float], name: str, start: float, b_frames: int = 0) -> Path:
    """Write a film, unless its container cannot hold it: then write it as MP4."""
    steps = {round(b - a, 6) for a, b in pairwise(times)}
    if (name == "avi" and (len(steps) > 1 or start)) or (name == "ts" and len(times) < 10):
        name = "mp4"
    codec = {"avi": "mpeg4", "webm": "libvpx"}.get(name, "libx264")
    options = {"cpu-used": "8"} if name == "webm" else {}
    fps = 1 / steps.pop() if len(steps) == 1 else 25.0
    path = folder / f"film.{name}"
    path.unlink(missing_ok=True)
    if name == "avi":
        make(path, frames=len(times), fps=fps, codec=codec)
    else:
        make(path, times=times, fps=fps, codec=codec, start=start, b_frames=b_frames, options=options)
    return path


def nearest(times: Sequence[float], wanted: float) -> set[int]:
    """Return which frames are nearest to a time, as far as the container's clock can tell."""
    away = np.abs(np.asarray(times) - wanted)
    return set(np.flatnonzero(away <= away.min() + 2 * TICK).tolist())


def gathering(into: list[Window], say: Callable[[Window], list[Record]] = lambda window: []) -> Callable[[Window], Any]:
    """Return a function that keeps the windows that it sees, and says something of them."""

    def see(window: Window) -> list[Record]:
        into.append(window)
        return say(window)

    return see


def indices(windows: Sequence[Window]) -> set[int]:
    return {read_index(frame.image) for window in windows for frame in window.frames}


def tell(window: Window) -> list[Record]:
    """Say of each frame in the window itself which one it is, over the time until the next."""
    ends = [*window.times[1:], window.end]
    return [
        Record("caption", frame.time, max(frame.time, end), f"frame {read_index(frame.image)}")
        for frame, end in zip(window.frames, ends, strict=True)
        if window.start <= frame.time < window.end
    ]


CONTAINERS = st.sampled_from(["mp4", "mkv", "webm", "ts", "avi"])
STARTS = st.sampled_from([0.0, 0.0, 0.04, 1.4, 77.777, 36_000.0])  # seconds on the file's own clock
SHARES = st.floats(0.0, 0.95)
SAMPLINGS = st.one_of(
    st.builds(lambda count: {"frames": count}, st.integers(1, 6)),
    st.builds(lambda rate: {"fps": rate}, st.sampled_from([0.5, 1.0, 3.0, 24000 / 1001, 25.0])),
)


@settings(max_examples=30)
@given(
    times=frame_times(),
    name=CONTAINERS,
    start=STARTS,
    b_frames=st.integers(0, 3),
    stretch=st.tuples(SHARES, SHARES).map(sorted),
    seconds=st.sampled_from([0.3, 0.5, 1.0, 2.5, 100.0]),
    asked=SAMPLINGS,
    lead=st.sampled_from([0.0, 0.0, 0.7]),
)
def test_a_window_holds_the_frames_nearest_to_the_times_it_asks_for(
    folder: Path,
    times: list[float],
    name: str,
    start: float,
    b_frames: int,
    stretch: list[float],
    seconds: float,
    asked: dict[str, Any],
    lead: float,
) -> None:
    path = film(folder, times, name, start, b_frames)
    low, high = (share * times[-1] for share in stretch)
    seen: list[Window] = []
    sees = Seeing(gathering(seen, tell), emits=("caption",), word=next(NEW), lead=lead, **asked)
    stack = Stack(segment={"use": "fixed", "seconds": seconds}, perceive={"sees": sees}, device="cpu")
    context = stack.watch(path, low, high + 0.1)

    duration = context.video.duration
    assert duration >= times[-1] - TICK
    edges = [edge for span in context.segments for edge in span]
    assert (edges[0], edges[-1]) == (0, duration)
    assert edges[1:-1:2] == edges[2::2]  # they tile
    assert context.faults == ()
    watched = sorted((window.start, window.end) for window in seen)
    assert (watched[0][0], watched[-1][1]) == (low, min(high + 0.1, duration))
    assert all(a[1] == b[0] for a, b in pairwise(watched))
    for window in seen:
        wanted = sample_times(window.span, Sampling(lead=lead, **asked))
        indices = [read_index(frame.image) for frame in window.frames]
        assert len(indices) == len(wanted)
        for index, time, at in zip(indices, window.times, wanted, strict=True):
            assert index in nearest(times, at)
            assert time == pytest.approx(times[index], abs=TICK)
    for record in context.records:
        assert low <= record.start <= record.end <= min(high + 0.1, duration) + EPS


@settings(max_examples=40)
@given(
    stretch=st.tuples(SHARES, SHARES).map(sorted),
    over=st.sampled_from([0.3, 1.0, 2.5, "video"]),
    lead=st.sampled_from([0.0, 0.4, 6.0]),
    said=st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)).map(sorted), min_size=1, max_size=5),
    at=st.one_of(st.none(), st.floats(0, 4)),
)
def test_records_lie_in_their_windows_with_the_lead_and_in_the_stretch_that_is_asked_for(
    folder: Path, stretch: list[float], over: Any, lead: float, said: list[list[float]], at: float | None
) -> None:
    path = folder / "still.mkv"
    if not path.exists():
        make(path, frames=40, fps=10)
    low, high = 4 * stretch[0], 4 * stretch[1] + 0.1
    seen: list[Window] = []
    tells = gathering(seen, lambda window: [Record("look", *span, f"from {window.start!r}") for span in said])
    sees = Seeing(tells, word=next(NEW), frames=1, over=over, lead=lead)
    context = Stack(perceive={"sees": sees}, device="cpu").watch(path, low, high, at)
    windows = {f"from {window.start!r}": window for window in seen}
    for record in context.records:
        window = windows[record.text]
        assert max(low, window.start - lead, 0.0) <= record.start <= record.end <= window.end <= high
        assert at is None or record.end <= at + EPS
    starts = [record.start for record in context.records]
    assert starts == sorted(starts)
    if at is None:  # of all that was told in the stretch itself nothing is lost
        kept = [(record.start, record.end) for record in context.records]
        for window in seen:
            for start, end in said:
                begin, stop = max(start, window.start - lead, 0.0), min(end, window.end)
                if max(begin, low) < stop:
                    assert (max(begin, low), stop) in kept


@settings(max_examples=25)
@given(
    times=st.one_of(frame_times(), frame_times(longest=400_000)),  # up to three hours
    name=CONTAINERS,
    start=STARTS,
    parts=st.integers(1, 9),
    low=SHARES,
)
def test_printed_times_are_those_of_the_frames(
    folder: Path, times: list[float], name: str, start: float, parts: int, low: float
) -> None:
    path = film(folder, times, name, start)
    sees = Seeing(tell, emits=("caption",), word=next(NEW), frames=2)
    pieces = {"use": "fixed", "seconds": min(600.0, max(0.1, times[-1] / parts))}
    context = Stack(segment=pieces, perceive={"sees": sees}, device="cpu").watch(path, low * times[-1])
    hours = context.video.duration >= 3600
    formatters: list[Formatter] = [Timeline(), Table1()]
    for formatter in formatters:
        lines = list(context.lines(formatter))
        assert len(lines) == len(context.records)
        for line in lines:
            (record,) = line.records
            found = LINE.fullmatch(line.text)
            assert found, line.text
            *stamps, frame = found.groups()
            assert (stamps[0] is not None) == (stamps[3] is not None) == hours
            begins, ends = (int(h or 0) * 3600 + int(m) * 60 + int(s) for h, m, s in (stamps[:3], stamps[3:]))
            true = times[int(frame)]
            assert math.floor(true - TICK) <= begins <= math.floor(true + TICK)
            assert ends - 1 - EPS <= record.end <= ends + EPS
            assert begins - EPS <= record.start < begins + 1


SOUNDS = [("mkv", "flac", 48_000), ("mkv", "pcm_s16le", 16_000), ("mp4", "aac", 44_100), ("avi", "pcm_s16le", 48_000)]


def clicks(path: Path, times: Sequence[float], rate: int, codec: str, start: float, late: float) -> Path:
    """Write five seconds of pictures, with sound from `late` seconds on: silence but for clicks a millisecond long."""
    wave = np.zeros(5 * rate)
    grid = np.arange(len(wave)) / rate
    for time in times:
        near = np.abs(grid - time) < 0.0005
        wave[near] = 0.9 * np.cos((grid[near] - time) * math.pi / 0.001)
    samples = wave[round(late * rate) :].astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream(codec, rate=rate, layout="mono")
        for i in range(50):
            frame = av.VideoFrame.from_ndarray(draw(i, 64, 48), format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(i + start * 10), Fraction(1, 10)
            container.mux(video.encode(frame))
        form = "fltp" if codec == "aac" else "s16"
        whole = samples if codec == "aac" else np.round(samples * 32_767).astype(np.int16)
        for at in range(0, len(whole), 1024):
            sound = av.AudioFrame.from_ndarray(whole[None, at : at + 1024], format=form, layout="mono")
            sound.sample_rate, sound.time_base = rate, Fraction(1, rate)
            sound.pts = at + round((start + late) * rate)
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def heard(window: Window, lead: float) -> list[float]:
    """Return the media times of the clicks in a window's sound."""
    assert window.audio is not None
    loud = np.flatnonzero(np.abs(window.audio) > 0.2)
    groups = np.split(loud, np.flatnonzero(np.diff(loud) > window.rate * 0.02) + 1) if len(loud) else []
    first = round(max(0.0, window.start - lead) * window.rate)
    return [(first + int(group[np.argmax(np.abs(window.audio[group]))])) / window.rate for group in groups]


@settings(max_examples=25)
@given(
    gaps=st.lists(st.integers(100, 1500), min_size=1, max_size=8),
    sound=st.sampled_from(SOUNDS),
    rate=st.sampled_from([8_000, 16_000, 22_050, 44_100]),
    start=st.sampled_from([0.0, 0.0, 2.0, 77.7]),
    late=st.sampled_from([0.0, 0.0, 0.5]),
    over=st.sampled_from([0.4, 1.0, 3.3]),
    lead=st.sampled_from([0.0, 0.25]),
    low=st.floats(0.0, 4.5),
)
def test_a_click_is_heard_when_it_sounds(
    folder: Path,
    gaps: list[int],
    sound: tuple[str, str, int],
    rate: int,
    start: float,
    late: float,
    over: float,
    lead: float,
    low: float,
) -> None:
    name, codec, native = sound
    if name != "mkv":  # AVI has no clock of its own, and in MP4 the run-up of AAC would be what the file starts with
        start = late = 0.0
    times = [at / 1000 for at in accumulate(gaps) if late + 0.01 < at / 1000 < 4.9]
    path = clicks(folder / f"clicks.{name}", times, native, codec, start, late)
    seen: list[Window] = []
    hears = Seeing(gathering(seen), word=next(NEW), audio_rate=rate, over=over, lead=lead)
    Stack(perceive={"hears": hears}, device="cpu").watch(path, low)
    for window in seen:
        begin = max(0.0, window.start - lead)
        found = heard(window, lead)
        for time in found:
            assert any(abs(time - click) <= 0.001 for click in times), (time, times)
        for click in times:
            if begin + 0.002 <= click <= window.end - 0.002:
                assert any(abs(time - click) <= 0.001 for time in found), (click, found)
    assert seen


def test_a_stretch_sees_what_the_whole_sees(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of a grid that lie inside of --from and --to are those of the whole video, to the bit."""
    options = {"tone": 300.0, "audio_codec": "flac", "audio_rate": 16_000}
    path = make(folder / "whole.mkv", frames=75, b_frames=2, start=3.0, **options).path

    def stack(folder: str) -> Stack:
        monkeypatch.setenv("VIDEOCHAT_CACHE", folder)
        sees, hears = Echo(fps=24000 / 1001, over=0.5), Echo(audio_rate=16_000, over=0.5)
        return Stack(perceive={"sees": sees, "hears": hears}, device="cpu")

    found = stack(f"{tmp_path}/part").watch(path, 0.8, 2.2).records
    part = {record for record in found if record.start >= 1.0 and record.end <= 2.0}
    whole = set(stack(f"{tmp_path}/whole").watch(path).records)
    assert len(part) == 4
    assert part <= whole


def test_one_wild_timestamp_neither_stretches_the_video_nor_hides_the_rest(tmp_path: Path) -> None:
    """A bit of one timestamp flips, and a frame claims to be half a day later: it is left out, and no other."""
    path = make(tmp_path / "wild.ts", frames=40, fps=10).path
    data = bytearray(path.read_bytes())
    heads = [at.start() for at in re.finditer(rb"\x00\x00\x01\xe0...[\x80-\xff]", data, re.DOTALL)]
    data[heads[12] + 9] ^= 0x04  # bit 31 of the presentation timestamp: 23861 s
    path.write_bytes(data)
    seen: list[Window] = []
    context = Stack(perceive={"sees": Seeing(gathering(seen), fps=10.0)}, device="cpu").watch(path)
    assert context.video.duration == pytest.approx(4.0, abs=0.15)
    assert set(range(40)) - indices(seen) == {12}


def test_a_last_frame_that_is_shown_after_the_stated_end_is_seen(tmp_path: Path) -> None:
    """With B-frames at a variable rate, the duration that an MP4 states may end before its last frame is shown."""
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 2.0]
    path = make(tmp_path / "late.mp4", times=times, b_frames=2).path
    with av.open(str(path)) as container:
        assert (container.duration or 0) / 1e6 < 2.0  # or it is not the file that this is about
    seen: list[Window] = []
    context = Stack(perceive={"sees": Seeing(gathering(seen), fps=10.0)}, device="cpu").watch(path)
    assert context.video.duration > 2.0
    assert indices(seen) == set(range(8))
