"""The page of a comparison: its pictures, and that nothing in it can be more than text."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import Counting
from media import make, read_index
from videochat import LLMError, Reader, Video
from videochat.chat import Citation
from videochat.compare import Row, Watched
from videochat.compare_page import page
from videochat.context import Fault
from videochat.peak import Peak
from videochat.prompt import Usage
from videochat.thumbnails import LONG, jpeg, thumbnails

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
BLIND = Video(Path("talk.ogg"), 12.0, 0, 0)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=80, fps=10, size=(320, 180)).path


def cited(*stretches: tuple[float, float], text: str = "a bar code") -> tuple[Citation, ...]:
    return tuple(Citation(start, end, "look", "0" * 16, text) for start, end in stretches)


def row(question: int = 0, stack: int = 0, answer: str = "It is red.", **values: object) -> Row:
    watched = Watched(1.5, Peak(300_000_000, None), 7, (Fault("ocr", 0.0, 1.0, "torn"),))
    usage = Usage(1234, 56)
    fields = {"usage": usage, "visual": 96, "first": 0.25, "seconds": 1.75, "peak": Peak(2_500_000_000, 4_000_000)}
    return Row((question, stack), "What?", "one", watched, answer, **{**fields, **values})  # type: ignore[arg-type]


class Outline(HTMLParser):
    """The tags of a page with their attributes, and its texts outside of the style sheet."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.style = ""
        self._open = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}", ()))
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "style":
            self.style += data
        elif data.strip():
            self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def written(video: Video, words: str) -> str:
    """Return a page in which everything that others write is these words."""
    answers = [
        row(0, 0, words, citations=cited((1.0, 2.0), text=words), left_out=words, finish="length"),
        row(0, 1, words, error=LLMError(words)),
    ]
    return page(video, Counting(), [words, words], [words, words], answers)


@given(
    st.one_of(
        st.text(min_size=1),
        st.sampled_from(
            [
                "</style></title><script>alert(1)</script>",
                '"><img src=x onerror=alert(1)>',
                "<!-- &lt; &#x3c;script&#x3e; -->",
                "]]></bdi></p></article>",
                "\u202egpj.exe\u2066 \x00\x1b[31m",
                "{{7*7}} url(http://a.b/c) @import 'x'",
            ]
        ),
    ).filter(lambda words: words.strip() != "")
)
def test_no_words_are_more_than_text(words: str) -> None:
    calm, wild = Outline(written(BLIND, "calm")), Outline(written(BLIND, words))
    assert wild.tags == calm.tags
    assert wild.style == calm.style
    assert not set("".join(wild.texts)) & {"\x00", "\x1b", "\u202e", "\u2066"}
    written(BLIND, words).encode()  # and it can be kept as a file


def test_a_strange_file_name() -> None:
    video = Video(Path("<script>alert(1)<b onload='x'>&lt;.mp4"), 12.0, 0, 0)
    found = Outline(written(video, "calm"))
    assert found.tags == Outline(written(BLIND, "calm")).tags
    assert video.path.name in found.texts


