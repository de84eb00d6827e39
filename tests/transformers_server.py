"""A real server of OpenAI's protocol: `transformers serve` with a tiny random model, whose answers are noise."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from openai_server import closed_port
from tiny_llama import save_tiny_llama

PROGRAM = Path(sys.executable).with_name("transformers")
START = 120  # seconds that the server may take to listen, on a busy machine


class Serving(NamedTuple):
    """Where the server listens, and the model's name there."""

    url: str
    model: str


@contextmanager
def serving_tiny_llama(folder: Path) -> Iterator[Serving]:
    """Run the server; `folder` is for the model and the log."""
    model = save_tiny_llama(folder / "llama")
    settings = model / "generation_config.json"  # the server draws lots, above temperature 0, only if that says so
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "do_sample": True}))
    log, port = folder / "serve.log", closed_port()
    command = [str(PROGRAM), "serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "HF_HOME": str(folder / "hub")}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + START
        while not _listens(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield Serving(f"http://127.0.0.1:{port}/v1", str(model))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
