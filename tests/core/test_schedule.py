"""Every window gets exactly its own frames and sound, whoever else is served from the same pass."""

from bisect import bisect_right
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import Echo, Film, FilmReader, task
from videochat import Span, Window
from videochat.plan import Task
from videochat.schedule import windows
from videochat.window import sample_times

NOWHERE = Path("no-such-folder")
SECOND = [Span(float(i), i + 1.0) for i in range(10)]


def read(film: Film, *tasks: Task) -> tuple[FilmReader, dict[tuple[str, Span], Window | None]]:
    reader = FilmReader(film)
    found: dict[tuple[str, Span], Window | None] = {}
    for owner, span, window in windows(reader, film.video, tasks):
        assert (owner.name, span) not in found, "a window came twice"
        found[owner.name, span] = window
    return reader, found


def audible(film: Film, owner: Task, span: Span) -> list[float]:
    """Return the samples that a window must hold: the ramp, zeros where there is none, nothing after its end."""
    rate = owner.sampling.audio_rate or 0
    low, high = round(max(0.0, span.start - owner.sampling.lead) * rate), round(span.end * rate)
    stretches = [(round(start * rate), round(min(end, film.breaks) * rate)) for start, end in film.sound]
    stretches = [(start, end) for start, end in stretches if start < end]
    last = max((end for _, end in stretches), default=0)
    values = range(low, min(high, last))
    return [k + 1.0 if any(start <= k < end for start, end in stretches) else 0.0 for k in values]


@st.composite
def films(draw: st.DrawFn) -> Film:
    steps = draw(st.lists(st.floats(0.02, 0.7), min_size=1, max_size=60))
    times = [step - steps[0] for step in accumulate(steps)]
    duration = max(times[-1] + 0.1, draw(st.floats(1.0, 12.0)))
    edges = sorted(draw(st.sets(st.integers(0, int(duration * 10)), min_size=0, max_size=4)))
    sound = [(low / 10, high / 10) for low, high in zip(edges[::2], edges[1::2], strict=False)]
    return Film(times, duration, sound, draw(st.floats(0.05, 3.0)), draw(st.integers(1, 4)))


@st.composite
def works(draw: st.DrawFn, film: Film) -> tuple[Echo, list[Span]]:
    duration = film.duration
    number = draw(st.integers(1, 12))
    lengths = draw(st.lists(st.floats(0.05, 4.0), min_size=number, max_size=number))
    edges = [0.0, *(edge for edge in accumulate(lengths) if edge < duration - 1e-3), duration]
    spans = [Span(*pair) for pair in pairwise(edges)]
    kept = draw(st.lists(st.booleans(), min_size=len(spans), max_size=len(spans)))  # the others are cached
    how = draw(st.sampled_from(["frames", "fps", "none"]))
    values: dict[str, Any] = {"lead": draw(st.sampled_from([0.0, 0.3, 2.0])), "side": draw(st.sampled_from([None, 8]))}
    if how == "frames":
        values["frames"] = draw(st.integers(1, 6))
    if how == "fps":
        values["fps"] = draw(st.sampled_from([0.2, 1.0, 2.5, 7.0]))
    if how == "none" or draw(st.booleans()):
        values["audio_rate"] = draw(st.sampled_from([10, 30, 64]))
    if how == "none" and not film.sound:
        return Echo(**values), []  # the plan gives it no windows
    return Echo(**values), [span for span, keep in zip(spans, kept, strict=True) if keep]


def expected_frames(reader: FilmReader, owner: Task, span: Span) -> list[float]:
    return [reader.nearest(time) for time in sample_times(span, owner.sampling)]


