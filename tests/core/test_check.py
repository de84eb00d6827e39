"""What is wrong with a stack is said all at once, each with its line."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, Field, SecretStr

import videochat
from videochat import (
    LLM,
    Component,
    Frames,
    Generation,
    Message,
    Perceiver,
    Record,
    Reply,
    Sampling,
    Stack,
    StackError,
    Text,
    Tokens,
    Window,
    hookimpl,
)
from videochat.cache import identity
from videochat.places import own
from videochat.prompt import Part
from videochat.registry import registry


class Embedder(Perceiver):
    space = "vicuna-7b"

    @property
    def emits(self) -> Collection[str]:
        return ("embedding",)

    def sampling(self) -> Sampling:
        return Sampling(frames=8, over="video")

    def perceive(self, windows: Sequence[Window]) -> Iterator[Sequence[Record]]:
        return iter([[] for _ in windows])


class Picky(Embedder):
    """Has options that can be wrong in every way."""

    class Options(Perceiver.Options):
        size: int = Field(ge=1)
        mode: str | int = "a"
        headers: dict[str, str] | None = None
        key: SecretStr = SecretStr("${VIDEOCHAT_TEST_KEY}")

    options: Options
    emits = ("speech",)
    space = ""

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        if self.options.size == 13:
            raise ValueError("13 windows bring no luck: take 12")

    def sampling(self) -> Sampling:
        return Sampling(audio_rate=16_000, over=self.options.over, lead=7 - self.options.size)


class Speaker(LLM):
    """Takes what it is told to take."""

    class Options(LLM.Options):
        host: str | None = None
        key: SecretStr = SecretStr("")

    options: Options
    window = 1000
    accepts: Collection[type[Part]] = (Text, Tokens)

    def __init__(self, options: Options | None = None, *, space: str = "", accepts: Any = (Text, Tokens)) -> None:
        super().__init__(options)
        self.space, self.accepts = space, accepts

    def count(self, part: Part) -> int:
        return 1

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        return Reply(iter(()))

    def sends_secret_to(self) -> str | None:
        return self.options.host


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install this module's plugins for one test."""

    def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
        register("perceive", "picky", Picky)
        register("perceive", "embedder", Embedder)
        register("llm", "speaker", Speaker)

    monkeypatch.setattr(registry(), "_entries", dict(registry().entries))
    registry().register(SimpleNamespace(register_components=hookimpl(register_components)), "tests", "tests 1")
    yield
    registry().manager.unregister(name="tests")


def problems(text: str, tmp_path: Path, *settings: str) -> list[str]:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(StackError) as raised:
        videochat.load(str(file), settings)
    return [str(problem).replace(f"{tmp_path}/", "") for problem in raised.value.problems]


def refusal(**stack: Any) -> list[str]:
    with pytest.raises(StackError) as raised:
        Stack(**stack)
    return [str(problem) for problem in raised.value.problems]


