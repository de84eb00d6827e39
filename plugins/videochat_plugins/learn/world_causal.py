"""What can be asked of causes, where physics runs forwards: why, and what would be without."""

from collections.abc import Iterator

import numpy as np

from videochat_plugins.learn.world_ask import Fact
from videochat_plugins.learn.world_physics import WALL, Event, Log, run

_EDGE, _INTO = "it reaches the edge of the picture", "it runs into another thing"
_ITSELF, _HIT = "nothing hits it: it vanishes by itself", "another thing hits it"
_DOES = {"turn": "turn round", "start": "start to move", "vanish": "vanish"}
_ELSE = {"turn": "keep going the same way", "start": "stay where it is", "vanish": "stay where it is"}
_WAYS = ("across", "upright", "slant")


def causal(log: Log) -> Iterator[Fact]:
    """Yield facts about the causes of turns, starts and disappearances, and about the world without one of its things.

    What would be without a thing is what the simulation does without it.
    """
    if len(log.scenes) > 1:
        return
    for kind in _DOES:
        for i in range(len(log.things)):
            events = log.of(kind, i)
            if len(events) == 1 and log.seen[0, i]:
                yield from _why(log, events[0])
                yield from _without(log, events[0])


def _why(log: Log, event: Event) -> Iterator[Fact]:
    """Yield why something happened; other things are named only where they move alike, so that no name tells more."""
    thing, cause = log.things[event.thing], event.cause
    named, about = (thing.name,), (thing.colour, thing.shape, thing.name)
    hit = cause is not None and cause != WALL
    if event.kind == "turn" and thing.motion in _WAYS[:2]:
        yield Fact("causal/why_turn", named, _INTO if hit else _EDGE, (_INTO, _EDGE), about=about)
    elif event.kind == "vanish" and thing.motion == "rest":
        yield Fact("causal/why_vanish", named, _HIT if hit else _ITSELF, (_HIT, _ITSELF), about=about)
    elif event.kind == "start" and cause is not None:
        by = log.things[cause]
        for other in log.things:
            if other not in (by, thing) and other.motion == by.motion:
                both = sorted((by.name, other.name))
                said = tuple(f"the {name} hits it" for name in both)
                order = ("first", "second")
                yield Fact("causal/why_start", named, said[both.index(by.name)], said, order, about)


def _without(log: Log, event: Event) -> Iterator[Fact]:
    """Yield whether it would happen without another thing, and what would be instead.

    Asked only where among things that move alike there is one without which it would and one without which it would
    not: which is which shows in the video alone.
    """
    if event.cause is None or event.cause == WALL:
        return
    thing, motion = log.things[event.thing], log.things[event.cause].motion
    others = [j for j, other in enumerate(log.things) if j != event.thing and other.motion == motion and log.seen[0, j]]
    worlds = {j: run(log.scenes, without=j) for j in others}
    happens = {j: bool(left.of(event.kind, event.thing)) for j, left in worlds.items()}
    if len(set(happens.values())) < 2:
        return
    does, other_end = _DOES[event.kind], _ELSE[event.kind]
    for j, left in worlds.items():
        if not happens[j] and not _as_said(left, event):
            continue
        named = (thing.name, log.things[j].name)
        parts = (f"{n}: {part}" for n, name in enumerate(named) for part in name.split())
        about = (event.kind, *parts)
        yield Fact("causal/still", (*named, does), "yes" if happens[j] else "no", ("yes", "no"), about=about)
        candidates = tuple(sorted((f"it would {does}", f"it would {other_end}")))
        yield Fact("causal/without", named, f"it would {does if happens[j] else other_end}", candidates, about=about)


def _as_said(log: Log, event: Event) -> bool:
    """Return whether a thing to which an event does not happen does what `_ELSE` says."""
    i = event.thing
    moved = float(np.hypot(*np.ptp(log.places[:, i], axis=0)))
    quiet = not [e for kind in ("turn", "start", "stop", "vanish") for e in log.of(kind, i)]
    return quiet and (moved > 1 if event.kind == "turn" else moved < 1)
