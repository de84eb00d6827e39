"""Score a stack's perceivers against a world's truth: colour, direction, count, cuts, text, camera.

    videochat world make world --videos 30
    python examples/score_world.py world [STACK]

Prints a table in Markdown. STACK (default: offline) is a name or a file; what is scored are records of the kinds
region, motion, text and look as the perceivers give them, before any refiner, and the boundaries of segments.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from pathlib import Path

import videochat
from videochat import Box, Record

WAYS = ("right", "down-right", "down", "down-left", "left", "up-left", "up", "up-right")
NEAR = {"shots": 0.15, "motion": 0.3}  # seconds: `motion` looks at four frames a second
SLOW = 6.0  # pixels in a second: what is slower is not asked for

Score = dict[str, list[float]]  # what each row is the mean of


def score(world: Path, name: str) -> tuple[Score, int]:
    """Watch every video of a world; return what came of it, and how many there were."""
    stack = videochat.load(name)
    scores: Score = defaultdict(list)
    files = sorted((world / "videos").glob("w*.mp4"))
    for number, file in enumerate(files, start=1):
        print(f"{number} of {len(files)}: {file.name}", file=sys.stderr)
        lines = (world / "records" / f"{file.stem}.jsonl").read_text(encoding="utf-8").splitlines()
        truth = [Record.from_json(json.loads(line)) for line in lines]
        context = stack.watch(file)
        found = list(context.stages[0].records) if context.stages else list(context.records)
        things(scores, kind(truth, "region"), kind(found, "region"))
        cuts(scores, "shots", truth, [start for start, _ in context.segments if start])
        cuts(scores, "motion", truth, [r.meta["cut"] for r in kind(found, "motion") if "cut" in r.meta])
        texts(scores, kind(truth, "text"), kind(found, "text"))
        views(scores, truth, found)
    return scores, len(files)


def kind(records: Iterable[Record], name: str) -> list[Record]:
    """Return the records of a kind."""
    return [record for record in records if record.kind == name]


def things(scores: Score, truth: Sequence[Record], found: Sequence[Record]) -> None:
    """Score each moving thing in each second, and how many of them there are said to be."""
    moving = [record for record in truth if record.meta["speed"] >= SLOW]
    said = [record for record in found if record.meta.get("direction", "still") != "still"]
    free = list(said)
    for record in moving:
        match = max(free, key=lambda other: _overlap(record, other), default=None)
        hit = match is not None and _overlap(record, match) > 0.1
        scores["moving thing found, in each second"].append(hit)
        if match is None or not hit:
            continue
        free.remove(match)
        scores["its colour"].append(match.meta.get("colour") == record.meta["colour"])
        turn = (WAYS.index(match.meta["direction"]) - WAYS.index(record.meta["direction"])) % 8
        scores["its direction, of eight"].append(turn == 0)
        scores["its direction, to 45 degrees"].append(turn in (0, 1, 7))
    for record in said:
        scores["what is said to move is a thing"].append(any(_overlap(other, record) > 0.1 for other in truth))
    for second in range(int(max(record.end for record in truth))):
        counts = [sum(_during(record, second) for record in records) for records in (moving, said)]
        scores["count of moving things in a second, exact"].append(counts[0] == counts[1])
        scores["count of moving things in a second, to one"].append(abs(counts[0] - counts[1]) <= 1)


def _during(record: Record, second: int) -> bool:
    return second <= (record.start + record.end) / 2 < second + 1


def _overlap(one: Record, other: Record) -> float:
    """Return the intersection over union of two boxes, 0 where the times have less than half in common."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if one.box is None or other.box is None or shared < 0.5 * min(one.end - one.start, other.end - other.start):
        return 0.0
    a, b = one.box, other.box
    inner = max(0.0, min(a.x2, b.x2) - max(a.x1, b.x1)) * max(0.0, min(a.y2, b.y2) - max(a.y1, b.y1))
    return inner / (_area(a) + _area(b) - inner) if inner else 0.0


def _area(box: Box) -> float:
    return (box.x2 - box.x1) * (box.y2 - box.y1)


def cuts(scores: Score, name: str, truth: Sequence[Record], found: Sequence[float]) -> None:
    """Score the cuts that a part of the stack found."""
    real = [record.meta["cut"] for record in kind(truth, "motion") if "cut" in record.meta]
    scores[f"cut found, {name}"] += [any(abs(cut - other) <= NEAR[name] for other in found) for cut in real]
    scores[f"found cut is one, {name}"] += [any(abs(cut - other) <= NEAR[name] for other in real) for cut in found]


def texts(scores: Score, truth: Sequence[Record], found: Sequence[Record]) -> None:
    """Score each word by the reading that comes nearest."""
    for word in truth:
        read = [r.text for r in found if r.start < word.end and r.end > word.start]
        scores["word read exactly"].append(word.text in read)
        alike = (SequenceMatcher(None, word.text, other.upper()).ratio() for other in read)
        scores["letters of words"].append(max(alike, default=0.0))
    for record in found:
        likes = [SequenceMatcher(None, word.text, record.text.upper()).ratio() for word in truth]
        scores["reading is of a word"].append(max(likes, default=0.0) > 0.5)


def views(scores: Score, truth: Sequence[Record], found: Sequence[Record]) -> None:
    """Score the camera's motion and the background's brightness, for each stretch that lies in one scene."""
    for name, field in (("motion", "camera"), ("look", "brightness")):
        for record in kind(found, name):
            scene = next((r for r in kind(truth, name) if _inside(record, r) and "cut" not in r.meta), None)
            if scene is None or field not in record.meta:
                continue
            if name == "motion":
                row = "still camera" if scene.meta["camera"] == "still" else "moving camera"
                scores[row].append(record.meta["camera"] == scene.meta["camera"])
            else:
                scores["dark or light"].append(
                    (record.meta["brightness"] < 0.5) == (scene.meta["background"] == "dark")
                )


def _inside(record: Record, scene: Record) -> bool:
    return scene.start - 0.01 <= record.start and record.end <= scene.end + 0.01


def table(scores: Score) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| | right | of |"
    yield "|---|---:|---:|"
    for row, values in scores.items():
        yield f"| {row} | {f'{sum(values) / len(values):.2f}' if values else ''} | {len(values)} |"


def main() -> None:
    """Print the scores."""
    if not 2 <= len(sys.argv) <= 3 or not (Path(sys.argv[1]) / "world.json").is_file():
        sys.exit(f"{__doc__}\nworld is a folder that `videochat world make` wrote")
    scores, videos = score(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "offline")
    print(f"{videos} videos\n")
    print("\n".join(table(scores)))


if __name__ == "__main__":
    main()
