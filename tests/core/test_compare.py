"""The same questions to several stacks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from components import Counting, Echo, Looking
from media import make
from speakers import Failing, Talker, Told, Vectors
from videochat import Key, LLMError, Pool, Stack, UnavailableError, VideoError, Weights
from videochat.compare import Row, compare
from videochat.component import Component


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("clip") / "clip.mp4", frames=20, fps=10, size=(64, 48)).path


def test_a_row_for_each_stack_and_question(clip: Path) -> None:
    one = Stack(perceive={"told": Told()}, llm=Talker(says=("00:01-00:02",)))
    two = Stack(perceive={"told": Told()}, llm="extractive")
    rows = list(compare(clip, ["What is there?", "And when?"], [one, two]))
    assert [row.place for row in rows] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [row.question for row in rows] == ["What is there?", "And when?"] * 2
    row = rows[0]
    assert (row.answer, row.visual, row.usage.prompt, row.error, row.watched.lines) == ("00:01-00:02", 0, 7, None, 2)
    assert [(cited.start, cited.end, cited.source) for cited in row.citations] == [(1.0, 2.0, "told")]
    assert rows[2].answer
    for row in rows:
        assert 0 < row.first <= row.seconds
        assert row.watched.seconds > 0
        assert row.watched.faults == ()


def test_a_row_as_json(clip: Path) -> None:
    (row,) = compare(clip, ["What?"], [Stack(perceive={"told": Told()}, llm=Talker(says=("00:01-00:02",)))])
    found = row.to_json()
    assert found["tokens"] == {"prompt": 7, "visual": 0, "answer": 1}
    assert found["error"] is None
    assert (found["seconds"], found["first_seconds"]) == (row.seconds, row.first)
    assert found["citations"][0]["source"] == "told"
    if Path("/proc/self/clear_refs").exists():
        assert found["peak_memory"] > 10e6
        assert found["watch_peak_memory"] > 10e6


def test_each_question_is_the_first(clip: Path) -> None:
    def prompts(*questions: str) -> dict[str, str]:
        llm = Talker()
        assert len(list(compare(clip, questions, [Stack(perceive={"told": Told()}, llm=llm)]))) == len(questions)
        return {said[-1].text: "|".join(message.text for message in said) for said in llm.heard}

    once = prompts("What?", "When?", "Where?")
    assert once == prompts("Where?", "What?", "When?")
    assert len(once) == 3


def test_a_stack_watches_once_and_equal_segmenters_look_once(clip: Path) -> None:
    readers, segmenters = [Counting(), Counting()], [Looking(1.0), Looking(1.0)]
    stacks = [
        Stack(read=reader, segment=segmenter, perceive={"it": Echo(frames=1, word=word)}, llm=Talker())
        for reader, segmenter, word in zip(readers, segmenters, "ab", strict=True)
    ]
    rows = list(compare(clip, ["What?", "When?", "Where?"], stacks))
    assert len(rows) == 6
    assert [segmenter.calls for segmenter in segmenters] == [1, 0]
    assert [reader.passes for reader in readers] == [2, 1]
    assert {row.watched.lines for row in rows} == {2}


def test_visual_tokens(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "see.txt").write_text("Look:\n{video}\nQuestion: {question}")
    seen = Stack(perceive={"vectors": Vectors()}, prompt=str(tmp_path / "see.txt"), llm=Talker())
    told = Stack(perceive={"told": Told()}, llm=Talker())
    rows = list(compare(clip, ["What?"], [seen, told]))
    assert [row.visual for row in rows] == [4, 0]  # two for each of two windows


class Journal:
    """What was built, beside which models, and what was let go."""

    def __init__(self) -> None:
        self.built: list[tuple[str, set[str]]] = []
        self.closed: list[str] = []

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.built]

    def get(self, pool: Pool, name: str, precision: str = "") -> None:
        def build() -> object:
            self.built.append((name + precision, set(pool.checkpoints)))
            return object()

        pool.get(Key("Model", name, precision), build)


class Loaded(Talker):
    """Loads a model through the pool."""

    def __init__(self, journal: Journal, model: str, kind: str = "", **values: Any) -> None:
        super().__init__(**values)
        self.journal, self.model, self.kind = journal, model, kind

    def weights(self) -> Sequence[Weights]:
        return [Weights(self.model)]

    def precision(self, pool: Pool) -> str:
        return self.kind

    def load(self, pool: Pool) -> None:
        self.journal.get(pool, self.model, self.kind)

    def close(self) -> None:
        self.journal.closed.append(self.model)


class Seer(Told):
    """Loads a model through the pool, and says what it is told."""

    def __init__(self, journal: Journal, model: str, text: str) -> None:
        super().__init__(self.Options(text=text))
        self.journal, self.model = journal, model

    def weights(self) -> Sequence[Weights]:
        return [Weights(self.model)]

    def load(self, pool: Pool) -> None:
        self.journal.get(pool, self.model)


def test_one_model_for_all_stacks_that_answer_with_it(clip: Path) -> None:
    journal = Journal()
    stacks = [Stack(perceive={"told": Told()}, llm=Loaded(journal, name)) for name in ("a", "b", "a")]
    rows = list(compare(clip, ["What?", "When?"], stacks))
    assert journal.built == [("a", set()), ("b", set())]  # and never both at once
    assert [row.place for row in rows] == [(0, 0), (1, 0), (0, 2), (1, 2), (0, 1), (1, 1)]
    assert all(len(stack.pool) == 0 for stack in stacks)


def test_a_model_in_two_precisions_is_two_models(clip: Path) -> None:
    journal = Journal()
    stacks = [Stack(llm=Loaded(journal, "a", kind)) for kind in ("float32", "bfloat16", "float32")]
    list(compare(clip, ["What?"], stacks))
    assert journal.built == [("afloat32", set()), ("abfloat16", set())]


def test_no_language_model_waits_while_others_perceive(clip: Path) -> None:
    journal = Journal()
    stacks = [
        Stack(perceive={"told": Seer(journal, eyes, eyes)}, llm=Loaded(journal, "mouth")) for eyes in ("left", "right")
    ]
    list(compare(clip, ["What?"], stacks))
    assert journal.built == [("left", set()), ("right", set()), ("mouth", set())]


def test_what_the_next_stack_perceives_with_is_kept(clip: Path) -> None:
    journal = Journal()
    stacks = [
        Stack(perceive={"told": Seer(journal, eyes, text)}, llm=Talker(), residency="together")
        for eyes, text in (("eyes", "one"), ("eyes", "two"), ("other", "three"))
    ]
    rows = list(compare(clip, ["What?"], stacks))
    assert journal.built == [("eyes", set()), ("other", set())]
    assert len(rows) == 3


def test_a_model_that_sees_and_answers_is_loaded_once(clip: Path) -> None:
    journal = Journal()
    stacks = [Stack(perceive={"it": Seer(journal, name, name)}, llm=Loaded(journal, name)) for name in ("a", "b")]
    list(compare(clip, ["What?"], stacks))
    assert journal.built == [("a", set()), ("b", set())]


def test_pools_are_given_back_and_models_let_go_though_nobody_reads_on(clip: Path) -> None:
    journal = Journal()
    stacks = [Stack(llm=Loaded(journal, "a")), Stack(llm=Loaded(journal, "b"))]
    pools = [stack.pool for stack in stacks]
    rows = compare(clip, ["What?", "When?"], stacks)
    next(rows)
    assert journal.names == ["a"]
    assert stacks[0].pool is stacks[1].pool
    rows.close()  # type: ignore[attr-defined]
    assert [stack.pool for stack in stacks] == pools
    assert journal.closed == ["a"]


def test_stacks_for_other_devices_have_pools_of_their_own(clip: Path) -> None:
    seen: list[Pool] = []

    class Noting(Talker):
        def load(self, pool: Pool) -> None:
            seen.append(pool)

    list(compare(clip, ["What?"], [Stack(llm=Noting(), device=device) for device in ("cpu", "auto", "cpu")]))
    assert seen[0] is seen[2]
    assert seen[0] is not seen[1]
    assert [pool.wanted for pool in seen] == ["cpu", "auto", "cpu"]


def test_faults_are_counted(clip: Path) -> None:
    stack = Stack(perceive={"bad": Failing(), "good": Told()}, llm=Talker())
    (row,) = compare(clip, ["What?"], [stack])
    assert (len(row.watched.faults), row.watched.lines) == (2, 2)


class Picky(Talker):
    """Answers all questions but one."""

    def answer(self, messages: Any, generation: Any) -> Any:
        if "when" in messages[-1].text.lower():
            raise RuntimeError("no clock")
        return super().answer(messages, generation)


class NotThere(Talker):
    """Cannot be loaded."""

    def load(self, pool: Pool) -> None:
        raise OSError("torn weights")


def failing_watch() -> Stack:
    class Gone(Told):
        def load(self, pool: Pool) -> None:
            raise UnavailableError("the eyes are gone")

    return Stack(perceive={"gone": Gone()}, llm=Talker())


@pytest.mark.parametrize(
    ("bad", "errors", "answer"),
    [
        (lambda: Stack(llm=Picky()), [None, "no clock"], "It is red."),
        (lambda: Stack(llm=Talker(breaks="out of words")), ["out of words"] * 2, "It is red."),
        (lambda: Stack(llm=NotThere()), ["torn weights"] * 2, ""),
        (failing_watch, ["eyes are gone"] * 2, ""),
        (lambda: Stack(llm=Talker(window=11)), ["leaves no room"] * 2, ""),
    ],
    ids=["one question", "breaks off", "does not load", "does not watch", "too small"],
)
def test_a_stack_that_fails_loses_its_own_rows_only(
    clip: Path, bad: Callable[[], Stack], errors: list[str | None], answer: str
) -> None:
    def told() -> Stack:
        return Stack(perceive={"told": Told()}, llm=Talker())

    rows = sorted(compare(clip, ["What?", "When?"], [told(), bad(), told()]), key=lambda row: row.place)
    by_stack: dict[int, list[Row]] = {n: [row for row in rows if row.place[1] == n] for n in range(3)}
    for row in (*by_stack[0], *by_stack[2]):
        assert (row.answer, row.error) == ("It is red.", None)
    for row, words in zip(by_stack[1], errors, strict=True):
        assert (row.error is None) == (words is None)
        if words:
            assert words in str(row.error)
            assert words in row.to_json()["error"]
    assert by_stack[1][0].answer == answer  # as much as it said


def test_an_error_keeps_its_exit_code(clip: Path) -> None:
    (row,) = compare(clip, ["What?"], [Stack(llm=Talker(breaks="out of words"))])
    assert isinstance(row.error, LLMError)


class Remote(Echo):
    """Has its model elsewhere, and must not fetch it."""

    def weights(self) -> Sequence[Weights]:
        return [Weights("model", here=False)]

    def fetch(self) -> None:
        raise AssertionError("downloaded")


def test_what_is_known_before_is_refused_at_once(clip: Path, tmp_path: Path) -> None:
    class Lost(Echo):
        def check(self) -> None:
            raise UnavailableError("the model cannot be had")

    reader = Counting()
    parts: list[Component] = [Echo(fps=1), Lost(fps=1)]
    with pytest.raises(UnavailableError, match="cannot be had"):
        list(compare(clip, ["What?"], [Stack(read=reader, perceive={"it": part}) for part in parts]))
    with pytest.raises(VideoError, match="no such file"):
        list(compare(tmp_path / "none.mp4", ["What?"], [Stack(read=reader, llm=Talker())]))
    assert reader.passes == 0


def test_nothing_is_downloaded_for_a_video_that_cannot_be_read(tmp_path: Path) -> None:
    stacks = [Stack(perceive={"it": Remote(fps=1)}, llm=Talker()) for _ in range(2)]
    with pytest.raises(VideoError, match="no such file"):
        list(compare(tmp_path / "none.mp4", ["What?"], stacks))
