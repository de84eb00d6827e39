"""From a stack's name or file to one merged mapping: `extends`, `--set` and `--llm` applied, lines remembered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videochat.errors import Problem, StackError
from videochat.places import locate, own, shipped
from videochat.yamlfile import parse, scalar

_SINGLE = ("read", "segment", "format", "llm")  # the keys of one plugin each
_SEVERAL = (("perceive",), ("refine",))  # those of several, by name


@dataclass(frozen=True, slots=True)
class Spec:
    """A stack as it was written, before any plugin is built."""

    data: dict[str, Any] = field(repr=False)  # may hold secrets
    name: str = ""
    where: Mapping[tuple[str, ...], str] = field(default_factory=dict)  # file:line of each path of keys
    own: bool = False  # whether it lies in the user's own config folder

    def at(self, path: tuple[str, ...]) -> str:
        """Return where a key was set, or the nearest key above it."""
        while path and path not in self.where:
            path = path[:-1]
        return self.where.get(path, "")

    def folder_of(self, path: tuple[str, ...]) -> Path | None:
        """Return the folder that a path set there starts from: its file's; None for the command line and Python."""
        file, found, _ = self.at(path).rpartition(":")
        return Path(file).parent if found else None


def read_spec(name: str, settings: Sequence[str] = (), llm: str | None = None, device: str | None = None) -> Spec:
    """Read a stack by name or path.

    Args:
        name: of a shipped or own config, or a path.
        settings: `perceive.caption.model=...`, each a dotted path and a YAML value.
        llm: `provider` or `provider:model`, in place of the stack's own.
        device: where models run, in place of the stack's own.

    Raises:
        StackError: if a file is missing, is not YAML, or extends itself.
    """
    spec = _read(locate("configs", name), seen=())
    data, where = dict(spec.data), dict(spec.where)
    if llm is not None:  # before the settings, which may be about it
        use, _, model = llm.partition(":")
        chosen = {"use": use, "model": model} if model else {"use": use}
        _overlay(data, where, {"llm": chosen}, {("llm",): "--llm", **{("llm", key): "--llm" for key in chosen}}, ())
    for setting in settings:
        path, value = _setting(setting)
        _overlay(data, where, _nest(path, value), {path[:i]: "--set" for i in range(1, len(path) + 1)}, ())
    if device is not None:
        _overlay(data, where, {"device": device}, {("device",): "--device"}, ())
    # What the command line says of the language model is not in the user's file, and so not vouched for by it.
    vouched = spec.own and not any(setting.lstrip().startswith("llm") for setting in settings)
    return Spec(data, spec.name, where, vouched)


def _read(file: Path, seen: tuple[Path, ...]) -> Spec:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError([Problem(str(file), "", f"cannot be read: {error}")]) from None
    data, where = parse(text, str(file))
    if not isinstance(data, dict):
        raise StackError([Problem(f"{file}:1", "", "a stack is a mapping of stages: read, segment, perceive, ...")])
    base = data.pop("extends", None)
    if base is None:
        return Spec(data, file.stem, where, _is_own(file))
    problem = Problem(where["extends",], "extends", "")
    if not isinstance(base, str):
        raise StackError([Problem(problem.where, "extends", f"must be a name or a path, not {base!r}")])
    try:
        parent = locate("configs", base, beside=file.parent)
    except StackError as error:
        raise StackError([Problem(problem.where, "extends", str(error))]) from None
    if parent.resolve() in (*seen, file.resolve()):
        raise StackError([Problem(problem.where, "extends", f"{base} extends {file.stem}: a circle")])
    below = _read(parent, (*seen, file.resolve()))
    merged, lines = dict(below.data), dict(below.where)
    _overlay(merged, lines, data, where, ())
    # Both files decide where secrets go: neither may be a stranger's.
    trusted = below.own or parent.resolve().is_relative_to(shipped("configs").resolve())
    return Spec(merged, file.stem, lines, trusted and _is_own(file))


def _is_own(file: Path) -> bool:
    return file.resolve().is_relative_to(own("configs").resolve())


def _overlay(
    base: dict[str, Any],
    base_where: dict[tuple[str, ...], str],
    over: Mapping[str, Any],
    where: Mapping[tuple[str, ...], str],
    path: tuple[str, ...],
) -> None:
    """Merge key by key: later wins, null removes; a plugin with another `use` starts afresh."""
    for key, value in over.items():
        here = (*path, key)
        old = base.get(key)
        if isinstance(old, str) and isinstance(value, dict) and (key in _SINGLE if not path else path in _SEVERAL):
            old = {"use": old}  # a bare name
        if isinstance(value, dict) and isinstance(old, dict) and value.get("use", old.get("use")) == old.get("use"):
            base[key] = dict(old)
            _overlay(base[key], base_where, value, where, here)
            if here in where:
                base_where[here] = where[here]
            continue
        if value is None and path in _SEVERAL:
            base.pop(key, None)
        else:
            base[key] = value
        for deep in [deep for deep in base_where if deep[: len(here)] == here]:
            del base_where[deep]
        base_where.update({deep: at for deep, at in where.items() if deep[: len(here)] == here})


def _setting(text: str) -> tuple[tuple[str, ...], Any]:
    dotted, found, value = text.partition("=")
    path = tuple(dotted.strip().split("."))
    if not found or not all(path):
        raise StackError([Problem("--set", text, "must look like perceive.caption.model=NAME")])
    return path, scalar(value)


def _nest(path: Sequence[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return dict(value)
