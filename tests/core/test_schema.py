import json
from collections.abc import Callable, Iterator
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from videochat import Component, Segmenter, Span, hookimpl
from videochat.component import STAGES
from videochat.places import shipped
from videochat.registry import registry
from videochat.schema import stack_schema
from videochat.stack import KEYS
from videochat.yamlfile import parse


def accepts(schema: Any, value: Any, root: Any) -> bool:
    """Judge a value by as much of JSON Schema as stack schemas use."""
    types = {"object": dict, "string": str, "boolean": bool, "null": type(None), "array": list, "integer": int}
    kind = schema.get("type")
    if "$ref" in schema:
        found = root
        for key in schema["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        return accepts(found, value, root)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind and not isinstance(value, types[kind]):
        return False
    if "anyOf" in schema and not any(accepts(one, value, root) for one in schema["anyOf"]):
        return False
    if "not" in schema and accepts(schema["not"], value, root):
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    if not isinstance(value, dict):
        return True
    if not set(schema.get("required", ())) <= set(value):
        return False
    known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for key, inner in value.items():
        rule = known.get(key, others)
        if rule is False or (isinstance(rule, dict) and not accepts(rule, inner, root)):
            return False
    return True


def judge(text: str) -> bool:
    schema = stack_schema()
    return accepts(schema, parse(text, "s.yaml")[0], schema)


@pytest.mark.parametrize("path", sorted(shipped("configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_stack_is_valid(path: Any) -> None:
    assert judge(path.read_text())


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("segment: fixed", True),
        ("segment: {use: fixed, seconds: 2}", True),
        ("extends: offline\nperceive: {text: null, look: {over: 2}, more: look}", True),
        ("extends: offline\nsegment: {seconds: 2}", True),
        ("segment: fixd", False),
        ("segment: {use: fixed, secs: 2}", False),
        ("segment: {use: fixed, seconds: two}", False),
        ("perceive: [look]", False),
        ("perceive: {a: {use: lok}}", False),
        ("abuot: x", False),
        ("fence: 'yes'", False),
    ],
)
def test_what_is_wrong_is_marked(text: str, good: bool) -> None:
    assert judge(text) is good


def test_it_is_json_and_knows_every_key_and_plugin() -> None:
    schema = json.loads(json.dumps(stack_schema(), allow_nan=False))
    assert set(schema["properties"]) == {*KEYS, "extends"}
    for stage in STAGES:
        for name in registry().names(stage):
            assert f'"{name}"' in json.dumps(schema["properties"][stage])


def test_descriptions_reach_the_editor() -> None:
    forms = stack_schema()["properties"]["segment"]["anyOf"]
    (fixed,) = (form for form in forms if form.get("title") == "fixed")
    assert fixed["properties"]["seconds"]["description"] == "Length of a segment in seconds."
    assert fixed["properties"]["seconds"]["default"] == 1.0


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    colour: Colour = Colour.RED


class Rich(Segmenter):
    class Options(Segmenter.Options):
        inner: Inner = Inner()

    def segments(self, video: Any, frames: Any) -> Iterator[Span]:
        yield Span(0, video.duration)


def test_types_that_options_share_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
        register("segment", "rich", Rich)

    monkeypatch.setattr(registry(), "_entries", dict(registry().entries))
    registry().register(SimpleNamespace(register_components=hookimpl(register_components)), "tests")
    try:
        assert judge("segment: {use: rich, inner: {colour: blue}}")
        assert not judge("segment: {use: rich, inner: {colour: green}}")
        assert '"$defs":' not in json.dumps(stack_schema()["properties"])
    finally:
        registry().manager.unregister(name="tests")
