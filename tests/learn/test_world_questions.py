"""The world's questions: true, told in many ways, and of no use to who does not see the video."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from videochat_plugins.learn.eval_match import matches
from videochat_plugins.learn.world_actors import Author
from videochat_plugins.learn.world_ask import accepted, rejected
from videochat_plugins.learn.world_causal import causal
from videochat_plugins.learn.world_physics import WALL, Log, run
from videochat_plugins.learn.world_questions import Planned, plan
from videochat_plugins.learn.world_spatial import spatial
from videochat_plugins.learn.world_story import write
from videochat_plugins.learn.world_tell import caption, description, still_caption
from videochat_plugins.learn.world_temporal import moments
from videochat_plugins.learn.world_things import COLOURS, MOTIONS, SHAPES, Clip, held_out
from videochat_plugins.learn.world_wordings import WORDINGS

SEED, VIDEOS = 3, 240
ANOTHER = ("it runs into another thing", "another thing hits it")
Rows = Sequence[dict[str, Any]]


@pytest.fixture(scope="module")
def pairs() -> list[tuple[Planned, Planned]]:
    return list(plan(SEED, VIDEOS))


@pytest.fixture(scope="module")
def forward(pairs: list[tuple[Planned, Planned]]) -> list[tuple[Clip, Log]]:
    return [(one.clip, one.log) for one, _ in pairs[:120]]


@pytest.fixture(scope="module")
def questions(pairs: list[tuple[Planned, Planned]]) -> Rows:
    return [question for pair in pairs for planned in pair for question in planned.questions]


def test_every_question_is_whole(questions: Rows) -> None:
    assert len({question["id"] for question in questions}) == len(questions) > 1500
    for question in questions:
        assert question["id"].rpartition("-")[0] == question["video"].removeprefix("videos/").removesuffix(".mp4")
        assert question["video"].startswith(f"videos/{question['group']}")
        assert question["answer"] in question["candidates"]
        assert question["answer"] == question["accept"][0]
        assert len(set(question["candidates"])) == len(question["candidates"]) > 1
        assert len(question["answer"].split()) <= 8
        assert "{" not in question["question"]
    assert {question["category"] for question in questions} == set(WORDINGS)


def test_no_wrong_candidate_is_accepted(questions: Rows) -> None:
    for question in questions:
        wrong = {form for one in question["candidates"] if one != question["answer"] for form in accepted(one)}
        assert not wrong & set(question["accept"]), question


def test_no_wording_of_a_wrong_answer_is_accepted(questions: Rows) -> None:
    for question in questions:
        wrong = rejected(question["category"], question["answer"], question["candidates"])
        assert not set(wrong) & set(question["accept"]), question
        assert all(matches(form, question["accept"], wrong) for form in question["accept"]), question
        for form in wrong:
            assert not matches(form, question["accept"], wrong), question
            assert not matches(f"{form}, or {question['answer']}", question["accept"], wrong), (question, form)


def test_there_are_many_wordings(questions: Rows) -> None:
    assert min(map(len, WORDINGS.values())) >= 3
    assert sum(map(len, WORDINGS.values())) > 120
    assert len({question["question"] for question in questions}) > 900


def test_a_larger_world_begins_with_a_smaller_one(pairs: list[tuple[Planned, Planned]]) -> None:
    for small, large in zip(plan(SEED, 12), pairs, strict=False):
        assert [one.questions for one in small] == [one.questions for one in large]
        assert small[0].clip == large[0].clip
    assert write(SEED, 7) == pairs[7][0].clip
    assert write(SEED, 7) != write(SEED + 1, 7)


@pytest.mark.parametrize("most", [1, 3])
def test_a_simple_world_has_few_things_that_never_meet(most: int) -> None:
    clips = [one.clip for one, _ in plan(SEED, 60, most)]
    assert {len(scene.things) for clip in clips for scene in clip.scenes} == set(range(1, most + 1))
    assert not any(run(clip.scenes).of("meet") for clip in clips)
    for clip in clips:
        things = [thing for scene in clip.scenes for thing in scene.things]
        assert any(held_out(one.colour, one.shape, one.motion) for one in things) == (clip.split == "test")


def test_held_out_combinations_are_in_tests_only(pairs: list[tuple[Planned, Planned]]) -> None:
    shown = set()
    for one, _ in pairs:
        clip = one.clip
        things = [thing for scene in clip.scenes for thing in scene.things]
        held = [held_out(thing.colour, thing.shape, thing.motion) for thing in things]
        assert any(held) == (clip.split == "test") == (clip.index % 5 == 4)
        assert len({thing.colour for thing in things}) == len(things)
        shown |= {(thing.colour, thing.shape, thing.motion) for thing in things if clip.split == "train"}
    every = [(c, s, m) for c in COLOURS for s in SHAPES for m in MOTIONS]
    assert sum(held_out(*one) for one in every) == len(every) / 6
    # Of each pair of values there is a combination in the train split: what is new is how they go together.
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert len({(one[i], one[j]) for one in shown}) == 36


def test_every_temporal_question_stands_on_a_twin_with_another_answer(questions: Rows) -> None:
    by_id = {question["id"]: question for question in questions}
    temporal = [question for question in questions if question["category"].startswith("temporal/")]
    assert len(temporal) > 800
    for question in temporal:
        twin = by_id[question["twin"]]
        assert twin["twin"] == question["id"]
        assert {question["video"], twin["video"]} == {f"videos/{question['group']}{end}.mp4" for end in ("", "r")}
        assert sorted((question["answer"], twin["answer"])) == sorted(question["candidates"])
        for name in ("question", "category", "group", "split", "candidates"):
            assert question[name] == twin[name]


def test_only_temporal_questions_stand_on_reversed_videos(pairs: list[tuple[Planned, Planned]]) -> None:
    for forward, backward in pairs:
        assert {question["category"].partition("/")[0] for question in backward.questions} <= {"temporal"}
        assert all(question["twin"] is None for question in forward.questions if "temporal" not in question["category"])
        assert forward.log.forward
        assert not backward.log.forward


# A reader that knows only the questions. It weighs each candidate by what it has learnt of its words, its place among
# the candidates, and the words and whole text of the question beside it.


def signs(question: dict[str, Any]) -> Iterator[tuple[str, set[tuple[Any, ...]]]]:
    count, category = len(question["candidates"]), question["category"]
    for place, candidate in enumerate(question["candidates"]):
        yield (
            candidate,
            {
                (category, "place", place, count),
                (category, "candidate", candidate),
                (category, "text", question["question"], candidate),
                *((category, "word", word, count) for word in candidate.split()),
                *((category, "beside", word, candidate) for word in question["question"].split()),
            },
        )


def blind_z(known: Rows, asked: Rows) -> float:
    """Return by how many standard deviations the blind reader is right more often than by drawing a candidate."""
    learnt: dict[tuple[Any, ...], list[float]] = defaultdict(lambda: [0.5, 0.5])
    for question in known:
        for candidate, found in signs(question):
            for sign in found:
                learnt[sign][0] += candidate == question["answer"]
                learnt[sign][1] += 1 / len(question["candidates"])
    right = 0
    for question in asked:
        scores = {
            candidate: sum(math.log(learnt[sign][0] / learnt[sign][1]) for sign in found if sign in learnt)
            for candidate, found in signs(question)
        }
        right += max(scores, key=scores.__getitem__) == question["answer"]
    chances = np.array([1 / len(question["candidates"]) for question in asked])
    return float((right - chances.sum()) / np.sqrt((chances * (1 - chances)).sum()))


@pytest.mark.parametrize("kind", ["spatial", "causal", "temporal"])
def test_blind_reader_is_at_chance(questions: Rows, kind: str) -> None:
    mine = [question for question in questions if question["category"].startswith(kind)]
    train, test = ([question for question in mine if question["split"] == split] for split in ("train", "test"))
    half = [question["group"] < f"w{VIDEOS // 2:05d}" for question in train]
    early = [question for question, first in zip(train, half, strict=True) if first]
    late = [question for question, first in zip(train, half, strict=True) if not first]
    for known, asked in ((train, test), (test, train), (early, late), (late, early)):
        assert blind_z(known, asked) < 2.5


def test_blind_reader_would_find_a_bias(questions: Rows) -> None:
    """The test above can fail: with a tenth of one category's questions dropped for their answers, it does."""
    mine = [question for question in questions if question["category"] == "spatial/size"]
    biased = [question for i, question in enumerate(mine) if question["answer"] == "small" or i % 4 == 0]
    assert blind_z(biased[::2], biased[1::2]) > 2.5


