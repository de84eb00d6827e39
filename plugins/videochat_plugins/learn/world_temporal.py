"""What can be asked of time: facts that the reversed video has too, each with another answer.

So a question stands on both, in the same words, and who does not see the order of the frames is right on at most one.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import numpy.typing as npt

from videochat_plugins.learn.world_ask import Fact
from videochat_plugins.learn.world_physics import Event, Log, reverse

Answers = dict[tuple[str, tuple[str, ...]], str]  # by category and what the question names

_APART = 4  # frames between two events of which one can say which is first
_FAR = 12.0  # pixels that a thing moves at least, to be asked which way
_LONG = 10  # frames that something is to be seen, to be asked about
_TIMES = ("never", "once", "twice", "three times", "four times", "five times")


def temporal(log: Log) -> list[tuple[Fact, Fact]]:
    """Return the facts of a video that have another answer on its reverse, each with that of the reverse."""
    here, there = (dict(_answers(one)) for one in (log, reverse(log)))
    out = []
    for key in here.keys() & there.keys():
        if here[key] != there[key]:
            candidates = tuple(sorted((here[key], there[key])))
            out.append((Fact(*key, here[key], candidates), Fact(*key, there[key], candidates)))
    return sorted(out, key=lambda pair: (pair[0].category, pair[0].named))


def _answers(log: Log) -> Iterator[tuple[tuple[str, tuple[str, ...]], str]]:
    """Yield what can be said of a video as it runs: category and what is named, and the answer."""
    for family in (_things, _events, _flashes, _movers, _scenes):
        for category, named, answer in family(log):
            yield (f"temporal/{category}", named), answer


def direction(log: Log, thing: int) -> str:
    """Return the words for the way that a thing goes, both in the scene and in the picture; "" if there is no one."""
    seen = np.flatnonzero(log.seen[:, thing])
    if len(seen) < _LONG or log.of("turn", thing):
        return ""
    words = {_way(places[seen[-1], thing] - places[seen[0], thing]) for places in (log.places, log.shown)}
    return words.pop() if len(words) == 1 else ""


def _way(move: npt.NDArray[np.float64]) -> str:
    x, y = move
    if max(abs(x), abs(y)) < _FAR:
        return ""
    sides = "right" if x > 0 else "left", "down" if y > 0 else "up"
    if min(abs(x), abs(y)) > max(abs(x), abs(y)) / 2:
        return f"{sides[1]} and to the {sides[0]}"
    return sides[0] if abs(x) > abs(y) else sides[1]


def _things(log: Log) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for i, thing in enumerate(log.things):
        named = (thing.name,)
        if log.seen[:, i].sum() < _LONG:
            continue
        if way := direction(log, i):
            yield "direction", named, way
        seen = np.flatnonzero(log.seen[:, i])
        first, last = seen[0], seen[-1]
        if thing.spin:
            yield "rotation", named, "clockwise" if log.angles[last, i] > log.angles[first, i] else "anticlockwise"
        if thing.swell != 1:
            yield "size", named, "it grows" if log.scales[last, i] > log.scales[first, i] else "it shrinks"
        changes = [*log.of("appear", i), *log.of("vanish", i)]
        if len(changes) == 1:
            yield "presence", named, "it appears" if changes[0].kind == "appear" else "it vanishes"


def moments(log: Log) -> list[tuple[str, Event]]:
    """Return the events that the reversed video shows as the same, each with the clause that says only it."""
    named: dict[str, list[Event]] = {}
    for event in log.events:
        thing = log.things[event.thing].name
        if event.kind == "flash":
            named.setdefault(f"the {thing} flashes", []).append(event)
        elif event.kind == "turn":
            named.setdefault(f"the {thing} turns round", []).append(event)
        elif event.kind == "meet" and event.cause is not None:
            named.setdefault(f"the {thing} and the {log.things[event.cause].name} touch", []).append(event)
    return sorted((clause, events[0]) for clause, events in named.items() if len(events) == 1)


def _events(log: Log) -> Iterator[tuple[str, tuple[str, ...], str]]:
    found = moments(log)
    for clause, event in found:
        middle = (event.start + event.end) / 2
        if abs(middle - log.frames / 2) >= _APART:
            yield "when", (clause,), "the first half" if middle < log.frames / 2 else "the second half"
    for (one, a), (other, b) in combinations(found, 2):
        if a.end + _APART <= b.start or b.end + _APART <= a.start:
            yield "first_event", (one, other), one if a.start < b.start else other
            yield "before_after", (one, other), "before" if a.start < b.start else "after"
            yield "before_after", (other, one), "after" if a.start < b.start else "before"


def _flashes(log: Log) -> Iterator[tuple[str, tuple[str, ...], str]]:
    for i, thing in enumerate(log.things):
        flashes = log.of("flash", i)
        for clause, event in moments(log):
            gaps = [max(event.start - flash.end, flash.start - event.end) for flash in flashes]
            if event.thing != i and gaps and min(gaps) >= _APART // 2:
                yield "how_often", (thing.name, clause), _TIMES[sum(flash.end <= event.start for flash in flashes)]


def _movers(log: Log) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Pairs of which one moves only before, the other only after one of them is hit."""
    stop, start = ({event.thing for event in log.of(kind)} for kind in ("stop", "start"))
    for i in stop - start:
        for j in start - stop:
            one, other = sorted((i, j))
            yield "first_mover", (log.things[one].name, log.things[other].name), f"the {log.things[i].name}"


def _scenes(log: Log) -> Iterator[tuple[str, tuple[str, ...], str]]:
    if len(log.words) == 2:
        yield "first_word", (), min(log.words, key=lambda word: word.start).text
    if len(log.scenes) == 1:
        speed = log.camera[-1] - log.camera[0]
        if speed.any():
            yield "camera", (), _way(speed * (_FAR / np.abs(speed).max()))
        return
    yield "first_background", (), log.scenes[0].background
    shot = [int(log.shots[np.flatnonzero(log.seen[:, i])[0]]) for i in range(len(log.things))]
    for i, j in combinations(range(len(log.things)), 2):
        if shot[i] != shot[j]:
            first = i if shot[i] < shot[j] else j
            yield "first_scene", (log.things[i].name, log.things[j].name), f"the {log.things[first].name}"
