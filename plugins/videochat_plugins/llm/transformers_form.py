"""Chat forms: how the turns of a talk are written for a family of models.

A form is a jinja chat template in a file. Its first line may name the texts that end an answer:
`{# stop: ["###"] #}`. Those shipped stand in forms/, for models that are older than chat templates.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from videochat import UnavailableError
from videochat.errors import near
from videochat_plugins.models.checkpoint import Checkpoint

_FOLDER = Path(__file__).parent / "forms"
_STOP = re.compile(r"\{#-?\s*stop:\s*(.*?)\s*-?#\}")


@dataclass(frozen=True, slots=True)
class Form:
    """How turns are written, and which texts end an answer."""

    template: str  # jinja, rendered in transformers' sandbox only
    stop: tuple[str, ...] = ()

    @classmethod
    def find(cls, name: str) -> Self:
        """Return the form of a name, or of a path to a .jinja file.

        Raises:
            ValueError: if there is no such form, or its list of stop texts cannot be read.
        """
        path = Path(name).expanduser() if name.endswith(".jinja") else _FOLDER / f"{name}.jinja"
        if not path.is_file():
            raise ValueError(f"no chat form {name!r}{near(name, shipped())}; or give the path of a .jinja file")
        try:
            template = path.read_text(encoding="utf-8")
            found = _STOP.match(template)
            stop = json.loads(found[1]) if found else []
        except ValueError as error:
            raise ValueError(f'{path} cannot be read: its first line may be {{# stop: ["TEXT"] #}}; {error}') from None
        if not (isinstance(stop, list) and all(isinstance(text, str) and text for text in stop)):
            raise ValueError(f"{path}: `stop` must be a list of texts, not {stop!r}")
        return cls(template, tuple(stop))


def shipped() -> list[str]:
    """Return the names of the forms that come with the backend."""
    return sorted(path.stem for path in _FOLDER.glob("*.jinja"))


def check_own(checkpoint: Checkpoint) -> None:
    """Make sure that a model that is here comes with a chat template that its tokenizer reads.

    Raises:
        UnavailableError: naming the forms that can be used instead.
    """
    folder = checkpoint.path
    if folder is not None and not has_own(folder):
        raise UnavailableError(
            f"the checkpoint {checkpoint.name} has no chat template: set llm.template to the form that it was trained "
            f"with, {', '.join(shipped())}, or to a .jinja file"
        )


def has_own(folder: Path) -> bool:
    """Return whether a model's folder holds a chat template, as transformers saves it."""
    if (folder / "chat_template.jinja").exists():
        return True
    try:
        return bool(json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError, AttributeError):
        return False
