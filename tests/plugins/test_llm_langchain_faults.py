"""A server that does what servers do wrong, through LangChain: one clear error, soon, without secrets."""

import time
import traceback
from collections.abc import Callable

import pytest

from openai_server import (
    Server,
    Step,
    closed_port,
    cut,
    end,
    error,
    event,
    full_port,
    raw,
    reset,
    serving,
    stall,
    status,
    stream,
    usage_event,
)
from videochat import Generation, LLMError, Message, Reply, Text, Usage
from videochat.errors import UnreachableError
from videochat_plugins.llm import remote
from videochat_plugins.llm.langchain import LangChain
from videochat_plugins.llm.langchain_failure import of_error

pytest.importorskip("langchain_openai", reason="the extra langchain is not installed")

KEY = "sk-test-0123456789abcdefghij"
ECHO = f"Incorrect API key provided: {KEY}; Bearer {KEY}; sk-partly-0123456**"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_WAIT", 0.01)


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """LangChain's import takes seconds, which no test of waiting should count."""
    LangChain(LangChain.Options(base_url="http://127.0.0.1:9")).check()


def ask(server: Server | str, **options: object) -> Reply:
    url = server if isinstance(server, str) else server.url
    given = {"base_url": url, "model": "openai:tiny", "api_key": KEY, "timeout": 5, **options}
    model = LangChain(LangChain.Options.model_validate(given))
    return model.answer((Message("user", (Text("What is red?"),)),), Generation())


def fails(step_or_url: Step | str, *words: str, tries: int = 1, **options: object) -> str:
    """Ask, expect one clear error soon after so many requests, and return what was said before it."""
    said: list[str] = []

    def run(server: Server | str) -> None:
        began = time.monotonic()
        with pytest.raises(LLMError) as caught:
            said.extend(ask(server, **options))
        assert time.monotonic() - began < 3
        message = str(caught.value)
        assert "\n" not in message
        assert len(message) < 500
        assert "llm langchain: model openai:tiny at http://" in message
        for word in words:
            assert word in message
        assert caught.value.__context__ is None  # nothing of the library's, which may quote the request
        shown = "".join(traceback.format_exception(caught.value))
        for part in (KEY[:12], "sk-partly"):
            assert part not in shown

    if isinstance(step_or_url, str):
        run(step_or_url)
    else:
        with serving(step_or_url) as server:
            run(server)
            assert len(server.requests) == tries
    return "".join(said)


def test_refused_connection() -> None:
    url = f"http://127.0.0.1:{closed_port()}/v1"
    fails(url, url, "cannot connect", "3 tries", "is the server running")


def test_who_is_not_let_in_has_not_reached_the_server_and_who_waits_for_the_answer_has() -> None:
    with full_port() as port, pytest.raises(UnreachableError, match=r"cannot connect within 0\.5 s"):
        list(ask(f"http://127.0.0.1:{port}/v1", timeout=0.5))
    with serving(stall) as server, pytest.raises(LLMError, match=r"stalled for 0\.5 s") as caught:
        list(ask(server, timeout=0.5))
    assert not isinstance(caught.value, UnreachableError)


@pytest.mark.parametrize(
    ("step", "given"),
    [(stall, ""), (raw(after=stall), ""), (raw(event("A red"), after=stall), "A red")],
    ids=["before the head", "after the head", "after a piece"],
)
def test_a_stall_ends_after_the_timeout_and_is_not_tried_again(step: Step, given: str) -> None:
    assert fails(step, "stalled for 0.3 s", "llm.timeout", timeout=0.3) == given


@pytest.mark.parametrize("after", [cut, reset, end], ids=["closed", "reset", "ended"])
def test_half_a_stream_is_an_error_and_is_not_tried_again(after: Callable[..., None]) -> None:
    assert fails(raw(event("A red"), after=after), "broke off after 5 characters") == "A red"


@pytest.mark.parametrize("step", [cut, reset, raw(after=cut), raw()], ids=["closed", "reset", "after head", "nothing"])
def test_a_connection_lost_before_the_first_piece_is_tried_again(step: Step) -> None:
    fails(step, "broke off", "3 tries", tries=3)
    with serving(step, stream("A ball.")) as second:
        assert "".join(ask(second)) == "A ball."


def test_429_is_tried_again_when_the_server_says() -> None:
    with serving(error(429, "slow down", Retry_After="0.4"), stream("A ball.")) as server:
        assert "".join(ask(server)) == "A ball."
        first, second = server.requests
    assert 0.4 <= second.time - first.time < 2


def test_429_for_ever() -> None:
    fails(error(429, f"slow down {ECHO}", Retry_After="0"), "429", "slow down", "2 tries", tries=2, retries=1)
    fails(error(429, "slow down", Retry_After="86400"), "429", "asks to wait 86400 s")
    fails(error(429, "You exceeded your quota", code="insufficient_quota"), "quota is used up")


