import re
from pathlib import Path
from typing import Any

import pytest

from videochat import StackError
from videochat.places import own
from videochat.spec import Spec, read_spec

BASE = """\
about: the base
perceive:
  look: {use: look}
  text:
    use: ocr
    side: 5
refine: {join: {use: join}}
llm: {use: openai, model: small}
"""


@pytest.fixture(autouse=True)
def base(tmp_path: Path) -> Path:
    """Write the stack that others extend."""
    return write(tmp_path / "base.yaml", BASE)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def child(tmp_path: Path, text: str) -> Spec:
    return read_spec(str(write(tmp_path / "child.yaml", f"extends: ./base.yaml\n{text}")))


def refusal(name: str | Path, *settings: str, llm: str | None = None) -> str:
    with pytest.raises(StackError) as raised:
        read_spec(str(name), settings, llm)
    assert len(raised.value.problems) == 1
    return str(raised.value)


def test_a_stack_of_its_own(base: Path) -> None:
    spec = read_spec(str(base))
    assert (spec.name, spec.folder_of(("about",)), spec.own) == ("base", base.parent, False)
    assert spec.at(("perceive", "text", "side")) == f"{base}:6"
    assert spec.at(("perceive", "text", "missing", "deeper")) == f"{base}:4"
    assert spec.at(("format",)) == f"{base}:1"


def test_later_wins_key_by_key_and_lines_are_those_of_the_file_that_set_them(tmp_path: Path, base: Path) -> None:
    spec = child(tmp_path, "perceive:\n  text: {side: 9}\n  more: {use: motion}\nllm:\n  model: large\n")
    assert spec.data == {
        "about": "the base",
        "perceive": {"look": {"use": "look"}, "text": {"use": "ocr", "side": 9}, "more": {"use": "motion"}},
        "refine": {"join": {"use": "join"}},
        "llm": {"use": "openai", "model": "large"},
    }
    assert spec.name == "child"
    assert spec.at(("perceive", "text", "side")) == f"{tmp_path / 'child.yaml'}:3"
    assert spec.at(("perceive", "text", "use")) == f"{base}:5"
    assert spec.at(("perceive", "look", "use")) == f"{base}:3"
    assert spec.at(("llm", "model")) == f"{tmp_path / 'child.yaml'}:6"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("perceive: {text: null}", "perceive", {"look": {"use": "look"}}),
        ("perceive: {text: ~, never: ~}", "perceive", {"look": {"use": "look"}}),
        ("refine: {join: null}", "refine", {}),
        ("refine: null", "refine", None),
        ("llm: {use: echo}", "llm", {"use": "echo"}),
        ("llm: {use: openai, key: k}", "llm", {"use": "openai", "model": "small", "key": "k"}),
        ("llm: echo", "llm", "echo"),
        ("llm: {model: null}", "llm", {"use": "openai", "model": None}),
        ("perceive: {text: {use: other}}", "perceive", {"look": {"use": "look"}, "text": {"use": "other"}}),
        ("", "about", "the base"),
    ],
)
def test_null_removes_and_another_use_starts_afresh(text: str, key: str, value: Any, tmp_path: Path) -> None:
    assert child(tmp_path, text).data[key] == value


def test_a_bare_name_takes_options(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "segment: fixed\nperceive: {look: look}\nprompt: table2\n")
    data = child(tmp_path, "segment: {seconds: 2}\nperceive: {look: {side: 3}}\nprompt: {a: b}").data
    assert data["segment"] == {"use": "fixed", "seconds": 2}
    assert data["perceive"] == {"look": {"use": "look", "side": 3}}
    assert data["prompt"] == {"a": "b"}


def test_what_starts_afresh_forgets_the_lines_of_what_was(tmp_path: Path) -> None:
    spec = child(tmp_path, "llm: {use: echo}\nperceive: {text: null}")
    assert spec.at(("llm", "model")) == f"{tmp_path / 'child.yaml'}:2"
    assert spec.at(("perceive", "text", "side")) == f"{tmp_path / 'child.yaml'}:3"


def test_a_chain(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "c.yaml", "extends: ../b.yaml\nabout: c\n")
    write(tmp_path / "b.yaml", "extends: base.yaml\nabout: b\nfence: false\n")
    spec = read_spec(str(tmp_path / "deep" / "c.yaml"))
    assert (spec.data["about"], spec.data["fence"], spec.data["llm"]["model"]) == ("c", False, "small")
    assert "extends" not in spec.data
    assert spec.at(("fence",)).endswith("b.yaml:3")


def test_extending_a_shipped_stack_by_name(tmp_path: Path) -> None:
    spec = read_spec(str(write(tmp_path / "x.yaml", "extends: offline\nperceive: {text: null}")))
    assert "look" in spec.data["perceive"]
    assert "text" not in spec.data["perceive"]