def test_majority_of_each_category_is_at_chance(questions: Rows) -> None:
    """For those whose candidates are always the same; the others' answers are balanced by what they are."""
    for category in ("spatial/colour", "spatial/shape", "spatial/size", "spatial/texture", "spatial/number"):
        for split in ("train", "test"):
            mine = [q for q in questions if q["category"] == category and q["split"] == split]
            answers = Counter(question["answer"] for question in mine)
            assert max(answers.values()) - min(answers[one] for one in mine[0]["candidates"]) <= 1, category


def test_named_colours_and_shapes_tell_nothing(questions: Rows) -> None:
    """Within a category and split, each colour or shape that questions name has had all answers equally often."""
    for category in ("spatial/colour", "spatial/shape"):
        tallies: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for question in questions:
            if question["category"] == category:
                named = next(word for word in (*COLOURS, *SHAPES) if word in question["question"])
                tallies[question["split"], named][question["answer"]] += 1
        assert len(tallies) >= 10
        for tally in tallies.values():
            assert max(tally.values()) - min(tally[one] for one in (COLOURS, SHAPES)[category.endswith("shape")]) <= 1


def test_what_would_be_without_is_what_the_simulation_does_without(forward: list[tuple[Clip, Log]]) -> None:
    answers: Counter[str] = Counter()
    for clip, log in forward:
        names = [thing.name for thing in log.things]
        for fact in causal(log):
            if fact.category != "causal/without":
                continue
            thing, other = (names.index(name) for name in fact.named)
            left = run(clip.scenes, without=other)
            kinds = {event.kind for event in left.events if event.thing == thing}
            moved = np.hypot(*np.ptp(left.places[:, thing], axis=0)) > 1
            does = {
                "it would vanish": "vanish" in kinds,
                "it would turn round": "turn" in kinds,
                "it would start to move": "start" in kinds,
                "it would keep going the same way": moved and not kinds & {"turn", "start", "stop", "vanish"},
                "it would stay where it is": not moved and "vanish" not in kinds,
            }
            assert does[fact.answer], (clip.id, fact)
            (wrong,) = set(fact.candidates) - {fact.answer}
            assert not does[wrong], (clip.id, fact)
            answers[fact.answer] += 1
    assert len(answers) == 5