@settings(max_examples=200, deadline=None)
@given(data=st.data(), film=films())
def test_each_window_gets_its_own_frames_and_sound(data: st.DataObject, film: Film) -> None:
    made = data.draw(st.lists(works(film), min_size=1, max_size=4))
    tasks = [task(perceiver, spans, NOWHERE, f"task {i}") for i, (perceiver, spans) in enumerate(made)]
    reader, found = read(film, *tasks)
    assert set(found) == {(owner.name, span) for owner in tasks for span in owner.spans}
    for owner in tasks:
        for span in owner.spans:
            window = found[owner.name, span]
            heard = audible(film, owner, span) if owner.sampling.audio_rate and film.sound else []
            times = expected_frames(reader, owner, span)
            assert window is not None
            assert list(window.times) == times
            assert window.span == span
            if owner.sampling.audio_rate and film.sound:
                assert window.audio is not None
                assert window.audio.tolist() == heard
                assert window.rate == owner.sampling.audio_rate
            else:
                assert window.audio is None
            assert all(frame.image.shape[0] == (owner.sampling.side or 48) for frame in window.frames)
    pairs = [(want.time, want.side or 0) for want in reader.wants]
    assert pairs == sorted(set(pairs)), "wants must be sorted, each once"
    assert len(reader.given) == len(pairs)
    handed = {id(frame) for window in found.values() if window for frame in window.frames}
    assert handed == {id(frame) for frame in reader.given}, "each picture is handed on as it is, to all who asked"


@settings(max_examples=100, deadline=None)
@given(data=st.data(), film=films(), share=st.floats(0.0, 1.0))
def test_a_file_that_breaks_off(data: st.DataObject, film: Film, share: float) -> None:
    film.breaks = share * film.duration
    made = data.draw(st.lists(works(film), min_size=1, max_size=3))
    tasks = [task(perceiver, spans, NOWHERE, f"task {i}") for i, (perceiver, spans) in enumerate(made)]
    reader, found = read(film, *tasks)
    assert set(found) == {(owner.name, span) for owner in tasks for span in owner.spans}
    for owner in tasks:
        for span in owner.spans:
            window = found[owner.name, span]
            asked = sample_times(span, owner.sampling)
            times = [reader.nearest(time) for time in asked if time <= film.breaks]
            own = sum(span.start - 1e-9 <= time <= film.breaks for time in asked)
            heard = audible(film, owner, span) if owner.sampling.audio_rate and film.sound else []
            if asked and not own and not heard:  # sound alone may end before the pictures do
                assert window is None
            else:
                assert window is not None
                assert list(window.times) == times
                assert ([] if window.audio is None else window.audio.tolist()) == heard


def test_two_tasks_share_one_frame() -> None:
    film = Film([i / 25 for i in range(250)], 10.0)
    tasks = [task(Echo(frames=1), SECOND, NOWHERE, name) for name in ("one", "two")]
    reader, found = read(film, *tasks)
    assert len(reader.given) == 10
    for span in SECOND:
        one, two = found["one", span], found["two", span]
        assert one is not None
        assert two is not None
        assert one.frames[0] is two.frames[0]


def test_the_same_time_at_two_sizes_is_two_wants() -> None:
    film = Film([i / 25 for i in range(250)], 10.0)
    tasks = [task(Echo(frames=1, side=side), SECOND, NOWHERE, str(side)) for side in (None, 8, 16)]
    reader, found = read(film, *tasks)
    assert [want.side for want in reader.wants[:3]] == [None, 8, 16]
    assert len(reader.wants) == 30
    for side in (8, 16):
        window = found[str(side), SECOND[0]]
        assert window is not None
        assert window.images.shape[1] == side


def test_leads_of_unequal_windows_at_the_start_keep_the_wants_in_order() -> None:
    """A later, shorter window may begin its lead nearer to 0 than the first window has its only frame."""
    film = Film([i / 25 for i in range(50)], 2.0)
    spans = [Span(0.0, 0.625), Span(0.625, 1.125), Span(1.125, 1.375)]
    owner = task(Echo(frames=1, lead=2.0), spans, NOWHERE)
    reader, found = read(film, owner)
    times = {time for span in spans for time in sample_times(span, owner.sampling)}
    assert [want.time for want in reader.wants] == sorted(times)
    for span in spans:
        window = found["it", span]
        assert window is not None
        assert list(window.times) == expected_frames(reader, owner, span)


