"""The same question to several stacks, side by side."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from videochat.extras import prepare
from videochat.stack import Stack


def compare(video: Path, question: str, stacks: Sequence[Stack]) -> Iterator[dict[str, Any]]:
    """Yield one row for each stack as soon as it has answered.

    A row holds `stack`, `answer`, `citations`, `seconds` (of answering), `watch_seconds`, `tokens` (of prompt and
    answer), `estimated` (whether tokens were guessed), `lines` of textualised video, and `faults`.

    Raises:
        VideoChatError: if a stack cannot watch or answer.
    """
    for stack in stacks:
        prepare([component for _, component in stack.components()])
    for stack in stacks:
        with closing(stack):
            began = perf_counter()
            context = stack.watch(video)
            watched = perf_counter() - began
            answer = stack.chat(context).ask(question)
            for _ in answer:
                pass
        row = answer.to_json(stack.name)
        yield {
            "stack": stack.name,
            "answer": row["answer"],
            "citations": row["citations"],
            "seconds": answer.seconds,
            "watch_seconds": watched,
            "tokens": {"prompt": answer.usage.prompt, "answer": answer.usage.answer},
            "estimated": answer.usage.estimated,
            "lines": sum(1 for _ in context.lines()),
            "faults": [asdict(fault) for fault in context.faults],
        }
