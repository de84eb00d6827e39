"""The world's physics: what things do by themselves and to each other, backwards, and without one of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from videochat_plugins.learn.world_physics import WALL, Event, Log, reverse, run
from videochat_plugins.learn.world_story import write
from videochat_plugins.learn.world_things import FPS, FRAMES, HEIGHT, WIDTH, Clip, Scene, Thing

SEED = 11
STILL, RIGHT = (0.0, 0.0), (30.0, 0.0)


def thing(colour: str = "red", place: tuple[float, float] = (30, 70), **more: object) -> Thing:
    return replace(Thing(colour, "circle", "small", "plain", "rest", place), **more)  # type: ignore[arg-type]


def happen(*things: Thing, without: int | None = None) -> Log:
    return run([Scene(things, FRAMES, "dark")], without)


def kinds(log: Log) -> list[tuple[str, int, int | None]]:
    return [(event.kind, event.thing, event.cause) for event in log.events]


@pytest.fixture(scope="module")
def clips() -> list[tuple[Clip, Log]]:
    made = [write(SEED, index) for index in range(80)]
    return [(clip, run(clip.scenes)) for clip in made]


def test_what_is_left_alone_goes_on() -> None:
    log = happen(thing(velocity=RIGHT), thing("blue", (100, 20)))
    assert log.events == ()
    assert log.places[-1, 0] == pytest.approx((30 + 30 * (FRAMES - 1) / FPS, 70))
    assert (log.places[:, 1] == (100, 20)).all()


def test_pushed_thing_goes_on_in_the_place_of_the_one_that_pushes() -> None:
    log = happen(thing(velocity=RIGHT), thing("blue", (90, 70)))
    assert kinds(log) == [("meet", 0, 1), ("start", 1, 0), ("stop", 0, 1)]
    at = log.events[0].start
    assert at == pytest.approx((90 - 30 - 18) / 30 * FPS, abs=1)
    speeds = np.diff(log.places[:, :, 0], axis=0) * FPS
    assert speeds[: at - 1].tolist() == pytest.approx(np.array([[30, 0]] * (at - 1)))
    assert speeds[at:].tolist() == pytest.approx(np.array([[0, 30]] * (FRAMES - 1 - at)))


def test_heavy_thing_throws_back_and_stays() -> None:
    log = happen(thing(velocity=RIGHT), thing("blue", (110, 70), heavy=True))
    assert kinds(log) == [("meet", 0, 1), ("turn", 0, 1)]
    assert (log.places[:, 1] == (110, 70)).all()
    assert log.places[-1, 0, 0] < log.places[:, 0, 0].max()


def test_fragile_thing_vanishes_and_does_not_stop_the_other() -> None:
    log = happen(thing(velocity=RIGHT), thing("blue", (90, 70), fragile=True))
    assert kinds(log) == [("meet", 0, 1), ("vanish", 1, 0)]
    assert log.seen[:, 1].tolist() == [frame < log.events[0].start for frame in range(FRAMES)]
    assert log.places[-1, 0, 0] == pytest.approx(30 + 30 * (FRAMES - 1) / FPS)


def test_edge_turns_back() -> None:
    log = happen(thing(place=(150, 70), velocity=(25, 0)))
    assert kinds(log) == [("turn", 0, WALL)]
    assert log.places[:, 0, 0].max() <= WIDTH - 9 + 1


def test_without_the_cause_it_does_not_happen() -> None:
    things = thing(velocity=RIGHT), thing("blue", (90, 70)), thing("green", (90, 20))
    assert [event.kind for event in happen(*things, without=0).events] == []
    assert kinds(happen(*things, without=2)) == kinds(happen(*things))
    assert not happen(*things, without=0).seen[:, 0].any()


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.floats(20, 170), st.floats(20, 120)),
    st.tuples(st.floats(20, 170), st.floats(20, 120)),
    st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
    st.tuples(st.floats(-60, 60), st.floats(-60, 60)),
)
def test_energy_is_kept_and_nothing_leaves_the_picture(
    one: tuple[float, float], other: tuple[float, float], fast: tuple[float, float], slow: tuple[float, float]
) -> None:
    if np.hypot(one[0] - other[0], one[1] - other[1]) < 20:
        other = (170.0, 120.0) if one[0] < 100 else (20.0, 20.0)
    log = happen(thing(place=one, velocity=fast), thing("blue", other, velocity=slow))
    assert (log.places >= 9 - 2).all()
    assert (log.places <= np.array([WIDTH, HEIGHT]) - 9 + 2).all()
    busy = {frame for event in log.events for frame in (event.start - 1, event.start)}
    steps = np.diff(log.places, axis=0) * FPS
    energy = (steps**2).sum(axis=(1, 2))
    calm = [energy[frame] for frame in range(FRAMES - 1) if frame not in busy and frame + 1 not in busy]
    assert calm == pytest.approx([fast[0] ** 2 + fast[1] ** 2 + slow[0] ** 2 + slow[1] ** 2] * len(calm), abs=2.5)


def test_backwards_twice_is_forwards(clips: list[tuple[Clip, Log]]) -> None:
    for _, log in clips:
        twice = reverse(reverse(log))
        assert (twice.places == log.places).all()
        assert (twice.shots == log.shots).all()
        assert twice.words == log.words
        assert sorted(map(bare, twice.events)) == sorted(map(bare, log.events))


def bare(event: Event) -> tuple[int, int, str, int]:
    return event.start, event.end, event.kind, event.thing


def test_events_are_what_the_states_show_forwards_and_backwards(clips: list[tuple[Clip, Log]]) -> None:
    """Found again from the states of the frames alone, by other code than the simulation's."""
    found = 0
    for _, forward in clips:
        for log in (forward, reverse(forward)):
            for i in range(len(log.things)):
                seen = log.seen[:, i] & (log.shots == log.shots[np.flatnonzero(log.seen[:, i])[0]])
                changes = {int(f) + 1 for f in np.flatnonzero(np.diff(seen.astype(int)))}
                cuts = {int(f) + 1 for f in np.flatnonzero(np.diff(log.shots))}
                assert changes - cuts == {e.start for kind in ("appear", "vanish") for e in log.of(kind, i)}
                flashes = np.diff(log.flashing[:, i].astype(int), prepend=0)
                assert np.flatnonzero(flashes == 1).tolist() == [event.start for event in log.of("flash", i)]
                found += len(changes) + len(log.of("flash", i))
            found += check_motion(log)
    assert found > 200