def test_the_page_forbids_itself_all_but_what_it_holds() -> None:
    found = Outline(written(BLIND, "calm"))
    metas = [dict(attrs) for tag, attrs in found.tags if tag == "meta"]
    (policy,) = (meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    names = {name for _, attrs in found.tags for name, _ in attrs}
    assert not names & {"style", "src", "srcset", "action", "data"}
    assert {value for _, attrs in found.tags for name, value in attrs if name == "href"} == {"data:,"}
    assert not re.search(r"url\((?!data:image/jpeg;base64,)|@import", found.style)
    assert "script" not in {tag for tag, _ in found.tags}


def test_what_an_answer_shows() -> None:
    answers = [
        row(0, 0, "It is red.", citations=cited((1, 2), (1, 2), (3, 5))),
        row(1, 0, "It is", error=LLMError("out of words"), peak=Peak(), citations=cited((4, 6), text="")),
        row(1, 1, "Nine.", usage=Usage(10, 2, estimated=True), peak=Peak(), left_out="3 lines"),
    ]
    said = "|".join(Outline(page(BLIND, Counting(), ["What?", "How many?"], ["one", "two"], answers)).texts)
    for words in (
        "talk.ogg|00:12 · 2 questions · 2 stacks",
        "watching|1.50 s|peak memory|300 MB|lines of text|7|faults|1",
        "It is red.|rests on 3 records|00:01-00:02|look: a bar code|",
        "first piece|0.25 s|whole answer|1.75 s|prompt tokens|1,234|visual tokens|96|answer tokens|56",
        "peak memory|2.50 GB|peak on the GPU|4 MB",
        "It is|out of words|rests on 1 record|00:04-00:06|look|",  # an embedding has no words
        "prompt tokens|~10",
        "peak memory|unknown",
        "did not fit the model's window: |3 lines",
        "two|not asked",
    ):
        assert words in said, words


def test_many_citations_are_counted_not_listed() -> None:
    answers = [row(citations=cited(*((i, i + 1) for i in range(90))))]
    said = "|".join(Outline(page(BLIND, Counting(), ["What?"], ["one"], answers)).texts)
    assert "rests on 90 records" in said
    assert "and 50 more" in said


def pictures(text: str) -> dict[str, bytes]:
    found = re.findall(r"\.(p\d+)\{background-image:url\(data:image/jpeg;base64,([^)]*)\)\}", text)
    return {name: base64.b64decode(data) for name, data in found}


def decoded(data: bytes) -> np.ndarray:
    with av.open(BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_pictures_of_the_video_and_of_what_is_cited(clip: Path) -> None:
    reader = Counting()
    video = reader.probe(clip)
    answers = [
        row(0, 0, citations=cited((1.0, 2.0), (1.0, 2.0), (0.0, 3.0), (6.0, 7.0))),
        row(0, 1, citations=cited((1.0, 2.0), *((i / 10, 8.0) for i in range(20)))),
    ]
    text = page(video, reader, ["What?"], ["one", "two"], answers)
    assert reader.passes == 1
    shown = pictures(text)
    assert len(shown) == len(set(shown.values()))
    uses = [dict(attrs) for tag, attrs in Outline(text).tags if tag == "span"]
    places = [(str(use["class"]).split()[1], use["aria-label"]) for use in uses]
    assert len(places) == 8 + 3 + 4  # the whole video, three stretches, and no more than four
    indices = {name: read_index(decoded(data)) for name, data in shown.items()}
    assert [indices[name] for name, _ in places[:8]] == [5, 15, 25, 35, 45, 55, 65, 75]
    assert [indices[name] for name, _ in places[8:12]] == [15, 15, 65, 15]  # the middles; a picture stands there once
    assert places[8] == (places[1][0], "the picture at 00:01")
    captions = Outline(text).texts
    assert {"00:01-00:02", "00:00-00:03", "00:06-00:07"} <= set(captions)


def test_thumbnails_are_small_and_true() -> None:
    image = np.zeros((90, 161, 3), np.uint8)
    image[:, :80], image[:, 80:] = (200, 40, 40), (40, 40, 200)
    data = jpeg(image)
    again = decoded(data)
    assert data[:2] == b"\xff\xd8"
    assert again.shape == image.shape
    assert np.abs(again.astype(int) - image)[:, [10, 150]].max() < 12
    assert len(data) < 4000
    assert decoded(jpeg(image[::-1, ::-1][:1, :3])).shape == (1, 3, 3)


def test_thumbnails_of_what_cannot_be_shown(clip: Path, tmp_path: Path) -> None:
    reader = Counting()
    video = reader.probe(clip)
    assert thumbnails(reader, BLIND, [1.0]) == {}
    assert thumbnails(reader, video, []) == {}
    assert reader.passes == 0
    found = thumbnails(reader, video, [3.0, 1.0, 3.0])
    assert list(found) == [1.0, 3.0]
    assert decoded(found[1.0]).shape[:2] == (round(LONG * 180 / 320), LONG)
    gone = shutil.copy(clip, tmp_path / "gone.mp4")
    video = reader.probe(gone)
    gone.unlink()
    assert thumbnails(reader, video, [1.0]) == {}


@contextmanager
def serving(pages: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Serve pages; give the address and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


FRAME = """<!doctype html><link rel="icon" href="data:,"><pre></pre>
<iframe src="/page" width="400" height="800" style="border:0" onload="
  const page = contentDocument, root = page.documentElement, style = contentWindow.getComputedStyle;
  const found = {
    width: root.scrollWidth, seen: root.clientWidth, text: page.body.innerText,
    shots: [...page.querySelectorAll('.shot')].map(shot => style(shot).backgroundImage.slice(0, 22)),
    shape: style(page.querySelector('.shot')).aspectRatio,
  };
  this.width = 1280;
  const cells = [...page.querySelectorAll('article')];
  found.columns = new Set(cells.map(cell => cell.offsetLeft)).size;
  found.spilling = cells.filter(cell => cell.scrollWidth > cell.clientWidth).length;
  document.querySelector('pre').textContent = JSON.stringify(found);
"></iframe>"""


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_in_a_browser(clip: Path, tmp_path: Path) -> None:
    long = "a" * 300 + " </p><script>document.title = 'taken'</script>"
    reader: Reader = Counting()
    stacks = ["one", "two", "three", "w" * 80]
    answers = [row(0, i, f"{long} {i}", citations=cited((1, 2), (6, 7))) for i in range(4)]
    pages = {"/frame": FRAME}
    with serving(pages) as (address, asked):
        answers.append(row(1, 0, f"<img src={address}/leak> <link rel=stylesheet href={address}/leak>"))
        pages["/page"] = page(reader.probe(clip), reader, ["What?", "q" * 90], stacks, answers)
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        quiet = ("no-first-run", "disable-background-networking", "disable-component-update", "disable-sync")
        done = subprocess.run(
            [
                str(CHROMIUM),
                *("--headless", "--disable-gpu", "--disable-quic", *root),
                *(f"--{flag}" for flag in quiet),
                f"--user-data-dir={tmp_path / 'profile'}",
                "--dump-dom",
                f"{address}/frame",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    found = Outline(done.stdout)
    seen = json.loads(found.texts[0])
    assert asked == ["/frame", "/page"]  # and nothing else
    assert seen["width"] == seen["seen"] <= 400  # no wider than the window
    assert (seen["columns"], seen["spilling"]) == (4, 0)  # in a wide one, each column keeps to itself
    assert long in seen["text"]
    assert f"<img src={address}/leak>" in seen["text"]
    assert len(seen["shots"]) == 8 + 4 * 2
    assert set(seen["shots"]) == {'url("data:image/jpeg;b'}
    assert seen["shape"] == "320 / 180"  # so the style sheet is the one that the policy allows
