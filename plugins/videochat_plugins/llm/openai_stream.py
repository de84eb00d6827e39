"""What an OpenAI-compatible server sends back, read as untrusted: server-sent events, or one JSON body."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from videochat import Usage
from videochat_plugins.llm.remote import Delta
from videochat_plugins.llm.remote_content import encodable
from videochat_plugins.llm.remote_failure import says

LIMIT = 1 << 22  # bytes that one event, or a body that is not streamed, may take
DONE = b"[DONE]"  # the last event


class GarbledError(Exception):
    """What came keeps neither form of the protocol; the message says in what."""


def events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the JSON texts of a reply, up to `DONE`.

    Each `data:` line is one event, which is how these servers use the event-stream format. A server that does not
    stream sends one JSON object instead; it is told by its first character, as content types are not to be relied on.

    Raises:
        GarbledError: if an event or a body is longer than `LIMIT`.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        if not _plain(rest):
            *lines, rest = rest.split(b"\n")
            for data in filter(None, map(_data, lines)):
                yield data
                if data == DONE:
                    return
        if len(rest) > LIMIT:
            raise GarbledError(f"one piece of it is longer than {LIMIT} bytes")
    if _plain(rest):  # half a line of a stream is dropped, as the format asks
        yield rest


def _plain(body: bytes) -> bool:
    return body.lstrip()[:1] == b"{"


def _data(line: bytes) -> bytes:
    """Return what an event line carries; nothing for comments, other fields and blank lines."""
    field, _, value = line.partition(b":")
    return value.strip() if field.strip() == b"data" else b""


def read_event(data: bytes) -> Delta:
    """Return what one event, or the one body of a plain reply, says.

    Raises:
        GarbledError: if it is not the JSON that the protocol asks for.
    """
    if data == DONE:
        return Delta(done=True)
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        raise GarbledError("it is not JSON") from None
    if not isinstance(event, dict):
        raise GarbledError("it is not a JSON object")
    if error := event.get("error"):
        return Delta(error=says(error) or "no reason given")
    choices = event.get("choices")
    if not isinstance(choices, list):
        raise GarbledError("it has no choices")
    choice = _dict(choices[0]) if choices else {}
    message = _dict(choice.get("delta")) or _dict(choice.get("message"))
    text = message.get("content") or message.get("refusal") or ""
    if not isinstance(text, str):
        raise GarbledError("its content is no text")
    thinking = bool(message.get("reasoning_content") or message.get("reasoning"))
    reason = choice.get("finish_reason")
    finish = reason if reason in ("length", "content_filter") else "stop" if reason else ""
    return Delta(encodable(text), thinking, finish, _usage(event.get("usage")))


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _usage(value: object) -> Usage | None:
    counts = [_dict(value).get(name) for name in ("prompt_tokens", "completion_tokens")]
    prompt, answer = (count if isinstance(count, int) and count >= 0 else None for count in counts)
    return None if prompt is None or answer is None else Usage(prompt, answer)
