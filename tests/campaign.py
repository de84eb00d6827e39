"""The campaign of bad input: damaged videos, damaged stacks, hostile texts; each trial in a process that may die.

    python tests/campaign.py [--pyav 500] [--ffmpeg 150] [--stacks 200] [--texts 100] [--seed 0] [--write]

The reader `pyav` reads all damaged videos, the reader `ffmpeg` the first of them. Prints a table of what came of them;
with --write it also goes into docs/reliability.md. What failed is kept, and where is said. Exit code 1 if anything came
out that must not.
"""

import argparse
import json
import os
import random
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import trials
from media import make
from mutations import injections, mutate_media, mutate_stack, pieces

ROOT = Path(__file__).parent.parent
REPORT = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- figures: tests/campaign.py --write -->", "<!-- end of figures -->"
LIMIT = 20.0  # seconds that one trial may take
MEMORY = 6 * 2**30  # bytes of address space that a worker may take
SOUND = [trials.RIGHT, trials.FAULTS, trials.ERROR]
BAD = ["crash", "hang", "wrong"]  # the worker died; no end after LIMIT; a traceback or anything that is not promised


class Trial(NamedTuple):
    """One piece of bad input."""

    kind: str  # "pyav" "ffmpeg" (a file, and who reads it) "stack" "text"
    data: str  # the file's path, or the text itself


@dataclass
class Tally:
    """What came of trials of one sort."""

    outcomes: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[Trial, str, str]] = field(default_factory=list)  # with the outcome and its details
    slowest: float = 0.0  # seconds
    printed: int = 0  # trials in which a library wrote past Python to the worker's own output
    memory: int = 0  # bytes that a worker held at most


def sources(folder: Path) -> dict[str, Path]:
    """Make the videos that are damaged: four seconds of pictures and sound in containers that differ in kind."""
    size, sound = (64, 48), {"tone": 440.0, "audio_seconds": 4.0}
    few = {"frames": 40, "fps": 10.0, "size": size, "gop": 10}
    webm = {"codec": "libvpx", "audio_codec": "libopus", "audio_rate": 48_000, "options": {"cpu-used": "8"}}
    made = {
        "mp4": make(folder / "source.mp4", b_frames=2, **few, **sound),
        "webm": make(folder / "source.webm", **webm, **few, **sound),
        "avi": make(folder / "source.avi", codec="mpeg4", audio_codec="mp2", **few, **sound),
        "ts": make(folder / "source.ts", start=1.5, **few, **sound),
    }
    return {name: one.path for name, one in made.items()}


def media_trials(source: Path, reader: str, count: int, seed: int, folder: Path) -> Iterator[Trial]:
    """Write damaged copies of a video, one at a time; the same for each reader."""
    data = source.read_bytes()
    container = source.suffix[1:]
    parts = pieces(data, container)
    for number in range(count):
        file = folder / f"{number:04}.{container}"
        file.write_bytes(mutate_media(data, parts, random.Random(f"{seed} {container} {number}")))
        yield Trial(reader, str(file))


def stack_trials(count: int, seed: int) -> Iterator[Trial]:
    """Damage the offline stack."""
    text = (ROOT / "configs" / "offline.yaml").read_text(encoding="utf-8")
    for number in range(count):
        yield Trial("stack", mutate_stack(text, random.Random(f"{seed} stack {number}")))


class Worker:
    """A process that tries one thing after another, and is replaced when it dies or hangs."""

    def __init__(self, folder: Path, limit: float = LIMIT) -> None:
        self.folder = folder
        self.limit = limit
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        """The number of the process; 0 where none runs."""
        return self._process.pid if self._process is not None else 0

    def outcome(self, trial: Trial) -> tuple[str, dict[str, Any]]:
        """Return a word of what came of a trial, with details."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(trial).encode() + b"\n")
            process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            if not ready.select(self.limit):
                self._stop()
                return "hang", {"detail": f"no end after {self.limit:g} s"}
        answer = process.stdout.readline()
        if not answer:
            code = process.wait()
            self._stop()
            return "crash", {"detail": signal.Signals(-code).name if code < 0 else f"exit code {code}"}
        found: dict[str, Any] = json.loads(answer)
        return str(found.pop("outcome")), found

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "VIDEOCHAT_CACHE": str(self.folder / "cache"), "PYTHONWARNINGS": "error"}
        return subprocess.Popen(
            [sys.executable, str(Path(__file__)), "--work", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


def work(folder: Path) -> None:
    """Try what comes on standard input, a line each; say on standard output what came of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    answers = os.fdopen(os.dup(1), "wb")
    stray = tempfile.TemporaryFile()  # noqa: SIM115 - what libraries print past Python; open to the end
    os.dup2(stray.fileno(), 1)
    os.dup2(stray.fileno(), 2)
    trials.install()
    clip = make(folder / "clip.mp4", frames=20, fps=10, size=(64, 48)).path
    tries: Mapping[str, Callable[[str], str]] = {
        "pyav": lambda data: trials.try_media(Path(data), "pyav", folder),
        "ffmpeg": lambda data: trials.try_media(Path(data), "ffmpeg", folder),
        "stack": lambda data: trials.try_stack(data, folder),
        "text": lambda data: trials.try_text(data, clip, folder),
    }
    for line in sys.stdin.buffer:
        kind, data = json.loads(line)
        before = os.fstat(stray.fileno()).st_size
        try:
            found = {"outcome": tries[kind](data)}
        except Exception:
            found = {"outcome": "wrong", "detail": traceback.format_exc()}
        printed = os.fstat(stray.fileno()).st_size > before
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        answers.write(json.dumps({**found, "printed": printed, "memory": memory}).encode() + b"\n")
        answers.flush()