@pytest.mark.parametrize("sound", [False, True])
def test_windows_leave_as_soon_as_they_are_complete(sound: bool) -> None:
    """However long the video: no more is read than the window that leaves needs, a chunk of sound apart."""
    duration = 1000.0
    film = Film([i / 5 for i in range(5_000)], duration, [(0.0, duration)] if sound else [])
    spans = [Span(float(i), i + 1.0) for i in range(1000)]
    values: dict[str, Any] = {"audio_rate": 10} if sound else {}
    short, long = Echo(fps=2, **values), Echo(fps=1, lead=4.0, **values)
    tasks = [task(short, spans, NOWHERE, "short"), task(long, spans, NOWHERE, "long")]
    reader = FilmReader(film)
    count = 0
    for _, span, window in windows(reader, film.video, tasks):
        assert window is not None
        count += 1
        ahead = bisect_right([want.time for want in reader.wants[-8:]], span.end)
        assert len(reader.wants[-8:]) - ahead <= 2, "frames are read long before they are needed"
        del reader.wants[:-8], reader.given[:]
    assert count == 2000


def test_sound_of_two_rates_with_gaps_to_the_sample() -> None:
    film = Film((), 10.0, [(1.25, 4.5), (6.0, 8.25)], chunk=0.4)
    tasks = [task(Echo(audio_rate=rate, lead=0.5), SECOND, NOWHERE, str(rate)) for rate in (100, 16)]
    _, found = read(film, *tasks)
    for owner in tasks:
        for span in SECOND[:9]:
            window = found[owner.name, span]
            assert window is not None
            assert window.audio is not None
            assert window.audio.dtype == np.float32
            assert window.audio.tolist() == audible(film, owner, span)
    late = found["100", SECOND[8]]
    assert late is not None
    assert late.audio is not None
    assert late.audio.size == 50 + 25, "no more than there is at the end"
    assert found["100", SECOND[9]] is None, "a file without pictures that has nothing more to hear"


def test_sound_that_ends_before_the_pictures_is_no_damage() -> None:
    film = Film([i / 5 for i in range(50)], 10.0, [(0.0, 4.5)])
    ears, both = Echo(audio_rate=100), Echo(fps=1, audio_rate=100)
    _, found = read(film, task(ears, SECOND, NOWHERE, "ears"), task(both, SECOND, NOWHERE, "both"))
    for name, pictures in (("ears", 0), ("both", 1)):
        sizes = []
        for span in SECOND:
            window = found[name, span]
            assert window is not None
            assert window.audio is not None
            assert len(window.frames) == pictures
            sizes.append(window.audio.size)
        assert sizes == [100] * 4 + [50] + [0] * 5


@pytest.mark.parametrize(("missing", "told"), [(0.05, True), (0.25, False)])
def test_sound_may_end_where_an_encoder_only_filled_its_last_packet(missing: float, told: bool) -> None:
    spans = [*SECOND[:3], Span(3.0, 3.0 + missing)]
    _, found = read(Film((), 3.0 + missing, [(0.0, 3.0)]), task(Echo(audio_rate=100), spans, NOWHERE))
    last = found["it", spans[-1]]
    assert (last is not None) is told
    assert last is None or (last.audio is not None and last.audio.size == 0)
    alone = [Span(0.0, missing)]
    _, found = read(Film((), missing, [(0.0, 0.0)]), task(Echo(audio_rate=100), alone, NOWHERE))
    assert found["it", alone[0]] is None, "a file with nothing at all in it is damaged"


def test_a_want_for_pictures_where_there_are_none_and_for_sound_where_there_is_none() -> None:
    both = Echo(fps=1, audio_rate=10)
    _, silent = read(Film([0.0, 1.0, 2.0], 3.0), task(both, SECOND[:3], NOWHERE))
    assert all(window and window.audio is None and len(window.frames) == 1 for window in silent.values())
    _, dark = read(Film((), 3.0, [(0.0, 3.0)]), task(both, SECOND[:3], NOWHERE))
    assert all(window and window.audio is not None and not window.frames for window in dark.values())
