from collections.abc import Iterator
from typing import Any

import pytest

from videochat import Segmenter, Span, UnavailableError, extras
from videochat.extras import missing, require


class Plain(Segmenter):
    def segments(self, video: Any, frames: Any) -> Iterator[Span]:
        yield Span(0, video.duration)


class Needy(Plain):
    extra = "gpu"


class Odd(Plain):
    extra = "big_models"


@pytest.fixture(autouse=True)
def metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package's metadata name extras that cannot be had."""
    lines = [
        "numpy>=1.26",
        "no-such-package-here>=2,<3 ; extra == 'gpu'",
        'numpy>=1 ; extra == "gpu"',
        "another_missing.one[all] ; extra == 'gpu'",
        "missing-too ; extra == 'big-models'",
        "not-asked-for ; extra == 'gpu2'",
    ]
    monkeypatch.setattr(extras, "requires", lambda package: lines if package == "videochat" else None)


def test_no_extra_nothing_missing() -> None:
    assert missing(Plain) == ""
    require([Plain(), Plain()])


def test_what_is_missing_is_named_with_the_command_that_gets_it() -> None:
    sentence = missing(Needy)
    assert "needs no-such-package-here, another_missing.one:" in sentence
    assert 'pip install "videochat[gpu]"' in sentence
    assert f"{__name__}:Needy" in sentence


def test_an_extras_name_may_be_written_with_either_dash() -> None:
    assert "missing-too" in missing(Odd)


def test_all_that_is_missing_is_said_once() -> None:
    with pytest.raises(UnavailableError) as raised:
        require([Needy(), Plain(), Needy(), Odd()])
    assert str(raised.value).splitlines() == [missing(Needy), missing(Odd)]


def test_an_extra_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "requires", lambda package: ["numpy ; extra == 'gpu'", "pydantic; extra=='gpu'"])
    assert missing(Needy) == ""