def tally(worker: Worker, given: Iterator[Trial]) -> Tally:
    """Try all that is given."""
    found = Tally()
    for trial in given:
        began = time.perf_counter()
        outcome, more = worker.outcome(trial)
        found.slowest = max(found.slowest, time.perf_counter() - began)
        found.outcomes[outcome] += 1
        found.printed += more.get("printed", False)
        found.memory = max(found.memory, more.get("memory", 0))
        if outcome in BAD:
            found.bad.append((trial, outcome, more.get("detail", "")))
        elif trial.kind in trials.READERS:
            Path(trial.data).unlink()
            shutil.rmtree(worker.folder / f"out-{trial.kind}-{Path(trial.data).name}", ignore_errors=True)
    return found


def campaign(media: Mapping[str, int], stacks: int, texts: int, seed: int, folder: Path) -> dict[str, Tally]:
    """Run all trials; what came of them, by their sort. `media`: files of each container for each reader."""
    found: dict[str, Tally] = {}
    with Worker(folder) as worker:
        made = sources(folder)
        for (reader, count), (name, source) in product(media.items(), made.items()):
            if count:
                given = media_trials(source, reader, count, seed, folder)
                found[f"{name} files, `{reader}`"] = tally(worker, given)
        if stacks:
            found["stacks"] = tally(worker, stack_trials(stacks, seed))
        if texts:
            found["texts"] = tally(worker, (Trial("text", text) for text in injections(texts)))
    return found


def table(found: Mapping[str, Tally], seed: int) -> str:
    """Return the figures as Markdown."""
    columns = ["", "trials", *SOUND, *BAD, "slowest, s"]
    rows = [
        [name, sum(one.outcomes.values()), *(one.outcomes[word] for word in (*SOUND, *BAD)), f"{one.slowest:.1f}"]
        for name, one in found.items()
    ]
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    memory = max((one.memory for one in found.values()), default=0) / 2**20
    printed = sum(one.printed for one in found.values())
    after = f"Seed {seed}; at most {memory:.0f} MB of memory; {printed} trials in which a library printed by itself."
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + f"\n\n{after}"


def write(figures: str) -> None:
    """Put the figures in the place of those in the report."""
    head, _, rest = REPORT.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    REPORT.write_text(f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign from the command line."""
    parser = argparse.ArgumentParser(description="Damaged videos, damaged stacks, hostile texts.")
    parser.add_argument("--pyav", type=int, default=500, help="damaged files of each container (default: 500)")
    parser.add_argument("--ffmpeg", type=int, default=150, help="the same, read by reader ffmpeg (default: 150)")
    parser.add_argument("--stacks", type=int, default=200, help="damaged stacks (default: 200)")
    parser.add_argument("--texts", type=int, default=100, help="hostile texts (default: 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="also put the table into docs/reliability.md")
    parser.add_argument("--work", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.work:
        work(given.work)
        return 0
    folder = Path(tempfile.mkdtemp(prefix="campaign-"))
    media = {"pyav": given.pyav, "ffmpeg": given.ffmpeg}
    found = campaign(media, given.stacks, given.texts, given.seed, folder)
    figures = table(found, given.seed)
    print(figures)
    bad = [one for part in found.values() for one in part.bad]
    for trial, outcome, detail in bad:
        print(f"\n{outcome}: {trial.kind} {trial.data[:200]!r}\n{detail[-300:]}")
    if bad:
        (folder / "bad.json").write_text(json.dumps(bad, indent=1))
        print(f"\nthe input that went wrong lies in {folder}, and what it did in bad.json there")
    else:
        shutil.rmtree(folder)
    if given.write:
        write(figures)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
