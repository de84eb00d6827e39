"""Builds a stack's components from what was written, and gathers all that is wrong with it."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from videochat.component import LLM, Component, Perceiver
from videochat.errors import PluginError, Problem, StackError, near
from videochat.places import locate
from videochat.prompt import Template, Text, Tokens
from videochat.registry import registry
from videochat.secret import names_variable, secret_fields
from videochat.spec import Spec

C = TypeVar("C", bound=Component)
Given = Component | Mapping[str, Any] | str
AUDIO_LIMIT = 600.0  # seconds of sound that one window may hold


class Checker:
    """Builds components and gathers what is wrong with them."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.problems: list[Problem] = []

    def add(self, path: tuple[str, ...], message: str) -> None:
        """Note a problem with what was written at a path of keys."""
        self.problems.append(Problem(self.spec.at(path), ".".join(path), message))

    def components(self, base: type[C], given: Any, stage: str) -> Iterator[tuple[str, C]]:
        """Yield the components of a stage that has several, by name."""
        if not isinstance(given, Mapping):
            self.add((stage,), "must be a mapping from a name of your choice to a plugin: `text: {use: NAME}`")
            return
        for name, value in given.items():
            if not isinstance(name, str):
                self.add((stage,), f"a plugin's name in the stack must be text, not {name!r}")
            elif isinstance(value, Mapping) and "use" not in value and get_close_matches(name, {*given} - {name}):
                others = near(name, {*given} - {name})
                self.add((stage, name), f"the stack names no such plugin, and this has no `use`{others}")
            elif value is not None and (built := self.component(base, value, (stage, name))):
                yield name, built

    def component(self, base: type[C], given: Any, path: tuple[str, ...]) -> C | None:
        """Return the component that was written, or None after noting why there is none."""
        if isinstance(given, base):
            return given
        values = {"use": given} if isinstance(given, str) else given
        if not (isinstance(values, Mapping) and isinstance(values.get("use"), str)):
            names = ", ".join(registry().names(base.stage))
            self.add(path, f"must name its plugin, as in `{{use: NAME}}`; there are: {names}")
            return None
        try:
            cls = registry().find(base.stage, values["use"]).cls
        except PluginError as error:
            self.add((*path, "use") if isinstance(given, Mapping) else path, str(error))
            return None
        given_options = {key: value for key, value in values.items() if key != "use"}
        secrets = secret_fields(cls.Options)
        before = len(self.problems)
        for key, value in given_options.items():
            if names_variable(value) and key not in secrets:
                self.add((*path, key), "${...} is read only in secret options")
        try:
            options = cls.Options.model_validate(given_options)
        except ValidationError as error:
            said: dict[str, list[str]] = {}
            for fault in error.errors():  # a field that may be one of several types has a fault for each
                said.setdefault(str(fault["loc"][0]) if fault["loc"] else "", []).append(_say(fault, cls.Options))
            for name, messages in said.items():
                self.add((*path, name) if name else path, ", or ".join(messages))
        if len(self.problems) > before:
            return None
        try:
            return cast(C, cls(options))
        except ValueError as error:  # what only the plugin itself can judge
            self.add(path, str(error))
            return None

    def template(self, prompt: Any) -> Template | None:
        """Return the prompt file that was named, or None after noting why there is none."""
        if not isinstance(prompt, str):
            self.add(("prompt",), f"must be a name or a path, not {prompt!r}")
            return None
        try:
            file = locate("prompts", prompt, beside=self.spec.folder_of(("prompt",)))
            template = Template.parse(file.read_text(encoding="utf-8-sig"))
        except StackError as error:
            self.add(("prompt",), str(error))
            return None
        except (OSError, UnicodeDecodeError) as error:
            self.add(("prompt",), f"cannot be read: {error}")
            return None
        if "question" not in template.placeholders:
            self.add(("prompt",), f"{prompt} has no place for {{question}}")
            return None
        return template

    def samplings(self, perceivers: Mapping[str, Perceiver]) -> None:
        """Check that each perceiver asks for something that it can get."""
        for name, perceiver in perceivers.items():
            try:
                sampling = perceiver.sampling()
            except Exception as error:  # a stranger's plugin may raise anything
                self.add(("perceive", name), str(error) if isinstance(error, ValueError) else repr(error))
                continue
            seconds = 0.0 if isinstance(sampling.over, str) else sampling.over + sampling.lead
            if sampling.audio_rate and seconds > AUDIO_LIMIT:
                words = f"a window holds at most {AUDIO_LIMIT:g} s of sound, {sampling.lead:g} s of lead included"
                self.add(("perceive", name, "over"), f"{words}: lower it")

    def reach(self, perceivers: Mapping[str, Perceiver], model: LLM, template: Template) -> None:
        """Check that what is perceived can reach the model, and that the model takes it."""
        embedders = {name: p for name, p in perceivers.items() if "embedding" in p.emits}
        if "textualizing_videos" in template.placeholders and Text not in model.accepts:
            self.add(("llm",), "takes no text, and the prompt places {textualizing_videos}")
        unseen = not embedders and Tokens not in model.accepts and model.sampling() is None
        if unseen and template.placeholders & {"video", "textualizing_videos"} == {"video"}:
            self.add(("prompt",), "shows the model the video itself, and the llm takes neither frames nor embeddings")
        if embedders and "video" not in template.placeholders:
            self.add(("prompt",), f"has no place {{video}} for the embeddings of {', '.join(embedders)}")
        if embedders and Tokens not in model.accepts:
            self.add(("llm",), f"takes no embeddings, and {', '.join(embedders)} makes them")
        for name, perceiver in embedders.items() if Tokens in model.accepts and _here(model) else ():
            if not _here(perceiver):
                continue  # what it makes is known, and compared, once it is
            if perceiver.space != model.space:
                made = f"for {perceiver.space!r}" if perceiver.space else "and does not say for which language model"
                message = f"makes embeddings {made}, but the llm's space is {model.space!r}"
                self.add(("perceive", name), message)
            elif perceiver.width and model.width and perceiver.width != model.width:
                message = f"makes embeddings {perceiver.width} wide, but the llm's are {model.width} wide"
                self.add(("perceive", name), message)

    def hosts(self, model: LLM, allowed: Sequence[str]) -> None:
        """Check that no secret goes to a host that nobody vouched for."""
        host = model.sends_secret_to()
        if host is not None and host not in allowed and not self.spec.own:
            message = f"would send its key to {host}, which is not the provider's own host"
            self.add(("llm",), f"{message}; if you trust it: --allow-host {host}")


def _here(component: Component) -> bool:
    return all(weights.here for weights in component.weights())


def _say(fault: Mapping[str, Any], options: type[BaseModel]) -> str:
    if fault["type"] == "extra_forbidden":
        return f"no such option{near(str(fault['loc'][-1]), options.model_fields)}"
    if fault["type"] == "missing":
        return "is required"
    message = str(fault["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    hidden = options.model_config.get("hide_input_in_errors") or secret_fields(options).intersection(fault["loc"])
    value = None if hidden else fault.get("input")
    return f"{message}, not {value!r}" if isinstance(value, str | int | float) else message
