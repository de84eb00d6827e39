"""What options mean: the docstring under each, read from the source when somebody asks, not at every start."""

import ast
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from pydantic import BaseModel


def option_docs(options: type[BaseModel]) -> Mapping[str, str]:
    """Return the help text of each option, those of the base classes included; "" where there is none."""
    found = {name: field.description for name, field in options.model_fields.items() if field.description}
    for cls in options.__mro__:
        if cls is BaseModel:
            break
        for before, after in pairwise(_body(cls)):
            match before, after:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found.setdefault(name, inspect.cleandoc(text))
    return {name: found.get(name, "") for name in options.model_fields}


def options_schema(options: type[BaseModel], ref_template: str = "#/$defs/{model}") -> dict[str, Any]:
    """Return the JSON Schema of options, their help texts in it."""
    schema = options.model_json_schema(ref_template=ref_template)
    for name, text in option_docs(options).items():
        if text and name in schema.get("properties", {}):
            schema["properties"][name]["description"] = text
    return schema


def _body(cls: type) -> list[ast.stmt]:
    try:
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):  # made in a shell, say
        return []
    return node.body if isinstance(node, ast.ClassDef) else []
