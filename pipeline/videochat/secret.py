"""Secrets in options: named by `${VARIABLE}`, read from the environment only when used, never printed or hashed."""

import os
import re
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from videochat.errors import UnavailableError

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def secret_fields(options: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields that hold secrets."""
    fields = options.model_fields.items()
    return frozenset(
        name for name, field in fields if field.annotation is SecretStr or SecretStr in get_args(field.annotation)
    )


def public(options: BaseModel) -> dict[str, Any]:
    """Return the options as JSON values without their secrets: what may be printed, hashed and cached."""
    return options.model_dump(mode="json", exclude=set(secret_fields(type(options))))


def reveal(value: SecretStr) -> str:
    """Return the secret itself, with `${VARIABLE}` read from the environment.

    Raises:
        UnavailableError: if the variable is not set.
    """

    def read(found: re.Match[str]) -> str:
        name = found[1]
        if name not in os.environ:
            raise UnavailableError(f"the environment variable {name}, which the stack names, is not set")
        return os.environ[name]

    return _VARIABLE.sub(read, value.get_secret_value())


def names_variable(value: object) -> bool:
    """Whether a value, or one inside it, names an environment variable, which only secrets may do."""
    if isinstance(value, Mapping):
        return any(map(names_variable, value.values()))
    if isinstance(value, list | tuple):
        return any(map(names_variable, value))
    return isinstance(value, str) and _VARIABLE.search(value) is not None
