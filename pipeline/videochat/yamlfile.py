"""YAML as data that remembers its lines.

Only plain data is read: no tags, no anchors, no repeated keys, and (as in YAML 1.2) no `yes` for true or `1:30` for 90.
"""

import re
from collections.abc import Hashable
from typing import Any

import yaml
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from videochat.errors import Problem, StackError

Path = tuple[str, ...]
_LIMIT = 200_000  # characters; a stack is a page or two
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DEPTH = 20  # mappings and lists inside each other


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    ("bool", r"true|false|True|False|TRUE|FALSE", "tfTF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", "-+0123456789."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))
# Decimal, whatever it begins with: YAML 1.1 reads 010 as eight.
_Loader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def parse(text: str, file: str) -> tuple[Any, dict[Path, str]]:
    """Return the data of a YAML text and, for each path of keys in it, `file:line`.

    Raises:
        StackError: if the text is not plain YAML; the message gives the line.
    """
    if len(text) > _LIMIT:
        raise StackError([Problem(file, "", f"over {_LIMIT} characters: this is no stack")])
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
                raise StackError([Problem(_at(file, event), "", "anchors are not read; share settings by `extends`")])
            if getattr(event, "tag", None):
                raise StackError([Problem(_at(file, event), "", "tags are not read; quote a text that begins with !")])
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEPTH:
                raise StackError([Problem(_at(file, event), "", f"nested over {_DEPTH} deep: this is no stack")])
        node = yaml.compose(text, Loader=_Loader)
        where: dict[Path, str] = {(): f"{file}:1"}
        return (None if node is None else _value(node, (), where, file)), where
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark or error.context_mark
        at = f"{file}:{line.line + 1}" if line else file
        raise StackError([Problem(at, "", f"not YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError as error:
        raise StackError([Problem(file, "", f"not YAML: {' '.join(str(error).split())}")]) from None
    except (ValueError, OverflowError) as error:  # PyYAML's own conversions: escapes beyond Unicode, endless numbers
        raise StackError([Problem(file, "", f"not YAML: {error}")]) from None


def scalar(text: str) -> Any:
    """Return the value of one option given on the command line, as YAML would read it.

    Raises:
        StackError: if it is not plain YAML.
    """
    return parse(text, "--set")[0]


def _value(node: Node, path: Path, where: dict[Path, str], file: str) -> Any:
    where.setdefault(path, _at(file, node))
    if isinstance(node, MappingNode):
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node, file)
            if not isinstance(key, str):
                raise StackError([Problem(_at(file, key_node), _dotted(path), f"a key must be text, not {key!r}")])
            if key in values:
                raise StackError([Problem(_at(file, key_node), _dotted((*path, key)), "given twice")])
            where[*path, key] = _at(file, key_node)
            values[key] = _value(value_node, (*path, key), where, file)
        return values
    if isinstance(node, SequenceNode):
        return [_value(item, (*path, str(i)), where, file) for i, item in enumerate(node.value)]
    return _scalar(node, file)


def _scalar(node: Node, file: str) -> Hashable:
    if not isinstance(node, ScalarNode):
        raise StackError([Problem(_at(file, node), "", "a key must be text")])
    value: Hashable = _Loader("").construct_object(node)
    if isinstance(value, str) and _SURROGATE.search(value):
        raise StackError([Problem(_at(file, node), "", "holds half a character: a lone surrogate")])
    return value


def _at(file: str, node: Any) -> str:
    return f"{file}:{node.start_mark.line + 1}"


def _dotted(path: Path) -> str:
    return ".".join(path)
