"""What an evaluation found, as JSON: accuracy by category with intervals, what it took, and paired differences."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from videochat_plugins.learn.eval_data import Example
from videochat_plugins.learn.eval_run import Answered
from videochat_plugins.learn.eval_score import Verdict, counts
from videochat_plugins.learn.eval_stats import CONFIDENCE, DRAWS, estimate

FORMAT = "videochat-eval"
ALL = "all"


@dataclass(frozen=True, slots=True)
class System:
    """Who answered, and what came of it: one answer and verdict for each question."""

    name: str
    kind: str  # "stack" "blind" "majority"
    answers: Sequence[Answered]
    verdicts: Sequence[Verdict]
    of: str = ""  # the stack that a blind one belongs to


def report(examples: Sequence[Example], systems: Sequence[System], seed: int) -> dict[str, Any]:
    """Return what was found, as JSON values."""
    parts = dict(_parts(examples))
    found = {
        "categories": {name: _category(examples, part) for name, part in parts.items()},
        "systems": [_system(examples, parts, system, seed) for system in systems],
        "differences": [_difference(examples, parts, *pair, seed) for pair in _pairs(systems)],
    }
    bootstrap = {"unit": "group", "draws": DRAWS, "confidence": CONFIDENCE, "seed": seed}
    return {"format": FORMAT, "version": 1, "bootstrap": bootstrap, **found}


def results(examples: Sequence[Example], systems: Sequence[System]) -> Iterator[dict[str, Any]]:
    """Yield a row for each system and question: what was answered, and whether it is right."""
    for system in systems:
        for example, answered, verdict in zip(examples, system.answers, system.verdicts, strict=True):
            yield {
                "system": system.name,
                "id": example.id,
                "category": example.category,
                "group": example.group,
                "video": str(example.video),
                "question": example.question,
                "expected": example.answer,
                **asdict(answered),
                **asdict(verdict),
            }


def _parts(examples: Sequence[Example]) -> Iterator[tuple[str, list[int]]]:
    """Yield the numbers of the questions of all, of each category, and before these of what several begin with."""
    yield ALL, [*range(len(examples))]
    categories = {example.category for example in examples}
    names = categories | {name.partition("/")[0] for name in categories}
    for name in sorted(names) if len(names) > 1 else ():
        yield name, [i for i, one in enumerate(examples) if one.category == name or one.category.startswith(f"{name}/")]


def _category(examples: Sequence[Example], part: Sequence[int]) -> dict[str, Any]:
    chosen = [examples[i] for i in part]
    found: dict[str, Any] = {"questions": len(chosen), "groups": len({example.group for example in chosen})}
    if all(example.candidates for example in chosen):
        found["chance"] = sum(1 / len(example.candidates) for example in chosen) / len(chosen)
    return found


def _system(examples: Sequence[Example], parts: dict[str, list[int]], system: System, seed: int) -> dict[str, Any]:
    right = [float(verdict.right) for verdict in system.verdicts]
    watched = {
        example.stretch: answered.watch_seconds for example, answered in zip(examples, system.answers, strict=True)
    }
    asking = [answered.seconds for answered in system.answers if not answered.error]
    return {
        "name": system.name,
        "kind": system.kind,
        "accuracy": {name: _estimate(examples, part, right, seed) for name, part in parts.items()},
        "seconds_per_question": sum(asking) / len(asking) if asking else None,
        "watch_seconds_per_video": sum(watched.values()) / len(watched) if system.kind == "stack" else None,
        "tokens_per_question": sum(answered.tokens for answered in system.answers) / len(system.answers),
        "faults": sum(bool(answered.faults) for answered in system.answers),
        **counts(system.verdicts),
    }


def _pairs(systems: Sequence[System]) -> Iterator[tuple[System, System]]:
    """Yield whom to compare: stacks with each other, and each with its blind self and the majority."""
    stacks = [system for system in systems if system.kind == "stack"]
    yield from combinations(stacks, 2)
    for stack in stacks:
        yield from ((stack, other) for other in systems if other.kind == "majority" or other.of == stack.name)


def _difference(
    examples: Sequence[Example], parts: dict[str, list[int]], one: System, other: System, seed: int
) -> dict[str, Any]:
    pairs = zip(one.verdicts, other.verdicts, strict=True)
    values = [float(first.right) - float(second.right) for first, second in pairs]
    return {
        "system": one.name,
        "less": other.name,
        "difference": {name: _estimate(examples, part, values, seed) for name, part in parts.items()},
    }


def _estimate(examples: Sequence[Example], part: Sequence[int], values: Sequence[float], seed: int) -> dict[str, Any]:
    found = estimate([values[i] for i in part], [examples[i].group for i in part], seed)
    return {"mean": found.mean, "low": found.low, "high": found.high}
