"""`videochat config check|fill|schema`."""

import json
from pathlib import Path

import pytest
import yaml

from command_line import complaint, run


def test_check(cheap: Path) -> None:
    assert run("config", "check") == (0, "offline is right\n", "")
    assert run("config", "check", cheap) == (0, "cheap is right\n", "")


def test_check_as_json(here: Path) -> None:
    assert run("config", "check", "--json").json == {"stack": "offline", "problems": []}
    (here / "wrong.yaml").write_text("segmnt: fixed\n")
    done = run("config", "check", "wrong.yaml", "--json")
    assert (done.code, done.err) == (2, "")
    (problem,) = done.json["problems"]
    assert (problem["where"], problem["path"]) == ("wrong.yaml:1", "segmnt")


def test_check_gives_every_problem_with_its_line(here: Path) -> None:
    (here / "wrong.yaml").write_text(
        "segmnt: fixed\nperceive:\n  look: {use: look, sid: 3}\n  other:\n    use: lok\n"
        "llm: {use: talker, window: many}\n"
    )
    done = run("config", "check", "wrong.yaml")
    assert (done.code, done.out) == (2, "")
    said = done.err.removeprefix("error: ").splitlines()
    assert len(said) == 4
    assert said[0].startswith("wrong.yaml:1: segmnt: ")
    assert "did you mean segment?" in said[0]
    assert said[1].startswith("wrong.yaml:3: perceive.look.sid: ")
    assert said[2].startswith("wrong.yaml:5: perceive.other.use: ")
    assert "did you mean look?" in said[2]
    assert said[3].startswith("wrong.yaml:6: llm.window: ")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a stack is a mapping"),
        ("- a\n- b\n", "a stack is a mapping"),
        ("perceive: {look: {use: look}\n", "wrong.yaml:"),
        ("a: 1\na: 2\n", "given twice"),
        ("a: &x 1\nb: *x\n", "anchors"),
        ("about: !!python/object/apply:os.system [ls]\n", "wrong.yaml:1"),
        ("extends: wrong\n", "no config is called 'wrong'"),
        ("extends: ./wrong.yaml\n", "circle"),
        ("extends: offline\nprompt: nope\n", "wrong.yaml:2: prompt: "),
        ("perceive: [look]\n", "must be a mapping"),
        ("llm:\n  use: talker\n  says: ${HOME}\n", "only in secret options"),
        ("\x00", "wrong.yaml"),
        ("\t\tperceive:\n", "wrong.yaml:1"),
        ("{" * 100_000, "wrong.yaml"),
    ],
)
def test_broken_yaml(here: Path, text: str, words: str) -> None:
    (here / "wrong.yaml").write_text(text)
    done = run("config", "check", "./wrong.yaml")
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert done.err.startswith("error: ")
    assert words in done.err


def test_files_that_are_no_stacks(here: Path, clip: Path) -> None:
    (here / "bytes.yaml").write_bytes(clip.read_bytes())
    (here / "folder.yaml").mkdir()
    for name in ("bytes.yaml", "folder.yaml", "none.yaml", "./none", "none"):
        complaint(run("config", "check", name), 2)


def test_fill_gives_a_stack_that_is_the_same(cheap: Path, here: Path) -> None:
    filled = run("config", "fill", cheap).out
    assert "max_tokens: 10" in filled
    (here / "filled.yaml").write_text(filled)
    assert run("config", "fill", "filled.yaml").out == filled
    assert run("config", "fill", cheap, "--json").json == yaml.safe_load(filled)


def test_settings_are_filled_in(cheap: Path) -> None:
    found = run("config", "fill", cheap, "--json", "--set", "perceive.told.text=x", "--llm", "echo").json
    assert found["perceive"]["told"]["text"] == "x"
    assert found["llm"]["use"] == "echo"


def test_secrets_are_never_printed(here: Path) -> None:
    key = "sk-0123456789"
    (here / "mine.yaml").write_text(f"llm:\n  use: openai\n  api_key: {key}\n  timeout: never\n")
    wrong = run("config", "check", "mine.yaml")
    assert (wrong.code, key in wrong.err + wrong.out) == (2, False)
    right = run("config", "fill", "mine.yaml", "--set", "llm.timeout=1")
    assert (right.code, key in right.err + right.out) == (0, False)
    for bad in (
        f"llm.api_key=[{key}]",
        f"llm.api_key={{a: {key}}}",
        f"llm.apikey={key}",
        f"llm={{use: echo, api_key: {key}}}",
    ):
        done = run("config", "check", "mine.yaml", "--set", "llm.timeout=1", "--set", bad)
        assert (done.code, key in done.err + done.out) == (2, False), bad


def test_schema() -> None:
    schema = json.loads(run("config", "schema").out)
    assert {"perceive", "llm", "segment"} <= set(schema["properties"])


def test_wrong_use() -> None:
    assert "fil" in complaint(run("config", "fil"), 2)
    assert run("config").code == 2
