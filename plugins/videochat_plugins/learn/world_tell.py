"""Tells in words what a video shows: a caption of a sentence or two, and a description as a story."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_physics import WALL, Event, Log
from videochat_plugins.learn.world_temporal import direction
from videochat_plugins.learn.world_things import HEIGHT, WIDTH, Thing

_NEXT = ("Then", "After that", "Next", "A little later", "Soon after", "Thereupon")
_REST = ("stays where it is", "rests there", "keeps its place", "does not move by itself")
_NUMBERS = ("no", "one", "two", "three", "four", "five")
_VERBS = {
    "start": "begins to move",
    "stop": "comes to rest",
    "turn": "turns round and goes back",
    "vanish": "vanishes",
    "appear": "appears",
    "flash": "flashes white for a moment",
}


def caption(author: Author, log: Log) -> str:
    """Return one or two sentences: what there is and what it does."""
    things = [f"{_a(_sized(thing))} that {_does(author, log, i)}" for i, thing in enumerate(log.things)]
    back = " and then a ".join(scene.background for scene in log.scenes)
    said = [f"{_and(things)}, {author.pick(('on', 'over', 'before', 'against'))} a {back} background."]
    main = [clause for _, clause in _happenings(log)]
    if main:
        said.append(f"{author.pick(main)}.")
    if log.words:
        said.append(f"The text says {_and([word.text for word in log.words])}.")
    return " ".join(_capital(one) for one in said)


def still_caption(log: Log, frame: int) -> str:
    """Return a sentence about one frame."""
    things = [log.things[i] for i in np.flatnonzero(log.seen[frame])]
    names = [_a(f"{'' if thing.texture == 'plain' else thing.texture} {thing.name}".strip()) for thing in things]
    word = next((f", with the word {word.text}" for word in log.words if word.start <= frame < word.end), "")
    back = log.scenes[int(log.shots[frame])].background
    return f"{_capital(_and(names) or 'nothing')} on a {back} background{word}."


def description(author: Author, log: Log) -> str:
    """Return a story of some 80 to 220 words, in the order in which things happen, without times."""
    return " ".join(_capital(sentence) for sentence in _story(author, log))


def _story(author: Author, log: Log) -> Iterator[str]:
    total = _NUMBERS[len(log.things)]
    what = author.pick(("a drawn world", "a small world of flat shapes", "a plain, drawn scene"))
    yield f"the video shows {what} with {total} {'shape' if total == 'one' else 'shapes'} in all."
    happenings = _happenings(log)
    for number, scene in enumerate(log.scenes):
        frames = np.flatnonzero(log.shots == number)
        first, last = int(frames[0]), int(frames[-1])
        if number:
            yield f"with a cut the picture changes to another scene, and the background is {scene.background} now."
        else:
            yield f"at first the background is {scene.background}, with {author.pick(('soft', 'faint'))} clouds in it."
        yield _camera(author, log, frames)
        words = [word for word in log.words if word.start <= last and word.end > first]
        if words:
            yield f"at the lower edge {author.pick(('stands', 'one can read'))} the word {words[0].text}."
        yield from _things(author, log, first)
        for word in words[1:]:
            happenings.append((word.start, f"the word at the lower edge changes to {word.text}"))
        within = [clause for start, clause in sorted(happenings) if first <= start <= last]
        for clause in within:
            yield f"{author.pick(_NEXT)} {clause}."
        if not within:
            yield author.pick(
                ("Nothing sudden happens here; all goes on as it began.", "All of this goes on calmly, without a turn.")
            )
    yield from _end(author, log)


def _camera(author: Author, log: Log, frames: npt.NDArray[np.int64]) -> str:
    x, y = log.camera[frames[-1]] - log.camera[frames[0]]
    if not x and not y:
        return author.pick(("the camera keeps still.", "the camera does not move.", "one looks on from a fixed place."))
    way = ("right" if x > 0 else "left") if abs(x) > abs(y) else ("down" if y > 0 else "up")
    return f"all the while the camera {'pans' if x else 'tilts'} slowly {way}, so that the whole picture slides."


def _things(author: Author, log: Log, first: int) -> Iterator[str]:
    for i in np.flatnonzero(log.seen[first]):
        thing = log.things[i]
        look = f"{_a(_sized(thing))} with {_pattern(thing.texture)}"
        verb = author.pick(("is", "can be seen", "has its place"))
        yield f"{look} {verb} {_place(log, first, int(i))}; it {_does(author, log, int(i))}."


def _end(author: Author, log: Log) -> Iterator[str]:
    last = log.frames - 1
    left = np.flatnonzero(log.seen[last])
    if len(left):
        places = [f"the {log.things[i].name} {_place(log, last, int(i))}" for i in left]
        yield f"{author.pick(('at the end', 'when the video ends', 'in the last picture'))} one sees {_and(places)}."
    gone = [f"the {log.things[i].name}" for i in np.flatnonzero(~log.seen[last])]
    if gone:
        yield f"{_and(gone)} {'is' if len(gone) == 1 else 'are'} not there any more."


def _does(author: Author, log: Log, thing: int) -> str:
    """Return what a thing does most of the time."""
    spec = log.things[thing]
    if spec.spin:
        seen = np.flatnonzero(log.seen[:, thing])
        clockwise = log.angles[seen[-1], thing] > log.angles[seen[0], thing]
        return f"spins {'clockwise' if clockwise else 'anticlockwise'} on its spot"
    if spec.swell != 1:
        seen = np.flatnonzero(log.seen[:, thing])
        return f"slowly {'grows' if log.scales[seen[-1], thing] > log.scales[seen[0], thing] else 'shrinks'}"
    changes = [event for kind in ("start", "stop") for event in log.of(kind, thing)]
    way = direction(log, thing)
    if log.of("turn", thing):
        return "moves to and fro"
    if changes:
        moved = f"goes {_to(way)}" if way else "moves"
        return f"{moved} for a part of the time"
    return (
        f"{author.pick(('moves', 'goes', 'drifts'))} {_to(way)}"
        if way and spec.motion != "rest"
        else (author.pick(_REST) if spec.motion == "rest" else "moves")
    )


def _happenings(log: Log) -> list[tuple[int, str]]:
    """Return what happens at a moment, with its frame, as clauses in order."""
    out = []
    met = {(event.start, event.thing): event for event in log.of("meet")}
    met |= {(event.start, event.cause): event for event in log.of("meet") if event.cause is not None}
    for event in log.events:
        name = f"the {log.things[event.thing].name}"
        if event.kind == "meet":
            changes = [e for e in log.events if e.start == event.start and e.thing in (event.thing, event.cause)]
            out.append((event.start, _meeting(log, event, [e for e in changes if e.kind in _VERBS])))
        elif event.kind == "turn" and event.cause == WALL:
            out.append((event.start, f"{name} reaches the edge of the picture and turns back"))
        elif (event.start, event.thing) not in met:
            out.append((event.start, f"{name} {_VERBS[event.kind]}"))
    return sorted(out)


def _meeting(log: Log, event: Event, changes: Sequence[Event]) -> str:
    """Return what comes of two things that touch; in the reversed video it is only told, not explained."""
    assert event.cause is not None
    said = [f"the {log.things[change.thing].name} {_VERBS[change.kind]}" for change in changes]
    one, other = log.things[event.thing].name, log.things[event.cause].name
    hit = next((change for change in changes if change.cause is not None), None)
    if hit is not None and hit.cause is not None:
        one, other = log.things[hit.cause].name, log.things[hit.thing].name
        return f"the {one} hits the {other}, and so {_and(said)}"
    return f"the {one} and the {other} touch, and {_and(said)}" if said else f"the {one} and the {other} touch"


def _place(log: Log, frame: int, thing: int) -> str:
    x, y = log.shown[frame, thing] / (WIDTH, HEIGHT)
    row = "upper" if y < 0.36 else "lower" if y > 0.64 else ""
    column = "left" if x < 0.36 else "right" if x > 0.64 else ""
    if row and column:
        return f"in the {row} {column} of the picture"
    if row:
        return f"in the {row} part of the picture"
    return f"on the {column} side of the picture" if column else "near the middle of the picture"


def _to(way: str) -> str:
    return f"to the {way}" if way in ("left", "right") else way


def _sized(thing: Thing) -> str:
    """Return its name with its size, if it keeps it."""
    return f"{thing.size} {thing.name}" if thing.swell == 1 else thing.name


def _pattern(texture: str) -> str:
    return {"plain": "an even surface", "striped": "stripes", "dotted": "dots", "checked": "a checked pattern"}[texture]


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _and(parts: Sequence[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