def test_causes_are_those_of_the_events(forward: list[tuple[Clip, Log]]) -> None:
    found: Counter[tuple[str, bool]] = Counter()
    for _, log in forward:
        names = [thing.name for thing in log.things]
        for fact in causal(log):
            if not fact.category.startswith("causal/why_"):
                continue
            kind = fact.category.removeprefix("causal/why_")
            (event,) = log.of(kind, names.index(fact.named[0]))
            if event.cause == WALL:
                assert "edge" in fact.answer
            elif event.cause is None:
                assert "by itself" in fact.answer
            else:
                assert fact.answer in (f"the {names[event.cause]} hits it", *ANOTHER)
            found[kind, event.cause is None or event.cause == WALL] += 1
    assert set(found) == {("turn", False), ("turn", True), ("vanish", False), ("vanish", True), ("start", False)}


def test_spatial_facts_are_those_of_the_states(forward: list[tuple[Clip, Log]]) -> None:
    author = Author(np.random.default_rng(0))
    for _, log in forward:
        things = {thing.name: i for i, thing in enumerate(log.things)}
        for fact in spatial(author, log):
            if fact.category == "spatial/left_right":
                one, other = (log.shown[:, things[name], 0] for name in fact.named)
                assert ((one < other) if fact.answer == "left" else (one > other)).all()
            elif fact.category == "spatial/above_below":
                one, other = (log.shown[:, things[name], 1] for name in fact.named)
                assert ((one < other) if fact.answer == "above" else (one > other)).all()
            elif fact.category == "spatial/number_of_shape":
                shape = fact.about[0]
                assert int(fact.answer) == sum(thing.shape == shape for thing in log.things)
            elif fact.category == "spatial/colour":
                assert [thing.colour for thing in log.things if thing.shape == fact.named[0]] == [fact.answer]


