import json
import math
import random
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import videochat
from mutations import mutate_stack
from videochat import StackError
from videochat.yamlfile import parse, scalar

OFFLINE = (Path(__file__).parents[2] / "configs" / "offline.yaml").read_text()


def refusal(text: str) -> str:
    with pytest.raises(StackError) as raised:
        parse(text, "s.yaml")
    (problem,) = raised.value.problems
    assert problem.where.split(":")[0] == "s.yaml"
    return str(problem)


def test_lines_of_nested_keys() -> None:
    data, where = parse(
        "# a note\n\nabout: x\nperceive:\n  text:\n    use: ocr\n    side: 5\n  look: {use: look}\nl: [1,\n 2]\n", "f"
    )
    assert data == {"about": "x", "perceive": {"text": {"use": "ocr", "side": 5}, "look": {"use": "look"}}, "l": [1, 2]}
    assert where == {
        (): "f:1",
        ("about",): "f:3",
        ("perceive",): "f:4",
        ("perceive", "text"): "f:5",
        ("perceive", "text", "use"): "f:6",
        ("perceive", "text", "side"): "f:7",
        ("perceive", "look"): "f:8",
        ("perceive", "look", "use"): "f:8",
        ("l",): "f:9",
        ("l", "0"): "f:9",
        ("l", "1"): "f:10",
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("08", 8),
        ("0", 0),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        # Texts in YAML 1.2, and something else in 1.1:
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("NO", "NO"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1:30:00", "1:30:00"),
        ("0o7", "0o7"),
        ("0x1F", "0x1F"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("=", "="),
        ("'12'", "12"),
        ('"true"', "true"),
        ("[1, a]", [1, "a"]),
        ("{a: {b: }}", {"a": {"b": None}}),
        ("http://localhost:8080/v1", "http://localhost:8080/v1"),
        ("${KEY}", "${KEY}"),
        ("日本語 👍", "日本語 👍"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_not_a_number_is_one() -> None:
    assert math.isnan(scalar(".nan"))


WORDS = st.text("abc 1:-", max_size=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.integers() | st.booleans() | st.none() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)


@given(VALUES)
def test_json_is_yaml(value: Any) -> None:
    assert scalar(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "s.yaml:4: b.c: given twice"),
        ("a: 1\n'a': 2\n", "s.yaml:2: a: given twice"),
        ("a: &x 1\nb: *x", "s.yaml:1: anchors"),
        ("a: 1\nb: &x [1]", "s.yaml:2: anchors"),
        ("a: *x", "s.yaml:1: anchors"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]", "anchors"),
        ("a: !!python/object/apply:os.system [echo]", "s.yaml:1: tags"),
        ("a: !!python/object:os.system {b: 1}", "tags"),
        ("\na: !!python/name:os.system", "s.yaml:2: tags"),
        ('a: !!int "abc"', "tags"),
        ("a: !!timestamp x", "tags"),
        ("!!set {a, b}", "tags"),
        ("a: !mine 5", "tags"),
        ("%TAG ! tag:x,2000:\n---\na: !b c", "tags"),
        ("a: !", "tags"),
        ("a:\n\tb: 1", "s.yaml:2: not YAML: .*character '.t'"),
        ("a: [1, 2", "not YAML"),
        ("a: 'x", "not YAML"),
        ("a: b: c", "s.yaml:1: not YAML: mapping values"),
        ("a: 1\n b: 2", "s.yaml:2: not YAML"),
        ("a: 1\n---\nb: 2", "s.yaml:2: not YAML: but found another document"),
        ("a: @b", "not YAML"),
        ("a: `b`", "not YAML"),
        ("a: \x00", "not YAML"),
        ("a: \x1b[31m", "not YAML"),
        ('a: "\\ud800"', "s.yaml:1: .*surrogate"),
        ("a: \ud800", "not YAML|surrogate"),
        ('a: "\\UFFFFFFFF"', "not YAML"),
        ('a: "\\U00110000"', "not YAML"),
        ("a: " + "9" * 5000, "not YAML"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", "not YAML"),
        ("%YAML 3.0\n---\na: 1", "not YAML"),
        ("5: a", "s.yaml:1: a key must be text, not 5"),
        ("true: a", "a key must be text, not True"),
        ("a: {null: 1}", "s.yaml:1: a: a key must be text, not None"),
        (": a", "not YAML"),
        ("? [a, b]\n: c", "a key must be text"),
        ("? {a: b}\n: c", "a key must be text"),
        ("[" * 5000, "nested over"),
        ("{a: " * 5000, "nested over"),
        ("- " * 5000, "nested over"),
        ("? " * 5000, "nested over"),
        ("a: [" + "[" * 30 + "]" * 31, "nested over"),
        ("a: " + "x" * 1_000_000, "over .* characters"),
    ],
)
@pytest.mark.timeout(20)
def test_what_is_not_plain_data_is_refused_with_its_line(text: str, said: str) -> None:
    assert re.search(said, refusal(text))


def test_merge_keys_are_keys_like_any_other() -> None:
    assert parse("<<: {a: 1}", "f")[0] == {"<<": {"a": 1}}


@pytest.mark.parametrize("seed", range(10))
def test_a_mutated_stack_is_good_or_a_stack_error(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    file = tmp_path / "mutant.yaml"
    for _ in range(20):
        file.write_text(mutate_stack(OFFLINE, dice), encoding="utf-8")
        with suppress(StackError):
            videochat.load(str(file))
