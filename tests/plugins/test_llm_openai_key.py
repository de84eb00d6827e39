"""Who gets to see a key, and which addresses are taken."""

import sys
import traceback
from typing import Any

import pytest
from pydantic import ValidationError

from openai_server import Server, Step, closed_port, error, event, raw, serving, stream
from videochat import Generation, LLMError, Message, Text, UnavailableError
from videochat_plugins.llm.openai import OpenAI
from videochat_plugins.llm.openai_client import connect, key_for

pytest.importorskip("openai", reason="the extra openai is not installed")

KEY = "sk-test-0123456789abcdefghij"
AMBIENT = "sk-ambient-key-of-the-environment"
TALK = (Message("user", (Text("What is red?"),)),)
OWN = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.setenv(name, AMBIENT)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: Bearer {AMBIENT}\nX-Own: {AMBIENT}")


def build(server: Server | str, **options: Any) -> OpenAI:
    url = server if isinstance(server, str) else server.url
    return OpenAI(OpenAI.Options.model_validate({"base_url": url, "retries": 0, "timeout": 5, **options}))


def answer(model: OpenAI) -> str:
    return "".join(model.answer(TALK, Generation()))


def test_what_the_environment_holds_never_goes_to_another_host() -> None:
    with serving(stream("x")) as server:
        model = build(server)
        model.check()
        assert answer(model) == "x"
        headers = server.requests[0].headers
    assert AMBIENT not in str(headers)
    assert "authorization" not in headers


def test_a_set_key_goes_where_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", f" {KEY}\n")
    with serving(stream("x")) as server:
        for value in (KEY, "${MY_KEY}"):
            assert answer(build(server, api_key=value)) == "x"
        for request in server.requests:
            assert request.headers["authorization"] == f"Bearer {KEY}"
            assert AMBIENT not in str(request.headers)


def test_a_redirect_is_not_followed() -> None:
    with serving(stream("x")) as other, serving(error(307, "", Location=other.url)) as server:
        with pytest.raises(LLMError, match="elsewhere"):
            answer(build(server, api_key=KEY))
        assert other.requests == []


def test_the_environments_key_goes_to_its_own_host() -> None:
    assert key_for("api.openai.com", None) == AMBIENT
    for host in ("api.openai.com.", "api.openai.com.evil.test", "127.0.0.1", "eu.api.openai.com"):
        assert key_for(host, None) == ""
    with connect(OWN, AMBIENT, 5) as client:
        assert client.auth_headers == {"Authorization": f"Bearer {AMBIENT}"}


@pytest.mark.parametrize(
    ("url", "key", "host"),
    [
        (OWN, KEY, None),
        ("https://API.OpenAI.com/v1", KEY, None),
        ("https://llm.example.test/v1", None, None),
        ("https://llm.example.test:8443/v1", KEY, "llm.example.test"),
        ("http://127.0.0.1:8000", "${MY_KEY}", "127.0.0.1"),
        ("http://[::1]:8000/v1", KEY, "::1"),
        ("https://api.openai.com./v1", KEY, "api.openai.com."),
    ],
)
def test_the_host_that_a_secret_would_go_to_is_declared(url: str, key: str | None, host: str | None) -> None:
    assert build(url, api_key=key).sends_secret_to() == host


def test_a_missing_key_is_found_when_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UnavailableError, match=r"set the environment variable OPENAI_API_KEY or llm\.api_key"):
        OpenAI().check()
    with pytest.raises(UnavailableError, match="MY_KEY"):
        build(OWN, api_key="${MY_KEY}").check()


@pytest.mark.parametrize("key", ["sk-two words-0123456789", "sk-line\nbreak-0123456789", "sk-ключ-0123456789"])
def test_a_key_that_is_none_is_refused_unseen(key: str) -> None:
    with pytest.raises(UnavailableError, match=r"llm\.api_key") as caught:
        build(OWN, api_key=key).check()
    assert "0123456789" not in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(UnavailableError, match=r"pip install 'videochat\[openai\]'"):
        OpenAI().check()


ECHO = f"Incorrect API key provided: {KEY}; Bearer {KEY}; sk-partly-0123456**"


@pytest.mark.parametrize(
    "step",
    [
        error(401, ECHO),
        error(403, ECHO),
        error(400, ECHO, param="x"),
        error(500, ECHO),
        error(404, "x" * 190 + KEY),
        raw(b'data: {"error": {"message": "' + ECHO.encode() + b'"}}\n\n'),
        raw(event("A red"), b"data: " + KEY.encode() + b"\n\n"),
    ],
    ids=["401", "403", "400", "500", "cut", "event", "garbage"],
)
def test_no_message_holds_the_key(step: Step) -> None:
    with serving(step) as server, pytest.raises(LLMError) as caught:
        answer(build(server, api_key=KEY))
    shown = "".join(traceback.format_exception(caught.value))
    for part in (KEY, KEY[:12], "sk-partly", "authorization"):
        assert part not in str(caught.value)
        assert part not in shown


def test_a_refused_key_is_not_tried_again() -> None:
    with serving(error(401, ECHO)) as server:
        with pytest.raises(LLMError, match=r"401, the key was refused, or there is none; check llm\.api_key"):
            answer(build(server, api_key=KEY, retries=2))
        assert len(server.requests) == 1


def test_no_other_view_holds_the_key(capfd: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    model = build(url, api_key=KEY)
    with pytest.raises(LLMError) as caught:
        answer(model)
    shown = "".join(traceback.format_exception(caught.value))
    for view in (repr(model.options), str(model.options), model.options.model_dump_json(), repr(model), shown):
        assert KEY not in view
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.test/v1",
        "example.test/v1",
        "https://user:pw-secret@example.test/v1",
        "https://api.openai.com@example.test/v1",
        "https://example.test\\@api.openai.com/v1",
        "https://api.openai.com%2f.example.test",
        "https://example.test/v1?key=pw-secret",
        "https://example.test/v1#x",
        "https://example.test:0/v1",
        "https://example.test:65536/v1",
        "https://a..b/v1",
        "https:///v1",
        "https://999.1.1.1/v1",
        "http://[::::]/v1",
        "http://example.test/v1\n",
        "http://exämple.test/v1",
        "http://api.openai.com/v1",
    ],
)
def test_a_wrong_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValidationError, match="base_url") as caught:
        build(url)
    assert "pw-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", [OWN, "http://localhost:11434/v1/", "http://my_service:80", "https://10.0.0.1/a/b-c.d/v1"]
)
def test_a_right_address_is_taken(url: str) -> None:
    model = build(url, api_key=KEY)
    assert model.options.base_url == url.rstrip("/")
    model.check()


def test_this_machine_is_asked_past_any_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with serving(stream("x")) as server:
        assert answer(build(server)) == "x"
        assert answer(build(server.url.replace("127.0.0.1", "localhost"))) == "x"