def test_temporal_answers_are_those_of_the_states(pairs: list[tuple[Planned, Planned]]) -> None:
    checked: Counter[str] = Counter()
    for pair in pairs:
        for planned in pair:
            for question in planned.questions:
                checked[question["category"]] += check_temporal(planned.log, question)
    assert {name for name, count in checked.items() if count} >= {
        f"temporal/{name}" for name in ("direction", "rotation", "size", "presence", "first_event", "how_often", "when")
    }


def check_temporal(log: Log, question: dict[str, Any]) -> bool:
    """Judge an answer from the states of the frames; return whether there was something to judge."""
    category, answer = question["category"], question["answer"]
    named = [i for i, thing in enumerate(log.things) if thing.name in question["question"]]
    first, last = (np.flatnonzero(log.seen[:, named[0]])[[0, -1]]) if named else (0, -1)
    if category == "temporal/direction":
        x, y = log.shown[last, named[0]] - log.shown[first, named[0]]
        signs = {"left": x < 0, "right": x > 0, "up": y < 0, "down": y > 0}
        assert all(signs[word] for word in answer.split() if word in signs), question
    elif category == "temporal/rotation":
        assert (log.angles[last, named[0]] > log.angles[first, named[0]]) == (answer == "clockwise")
    elif category == "temporal/size":
        assert (log.scales[last, named[0]] > log.scales[first, named[0]]) == (answer == "it grows")
    elif category == "temporal/presence":
        assert log.seen[[0, -1], named[0]].tolist() == [answer == "it vanishes", answer == "it appears"]
    elif category == "temporal/first_event":
        when = {clause: event.start for clause, event in moments(log)}
        assert min(question["candidates"], key=when.__getitem__) == answer
    elif category == "temporal/how_often":
        clause, event = next(
            (c, e) for c, e in moments(log) if c in question["question"] and "flash" in clause_rest(c, question)
        )
        (flasher,) = [
            i for i in named if i != event.thing and f"{log.things[i].name} " in clause_rest(clause, question)
        ]
        flashes = np.diff(log.flashing[: event.start + 1, flasher].astype(int), prepend=0)
        assert ["never", "once", "twice", "three times", "four times"][int((flashes == 1).sum())] == answer
    elif category == "temporal/when":
        clause, event = next((c, e) for c, e in moments(log) if c in question["question"])
        assert ((event.start + event.end) / 2 < log.frames / 2) == (answer == "the first half")
    else:
        return False
    return True


def clause_rest(clause: str, question: dict[str, Any]) -> str:
    """Return what a question says beside a clause."""
    return question["question"].replace(clause, "") + " "


def test_captions_and_descriptions_tell_of_every_thing_and_of_no_time(pairs: list[tuple[Planned, Planned]]) -> None:
    lengths = []
    for pair in pairs[:80]:
        stories = []
        for planned in pair:
            author = Author(np.random.default_rng(1))
            short, story = caption(author, planned.log), description(author, planned.log)
            for thing in planned.log.things:
                assert thing.name in short
                assert thing.name in story
            for text in (short, story, still_caption(planned.log, 20)):
                assert not any(letter.isdigit() for letter in text)
                assert "second" not in text
                assert text[0].isupper()
                assert text.endswith(".")
            assert len(short.split()) < 110
            for i, thing in enumerate(planned.log.things):
                moved = np.ptp(planned.log.places[planned.log.seen[:, i], i], axis=0).max()
                assert moved < 12 or f"{thing.name} that moves a little" not in short
            lengths.append(len(story.split()))
            stories.append(story)
        assert stories[0] != stories[1]
    assert 70 <= min(lengths) <= max(lengths) <= 290
    assert 130 < np.mean(lengths) < 200


def test_story_is_told_in_order(forward: list[tuple[Clip, Log]]) -> None:
    for _, log in forward:
        events = [event for event in log.events if event.kind == "flash"]
        story = description(Author(np.random.default_rng(0)), log)
        places = [story.find(f"{log.things[event.thing].name} flashes") for event in events]
        alone = [place for event, place in zip(events, places, strict=True) if len(log.of("flash", event.thing)) == 1]
        assert alone == sorted(alone)
        assert min(places, default=0) >= 0
