"""What can be answered without seeing: by the language model alone, and by the most frequent answer."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from videochat import Message, Stack, Text
from videochat.fence import fence
from videochat.prompt import PLACEHOLDERS, Part
from videochat_plugins.learn.eval_choice import LETTERS
from videochat_plugins.learn.eval_data import Example
from videochat_plugins.learn.eval_match import words


def blind(stack: Stack, question: str) -> tuple[Message, ...]:
    """Return a stack's own prompt with a question and nothing perceived: no records, no embeddings, no frames."""
    values: dict[str, Part | Sequence[Part]] = {name: Text("", name) for name in PLACEHOLDERS}
    nothing = f"\n{fence('')}" if stack.fence else ""
    values |= {"textualizing_videos": Text(nothing, "textualizing_videos"), "video": ()}
    return stack.template.fill({**values, "question": Text(question, "question")})


def majority(examples: Sequence[Example], choice: bool) -> list[str]:
    """Return for each question the most frequent answer to the other questions of its category.

    Those of its own group (its video, or the video and its twin) do not count, so that no answer tells of itself. Of
    equally frequent ones the first in the alphabet is taken. With lettered options it is the most frequent letter,
    among those that the question has. Where a category has one group only, the others stand in.

    Args:
        examples: the questions.
        choice: whether they are asked with lettered options, where they have candidates.
    """
    spoken: dict[str, str] = {}  # how a normalised answer was first written
    counts: dict[str, Counter[str]] = defaultdict(Counter)  # of a category; of all under ""
    own: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)  # of a group in a category
    for example in examples:
        said = _said(example, choice)
        key = " ".join(words(said)) or said
        spoken.setdefault(key, said)
        for category in (example.category, ""):
            counts[category][key] += 1
            own[category, example.group][key] += 1
    out = []
    for example in examples:
        allowed = set(LETTERS[: len(example.candidates)].lower()) if choice and example.candidates else None
        for category in (example.category, ""):
            less = own[category, example.group]
            rest = {key: count - less[key] for key, count in counts[category].items() if count > less[key]}
            found = [key for key in sorted(rest) if allowed is None or key in allowed]
            if found:
                out.append(spoken[max(found, key=rest.__getitem__)])
                break
        else:
            out.append("")
    return out


def _said(example: Example, choice: bool) -> str:
    if choice and example.candidates:
        return LETTERS[example.candidates.index(example.answer)]
    return example.answer
