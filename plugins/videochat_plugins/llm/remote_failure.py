"""What can go wrong with one request to a language model over HTTP, in words, and whether to try again."""

import json
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from videochat.record import fold

QUOTE = 200  # characters of the server's own words that a message repeats
_KEY = re.compile(r"\b(?:(?:sk|rk|pk|xai)-|gsk_|AIza)\S{6,}|\bBearer\s+\S+")
_USER = re.compile(r"(?<=://)[^\s/]+@")  # of a proxy, with its password
_TOO_LONG = re.compile(r"context (?:length|size|window)|context_length_exceeded", re.I)
_REFUSED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra|not permitted|not allowed|forbidden", re.I
)
# By the status: what it means, and what to do. All of 500 and above are as 500, the rest of 300 and of 400 as those.
_STATUSES = {
    300: ("the server sends requests on elsewhere", "set llm.base_url to the address it sends to"),
    400: ("the request was refused", "check llm.model and its options"),
    401: ("the key was refused, or there is none", "check llm.api_key (the environment's goes to its own host)"),
    403: ("no access", "is the key allowed to use this model?"),
    404: ("not found", "check llm.model, and the end of llm.base_url"),
    408: ("the server failed", "ask again later"),
    429: ("too many requests", "wait a while and ask again"),
    500: ("the server failed", "ask again later"),
}
_AGAIN = (408, 429, 500)


@dataclass(eq=False)
class Failure(Exception):
    """One request that failed."""

    what: str
    advice: str = ""
    quote: str = ""  # the server's own words
    again: bool = False  # whether another try may do better
    wait: float | None = None  # seconds that the server asks to be left alone before it
    refused: str = ""  # the server's words, if they say that it does not take a field of the request
    unreachable: bool = False  # whether the request got to no server


def of_status(status: int, error: Any, words: str, secret: str) -> Failure:
    """Return why a server answered with an HTTP status that is no answer.

    Args:
        status: 300 or above.
        error: the library's, of which `code`, `param` and the `response` are read where there are such.
        words: the server's own.
        secret: the key that was sent, which no message repeats.
    """
    kind = status if status in _STATUSES else max(300, min(status, 500) // 100 * 100)
    what, advice = _STATUSES[kind]
    code, quote = getattr(error, "code", None), quoted(words, secret)
    if kind == 401:  # without the server's words: some repeat parts of the key
        return Failure(f"401, {what}", advice)
    if kind == 429 and code == "insufficient_quota":
        return Failure("429, the account's quota is used up", "see the provider's billing page")
    if kind in _AGAIN:
        return Failure(f"{status}, {what}", advice, quote, again=True, wait=_retry_after(error))
    told = f"{code or ''} {getattr(error, 'param', None) or ''} {words}"
    if kind == 400 and _TOO_LONG.search(told):
        return Failure(f"{status}, the prompt is too long", "set llm.window to the model's own", quote)
    refused = told if status in (400, 422) and _REFUSED.search(told) else ""
    return Failure(f"{status}, {what}", advice, quote if kind > 300 else "", refused=refused)


def of_end(given: int, finish: str) -> Failure:
    """Return the failure of a reply that ended before its answer did, or without one."""
    if not finish:
        return Failure(f"the stream broke off{after(given)}", "ask again", again=True)
    if finish == "length":
        return Failure("its token limit ended the answer before the first word", "raise llm.max_tokens")
    return Failure(f"an empty answer (finish reason: {finish})", "ask in other words")


def after(given: int) -> str:
    """Return words on how many characters of an answer had come."""
    return f" after {given} characters" if given else ""


def says(error: object) -> str:
    """Return the words of an error object, in any of the forms that servers give them."""
    for _ in range(3):  # {"error": {"message": {"detail": "words"}}}
        if isinstance(error, dict):
            error = next((error[name] for name in ("message", "detail", "error") if error.get(name)), "")
    try:
        return error if isinstance(error, str) else json.dumps(error)
    except RecursionError:
        return ""


def quoted(words: str, secret: str) -> str:
    """Return what a stranger said on one short line, without anything that looks like a key or a password."""
    line = fold(words)
    if secret:
        line = line.replace(secret, "***")
    line = _USER.sub("***@", _KEY.sub("***", line))
    return line if len(line) <= QUOTE else f"{line[:QUOTE]}..."


def _retry_after(error: Any) -> float | None:
    """Return the seconds that the server asks to wait, or None if it does not ask or not in a form that means any."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    try:
        if milliseconds := headers.get("retry-after-ms"):
            seconds = float(milliseconds) / 1000
        else:
            seconds = float(headers.get("retry-after", ""))
    except ValueError:
        try:
            seconds = parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time()
        except ValueError:
            return None
    return max(0.0, seconds) if seconds == seconds else None
