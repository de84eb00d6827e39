from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from videochat import UnavailableError
from videochat.secret import names_variable, public, reveal, secret_fields


class Options(BaseModel):
    model: str = "small"
    key: SecretStr = SecretStr("${VIDEOCHAT_TEST_KEY}")
    other: SecretStr | None = None
    several: list[SecretStr] = []


class Nested(BaseModel):
    account: Options = Options()


def test_secret_fields() -> None:
    assert secret_fields(Options) == {"key", "other", "several"}


@pytest.mark.parametrize(
    "options",
    [
        Options(key=SecretStr("sk-hidden")),
        Options(other=SecretStr("sk-hidden"), several=[SecretStr("sk-hidden")]),
        Nested(account=Options(key=SecretStr("sk-hidden"))),
    ],
)
def test_no_secret_is_public(options: BaseModel) -> None:
    assert "sk-hidden" not in str(public(options))
    assert "sk-hidden" not in repr(options)


def test_public_does_not_depend_on_the_secret() -> None:
    assert public(Options(key=SecretStr("one"))) == public(Options(key=SecretStr("two"))) == {"model": "small"}


def test_a_variable_is_read_when_the_secret_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options()
    monkeypatch.setenv("VIDEOCHAT_TEST_KEY", "${HOME} is not read again")
    assert reveal(options.key) == "${HOME} is not read again"
    assert reveal(SecretStr("Bearer ${VIDEOCHAT_TEST_KEY}!")) == "Bearer ${HOME} is not read again!"
    assert reveal(SecretStr("plain $HOME {x} $")) == "plain $HOME {x} $"


def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VIDEOCHAT_TEST_KEY", raising=False)
    with pytest.raises(UnavailableError, match="VIDEOCHAT_TEST_KEY") as raised:
        reveal(SecretStr("sk-hidden-${VIDEOCHAT_TEST_KEY}"))
    assert "sk-hidden" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("${KEY}", True),
        ("a ${KEY} b", True),
        (["a", "${KEY}"], True),
        ({"headers": {"Authorization": ("${KEY}",)}}, True),
        ("$KEY", False),
        ("{KEY}", False),
        ("${}", False),
        (["$", {"a": 1}], False),
        (5, False),
        (None, False),
    ],
)
def test_names_variable(value: Any, found: bool) -> None:
    assert names_variable(value) is found
