"""Asks the language model for one piece of training data, and once more where the answer cannot be used."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from videochat import LLM, Generation, LLMError, Message, Text, Usage, VideoChatError
from videochat_plugins.learn.instruct_check import Malformed, Round, read_caption, read_conversation, read_description
from videochat_plugins.learn.instruct_prompts import TOLD, Prompts, Shown, repair

Found = TypeVar("Found")

# Tokens that an answer may take, unless the stack says so itself (llm.max_tokens): 200 words are some 300 tokens.
ROOM = {"descriptions": 512, "conversations": 2048}


@dataclass
class Cost:
    """What was asked of the language model."""

    requests: int = 0
    prompt: int = 0  # tokens
    answer: int = 0
    estimated: bool = False  # whether some of them were guessed from the length of texts
    seconds: float = 0.0  # waited for answers
    repaired: int = 0  # answers that could be used only when asked for again

    def add(self, other: "Cost") -> None:
        """Add another's figures to these."""
        self.requests += other.requests
        self.prompt += other.prompt
        self.answer += other.answer
        self.estimated |= other.estimated
        self.seconds += other.seconds
        self.repaired += other.repaired


class Rejected(Exception):
    """An answer that was asked for again and still cannot be used."""

    def __init__(self, reason: str, raw: str) -> None:
        super().__init__(reason)
        self.reason, self.raw = reason, raw


def write(llm: LLM, prompts: Prompts, make: str, shown: Shown, cost: Cost) -> tuple[Round, ...]:
    """Return the rounds of one piece.

    A description is written (Table 3) and then set right (Table 4); a conversation is written at once (Table 6).
    A caption is what the stack says of the video as a whole: nobody is asked.

    Args:
        llm: loaded.
        prompts: the paper's tables.
        make: "descriptions", "conversations" or "captions".
        shown: the video.
        cost: what it takes is added to this, also where it fails.

    Raises:
        Rejected: if the language model's answer cannot be used, and its second one neither.
        LLMError: if the language model fails.
    """
    if make == "captions":
        try:
            return (Round("brief", "", read_caption(shown.caption)),)
        except Malformed as error:
            raise Rejected(str(error), shown.caption) from None
    how = generation(llm, make)
    if make == "conversations":
        read = partial(read_conversation, duration=shown.duration)
        return _ask(llm, how, cost, prompts.conversation(shown), read)
    draft = _ask(llm, how, cost, prompts.description(shown), read_description)
    final = _ask(llm, how, cost, prompts.correction(draft, shown.fenced), read_description)
    return (Round("detailed", "", final),)


def generation(llm: LLM, make: str) -> Generation:
    """Return how the language model is asked: as its options say, with room for the answer where they do not say."""
    own = llm.generation
    if "max_tokens" in llm.options.model_fields_set:
        return own
    return replace(own, max_tokens=min(ROOM.get(make, own.max_tokens), llm.window // 4))


def _ask(llm: LLM, how: Generation, cost: Cost, messages: Sequence[Message], read: Callable[[str], Found]) -> Found:
    """Return what an answer says; where it cannot be used the model is told why, and asked once more."""
    text, faults = "", list[str]()
    for again in (False, True):
        text, finish = _answer(llm, how, cost, messages)
        try:
            if finish == "length":
                raise Malformed([f"it was cut off after {how.max_tokens} tokens: write less"])
            found = read(text)
        except Malformed as error:
            faults, messages = error.faults, repair(messages, text, error.faults)
        else:
            cost.repaired += again
            return found
    more = f"; and {len(faults) - TOLD} more" if len(faults) > TOLD else ""
    raise Rejected("; ".join(faults[:TOLD]) + more, text)


def _answer(llm: LLM, how: Generation, cost: Cost, messages: Sequence[Message]) -> tuple[str, str]:
    """Return what the language model says, and why it ended."""
    began = time.perf_counter()
    cost.requests += 1
    try:
        reply = llm.answer(messages, how)
        text = "".join(reply)
    except VideoChatError:
        raise
    except Exception as error:  # a stranger's backend may raise anything
        raise LLMError(f"the language model failed: {type(error).__name__}: {error}") from error
    finally:
        cost.seconds += time.perf_counter() - began
    usage = reply.usage
    if usage == Usage():  # the backend does not tell
        asked = sum(llm.count(part) for message in messages for part in message.parts)
        usage = Usage(asked, llm.count(Text(text)), estimated=True)
    cost.prompt += usage.prompt
    cost.answer += usage.answer
    cost.estimated |= usage.estimated
    return text, reply.finish
