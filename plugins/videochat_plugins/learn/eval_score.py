"""Whether answers are right: by the letter they choose, by their words, or by a judge. An empty answer never is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from videochat import Event, LLMError
from videochat.cache import digest
from videochat.registry import registry
from videochat_plugins.learn.eval_choice import chosen
from videochat_plugins.learn.eval_data import Example
from videochat_plugins.learn.eval_judge import Judge
from videochat_plugins.learn.eval_match import matches
from videochat_plugins.learn.eval_rows import Rows
from videochat_plugins.learn.eval_run import PATIENCE, Answered


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right; of one that could not be scored, why: it counts as wrong."""

    right: bool
    why: str = ""  # "error" "empty" "no choice" "set aside"
    score: int | None = None  # 0 to 5, where a judge gave it
    reason: str = ""  # why the judge set it aside


class Scorer:
    """Scores answers.

    Args:
        choice: whether questions that have candidates were asked with lettered options.
        judge: reads answers in words; without, they are compared with the right ones word by word.
        rows: what the judge said before; the same answer to the same question is judged once.
    """

    def __init__(self, choice: bool, judge: Judge | None, rows: Rows) -> None:
        self.choice, self.judge, self.rows = choice, judge, rows
        self._failures = 0

    def score(self, name: str, examples: Sequence[Example], answers: Sequence[Answered]) -> list[Verdict]:
        """Return the verdict on each answer of a system.

        Raises:
            LLMError: if the judge fails over and over.
        """
        verdicts = []
        for done, (example, answered) in enumerate(zip(examples, answers, strict=True), start=1):
            verdicts.append(self._score(example, answered))
            if self.judge:
                registry().observe(Event("eval", f"{name}, judging", done, len(examples)))
        return verdicts

    def _score(self, example: Example, answered: Answered) -> Verdict:
        answer = answered.answer
        if answered.error:
            return Verdict(False, "error")
        if not answer.strip():
            return Verdict(False, "empty", None if self.judge is None else 0)
        if self.choice and example.candidates:
            if (number := chosen(answer, example.candidates)) is None:
                return Verdict(False, "no choice")
            return Verdict(example.candidates[number] == example.answer)
        accepted = (example.answer, *(text for text in example.accept if text != example.answer))
        if self.judge is None:
            return Verdict(matches(answer, accepted, (*example.candidates, *example.others)))
        return self._judged(self.judge, example.question, accepted, answer)

    def _judged(self, judge: Judge, question: str, accepted: Sequence[str], answer: str) -> Verdict:
        key = digest([question, accepted, answer])
        row = self.rows.get(key) or {}
        if not {"right", "score", "aside"} <= row.keys():
            try:
                found = judge.judge(question, accepted, answer)
            except LLMError as error:  # not kept: the next run tries again
                self._failures += 1
                if self._failures >= PATIENCE:
                    raise LLMError(f"the judge failed {PATIENCE} times in a row, the last: {error}") from error
                return Verdict(False, "set aside", reason=str(error))
            self._failures = 0
            row = {"right": found.right, "score": found.score, "aside": found.aside}
            self.rows.append(key, {**row, "question": question, "answer": answer})
        if row["aside"]:
            return Verdict(False, "set aside", reason=row["aside"])
        return Verdict(row["right"], score=row["score"])


def counts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return how many answers could not be scored, by why, and the mean score of a judge, 0 where there is none."""
    whys = {
        why: sum(verdict.why == why for verdict in verdicts) for why in ("error", "empty", "no choice", "set aside")
    }
    judged = any(verdict.score is not None for verdict in verdicts)
    mean = sum(verdict.score or 0 for verdict in verdicts) / len(verdicts) if judged else None
    return {**whys, "score": mean}
