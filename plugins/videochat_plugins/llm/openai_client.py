"""The connection to an OpenAI-compatible server: who gets to see which key, and why there may be none."""

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from videochat import UnavailableError
from videochat.secret import reveal
from videochat_plugins.llm.remote_failure import Failure, after, quoted

if TYPE_CHECKING:
    import openai

OWN_HOST = "api.openai.com"
NO_KEY = "none"  # said to libraries that insist on a key
_HOST = r"([\w-]{1,63}(?:\.[\w-]{1,63})*\.?|\[[\da-fA-F:.]+\])"
_URL = re.compile(rf"https?://{_HOST}(?::([1-9]\d{{0,4}}))?(?:/[\w.~/-]*)?", re.ASCII)
# All that the protocol needs.
_HEADERS = {"host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent"}


def check_address(url: str) -> str:
    """Return a server's address without a slash at its end.

    Raises:
        ValueError: if it is not one that a prompt or a key may go to.
    """
    found = _URL.fullmatch(url)
    if not found or int(found[2] or 80) > 65535:
        raise ValueError("must be http:// or https://, a host, perhaps :port and /path, without user name, ? or #")
    host = found[1].lower()
    if re.fullmatch(r"\[.*|[\d.]+", host):
        ipaddress.ip_address(host.strip("[]"))
    if host == OWN_HOST and url.startswith("http:"):
        raise ValueError(f"{OWN_HOST} must be asked over https")
    return url.rstrip("/")


def key_for(host: str, api_key: SecretStr | None) -> str:
    """Return the key to send, or "" for none; that of the environment goes to OpenAI's own host only.

    Raises:
        UnavailableError: if a key is missing, or holds what no key holds.
    """
    key, name = "", "llm.api_key"
    if api_key is not None:
        key = reveal(api_key).strip()
    elif host == OWN_HOST:
        key, name = os.environ.get("OPENAI_API_KEY", "").strip(), "OPENAI_API_KEY"
    if not key and host == OWN_HOST:
        raise UnavailableError(f"{OWN_HOST} needs a key: set the environment variable OPENAI_API_KEY or llm.api_key")
    if not re.fullmatch(r"[!-~]*", key):  # else the HTTP library complains, and quotes it
        raise UnavailableError(f"the key in {name} has spaces, line breaks or letters that no key has: copy it again")
    return key


def connect(base_url: str, key: str, timeout: float) -> "openai.OpenAI":
    """Return a client for one host, without a request yet.

    Raises:
        UnavailableError: if the openai package is not installed.
    """
    try:
        import openai
    except ImportError as error:
        raise UnavailableError(f"llm openai needs an extra: pip install 'videochat[openai]' ({error})") from None

    http = http_client(base_url, key)
    return openai.OpenAI(api_key=key or NO_KEY, base_url=base_url, timeout=timeout, max_retries=0, http_client=http)


def http_client(base_url: str, key: str) -> "openai.DefaultHttpxClient":
    """Return what carries requests to one host; it needs the openai package.

    The library reads keys, organisation, project and headers from the environment. To a host that is not OpenAI's own
    go only the headers that the protocol needs, and `key` if there is one.
    """
    import openai

    host = urlsplit(base_url).hostname or ""

    def strip(request: Any) -> None:
        for name in set(request.headers) - _HEADERS - ({"authorization"} if key else set()):
            del request.headers[name]
        if key:
            request.headers["Authorization"] = f"Bearer {key}"

    return openai.DefaultHttpxClient(
        follow_redirects=False,  # the prompt goes to no host that was not named
        trust_env=not _loopback(host),  # this machine is asked past any proxy
        event_hooks={} if host == OWN_HOST else {"request": [strip]},
    )


def of_connection(error: Exception, timeout: float, secret: str, given: int = 0) -> Failure:
    """Return why no reply came, or why it stopped after `given` characters.

    The classes are told by their names: the openai package brings httpx, or httpx2 from version 3 on.
    """
    cause = error.__cause__ or error
    name = type(cause).__name__
    reason = f" ({words})" if (words := quoted(str(cause), secret)) else ""
    if name == "ConnectTimeout":
        return Failure(f"cannot connect within {timeout:g} s", "is the server running?", unreachable=True)
    if name in ("ConnectError", "ProxyError"):
        advice = "is the server running, and is llm.base_url right?"
        return Failure(f"cannot connect{reason}", advice, again=True, unreachable=True)
    if "Timeout" in name or "Timeout" in type(error).__name__:
        return Failure(f"stalled for {timeout:g} s{after(given)}", "raise llm.timeout if the model needs longer")
    return Failure(f"the connection broke off{after(given)}{reason}", "ask again", again=True)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
