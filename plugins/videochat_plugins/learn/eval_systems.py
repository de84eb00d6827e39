"""Who is asked: each stack, its language model without the video, and the majority."""

from collections.abc import Sequence
from dataclasses import replace

from videochat import Stack
from videochat.cli.display import say
from videochat_plugins.learn.eval_baselines import majority
from videochat_plugins.learn.eval_data import Example
from videochat_plugins.learn.eval_folder import Folder
from videochat_plugins.learn.eval_judge import Judge
from videochat_plugins.learn.eval_report import System
from videochat_plugins.learn.eval_run import Answered, Run, key_of
from videochat_plugins.learn.eval_score import Scorer


def named(stacks: Sequence[Stack]) -> dict[str, Stack]:
    """Return stacks by name; of two with one name the second is called `name 2`."""
    found: dict[str, Stack] = {}
    for stack in stacks:
        names = (stack.name, *(f"{stack.name} {n}" for n in range(2, len(stacks) + 1)))
        found[next(name for name in names if name not in found)] = stack
    return found


def answer(
    stacks: dict[str, Stack], examples: Sequence[Example], choice: bool, blind: bool, folder: Folder, jobs: int
) -> list[System]:
    """Return what each stack answered, and what its language model did without seeing; `jobs` questions at once."""
    runs = [
        _run(stack, name, examples, choice, seeing, folder, jobs)
        for name, stack in stacks.items()
        for seeing in ((True, False) if blind else (True,))
    ]
    for run in runs:
        run.prepare()
    systems = []
    for name, stack in stacks.items():
        try:
            for run in (run for run in runs if run.stack is stack):
                kind, of = ("stack", "") if run.seeing else ("blind", name)
                systems.append(System(run.name, kind, run.answers(), (), of))
        finally:
            stack.close()
    return systems


def _run(
    stack: Stack, name: str, examples: Sequence[Example], choice: bool, seeing: bool, folder: Folder, jobs: int
) -> Run:
    called, key = name if seeing else f"{name} blind", key_of(stack, seeing)
    for file in folder.others(called, key):
        say(f"note: {file} is of other settings of {called}: it stays, and all is asked afresh")
    return Run(stack, called, examples, choice, folder.rows(called, key), seeing, jobs)


def score(
    systems: Sequence[System], examples: Sequence[Example], choice: bool, judge: Judge | None, folder: Folder
) -> list[System]:
    """Return the systems with the majority as one more, and whether each answer of each is right."""
    guesses = [Answered(text) for text in majority(examples, choice)]
    scorer = Scorer(choice, judge, folder.rows("judge", judge.key if judge else ""))
    try:
        if judge:
            judge.load()
        everyone = [*systems, System("majority", "majority", guesses, ())]
        return [replace(one, verdicts=scorer.score(one.name, examples, one.answers)) for one in everyone]
    finally:
        if judge:
            judge.close()
