"""What making training data would cost, before a model is loaded or anybody is asked."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from videochat import LLM, Generation, LLMError, Message, Reply, StackError, Text, VideoChatError
from videochat.budget import estimate
from videochat.context import Context
from videochat.plan import Plan
from videochat.prompt import Part
from videochat.refine import refine
from videochat_plugins.learn.instruct_parts import Parts
from videochat_plugins.learn.instruct_prompts import Shown
from videochat_plugins.learn.instruct_run import Making
from videochat_plugins.learn.instruct_shown import asks, room, show, size
from videochat_plugins.learn.instruct_sources import Source

# Words that answers are taken to have: the middle of Table 3, and eight rounds of fifty.
WORDS = {"descriptions": 175, "conversations": 400}
WORD = 1.35  # tokens a word


@dataclass
class Estimate:
    """What one kind of piece would take."""

    pieces: int = 0  # to make
    requests: int = 0  # if nothing must be asked for again; twice as many at most
    prompt: int = 0  # tokens
    answer: int = 0


@dataclass
class Forecast:
    """What a run would take."""

    videos: int = 0
    seconds: float = 0.0  # of video
    before: int = 0  # pieces that are made
    unwatched: int = 0  # videos that must be watched first
    uncounted: int = 0  # those of them whose text is not among the tokens, as there is none to judge it by
    silent: int = 0  # videos of which the stack says nothing that could be asked with: a run sets them aside
    guessed: bool = False  # whether the model's tokenizer is not here, so that its tokens are UTF-8 bytes / 3
    costs: dict[str, Estimate] = field(default_factory=dict)  # by what is made


def forecast(making: Making, sources: Sequence[Source], parts: Parts, retry: bool = False) -> Forecast:
    """Return what a run would take.

    Of a video that was watched before, the prompt is counted as it will be sent. The text of the others is taken to be
    as long, second by second, as that of those; where none was watched it is not counted. With `retry`, what was set
    aside is asked for again.

    Raises:
        StackError: if the prompts leave no room in the language model's window.
    """
    llm = making.stack.llm
    if retry:
        parts.retry_aside(making.entries(sources, parts))
    found = Forecast(len(sources), sum(source.duration for source in sources))
    try:
        llm.count(Text("tokens"))
        space = room(llm, making.prompts, making.make)
    except StackError:
        raise
    except VideoChatError:  # its files are not here
        llm, found.guessed = _Absent(llm.options), True
        space = room(llm, making.prompts, making.make)
    shown: dict[str, Shown] = {}
    silent = set[str]()  # hashes of videos that a run would set aside
    for source in sources:
        if context := _watched(making.stack.plan(source.path)):
            try:
                shown[source.hash] = show(context, llm, making.prompts, making.make)
            except StackError:
                silent.add(source.hash)
    told = {source: llm.count(Text(shown[source.hash].text)) for source in sources if source.hash in shown}
    pace = sum(told.values()) / sum(source.duration for source in told) if told else 0.0  # tokens a second
    found.costs = {make: Estimate() for make in making.make}
    bare = Shown("", "", 0.0)
    for source in sources:
        missing = making.missing(source, parts)
        found.before += len(making.make) - len(missing)
        if source.hash in silent:
            found.silent += bool(missing)
            continue
        found.unwatched += bool(missing) and source not in told
        found.uncounted += bool(missing) and not told
        for make in missing:
            cost = found.costs[make]
            cost.pieces += 1
            if make not in asks([make]):
                continue
            cost.requests += 1
            cost.prompt += size(llm, making.prompts, make, shown.get(source.hash, bare))
            if source not in told:
                cost.prompt += min(round(pace * source.duration), space)
            cost.answer += round(WORDS[make] * WORD)
            if make == "descriptions":  # which Table 4 then sets right
                draft = making.prompts.correction("", making.stack.fence)
                cost.requests += 1
                cost.prompt += sum(llm.turn + sum(map(llm.count, one.parts)) for one in draft)
                cost.prompt += round(WORDS[make] * WORD)
                cost.answer += round(WORDS[make] * WORD)
    return found


def _watched(plan: Plan) -> Context | None:
    """Return the context of a video of which the cache holds all, loading nothing; None if it does not."""
    if plan.segments is None or any(task.missing for task in plan.tasks):
        return None
    key = plan.perceived
    for name in plan.stack.refiners:
        key = plan.refined(key, name)
        if not (plan.folder / key / "records.jsonl").exists():
            return None
    return Context(plan.stack, plan.video, plan.span, plan.segments, refine(plan, [], [])[-1].records)


class _Absent(LLM):
    """Stands for a language model whose files are not here: counts as there is no tokenizer."""

    accepts: Collection[type[Part]] = (Text,)
    window = 10**9

    def count(self, part: Part) -> int:
        return estimate(part.text) if isinstance(part, Text) else 0

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        raise LLMError("the language model is not here")
