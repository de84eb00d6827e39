"""A comparison as one HTML file: a column for each stack, a row for each question, with pictures of what answers cite.

The page carries all that it shows and forbids itself everything else: no scripts, no requests, no form. What people,
videos and models wrote is text in it and nothing more.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from videochat.chat import Citation
from videochat.clock import needs_hours, span_stamp, stamp
from videochat.compare import Row, Watched
from videochat.component import Reader
from videochat.record import HIDDEN
from videochat.thumbnails import thumbnails
from videochat.video import Video
from videochat.window import Sampling, Span, sample_times

_STRIP = 8  # pictures of the whole video
_SHOTS = 4  # pictures an answer
_CITED = 40  # stretches listed below an answer
_HIDDEN = re.compile(rf"(?![\n\t])[{HIDDEN}]")
_NOTES = (
    "Seconds of answering count from the question on, with the model loaded; what a model keeps of the video from one "
    "question to the next is its own affair, so the first may take longer. Watching takes no time where the cache has "
    "it all. Memory is the highest that the whole process held meanwhile, loaded models included; on a GPU, what was "
    "allocated there. A tilde marks counts guessed from the length of the text."
)


def page(video: Video, reader: Reader, questions: Sequence[str], stacks: Sequence[str], rows: Iterable[Row]) -> str:
    """Return the page.

    Args:
        video: what the questions are about.
        reader: decodes the pictures, all in one pass.
        questions: as they were asked.
        stacks: the stacks' names, in order; two may have the same.
        rows: the answers, in any order; those that are missing show as such.
    """
    cells = {row.place: row for row in rows}
    strip = sample_times(Span(0.0, video.duration), Sampling(frames=_STRIP))
    middles = (_middle(stretch) for row in cells.values() for stretch in _stretches(row)[:_SHOTS])
    album = _Album(thumbnails(reader, video, (*strip, *middles)), needs_hours(video.duration))
    shown = "".join(f"<li>{album.figure(time, stamp(time, album.hours))}</li>" for time in strip if time in album)
    watched = {place[1]: row.watched for place, row in cells.items()}
    body = [
        f"<header><h1>{_text(video.path.name)}</h1>",
        f'<p class="facts">{" · ".join(_facts(video, len(questions), len(stacks)))}</p>',
        f'<ol class="strip">{shown}</ol></header>' if shown else "</header>",
        '<main><div class="sheet">',
        '<section class="row head"><div></div>',
        *(_stack(name, watched.get(i, Watched())) for i, name in enumerate(stacks)),
        "</section>",
    ]
    for i, question in enumerate(questions):
        answers = (_answer(name, cells.get((i, j)), album) for j, name in enumerate(stacks))
        body += ['<section class="row">', f"<h2>{_text(question)}</h2>", *answers, "</section>"]
    body += ["</div></main>", f"<footer>{_NOTES}</footer>"]
    style = _style(video, len(stacks), album)
    return f"{_head(video.path.name, style)}<body>\n" + "\n".join(body) + "\n</body>\n</html>\n"


class _Album:
    """The pictures of a page: each stands in its style sheet once, however often it is shown."""

    def __init__(self, pictures: Mapping[float, bytes], hours: bool) -> None:
        names: dict[bytes, str] = {}
        self.of = {time: names.setdefault(data, f"p{len(names)}") for time, data in pictures.items()}
        self.hours = hours
        self.style = "".join(
            f".{name}{{background-image:url(data:image/jpeg;base64,{base64.b64encode(data).decode()})}}\n"
            for data, name in names.items()
        )

    def __contains__(self, time: float) -> bool:
        return time in self.of

    def figure(self, time: float, caption: str) -> str:
        label = f"the picture at {stamp(time, self.hours)}"
        shot = f'<span class="shot {self.of[time]}" role="img" aria-label="{label}"></span>'
        return f"<figure>{shot}<figcaption>{caption}</figcaption></figure>"


def _head(title: str, style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{allowed}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{_plain(title)}: stacks side by side</title>\n<style>{style}</style>\n</head>\n"
    )


def _style(video: Video, stacks: int, album: _Album) -> str:
    sheet = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    shape = f"{video.width or 16} / {video.height or 9}"
    return f"\n{sheet}:root {{ --stacks: {stacks}; }}\n.shot {{ aspect-ratio: {shape}; }}\n{album.style}"


def _facts(video: Video, questions: int, stacks: int) -> Iterator[str]:
    yield stamp(video.duration, needs_hours(video.duration), up=True)
    if video.has_pictures:
        yield f"{video.width} × {video.height}"
    for count, what in ((questions, "question"), (stacks, "stack")):
        yield f"{count:,} {what}{'s' * (count != 1)}"


def _stack(name: str, watched: Watched) -> str:
    figures = {"watching": f"{watched.seconds:.2f} s", "peak memory": _size(watched.peak.process)}
    if watched.peak.gpu is not None:
        figures["peak on the GPU"] = _size(watched.peak.gpu)
    figures["lines of text"] = f"{watched.lines:,}"
    if watched.faults:
        figures["faults"] = f"{len(watched.faults):,}"
    return f"<article><h3>{_text(name)}</h3>{_figures(figures)}</article>"


def _answer(stack: str, row: Row | None, album: _Album) -> str:
    if row is None:
        return f'<article><h3>{_text(stack)}</h3><p class="quiet">not asked</p></article>'
    notes = [f'<p class="answer">{_text(row.answer)}</p>'] if row.answer else []
    if row.error is not None:
        notes.append(f'<p class="wrong">{_text(str(row.error))}</p>')
    if row.finish == "length":
        notes.append('<p class="quiet">cut off where it reached the longest answer allowed</p>')
    if row.left_out:
        notes.append(f'<p class="quiet">did not fit the model\'s window: {_text(row.left_out)}</p>')
    shots = "".join(
        f"<li>{album.figure(_middle(stretch), span_stamp(*stretch, album.hours))}</li>"
        for stretch in _stretches(row)[:_SHOTS]
        if _middle(stretch) in album
    )
    about = "~" if row.usage.estimated else ""
    figures = {
        "first piece": f"{row.first:.2f} s",
        "whole answer": f"{row.seconds:.2f} s",
        "prompt tokens": f"{about}{row.usage.prompt:,}",
        "visual tokens": f"{row.visual:,}",
        "answer tokens": f"{about}{row.usage.answer:,}",
        "peak memory": _size(row.peak.process),
    }
    if row.peak.gpu is not None:
        figures["peak on the GPU"] = _size(row.peak.gpu)
    parts = (
        f"<div>{''.join(notes)}</div>",
        f'<ul class="shots">{shots}</ul>',
        _cited(row.citations, album.hours),
        _figures({} if row.error else figures),
    )
    return f"<article><h3>{_text(stack)}</h3>{''.join(parts)}</article>"


def _cited(citations: Sequence[Citation], hours: bool) -> str:
    if not citations:
        return '<p class="quiet"></p>'
    rows = "".join(
        f"<dt>{span_stamp(c.start, c.end, hours)}</dt><dd>{_text(': '.join(filter(None, (c.source, c.text))))}</dd>"
        for c in citations[:_CITED]
    )
    more = f"<dt></dt><dd>and {len(citations) - _CITED:,} more</dd>" if len(citations) > _CITED else ""
    what = f"rests on {len(citations):,} record{'s' * (len(citations) != 1)}"
    return f'<details><summary>{what}</summary><dl class="stretches">{rows}{more}</dl></details>'


def _figures(figures: Mapping[str, str]) -> str:
    return f'<dl class="figures">{"".join(f"<div><dt>{k}</dt><dd>{v}</dd></div>" for k, v in figures.items())}</dl>'


def _stretches(row: Row) -> list[tuple[float, float]]:
    return list(dict.fromkeys((cited.start, cited.end) for cited in row.citations))


def _middle(stretch: tuple[float, float]) -> float:
    return sum(stretch) / 2


def _size(size: int | None) -> str:
    if size is None:
        return "unknown"
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _text(text: str) -> str:
    """Return words that others wrote as text of a page: no markup, nothing hidden, and the words around stay put."""
    return f"<bdi>{_plain(text)}</bdi>"


def _plain(text: str) -> str:
    return escape(_HIDDEN.sub("", text))
