"""A JSON Schema of stacks, made from the options of the plugins that are installed."""

from typing import Any

from videochat.component import STAGES
from videochat.optiondocs import options_schema
from videochat.registry import registry
from videochat.residency import RESIDENCIES

# What a stack that extends another says of a plugin that is there already.
_OVER = {"type": "object", "not": {"required": ["use"]}, "description": "Options over those of the stack extended."}


def stack_schema() -> dict[str, Any]:
    """Return the schema: editors that know it complete plugin names and options, and mark what is wrong."""
    defs: dict[str, Any] = {}
    one = {
        stage: {"anyOf": [{"type": "string", "enum": registry().names(stage)}, *_forms(stage, defs)]}
        for stage in STAGES
    }
    several = {
        stage: {"type": "object", "additionalProperties": _nullable(one[stage])} for stage in ("perceive", "refine")
    }
    words = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "videochat stack",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "about": {**words, "description": "What the stack is, in a sentence."},
            "extends": {**words, "description": "A stack that this one is merged over, key by key; null removes."},
            **one,
            **several,
            "prompt": {**words, "description": "A name in prompts/ or a path."},
            "fence": {"type": "boolean", "description": "Whether perceived text is fenced in the prompt."},
            "device": {**words, "description": "auto, cpu, cuda, cuda:1, ..."},
            "residency": {"enum": list(RESIDENCIES), "description": "Which perceivers' models are loaded at once."},
        },
        "$defs": defs,
    }


def _forms(stage: str, defs: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the ways to write a plugin of a stage; the types that its options share go to `defs`, at the root."""
    forms = []
    for name in registry().names(stage):
        prefix = f"{stage}.{name}."
        cls = registry().find(stage, name).cls
        options = options_schema(cls.Options, ref_template=f"#/$defs/{prefix}{{model}}")
        defs.update({prefix + model: schema for model, schema in options.pop("$defs", {}).items()})
        properties = {"use": {"const": name}, **options.get("properties", {})}
        required = ["use", *options.get("required", ())]
        forms.append({**options, "title": name, "properties": properties, "required": required})
    return [*forms, _OVER]


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [{"type": "null"}, *schema["anyOf"]]}