def test_all_problems_come_at_once_each_with_its_line_and_a_near_name(tmp_path: Path) -> None:
    text = """\
abuot: x
segment: {use: fixd}
perceive:
  text: {use: picky, size: 0, sise: 3}
  look: {use: embedderr}
  none: {side: 5}
prompt: tabel2
fence: "yes"
llm:
  use: speaker
  max_tokens: -1
"""
    found = problems(text, tmp_path)
    for wanted in (
        r"s.yaml:1: abuot: no such key; did you mean about\?",
        r"s.yaml:2: segment.use: no segment plugin is called 'fixd'; did you mean fixed\?",
        r"s.yaml:4: perceive.text.size: should be greater than or equal to 1, not 0",
        r"s.yaml:4: perceive.text.sise: no such option; did you mean size\?",
        r"s.yaml:5: perceive.look.use: no perceive plugin is called 'embedderr'; did you mean embedder\?",
        r"s.yaml:6: perceive.none: must name its plugin, as in `{use: NAME}`; there are: .*picky",
        r"s.yaml:7: prompt: no prompt is called 'tabel2'; did you mean table2\?",
        r"s.yaml:8: fence: must be true or false, not 'yes'",
        r"s.yaml:11: llm.max_tokens: should be greater than 0, not -1",
    ):
        assert [said for said in found if re.match(wanted, said)], wanted
    assert len(found) == 9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("perceive: [look]", "s.yaml:1: perceive: must be a mapping from a name"),
        ("perceive: look", "s.yaml:1: perceive: must be a mapping from a name"),
        ("perceive: 0", "s.yaml:1: perceive: must be a mapping from a name"),
        ("perceive: {a: 5}", "s.yaml:1: perceive.a: must name its plugin"),
        ("perceive: {a: {use: 5}}", "s.yaml:1: perceive.a: must name its plugin"),
        ("perceive: {a: {use: null}}", "s.yaml:1: perceive.a: must name its plugin"),
        ("perceive: {a: picky}", "s.yaml:1: perceive.a.size: is required"),
        (
            "perceive:\n  a:\n    use: picky\n",
            "s.yaml:3: perceive.a.size: is required|s.yaml:2: perceive.a.size: is required",
        ),
        ("perceive: {a: {use: picky, size: big}}", "perceive.a.size: should be a valid integer.*, not 'big'"),
        ("perceive: {a: {use: picky, size: 13}}", "s.yaml:1: perceive.a: 13 windows bring no luck"),
        ("perceive: {a: {use: picky, size: 9}}", "s.yaml:1: perceive.a: a sampling's lead"),
        ("perceive: {a: {use: picky, size: 1, over: 601}}", "s.yaml:1: perceive.a.over: a window holds at most 600 s"),
        ("perceive: {a: {use: picky, size: 1, over: -1}}", "perceive.a.over: .*greater than or equal to 0.01"),
        ("perceive: {a: {use: picky, size: 1, over: .inf}}", "perceive.a.over: .*finite"),
        ("perceive: {a: {use: picky, size: 1, over: .nan}}", "perceive.a.over: "),
        ("perceive: {a: {use: picky, size: 1, over: 0.0000001}}", "perceive.a.over: .*greater than or equal to 0.01"),
        ("perceive: {a: {use: picky, size: 1, over: scene}}", "perceive.a.over: .*'segment' or 'video'"),
        ("perceive: {a: {use: picky, size: 1, mode: [1]}}", "perceive.a.mode: should be a valid string, or should be"),
        ("perceive: {a: {use: picky, size: 1, mode: '${KEY}'}}", r"perceive.a.mode: \$\{...\} is read only in secret"),
        ("perceive: {a: {use: picky, size: 1, headers: {a: 'x ${KEY}'}}}", "perceive.a.headers: .*only in secret"),
        ("read: {use: null}", "read: must name its plugin"),
        ("llm: [echo]", "llm: must name its plugin"),
        ("llm: {use: [a]}", "llm: must name its plugin"),
        ("llm: ''", "llm: no llm plugin is called ''"),
        ("prompt: 5", "prompt: must be a name or a path, not 5"),
        ("prompt: [a]", "prompt: must be a name or a path"),
        ("prompt: ./gone.txt", "prompt: no such file: .*gone.txt"),
        ("prompt: 'You see {textualizing_videos}. {question}'", "prompt: no prompt is called"),
        (f"prompt: '{'You see a video. ' * 50}'", "prompt: .*names no file"),
        ("prompt: table3", "prompt: table3 has no place for {question}"),
        ("device: 5", "device: must be text, not 5"),
        ("about: [x]", "about: must be text"),
        ("extend: base", "extend: no such key; did you mean extends|extend: no such key"),
        ("allow_hosts: [a]", "allow_hosts: no such key"),
        ("origin: x", "origin: no such key"),
    ],
)
def test_each_problem_says_what_is_allowed(text: str, said: str, tmp_path: Path) -> None:
    found = problems(text, tmp_path)
    assert len(found) == 1, found
    assert re.search(said, found[0]), found[0]


def test_a_setting_is_named_as_the_place(tmp_path: Path) -> None:
    text = "perceive: {a: {use: picky, size: 1}}"
    assert problems(text, tmp_path, "perceive.a.size=0")[0].startswith("--set: perceive.a.size: should be")
    assert problems(text, tmp_path, "perceive.a.sise=0")[0].startswith("--set: perceive.a.sise: no such option")
    assert problems(text, tmp_path, "perceive.b.size=2")[0].startswith("--set: perceive.b: must name its plugin")
    assert problems(text, tmp_path, "llm.use=ech")[0].startswith("--set: llm.use: no llm plugin")
    assert problems(text, tmp_path, "abuot=x")[0].startswith("--set: abuot: no such key")