def check_motion(log: Log) -> int:
    """Compare each start, stop and turn with the steps before and after it."""
    steps = np.diff(log.places, axis=0)  # (F - 1, N, 2)
    events = [event for kind in ("start", "stop", "turn") for event in log.of(kind)]
    for event in events:
        near = (max(0, event.start - 2), min(len(steps) - 1, event.start + 1))
        before, after = steps[near[0], event.thing], steps[near[1], event.thing]
        moves = (bool(np.abs(before).max() > 1e-3), bool(np.abs(after).max() > 1e-3))
        assert moves == {"start": (False, True), "stop": (True, False), "turn": (True, True)}[event.kind]
        assert (event.kind == "turn") == (before @ after < 0)
    return len(events)


def test_motions_are_what_things_do(clips: list[tuple[Clip, Log]]) -> None:
    seen = set()
    for _, log in clips:
        for i, one in enumerate(log.things):
            frames = np.flatnonzero(log.shots == log.shots[np.flatnonzero(log.seen[:, i])[0]])
            wide, high = np.ptp(log.places[frames, i], axis=0)
            moved = {"across": wide > 2 > high, "upright": high > 2 > wide, "slant": min(wide, high) > 2}
            assert moved.get(one.motion, max(wide, high) < 1e-6), one
            assert (one.motion == "spin") == (one.spin != 0)
            assert (one.motion == "swell") == (one.swell != 1)
            seen.add(one.motion)
    assert len(seen) == 6


def test_things_keep_apart_unless_they_meet(clips: list[tuple[Clip, Log]]) -> None:
    for _, log in clips:
        met = {frozenset((event.thing, event.cause)) for event in log.of("meet")}
        for i, one in enumerate(log.things):
            for j, other in enumerate(log.things[:i]):
                if frozenset((i, j)) not in met:
                    both = log.shots == log.shots[np.flatnonzero(log.seen[:, i])[0]]
                    both &= log.shots == log.shots[np.flatnonzero(log.seen[:, j])[0]]
                    apart = np.hypot(*(log.places[both, i] - log.places[both, j]).T)
                    assert (apart > one.radius + other.radius).all()


def test_all_that_is_there_is_in_the_picture(clips: list[tuple[Clip, Log]]) -> None:
    for _, log in clips:
        radius = np.array([one.radius for one in log.things])[:, None] * log.scales[..., None]
        low, high = log.shown - radius, log.shown + radius
        assert (low[log.seen] > -3).all()
        assert (high[log.seen] < np.array([WIDTH, HEIGHT]) + 3).all()
