"""Read a prompt's messages as a talk about videos: its questions, and the records of each video."""

from collections.abc import Iterable, Sequence

from videochat import Line, Message, Record, Text
from videochat.question import Question
from videochat_plugins.llm.answers import answer
from videochat_plugins.llm.evidence import Answer, Evidence

_BACK = 8  # questions that a chain of follow-ups may reach back


def asked(messages: Iterable[Message]) -> list[str]:
    """Return the bare questions of a talk, oldest first."""
    return [part.text for part in _texts(messages, "user") if part.name == "question"]


def videos(messages: Iterable[Message]) -> list[Evidence]:
    """Return the records of each video in a prompt.

    Each part named `textualizing_videos` begins a new video; so does, within a part, a line without records (a heading)
    after which time starts again.
    """
    parts = [part for part in _texts(messages) if part.name == "textualizing_videos"]
    found = [video for part in parts for video in _split(part.lines)]
    if len(found) < 2:
        return [Evidence(video.records) for video in found]
    return [Evidence(video.records, video.label or f"video {i}") for i, video in enumerate(found, 1)]


def follow(questions: Sequence[str], video: Evidence) -> Answer | None:
    """Answer the last question, with what it leaves unsaid taken from those before it."""
    chain: list[Question] = []
    for text in reversed(questions[-_BACK:]):
        chain.append(Question.parse(text, video.duration))
        if not (chain[-1].follows or chain[-1].refers):
            break
    before: Question | None = None
    found: Answer | None = None
    for question in reversed(chain):
        before = question if before is None else question.following(before)
        rests_on = [record for quote in found.quotes for record in quote.records] if found else []
        found = answer(before, video, rests_on)
    return found


def _texts(messages: Iterable[Message], role: str = "") -> list[Text]:
    return [
        part for message in messages if role in ("", message.role) for part in message.parts if isinstance(part, Text)
    ]


def _split(lines: Iterable[Line]) -> list[Evidence]:
    groups: list[tuple[str, dict[str, Record]]] = []
    heading, latest = "", 0.0
    for line in lines:
        records = [record for record in line.records if record.tokens is None]
        if not line.records:
            heading = line.text.rstrip(": ")
        if not records:
            continue
        if not groups or (heading and records[0].start <= latest):
            groups.append((heading, {}))
            latest = 0.0
        heading = ""
        groups[-1][1].update((record.id, record) for record in records)
        latest = max(latest, *(record.start for record in records))
    return [
        Evidence(tuple(sorted(found.values(), key=lambda record: (record.start, record.end))), label)
        for label, found in groups
    ]