@pytest.mark.parametrize("code", [500, 503, 408])
def test_a_failing_server_is_tried_again(code: int) -> None:
    with serving(error(code, "loading"), error(code, "loading"), stream("A ball.")) as server:
        assert "".join(ask(server)) == "A ball."
        assert len(server.requests) == 3
    fails(error(code, f"oh no {ECHO}"), str(code), "oh no", "2 tries", tries=2, retries=1)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (error(401, ECHO), ("401", "llm.api_key")),
        (error(403, f"Your country is not served {ECHO}"), ("403", "Your country is not served")),
        (error(404, f"The model `tiny` does not exist {ECHO}"), ("404", "The model `tiny`", "llm.model")),
        (error(404, "x" * 190 + KEY), ("404",)),
        (error(400, "bad" + "\x1b[31m\n" + "x" * 5000), ("400", "bad [31m xxx", "...")),
        (error(400, "maximum context length is 8 tokens"), ("the prompt is too long", "llm.window")),
        (error(400, "too long", code="context_length_exceeded"), ("the prompt is too long", "llm.window")),
        (error(400, "temperature must be below 2", param="temperature"), ("400", "temperature must be below 2")),
        (status(422, b'{"detail": [{"msg": "no"}]}'), ("422", "no")),
        (status(418), ("418",)),
        (status(307, Location="http://127.0.0.1:1/"), ("307", "elsewhere", "llm.base_url")),
    ],
    ids=lambda value: None if callable(value) else value[0],
)
def test_a_refusal_is_not_tried_again(step: Step, words: tuple[str, ...]) -> None:
    fails(step, *words)


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # the client's own, at what no server should send
@pytest.mark.parametrize(
    ("step", "words"),
    [
        (raw(b"data: {not json}\n\n"), "it is not JSON"),
        (raw(event("A red"), b"data: " + KEY.encode() + b"\n\n"), "after 5 characters is no answer: it is not JSON"),
        (raw(b"data: \xff\xfe\n\n"), "it is not JSON"),
        (raw(b"data: [1, 2]\n\n"), "it failed with AttributeError: 'list'"),
        (raw(b'data: {"choices": 7}\n\n'), "it failed with TypeError: object of type 'int'"),
        (raw(b'data: {"choices": [{"delta": {"content": 7}}]}\n\n'), "it failed with ValidationError"),
        (raw(event("A red"), b'data: {"error": {"message": "out of memory; ' + KEY.encode() + b'"}}\n\n'),
         "the server gave up after 5 characters; it says: out of memory; ***"),
        (stream(), "empty answer (finish reason: stop)"),
        (stream(finish="length"), "its token limit ended the answer before the first word"),
    ],
    ids=["no JSON", "key", "no UTF-8", "list", "no choices", "no text", "error", "empty", "limit"],
)  # fmt: skip
def test_what_is_no_answer_is_named(step: Step, words: str) -> None:
    fails(step, words)


@pytest.mark.parametrize(
    "step",
    [
        status(200, b"<html>Log in</html>", "text/html"),
        status(200, b"{half a body"),
        raw(b'data: {"choices": [{"index": 0}]}\n\n'),
    ],
    ids=["page", "half a body", "no words"],
)
def test_what_holds_no_word_of_an_answer_is_tried_again(step: Step) -> None:
    fails(step, "broke off", tries=3)


def test_counts_of_openais_protocol_are_of_all_so_far() -> None:
    def piece(text: str, answer: int) -> bytes:
        return event(text, usage={"prompt_tokens": 30, "completion_tokens": answer, "total_tokens": 30 + answer})

    with serving(raw(piece("A ", 1), piece("ball.", 2), event(finish="stop"), usage_event(30, 3))) as server:
        reply = ask(server)
        assert "".join(reply) == "A ball."
    assert reply.usage == Usage(30, 3)


def test_errors_of_other_libraries_are_told_by_their_status_or_name() -> None:
    class Answer:
        status_code = 503
        headers = {"retry-after": "2"}

    class StatusError(Exception):
        response = Answer()

    class ReadTimeout(Exception):
        pass

    failure = of_error(StatusError("busy"), 5, "", 0)
    assert (failure.what, failure.again, failure.wait, failure.quote) == ("503, the server failed", True, 2.0, "busy")
    wrapped = RuntimeError("it did not work")
    wrapped.__cause__ = ReadTimeout()
    assert of_error(wrapped, 5, "", 7).what == "stalled for 5 s after 7 characters"
    odd = of_error(TypeError(f"no method for {KEY}"), 5, KEY, 0)
    assert (odd.what, odd.again) == ("it failed with TypeError: no method for ***", False)
