"""Token ids as text, piece by piece: never half a character, and nothing of what ends an answer."""

from collections.abc import Callable, Collection, Sequence

_HALF = "\ufffd"  # what a decoder gives for bytes that are no whole character


class TextStream:
    """Turns an answer's ids into text as they come.

    Args:
        decode: returns the text of ids.
        stop: texts that end the answer; neither they nor a beginning of them is shown.
        ends: ids that end it.
    """

    def __init__(
        self, decode: Callable[[Sequence[int]], str], stop: Sequence[str] = (), ends: Collection[int] = ()
    ) -> None:
        self._decode = decode
        self._ends = ends
        self._stop = [text for text in stop if text]
        self._ids: list[int] = []  # from a little before what is not shown yet: a decoder looks at its neighbours
        self._seen = 0  # how many of them have become text
        self._held = ""  # text that may begin a stop text
        self._begun = False
        self.stopped = False  # by a text
        self.ended = False  # by a text or an id

    def add(self, id: int) -> str:
        """Return the text that one more id makes sure of; "" while it may still become something else."""
        if id in self._ends:
            self.ended = True
            return ""
        self._ids.append(id)
        before, now = self._decode(self._ids[: self._seen]), self._decode(self._ids)
        if len(now) <= len(before) or now.endswith(_HALF):
            return ""
        self._ids, self._seen = self._ids[self._seen :], len(self._ids) - self._seen
        return self._show(now[len(before) :])

    def rest(self) -> str:
        """Return what is left when the answer has ended."""
        if self.stopped:
            return ""
        before, now = self._decode(self._ids[: self._seen]), self._decode(self._ids)
        shown = self._show(now[len(before) :])
        return shown if self.stopped else shown + self._held

    def _show(self, text: str) -> str:
        if not self._begun:  # a form that ends "Assistant:" leaves the blank to the answer
            text = text.lstrip()
            self._begun = bool(text)
        self._held += text
        found = [(at + len(stop), at) for stop in self._stop if (at := self._held.find(stop)) >= 0]
        if found:  # the one that is whole first counts, so that it does not matter how the text comes
            self.stopped = self.ended = True
            return self._held[: min(found)[1]]
        kept = max((_beginning(self._held, stop) for stop in self._stop), default=0)
        shown = self._held[: len(self._held) - kept]
        self._held = self._held[len(shown) :]
        return shown


def _beginning(text: str, stop: str) -> int:
    """Return how many letters at the end of a text may be the beginning of a stop text."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
