"""Questions on the command line, and files of them for `videochat compare`."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from videochat.errors import Problem, StackError


def check_question(text: str) -> None:
    """Make sure that an argument is a question: not nothing, and no file that one was forgotten after.

    A name without an ending, such as "describe", is a question even where a file is called so.

    Raises:
        typer.BadParameter: if it is none.
    """
    if not text.strip():
        raise typer.BadParameter('the question is empty: give one in quotes, "What moves?"')
    if os.path.splitext(text)[1] and os.path.isfile(text):
        raise typer.BadParameter(f'{text!r} is a file: give a question in quotes, "What moves?"')


def read_questions(file: Path) -> list[str]:
    """Return the questions of a file: one a line, or in a .json file a list of texts.

    In a text file blank lines and lines that begin with # are passed over.

    Raises:
        StackError: naming file and line, if it cannot be read or holds anything else.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise _problem(file, 0, f"cannot be read: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _problem(file, data.count(b"\n", 0, error.start) + 1, "is not text in UTF-8") from None
    found = list(_items(file, text) if file.suffix.lower() == ".json" else _lines(text))
    if not found:
        raise _problem(file, 1, "holds no question; write one a line")
    for line, question in found:
        if not isinstance(question, str) or not question.strip():
            raise _problem(file, line, f"a question must be text, not {json.dumps(question)}")
    return [question.strip() for _, question in found]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def _items(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield each item of a JSON list with the line that it begins on."""
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise _problem(file, error.lineno, f"not JSON: {error.msg}") from None
    except RecursionError:
        raise _problem(file, 1, "nested too deeply for a list of questions") from None
    if not isinstance(values, list):
        raise _problem(file, 1, 'must be a list of questions: ["What moves?", "What is said?"]')
    at, decoder = text.index("[") + 1, json.JSONDecoder()
    for value in values:
        while re.match(r"[\s,]", text[at]):
            at += 1
        yield text.count("\n", 0, at) + 1, value
        _, at = decoder.raw_decode(text, at)


def _problem(file: Path, line: int, message: str) -> StackError:
    return StackError([Problem(f"{file}:{line}" if line else str(file), "", message)])