def test_a_prompt_beside_the_stack_is_found_and_checked(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_bytes(b"\xff")
    assert "s.yaml:1: prompt: cannot be read" in problems("prompt: ./mine.txt", tmp_path)[0]
    (tmp_path / "mine.txt").write_text("# a note: {question}\nNothing is asked.")
    assert "no place for {question}" in problems("prompt: ./mine.txt", tmp_path)[0]
    (tmp_path / "mine.txt").write_text("{textualizing_videos}\n{question}")
    assert videochat.load(str(tmp_path / "s.yaml")).prompt_name == "./mine.txt"


def test_names_from_python_are_checked_too() -> None:
    assert refusal(perceive={1: Embedder()}, prompt="table2")[0].startswith("perceive: a plugin's name")
    assert "perceive.a: must name its plugin" in refusal(perceive={"a": Speaker()})[0]
    assert "llm: must name its plugin" in refusal(llm=Embedder())[0]
    assert "perceive.a: must name its plugin" in refusal(perceive={"a": Embedder})[0]
    assert "perceive.a.1: " in refusal(perceive={"a": {"use": "picky", "size": 1, 1: 2}})[0]


EMBED = "{video}\n{question}"


def embed(tmp_path: Path, prompt: str = EMBED, **values: Any) -> dict[str, Any]:
    file = tmp_path / "embed.txt"
    file.write_text(prompt)
    return {"perceive": {"tokens": Embedder()}, "prompt": str(file), "llm": Speaker(space="vicuna-7b"), **values}


def test_embeddings_reach_a_model_of_their_space(tmp_path: Path) -> None:
    assert Stack(**embed(tmp_path)).llm.space == "vicuna-7b"
    assert Stack(**embed(tmp_path, prompt="{video}{textualizing_videos}\n{question}"))


def test_unequal_spaces_are_an_error_that_names_both(tmp_path: Path) -> None:
    (said,) = refusal(**embed(tmp_path, llm=Speaker(space="qwen-2b")))
    assert said.startswith("perceive.tokens: ")
    assert "'vicuna-7b'" in said
    assert "'qwen-2b'" in said
    (said,) = refusal(**embed(tmp_path, llm=Speaker()))
    assert "'vicuna-7b'" in said


def test_embeddings_need_a_place_in_the_prompt_and_a_model_that_takes_them(tmp_path: Path) -> None:
    found = refusal(**embed(tmp_path, prompt="{textualizing_videos}\n{question}", llm=Speaker(accepts=(Text, Frames))))
    assert found == [
        "prompt: has no place {video} for the embeddings of tokens",
        "llm: takes no embeddings, and tokens makes them",
    ]


def test_a_model_that_takes_no_text(tmp_path: Path) -> None:
    model = Speaker(space="vicuna-7b", accepts=(Tokens,))
    assert Stack(**embed(tmp_path, llm=model))
    (said,) = refusal(**embed(tmp_path, llm=model, prompt="{video} {textualizing_videos}\n{question}"))
    assert said == "llm: takes no text, and the prompt places {textualizing_videos}"


def test_a_key_goes_to_no_strange_host(tmp_path: Path) -> None:
    text = "llm: {use: speaker, host: evil.example, key: sk-hidden}"
    (said,) = problems(text, tmp_path)
    assert said.startswith("s.yaml:1: llm: would send its key to evil.example")
    assert "--allow-host evil.example" in said
    assert "sk-hidden" not in said
    file = str(tmp_path / "s.yaml")
    assert videochat.load(file, allow_hosts=["evil.example"])
    with pytest.raises(StackError):
        videochat.load(file, allow_hosts=["example", "EVIL.EXAMPLE.COM"])
    own("configs").mkdir(parents=True)
    (own("configs") / "mine.yaml").write_text(text)
    assert videochat.load("mine")
    assert Stack(llm={"use": "speaker"})
    assert refusal(llm={"use": "speaker", "host": "evil.example"})


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    for value in ("[sk-hidden]", "{a: sk-hidden}"):
        found = problems(f"perceive: {{a: {{use: picky, size: 1, key: {value}}}}}", tmp_path)
        assert found
        assert "sk-hidden" not in str(found)
    found = problems("perceive: {a: {use: picky, size: 1, keyy: sk-hidden}}", tmp_path)
    assert "sk-hidden" not in str(found)
    assert "did you mean key?" in found[0]


def test_a_secret_is_in_nothing_that_a_stack_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDEOCHAT_TEST_KEY", "sk-from-environment")
    (tmp_path / "s.yaml").write_text(
        "llm: {use: speaker, key: sk-hidden}\nperceive: {a: {use: picky, size: 1}}\nprompt: both.txt"
    )
    (tmp_path / "both.txt").write_text(EMBED)
    monkeypatch.setattr(Picky, "space", "")
    stack = videochat.load(str(tmp_path / "s.yaml"))
    shown = [stack.filled(), stack, vars(stack), stack.llm.options, stack.spec]
    shown += [identity(component) for _, component in stack.components()]
    assert "sk-" not in " ".join(map(repr, shown)) + " ".join(map(str, shown))
    assert not isinstance(stack.filled()["llm"].get("key"), BaseModel | SecretStr)
