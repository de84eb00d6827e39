"""`videochat plugins`."""

import inspect
import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from videochat.cli.display import show, table
from videochat.cli.options import Json
from videochat.errors import StackError, near
from videochat.registry import Entry, registry


def plugins(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One plugin, to see its options.")] = None,
    as_json: Json = False,
) -> None:
    """List what is installed and what can run here, or one plugin's options."""
    from videochat.component import STAGES
    from videochat.optiondocs import options_schema

    known = sorted(registry().entries.values(), key=lambda e: (list(STAGES).index(e.stage), e.name))
    if name is None:
        _list(known, as_json)
        return
    chosen = [entry for entry in known if name in (entry.name, f"{entry.stage}.{entry.name}")]
    if not chosen:
        raise StackError(f"no plugin is called {name!r}{near(name, {entry.name for entry in known})}")
    if as_json:
        show(json.dumps([{**_facts(entry), "options": options_schema(entry.cls.Options)} for entry in chosen]))
        return
    for entry in chosen:
        _one(entry)


def _list(known: list[Entry], as_json: bool) -> None:
    broken = registry().broken
    if as_json:
        skipped = [{"plugin": b.plugin, "package": b.package, "reason": b.reason} for b in broken]
        show(json.dumps({"plugins": [_facts(entry) for entry in known], "skipped": skipped}))
        return
    rows = [(e.stage, e.name, _first_line(e), e.package, _lack(e) or "yes") for e in known]
    table(("stage", "name", "what it does", "package", "can run here"), rows)


def _one(entry: Entry) -> None:
    from videochat.optiondocs import option_docs

    show(f"{entry.stage} {entry.name}   ({entry.package})")
    show(inspect.getdoc(entry.cls) or "")
    if lack := _lack(entry):
        show(f"\ncannot run here: {lack}")
    docs = option_docs(entry.cls.Options)
    rows = [
        (option, _type(field.annotation), "required" if field.is_required() else repr(field.default), docs[option])
        for option, field in entry.cls.Options.model_fields.items()
    ]
    show()
    table(("option", "type", "default", "what it means"), rows)


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "stage": entry.stage,
        "name": entry.name,
        "about": _first_line(entry),
        "package": entry.package,
        "missing": _lack(entry),
    }


def _lack(entry: Entry) -> str:
    from videochat.extras import missing

    return missing(entry.cls)


def _first_line(entry: Entry) -> str:
    return (inspect.getdoc(entry.cls) or "").partition("\n")[0]


def _type(annotation: Any) -> str:
    """Return a type in the words of its YAML values."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " | ".join(map(str, parts))
    if origin in (Union, UnionType):
        return " | ".join(map(_type, parts))
    if annotation is NoneType:
        return "null"
    return str(annotation) if origin else annotation.__name__
