"""What can go wrong with one request to an OpenAI-compatible server, in words, and whether to try again."""

import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from videochat.record import fold
from videochat_plugins.llm.openai_stream import says

if TYPE_CHECKING:
    import openai

QUOTE = 200  # characters of the server's own words that a message repeats
_KEY = re.compile(r"\b(?:(?:sk|rk|pk|xai)-|gsk_|AIza)\S{6,}|\bBearer\s+\S+")
TOO_LONG = re.compile(r"context (?:length|size|window)|context_length_exceeded", re.I)
_REFUSED = re.compile(
    r"unsupported|not support|unrecogni[sz]ed|unknown|unexpected|extra|not permitted|not allowed|forbidden", re.I
)


@dataclass(eq=False)
class Failure(Exception):
    """One request that failed."""

    what: str
    advice: str = ""
    quote: str = ""  # the server's own words
    again: bool = False  # whether another try may do better
    wait: float | None = None  # seconds that the server asks to be left alone before it
    refused: str = ""  # the server's words, if they say that it does not take a field of the request


def of_status(error: "openai.APIStatusError", secret: str) -> Failure:
    """Return why a server answered with an HTTP error status."""
    code = error.status_code
    quote = quoted(says(error.body or ""), secret)
    if code == 401 and not secret:
        return Failure("401, the server wants a key", "set llm.api_key (OPENAI_API_KEY goes to OpenAI's own host only)")
    if code == 401:  # without the server's words: some repeat parts of the key
        return Failure("401, the key was refused", "check llm.api_key, or OPENAI_API_KEY where that is unset")
    if code == 403:
        return Failure("403, no access", "is the key allowed to use this model?", quote)
    if code == 404:
        return Failure("404, not found", "check llm.model, and the end of llm.base_url (mostly /v1)", quote)
    if code == 429 and error.code == "insufficient_quota":
        return Failure("429, the account's quota is used up", "see the provider's billing page")
    if code == 429:
        return Failure("429, too many requests", "wait a while and ask again", quote, True, retry_after(error))
    if code == 408 or code >= 500:
        return Failure(f"{code}, the server failed", "ask again later", quote, True, retry_after(error))
    if code < 400:
        return Failure(f"{code}, the server sends requests on elsewhere", "set llm.base_url to the address it sends to")
    words = f"{error.code or ''} {error.param or ''} {says(error.body or '')}"
    if TOO_LONG.search(words):
        return Failure(f"{code}, the prompt is too long", "set llm.window to the model's own", quote)
    advice = "check llm.model and its options"
    return Failure(f"{code}, the request was refused", advice, quote, refused=refused(code, words))


def of_connection(error: Exception, timeout: float, secret: str, given: int = 0) -> Failure:
    """Return why no reply came, or why it stopped after `given` characters.

    The classes are told by their names: the openai package brings httpx, or httpx2 from version 3 on.
    """
    cause = error.__cause__ or error
    name = type(cause).__name__
    reason = f" ({words})" if (words := quoted(str(cause), secret)) else ""
    if name == "ConnectTimeout":
        return Failure(f"cannot connect within {timeout:g} s", "is the server running?")
    if name in ("ConnectError", "ProxyError"):
        return Failure(f"cannot connect{reason}", "is the server running, and is llm.base_url right?", again=True)
    if "Timeout" in name or "Timeout" in type(error).__name__:
        return Failure(f"stalled for {timeout:g} s{_after(given)}", "raise llm.timeout if the model needs longer")
    return Failure(f"the connection broke off{_after(given)}{reason}", "ask again", again=True)


def of_end(given: int, finish: str) -> Failure:
    """Return the failure of a reply that ended before its answer did, or without one."""
    if not finish:
        return Failure(f"the stream broke off{_after(given)}", "ask again", again=True)
    if finish == "length":
        return Failure("its token limit ended the answer before the first word", "raise llm.max_tokens")
    return Failure(f"an empty answer (finish reason: {finish})", "ask in other words")


def refused(code: int, words: str) -> str:
    """Return the server's words if they say that it does not take a field of the request, else nothing."""
    return words if code in (400, 422) and _REFUSED.search(words) else ""


def quoted(words: str, secret: str) -> str:
    """Return what a stranger said on one short line, without anything that looks like a key."""
    line = fold(words)
    if secret:
        line = line.replace(secret, "***")
    line = _KEY.sub("***", line)
    return line if len(line) <= QUOTE else f"{line[:QUOTE]}..."


def retry_after(error: "openai.APIStatusError") -> float | None:
    """Return the seconds that the server asks to wait, or None if it does not ask or not in a form that means any."""
    headers = error.response.headers
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


def _after(given: int) -> str:
    return f" after {given} characters" if given else ""
