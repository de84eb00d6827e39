"""Eight processes that start on one video at the same moment share one cache; chats share a context and no more."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from components import LOG, Logged, Looking, log_lines, make_logged_clip
from speakers import Talker
from videochat import Frame, Message, Reply, Span, Stack, Video
from videochat.cache import root
from videochat.prompt import Generation

PROCESSES = 8
CUTS = (0.5, 1.0, 2.25)


class LoggedLooking(Looking):
    """Writes down that it has looked at the whole video."""

    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        found = list(super().segments(video, frames))
        time.sleep(0.1)
        with Path(os.environ[LOG]).open("a") as log:
            log.write('"looked"\n')
        return iter(found)


def stack() -> Stack:
    """Return a stack whose segmenter must see the video, and of whose perceivers two are alike and share a cache."""
    first, second = (Logged(0.01, fps=8, side=32, word="pictures") for _ in range(2))
    sound = Logged(0.005, audio_rate=8000, over=1.0, word="sound")
    perceive = {"first": first, "second": second, "sound": sound}
    return Stack(segment=LoggedLooking(*CUTS), perceive=perceive, device="cpu")


def run() -> None:
    """Say so when all is loaded, wait for the word to start, watch, and print the records: what each process runs."""
    ready = stack()
    ready.plan(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    for found in ready.watch(sys.argv[1]).records:
        print(json.dumps(found.to_json(), sort_keys=True))


def test_eight_processes_share_one_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    clip = make_logged_clip(tmp_path)
    command = [sys.executable, "-c", "import test_concurrency; test_concurrency.run()", str(clip)]
    children = [
        subprocess.Popen(command, cwd=Path(__file__).parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=100)[0] for child in children]
    assert [child.returncode for child in children] == [0] * PROCESSES
    assert len(set(said)) == 1
    assert said[0].count("\n") == 4 + 4 + 3  # three cuts make four segments; of sound there are three windows

    logged = [json.loads(line) for line in log_lines()]
    assert logged.count("looked") == 1
    windows = sorted(window for window in logged if window != "looked")
    assert windows == [*(["pictures", *span] for span in zip([0, *CUTS], [*CUTS, 3.0], strict=True)),
                       *(["sound", i, i + 1] for i in range(3))]  # fmt: skip
    rows = [json.loads(line) for file in root().rglob("records.jsonl") for line in file.read_text().splitlines()]
    assert sorted(row["span"] for row in rows if "span" in row) == sorted(window[1:] for window in windows)
    loose = {file.name for file in root().rglob(".*")} - {".lock"}
    assert loose == set()


class Slow(Talker):
    """Answers with the last question, word by word, and lets others speak in between."""

    def answer(self, messages: Sequence[Message], generation: Generation) -> Reply:
        self.heard.append(tuple(messages))
        words = messages[-1].text.split()
        return Reply(word for word in words if time.sleep(0.001) is None)


def test_chats_that_speak_at_once_keep_their_own_talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads talk about one context through one model: each is sent the video and its own turns, no others."""
    llm = Slow()
    talk = Stack(perceive={"sound": Logged(0.0, audio_rate=8000, over=1.0)}, llm=llm, device="cpu")
    clip = make_logged_clip(tmp_path)
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    context = talk.watch(clip)
    names = ("alpha", "beta")
    chats = {name: talk.chat(context) for name in names}

    def speak(name: str) -> None:
        for turn in range(10):
            "".join(chats[name].ask(f"{name} {turn}?"))

    threads = [threading.Thread(target=speak, args=[name]) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for name, other in (names, names[::-1]):
        assert chats[name].history == [(f"{name} {i}?", f"Question:{name}{i}?") for i in range(10)]
        own = [messages for messages in llm.heard if name in messages[-1].text]
        assert [len(messages) for messages in own] == [2 + 2 * i for i in range(10)]
        assert not any(other in message.text for messages in own for message in messages)
        assert len({messages[0].text for messages in own}) == 1
