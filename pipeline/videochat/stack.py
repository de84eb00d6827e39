"""A stack: the plugins of each stage with their options, checked as a whole before anything runs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from videochat.check import Checker, Given
from videochat.component import LLM, Component, Formatter, Perceiver, Reader, Refiner, Segmenter
from videochat.errors import Problem, StackError, near
from videochat.pool import Pool
from videochat.registry import registry
from videochat.residency import RESIDENCIES
from videochat.secret import public
from videochat.spec import Spec, read_spec

if TYPE_CHECKING:
    from videochat.chat import Chat
    from videochat.context import Context
    from videochat.plan import Plan

KEYS = ("about", "read", "segment", "perceive", "refine", "format", "prompt", "fence", "llm", "device", "residency")


class Stack:
    """What reads, segments, perceives, refines, formats and answers.

    Each component may be given as itself, as a mapping `{"use": NAME, option: value, ...}`, or as a bare name.

    Args:
        read: the reader.
        segment: the segmenter.
        perceive: the perceivers, by their names in this stack.
        refine: the refiners, by name; they run in this order.
        format: the formatter.
        prompt: a prompt file: a name in prompts/, or a path.
        llm: the language model.
        fence: whether perceived text stands between marked lines in the prompt; without, it is the paper's bare form.
        device: where models run: "auto", "cpu", "cuda", "cuda:1", ...
        residency: which perceivers' models are loaded at once: "together", "one_at_a_time" (each with a decode of its
            own, in the least memory), or "auto": as many as fit.
        about: what the stack is, in a sentence.
        allow_hosts: hosts, other than an LLM provider's own, that may be sent the secret set for them.
        origin: where the values were written, for messages.

    Raises:
        StackError: with every problem found, each as `file:line: perceive.dense.over: what is wrong, what is allowed`.
    """

    def __init__(
        self,
        *,
        read: Given = "pyav",
        segment: Given = "fixed",
        perceive: Mapping[str, Given] | None = None,
        refine: Mapping[str, Given] | None = None,
        format: Given = "timeline",
        prompt: str = "timeline",
        llm: Given = "extractive",
        fence: bool = True,
        device: str = "auto",
        residency: str = "auto",
        about: str = "",
        allow_hosts: Sequence[str] = (),
        origin: Spec | None = None,
    ) -> None:
        spec = origin or Spec({}, name="stack")
        self.name, self.about, self.fence, self.prompt_name = spec.name, about, fence, prompt
        self.spec, self.pool, self.residency = spec, Pool(device), residency
        check = Checker(spec)
        reader = check.component(Reader, read, ("read",))
        segmenter = check.component(Segmenter, segment, ("segment",))
        self.perceivers = dict(check.components(Perceiver, {} if perceive is None else perceive, "perceive"))
        self.refiners = dict(check.components(Refiner, {} if refine is None else refine, "refine"))
        formatter = check.component(Formatter, format, ("format",))
        model = check.component(LLM, llm, ("llm",))
        template = check.template(prompt)
        for key, value, kind in (("fence", fence, bool), ("device", device, str), ("about", about, str)):
            if not isinstance(value, kind):
                check.add((key,), f"must be {'true or false' if kind is bool else 'text'}, not {value!r}")
        if isinstance(device, str) and not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            check.add(("device",), f"must be auto, cpu, cuda, cuda:0, cuda:1, ..., not {device!r}")
        if residency not in RESIDENCIES:
            check.add(("residency",), f"must be {', '.join(RESIDENCIES[:-1])} or {RESIDENCIES[-1]}, not {residency!r}")
        check.samplings(self.perceivers)
        if model and template:
            check.reach(self.perceivers, model, template)
            check.hosts(model, allow_hosts)
        if check.problems or not (reader and segmenter and formatter and model and template):
            raise StackError(check.problems)
        self.reader, self.segmenter, self.formatter, self.llm, self.template = (
            reader,
            segmenter,
            formatter,
            model,
            template,
        )

    @classmethod
    def from_spec(cls, spec: Spec, allow_hosts: Sequence[str] = ()) -> Self:
        """Build the stack that a file describes.

        Raises:
            StackError: with every problem found.
        """
        strange = [key for key in spec.data if key not in KEYS]
        unknown = [Problem(spec.at((key,)), key, f"no such key{near(key, KEYS)}") for key in strange]
        known = {key: value for key, value in spec.data.items() if key in KEYS and value is not None}
        try:
            stack = cls(**known, allow_hosts=allow_hosts, origin=spec)
        except StackError as error:
            raise StackError([*unknown, *error.problems]) from None
        if unknown:
            raise StackError(unknown)
        return stack

    def check_reach(self) -> None:
        """Make sure that the language model takes what is perceived; what was not here before may be here now.

        Raises:
            StackError: if it does not.
        """
        check = Checker(self.spec)
        check.reach(self.perceivers, self.llm, self.template)
        if check.problems:
            raise StackError(check.problems)

    def components(self) -> Iterator[tuple[str, Component]]:
        """Yield every component with its dotted place: `perceive.caption`."""
        yield "read", self.reader
        yield "segment", self.segmenter
        for name, perceiver in self.perceivers.items():
            yield f"perceive.{name}", perceiver
        for name, refiner in self.refiners.items():
            yield f"refine.{name}", refiner
        yield "format", self.formatter
        yield "llm", self.llm

    def filled(self) -> dict[str, Any]:
        """Return the stack with every default written out, without secrets: what `config fill` prints."""
        out: dict[str, Any] = {"about": self.about} if self.about else {}
        for place, component in self.components():
            use = registry().name_of(type(component))
            stage, _, name = place.partition(".")
            spot = out.setdefault(stage, {}) if name else out
            spot[name or stage] = {"use": use, **public(component.options)}
        order = {key: out[key] for key in KEYS if key in out}
        models = {"device": self.pool.wanted, "residency": self.residency}
        return order | {"prompt": self.prompt_name, "fence": self.fence} | models

    def plan(self, path: str | Path, start: float | None = None, end: float | None = None) -> "Plan":
        """Return what a watch would do, loading nothing; see `videochat.plan.make_plan`."""
        from videochat.plan import make_plan

        return make_plan(self, Path(path), start, end)

    def watch(
        self, path: str | Path, start: float | None = None, end: float | None = None, at: float | None = None
    ) -> "Context":
        """Perceive a video, or as much of it as the cache does not hold; see `videochat.watch.watch`."""
        from videochat.watch import watch

        return watch(self, Path(path), start, end, at)

    def chat(self, *contexts: "Context") -> "Chat":
        """Start a talk about one or more watched videos."""
        from videochat.chat import Chat

        return Chat(self, contexts)

    def close(self) -> None:
        """Let go of every loaded model."""
        for _, component in self.components():
            component.close()
        self.pool.trim()


def load(
    name: str = "offline",
    settings: Sequence[str] = (),
    llm: str | None = None,
    allow_hosts: Sequence[str] = (),
    device: str | None = None,
) -> Stack:
    """Load a stack.

    Args:
        name: of a file in configs/ or the user's own config folder, or a path.
        settings: overrides such as `perceive.text.side=480`.
        llm: `provider` or `provider:model`, in place of the stack's own.
        allow_hosts: see `Stack`.
        device: where models run, in place of the stack's own.

    Raises:
        StackError: with every problem found.
    """
    return Stack.from_spec(read_spec(name, settings, llm, device), allow_hosts)
