"""What can go wrong with one request through LangChain, whichever provider's library is below it."""

from collections.abc import Iterator
from typing import Any

from videochat_plugins.llm.remote_failure import Failure, after, of_end, of_status, quoted, says

_BROKEN = ("ProtocolError", "ReadError", "WriteError", "ConnectionError", "ConnectionResetError", "IncompleteRead")


def of_error(error: Exception, timeout: float, secret: str, given: int) -> Failure:
    """Return why a request failed after `given` characters of its answer.

    Each provider's library has errors of its own and they wrap those of an HTTP library, so they are told by what most
    of them share: a status, or the names of their classes.
    """
    links = list(_causes(error))
    for link in links:
        if code := _status(link):
            return of_status(code, link, _words([link]), secret)
    came = after(given)
    names = {cls.__name__ for link in links for cls in type(link).__mro__}
    if "JSONDecodeError" in names or "UnicodeDecodeError" in names:
        return Failure(f"what the server sent{came} is no answer: it is not JSON", "check llm.model and llm.base_url")
    if "ConnectTimeout" in names:
        return Failure(f"cannot connect within {timeout:g} s", "is the server running?", unreachable=True)
    if any("Timeout" in name for name in names):
        return Failure(f"stalled for {timeout:g} s{came}", "raise llm.timeout if the model needs longer")
    quote = quoted(_words(links), secret)
    if names & {"ConnectError", "ProxyError", "ConnectionRefusedError"}:
        advice = "is the server running, and is llm.base_url right?"
        return Failure("cannot connect", advice, quote, again=True, unreachable=True)
    if any(name.endswith(_BROKEN) for name in names):
        return Failure(f"the connection broke off{came}", "ask again", quote, again=True)
    if "No generation" in str(error):
        return of_end(given, "")
    if any(getattr(link, "body", None) for link in links):  # an error within the stream
        return Failure(f"the server gave up{came}", "ask again later", quote)
    # LangChain checks little of what it gets: what is no answer ends in any error of Python.
    return Failure(f"it failed{came} with {type(error).__name__}: {quote}", "check llm.model and llm.base_url")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__


def _status(error: object) -> int:
    """Return the HTTP status of an error, 0 if it has none."""
    held = [getattr(holder, "status_code", None) for holder in (error, getattr(error, "response", None))]
    codes = (code for code in [*held, getattr(error, "code", None)] if isinstance(code, int))
    return next((code for code in codes if 300 <= code < 600), 0)


def _words(errors: list[Any]) -> str:
    """Return the server's own words, or else the library's."""
    body = next((found for error in errors if (found := getattr(error, "body", None))), None)
    return (says(body) if body else "") or str(errors[0])
