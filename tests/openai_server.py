"""A small server on loopback that speaks /v1/chat/completions, well or badly, as a test tells it to."""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What a client sent."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: dict[str, Any]
    time: float = field(default_factory=time.monotonic)


Step = Callable[["Handler"], None]  # answers one request


class Server(ThreadingHTTPServer):
    """Takes one step of its script for each request; the last one again for all further ones."""

    daemon_threads = False  # so that closing waits for them

    def __init__(self, steps: tuple[Step, ...]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps = steps
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.faults: list[BaseException] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        fault = sys.exception()
        if fault is not None and not isinstance(fault, ConnectionError):  # the client may leave whenever it likes
            self.faults.append(fault)


class Handler(BaseHTTPRequestHandler):
    """Records a request and lets the script answer it."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Request(self.path, headers, body))
        self.server.steps[min(len(self.server.requests), len(self.server.steps)) - 1](self)

    def begin(self, code: int = 200, kind: str = "text/event-stream", **headers: str) -> None:
        """Send the head; a body of unknown length follows in chunks, unless the headers say otherwise."""
        self.send_response(code)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not {"Content_Length", "Connection"} & headers.keys():
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(*steps: Step) -> Iterator[Server]:
    """Run a server with that script."""
    server = Server(steps)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
    assert not server.faults, server.faults


def closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def full_port() -> Iterator[int]:
    """Give a port at which more callers wait than may: nobody else gets in."""
    with socket.socket() as door, ExitStack() as queue:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        for _ in range(4):
            guest = queue.enter_context(socket.socket())
            guest.setblocking(False)
            guest.connect_ex(door.getsockname())
        yield door.getsockname()[1]


def event(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """Return one event of a stream."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "choices": [choice], **more}
    return b"data: %s\n\n" % json.dumps(body).encode()


def usage_event(prompt: int, answer: int) -> bytes:
    """Return the event with the token counts, which has no choices."""
    return event(choices=[], usage={"prompt_tokens": prompt, "completion_tokens": answer})


DONE = b"data: [DONE]\n\n"


def stream(*pieces: str, finish: str = "stop", usage: tuple[int, int] | None = None) -> Step:
    """Answer well, piece by piece."""
    counts = [usage_event(*usage)] if usage else []
    return raw(event(""), *map(event, pieces), event(finish=finish), *counts, DONE)


def raw(*events: bytes, after: Callable[[Handler], None] | None = None) -> Step:
    """Stream these bytes as they are; then end well, or as `after` does."""

    def step(handler: Handler) -> None:
        handler.begin()
        for data in events:
            handler.send(data)
        (after or end)(handler)

    return step


def end(handler: Handler) -> None:
    """End a chunked body as HTTP asks."""
    handler.wfile.write(b"0\r\n\r\n")


def cut(handler: Handler) -> None:
    """Close the connection in the middle of the body."""
    handler.close_connection = True


def reset(handler: Handler) -> None:
    """Reset the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def stall(handler: Handler) -> None:
    """Say nothing more, but stay connected."""
    handler.server.closing.wait(20)
    handler.close_connection = True


def ping(handler: Handler) -> None:
    """Send nothing but comments, as servers do to keep a connection alive."""
    while not handler.server.closing.wait(0.05):
        handler.send(b": still here\n\n")


def plain(text: str | None, finish: str = "stop", **message: Any) -> Step:
    """Answer well in one JSON body, as a server that does not stream."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    body = {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    return status(200, json.dumps(body).encode())


def status(code: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> Step:
    """Answer with a status and a body."""

    def step(handler: Handler) -> None:
        handler.begin(code, kind, Content_Length=str(len(body)), **headers)
        handler.wfile.write(body)

    return step


def error(number: int, message: str, **more: Any) -> Step:
    """Answer with an error object as OpenAI writes it; names in capitals are headers."""
    headers = {name: str(more.pop(name)) for name in list(more) if name[0].isupper()}
    return status(number, json.dumps({"error": {"message": message, **more}}).encode(), **headers)