def test_extending_changes_no_other_reading_of_the_base(tmp_path: Path, base: Path) -> None:
    before = read_spec(str(base)).data
    child(tmp_path, "perceive: {text: {side: 9}}")
    assert read_spec(str(base)).data == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nextends: ./x.yaml", ":2: extends: ./x.yaml extends x: a circle"),
        ("extends: ./y.yaml", "extends: .*circle"),
        ("extends: ./gone.yaml", ":1: extends: no such file: .*gone.yaml"),
        ("extends: offlin", ":1: extends: .*did you mean offline"),
        ("extends: [base]", ":1: extends: must be a name or a path, not \\['base'\\]"),
        ("extends: ''", ":1: extends: no config is called ''"),
        ("extends: " + "x" * 300, ":1: extends: .*names no file"),
        ("- a", ":1: a stack is a mapping"),
        ("", ":1: a stack is a mapping"),
        ("just words", ":1: a stack is a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_files_that_cannot_be_merged(text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path / "y.yaml", "extends: ./x.yaml")
    assert re.search(said, refusal(write(tmp_path / "x.yaml", text)))


def test_an_error_in_the_base_names_the_base(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", "about: x\nllm: {a: 1, a: 2}")
    assert "base.yaml:2: llm.a: given twice" in refusal(write(tmp_path / "x.yaml", "extends: ./base.yaml"))


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"about: \xff\xfe")
    assert "x.yaml: cannot be read" in refusal(tmp_path / "x.yaml")
    (tmp_path / "nul.yaml").write_bytes(b"about: \0")
    assert "nul.yaml: not YAML" in refusal(tmp_path / "nul.yaml")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfabout: x\r\n")
    assert read_spec(str(tmp_path / "bom.yaml")).data == {"about": "x"}
    assert "no such file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("perceive.text.side=9", ("perceive", "text", "side"), 9),
        ("perceive.text.new=a b", ("perceive", "text", "new"), "a b"),
        (" perceive.text.side = 9 ", ("perceive", "text", "side"), 9),
        ("perceive.more.use=motion", ("perceive", "more", "use"), "motion"),
        ("format.use=table1", ("format", "use"), "table1"),
        ("llm.model=a=b", ("llm", "model"), "a=b"),
        ("llm.base_url=http://localhost:8080/v1", ("llm", "base_url"), "http://localhost:8080/v1"),
        ("llm.model=", ("llm", "model"), None),
        ("llm.stop=[a, b]", ("llm", "stop"), ["a", "b"]),
        ("llm={use: echo}", ("llm",), {"use": "echo"}),
        ("llm.use=echo", ("llm",), {"use": "echo"}),
        ("fence=false", ("fence",), False),
    ],
)
def test_set(setting: str, path: tuple[str, ...], value: Any, base: Path) -> None:
    spec = read_spec(str(base), [setting])
    found: Any = spec.data
    for key in path:
        found = found[key]
    assert found == value
    assert spec.at(path) == "--set"


def test_set_leaves_the_rest_where_it_was(base: Path) -> None:
    spec = read_spec(str(base), ["perceive.text.side=9", "perceive.look=null"])
    assert spec.data["perceive"] == {"text": {"use": "ocr", "side": 9}}
    assert spec.at(("perceive", "text", "use")) == f"{base}:5"


@pytest.mark.parametrize("setting", ["", "=", "a", "=5", "a.=5", ".a=5", "a..b=5", "perceive.text.side"])
def test_a_setting_must_be_a_path_and_a_value(setting: str, base: Path) -> None:
    assert refusal(base, setting).startswith("--set")


@pytest.mark.parametrize("value", ["[1", "{a: 1, a: 2}", "&x 1", "!!int x", "a: b: c"])
def test_a_setting_must_be_plain_yaml(value: str, base: Path) -> None:
    assert refusal(base, f"llm.model={value}").startswith("--set")


@pytest.mark.parametrize(
    ("llm", "value"),
    [
        ("echo", {"use": "echo"}),
        ("openai", {"use": "openai", "model": "small"}),
        ("openai:large", {"use": "openai", "model": "large"}),
        ("openai:org/model:free", {"use": "openai", "model": "org/model:free"}),
        ("other:5", {"use": "other", "model": "5"}),
        ("other:", {"use": "other"}),
    ],
)
def test_llm(llm: str, value: dict[str, Any], base: Path) -> None:
    spec = read_spec(str(base), llm=llm)
    assert spec.data["llm"] == value
    assert spec.at(("llm", "use")) == "--llm"


def test_set_comes_after_llm(base: Path) -> None:
    chosen = read_spec(str(base), ["llm.base_url=http://localhost:9/v1"], "openai:b").data["llm"]
    assert chosen == {"use": "openai", "model": "b", "base_url": "http://localhost:9/v1"}


def test_own(tmp_path: Path) -> None:
    mine = write(own("configs") / "mine.yaml", "about: mine")
    assert read_spec("mine").own
    assert read_spec(str(mine)).own
    write(own("configs") / "more.yaml", "extends: mine")
    assert read_spec("more").own
    write(own("configs") / "theirs.yaml", f"extends: {tmp_path / 'base.yaml'}")
    assert not read_spec("theirs").own
    assert not child(tmp_path, "about: x").own
    assert not read_spec(str(write(tmp_path / "y.yaml", "extends: mine"))).own
    (own("configs") / "link.yaml").symlink_to(tmp_path / "base.yaml")
    assert not read_spec("link").own
    write(own("configs").parent / "y.yaml", "about: beside the folder")
    assert not read_spec(f"{own('configs')}/../y.yaml").own


def test_repr_does_not_show_what_may_be_secret(tmp_path: Path) -> None:
    assert "sk-hidden" not in repr(child(tmp_path, "llm: {key: sk-hidden}"))
