"""A real server of OpenAI's protocol, `transformers serve` with a tiny random model, asked through both plugins.

Its answers are noise; what is tested is that all of them comes through, and what is said about it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from transformers_server import PROGRAM, Serving, serving_tiny_llama
from videochat import Generation, LLMError, Message, Reply, Text
from videochat_plugins.llm.langchain import LangChain
from videochat_plugins.llm.openai import OpenAI
from videochat_plugins.llm.remote import Remote

for module in ("fastapi", "uvicorn", "torch"):
    pytest.importorskip(module, reason="transformers[serving] is not installed")
pytest.importorskip("openai", reason="the extra openai is not installed")

TALK = (
    Message("system", (Text("You watch. "), Text("00:00-00:02 a dog runs – ✓ across the street"))),
    Message("user", (Text("Question: What does the dog do?"),)),
)

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="the program transformers is not installed")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving_tiny_llama(tmp_path_factory.mktemp("server")) as found:
        yield found


def through_openai(server: Serving, **options: Any) -> Remote:
    return OpenAI(OpenAI.Options(**{"model": server.model, "base_url": server.url, **options}))


def through_langchain(server: Serving, **options: Any) -> Remote:
    pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")
    return LangChain(LangChain.Options(**{"model": f"openai:{server.model}", "base_url": server.url, **options}))


BOTH = pytest.mark.parametrize("through", [through_openai, through_langchain])


def ask(model: Remote, **generation: Any) -> tuple[list[str], Reply]:
    reply = model.answer(TALK, Generation(**{"max_tokens": 12, **generation}))
    return [piece for piece in reply if piece], reply


def whole(server: Serving, **more: Any) -> dict[str, Any]:
    """Return the plain answer to the same request, as the server gives it without streaming."""
    import openai

    prompt: Any = [{"role": message.role, "content": message.text} for message in TALK]
    request: Any = {"model": server.model, "messages": prompt, "max_tokens": 12, "temperature": 0, **more}
    with openai.OpenAI(base_url=server.url, api_key="none") as client:
        return client.chat.completions.create(**request).model_dump()


@BOTH
def test_the_streamed_pieces_are_the_whole_answer(server: Serving, through: Callable[..., Remote]) -> None:
    plain = whole(server)
    pieces, reply = ask(through(server))
    assert len(pieces) > 3
    assert "".join(pieces) == plain["choices"][0]["message"]["content"]
    assert (reply.usage.prompt, reply.usage.answer) == (plain["usage"]["prompt_tokens"], 12)
    assert not reply.usage.estimated
    assert reply.finish == "length"


@BOTH
@pytest.mark.parametrize("limit", [1, 5, 30])
def test_the_limit_of_tokens_is_kept(server: Serving, through: Callable[..., Remote], limit: int) -> None:
    pieces, reply = ask(through(server), max_tokens=limit)
    assert 1 <= len(pieces) <= limit
    assert (reply.usage.answer, reply.finish) == (limit, "length")


@BOTH
def test_a_stop_text_ends_the_answer(server: Serving, through: Callable[..., Remote]) -> None:
    pieces, _ = ask(through(server))
    rest, reply = ask(through(server), stop=("".join(pieces[:2]),))
    assert 0 < len("".join(rest)) < len("".join(pieces))
    assert (reply.usage.answer < 12, reply.finish) == (True, "stop")


@BOTH
def test_the_same_seed_gives_the_same_answer(server: Serving, through: Callable[..., Remote]) -> None:
    model = through(server)
    first, again, other = (ask(model, temperature=1.0, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again
    assert first != other


@BOTH
def test_a_model_that_is_not_there_is_an_error(server: Serving, through: Callable[..., Remote]) -> None:
    model = through(Serving(server.url, f"{server.model}-gone"), retries=0)
    with pytest.raises(LLMError, match=r"-gone at http://127\.0\.0\.1:\d+/v1: 500, the server failed") as caught:
        ask(model)
    assert "Traceback" not in str(caught.value)
