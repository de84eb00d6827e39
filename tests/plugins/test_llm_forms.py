"""Each chat form writes the string that its model's makers document."""

from pathlib import Path
from typing import Any

import pytest

from videochat_plugins.llm.transformers_form import Form, has_own, shipped

pytest.importorskip("transformers", reason="the extra models is not installed")

TALK = [
    {"role": "system", "content": "SYSTEM"},
    {"role": "user", "content": "What moves?"},
    {"role": "assistant", "content": "A ball."},
    {"role": "user", "content": "Where to?"},
]
WRITTEN = {
    "vicuna": "<s>SYSTEM USER: What moves? ASSISTANT: A ball.</s>USER: Where to? ASSISTANT:",
    "videochat": "<s>###Human: SYSTEM\n###Human: What moves?\n###Assistant: A ball.###Human: Where to?\n###Assistant:",
    "stablelm": "<|SYSTEM|>SYSTEM<|USER|>What moves?<|ASSISTANT|>A ball.<|USER|>Where to?<|ASSISTANT|>",
    "moss": "SYSTEM\n<|Human|>: What moves?<eoh>\n<|MOSS|>: A ball.<eom>\n<|Human|>: Where to?<eoh>\n<|MOSS|>:",
}
STOP = {
    "vicuna": ("USER:",),
    "videochat": ("###",),
    "stablelm": ("<|SYSTEM|>", "<|USER|>", "<|ASSISTANT|>", "<|endoftext|>"),
    "moss": ("<eom>",),
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from transformers import AutoTokenizer

    from tiny_llama import save_tiny_llama

    return AutoTokenizer.from_pretrained(save_tiny_llama(tmp_path_factory.mktemp("forms"), chat=False))


def write(tokenizer: Any, name: str, talk: list[dict[str, str]], **how: Any) -> str:
    template = Form.find(name).template
    how = {"add_generation_prompt": True, **how}
    written: str = tokenizer.apply_chat_template(talk, chat_template=template, tokenize=False, **how)
    return written


def test_all_are_here() -> None:
    assert shipped() == sorted(WRITTEN)


@pytest.mark.parametrize("name", shipped())
def test_a_talk_is_written_as_documented(tokenizer: Any, name: str) -> None:
    assert write(tokenizer, name, TALK) == WRITTEN[name]
    assert Form.find(name).stop == STOP[name]


@pytest.mark.parametrize("name", shipped())
def test_a_first_question_alone(tokenizer: Any, name: str) -> None:
    whole = write(tokenizer, name, TALK[1:2])
    assert whole.removeprefix("<s>") == {
        "vicuna": "USER: What moves? ASSISTANT:",
        "videochat": "###Human: What moves?\n###Assistant:",
        "stablelm": "<|USER|>What moves?<|ASSISTANT|>",
        "moss": "<|Human|>: What moves?<eoh>\n<|MOSS|>:",
    }[name]  # fmt: skip
    asked = write(tokenizer, name, TALK[1:2], add_generation_prompt=False)
    assert whole.startswith(asked)
    assert len(asked) < len(whole)


def test_the_prompt_of_videochat_embed(tokenizer: Any) -> None:
    """Section B.8 of the original: the video's turn, then the question's, each with its line break."""
    seen = "<Video>V</Video> The video contains 8 frames sampled at 0.6, 1.8 seconds."
    talk = [{"role": "system", "content": seen}, {"role": "user", "content": "What is it?"}]
    assert write(tokenizer, "videochat", talk) == f"<s>###Human: {seen}\n###Human: What is it?\n###Assistant:"


def test_a_form_of_ones_own(tokenizer: Any, tmp_path: Path) -> None:
    path = tmp_path / "own.jinja"
    path.write_text('{# stop: ["\\n\\n", "Q:"] #}\n{% for m in messages %}{{ m.content }}|{% endfor %}')
    assert Form.find(str(path)).stop == ("\n\n", "Q:")
    assert write(tokenizer, str(path), TALK[:2]) == "SYSTEM|What moves?|"
    path.write_text("{{ messages[0].content }}")
    assert Form.find(str(path)).stop == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{# stop: [1] #}", "must be a list of texts, not \\[1\\]"),
        ('{# stop: "x" #}', "must be a list of texts"),
        ('{# stop: [""] #}', "must be a list of texts"),
        ("{# stop: ['x'] #}", "cannot be read: its first line may be"),
    ],
)
def test_a_list_of_stop_texts_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.jinja").write_text(text)
    with pytest.raises(ValueError, match=said):
        Form.find(str(tmp_path / "own.jinja"))


@pytest.mark.parametrize(("name", "said"), [("vicuna2", "did you mean vicuna"), ("nowhere.jinja", "there are: moss,")])
def test_no_such_form(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Form.find(name)


def test_whether_a_folder_has_a_template(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    assert not has_own(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert has_own(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[]")
    assert not has_own(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert has_own(tmp_path)
