"""What README.md and docs/ show runs, block after block, in a folder that holds the example as clip.mp4.

- ```python blocks run; ```console lines that begin with `$ videochat` or `$ python` exit with 0. Lines that need
  more than a folder (pip, make, git) are passed over; what needs a key or a server stands in a ```sh block.
- A block of any language whose first line is `# name.ext` is the file of that name: it is written, not run.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.\w+)\n")


class Step(NamedTuple):
    """A file to write, or a command to run."""

    line: int
    file: str = ""
    text: str = ""
    command: tuple[str, ...] = ()


def steps(page: str) -> Iterator[Step]:
    """Yield what a page says to do, in order."""
    for block in BLOCK.finditer(page):
        language, text = block.groups()
        line = page.count("\n", 0, block.start()) + 2
        if named := FILE.match(text):
            yield Step(line, file=named[1], text=text)
        elif language == "python":
            yield Step(line, command=(sys.executable, "-c", text))
        elif language == "console":
            joined = text.replace("\\\n", " ")
            shown = re.findall(r"^\$ ((?:videochat|python)\b.*)$", joined, re.MULTILINE)
            yield from (Step(line, command=("sh", "-c", words)) for words in shown)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all pages: they watch the same clip."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_runs(path: Path, tmp_path: Path, cache: Path) -> None:
    shutil.copy(ROOT / "examples" / "example.mp4", tmp_path / "clip.mp4")
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "VIDEOCHAT_CACHE": str(cache), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for step in steps(path.read_text()):
        if step.file:
            (tmp_path / step.file).write_text(step.text)
            continue
        done = subprocess.run(
            step.command,
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = f"{path.name}:{step.line}: {step.command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert done.returncode == 0, said


def test_what_a_page_says_to_do() -> None:
    page = """
```console
$ pip install videochat
$ videochat plan clip.mp4
what it prints
$ python -m \\
  videochat.cli --help
```
```yaml
# mine.yaml
extends: offline
```
```sh
videochat ask clip.mp4 "Why?" --llm openai:gpt
```
```python
print(1)
```
"""
    found = list(steps(page))
    assert [step.file for step in found] == ["", "", "mine.yaml", ""]
    assert found[0].command == ("sh", "-c", "videochat plan clip.mp4")
    assert found[1].command == ("sh", "-c", "python -m    videochat.cli --help")
    assert found[2].text == "# mine.yaml\nextends: offline\n"
    assert found[3].command == (sys.executable, "-c", "print(1)\n")
