"""What a run of `videochat instruct` made and what it cost, written down and shown."""

import json
from dataclasses import asdict, astuple, dataclass
from importlib.metadata import version
from typing import Any, Self

from videochat.cache import identity, write_whole
from videochat.cli.display import say, show, show_values, table
from videochat.clock import needs_hours, span_stamp
from videochat_plugins.learn.instruct_parts import FACTS, Aside, Entry, Parts
from videochat_plugins.learn.instruct_plan import WORDS, Forecast
from videochat_plugins.learn.instruct_run import Making, Outcome
from videochat_plugins.learn.instruct_sources import Sources
from videochat_plugins.learn.instruct_write import Cost

SHOWN = 20  # lines on what was set aside; rejected.jsonl has them all


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a run."""

    sources: Sources
    parts: Parts
    outcome: Outcome
    kept: list[Entry]
    aside: list[Aside]

    @classmethod
    def write(cls, making: Making, sources: Sources, parts: Parts, outcome: Outcome) -> Self:
        """Write the results of all pieces that are there, and `run.json`: what they were made with."""
        failed = [*((source, make, error) for source, error in sources.broken for make in making.make), *outcome.failed]
        aside = [Aside(source.name, make, str(error)) for source, make, error in failed]
        report = cls(sources, parts, outcome, *parts.assemble(making.entries(sources.found, parts), aside))
        stack = making.stack
        facts = {
            "videochat": version("videochat"),
            "stack": {"name": stack.name, **stack.filled()},
            "components": {place: identity(component, stack.pool) for place, component in stack.components()},
            "prompts": asdict(making.prompts),
            "seed": making.seed,
            **report.to_json(),
        }
        write_whole(parts.folder / FACTS, json.dumps(facts, indent=1) + "\n")
        return report

    @property
    def exit_code(self) -> int:
        """0, or 5 if something was set aside; if nothing was made, the code of why: 4 if any answer was of no use.

        4 also where the server could not be reached.
        """
        if self.outcome.unreached:
            return self.outcome.unreached.exit_code
        if self.kept:
            return 5 if self.aside or self.outcome.faults else 0
        codes = [error.exit_code for _, error in self.sources.broken for _ in self.outcome.costs]
        codes += [error.exit_code for _, _, error in self.outcome.failed]
        return max(codes) if len(codes) == len(self.aside) else 4

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "out": str(self.parts.folder),
            "root": str(self.sources.root),
            "videos": len(self.sources.found),
            "entries": len(self.kept),
            "before": self.outcome.before,
            "costs": {make: asdict(cost) for make, cost in self.outcome.costs.items()},
            "watch_seconds": self.outcome.watching,
            "seconds": self.outcome.seconds,
            "rejected": [{"video": one.video, "make": one.make, "reason": one.reason} for one in self.aside],
            "faults": [{"video": source.name, **asdict(fault)} for source, fault in self.outcome.faults],
            "stopped": self.outcome.unreached and str(self.outcome.unreached),
            "same": [[source.name, first.name] for source, first in self.sources.twins],
        }

    def show(self, as_json: bool) -> None:
        """Print it; what went wrong goes to standard error."""
        if as_json:
            show_values(self.to_json())
        else:
            self._show_costs()
        for source, first in self.sources.twins:
            say(f"note: {source.name} is the same file as {first.name}")
        for source, fault in self.outcome.faults:
            when = span_stamp(fault.start, fault.end, needs_hours(source.duration))
            say(f"warning: {source.name}: {fault.source} at {when}: {fault.reason}")
        if cut := sum(bool(one.piece.left_out) for one in self.kept):
            say(f"note: {cut} of the entries do not tell all of their video: see left_out in parts.jsonl")
        for one in self.aside[:SHOWN]:
            say(f"set aside: {one.video}: {one.make}: {one.reason}")
        if len(self.aside) > SHOWN:
            say(f"set aside: {len(self.aside) - SHOWN} more, in {self.parts.folder / 'rejected.jsonl'}")
        if self.outcome.unreached:
            say(f"stopped, and the same command goes on from here: {self.outcome.unreached}")

    def _show_costs(self) -> None:
        whole = Cost()
        rows = []
        for make, cost in self.outcome.costs.items():
            whole.add(cost)
            kept = sum(one.piece.make == make for one in self.kept)
            rows.append([make, kept, sum(one.make == make for one in self.aside), *_cells(cost)])
        rows.append(["all", len(self.kept), len(self.aside), *_cells(whole)])
        columns = ("made", "entries", "aside", "requests", "repaired", "prompt", "answer", "seconds")
        table(columns, rows, right=columns[1:])
        outcome = self.outcome
        before = f", {outcome.before} made before" if outcome.before else ""
        show(f"\nprompt and answer in tokens; videos: {len(self.sources.found)}{before}; "
             f"{outcome.seconds:.1f} s in all, {outcome.watching:.1f} s of them watching")  # fmt: skip
        show(f"written to {self.parts.folder}, paths from {self.sources.root}")


def show_forecast(found: Forecast, making: Making, sources: Sources, as_json: bool) -> None:
    """Print what a run would take, and what keeps it from running here."""
    lacking = making.stack.plan(sources.found[0].path).lacking if sources.found else []
    if as_json:
        show_values({**asdict(found), "lacking": lacking})
    else:
        columns = ("make", "pieces", "requests", "prompt tokens", "answer tokens")
        figures = [(make, *astuple(cost)) for make, cost in found.costs.items()]
        figures.append(("all", *(sum(column) for column in list(zip(*figures, strict=True))[1:])))
        rows = [
            [make, pieces, requests, f"~{prompt}", f"~{answer}"] for make, pieces, requests, prompt, answer in figures
        ]
        table(columns, rows, right=columns[1:])
        show()
        _show_grounds(found, making)
    for words in lacking:
        say(f"missing {words}")
    for source, error in sources.broken:
        say(f"error: {source.name}: {error}")
    for source, first in sources.twins:
        say(f"note: {source.name} is the same file as {first.name}")


def _show_grounds(found: Forecast, making: Making) -> None:
    """Print what a forecast rests on."""
    before = f", {found.before} pieces made before" if found.before else ""
    show(f"videos    {found.videos} of {found.seconds:.0f} s, {found.unwatched} to be watched first{before}")
    if found.silent:
        show(f"aside     {found.silent} videos: the stack says nothing of them that the language model could be told")
    if found.uncounted:
        show(f"prompts   without the text of {found.uncounted} videos: watch a few, and it is counted")
    elif found.unwatched:
        show("prompts   text of videos not watched yet: as long, second by second, as that of the others")
    use = identity(making.stack.llm)["use"]
    how = "UTF-8 bytes / 3: the model's tokenizer is not here" if found.guessed else f"as llm {use} counts them"
    words = ", ".join(f"{WORDS[make]} words for one of {make}" for make in making.make if make in WORDS)
    show(f"tokens    {how}; answers: {words or 'none'}")
    show("requests  up to twice as many, where answers must be asked for again")


def _cells(cost: Cost) -> list[object]:
    about = "~" if cost.estimated else ""
    return [cost.requests, cost.repaired, f"{about}{cost.prompt}", f"{about}{cost.answer}", f"{cost.seconds:.1f}"]
