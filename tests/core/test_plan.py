import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components import Passing, Weighty
from media import make
from videochat import (
    Chunk,
    Frame,
    Perceiver,
    Reader,
    Record,
    Sampling,
    Segmenter,
    Span,
    Stack,
    StackError,
    Stream,
    Video,
    VideoError,
    Want,
    Weights,
    Window,
)
from videochat.cache import write_whole
from videochat.plan import Plan
from videochat.segments import segments_file
from videochat.spec import Spec


class Facts(Reader):
    """Knows a video and never opens it."""

    def __init__(self, video: Video) -> None:
        super().__init__()
        self.video = video

    def probe(self, path: Path) -> Video:
        return self.video

    def frames(self, video: Video, wanted: Iterable[Want]) -> Iterator[Frame]:
        raise AssertionError("a plan reads no frames")

    def audio(self, video: Video, rate: int, start: float = 0.0) -> Iterator[Chunk]:
        raise AssertionError("a plan reads no sound")


@dataclass
class Asks(Perceiver):
    """Asks for what it is told to ask for."""

    wanted: Sampling
    models: Sequence[Weights] = ()

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def emits(self) -> Collection[str]:
        return ("dot",)

    def sampling(self) -> Sampling:
        return self.wanted

    def weights(self) -> Sequence[Weights]:
        return self.models

    def load(self, pool: Any) -> None:
        raise AssertionError("a plan loads nothing")

    def perceive(self, windows: Sequence[Window]) -> Iterator[Sequence[Record]]:
        raise AssertionError("a plan perceives nothing")


class Heavy(Passing):
    """A refiner with a model."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(None, options)

    def weights(self) -> Sequence[Weights]:
        return [Weights("t5@1", 7)]


class Halves(Segmenter):
    """Must see the video before it can cut it."""

    def sampling(self) -> Sampling:
        return Sampling(fps=1)

    def segments(self, video: Video, frames: Iterable[Frame]) -> Iterator[Span]:
        raise AssertionError("a plan cuts nothing that must be seen first")


BOTH = (Stream("video", "h264"), Stream("audio", "aac"))


def plan_of(
    tmp_path: Path,
    *wanted: Sampling | Asks,
    video: dict[str, Any] | None = None,
    part: tuple[Any, Any] = (None, None),
    **stack: Any,
) -> Plan:
    path = tmp_path / "video.mp4"
    path.write_bytes(b"not opened")
    facts = {"duration": 10.0, "width": 640, "height": 480, "streams": BOTH, **(video or {})}
    perceivers = {f"p{i}": ask if isinstance(ask, Asks) else Asks(ask) for i, ask in enumerate(wanted)}
    return Stack(read=Facts(Video(path, **facts)), perceive=perceivers, **stack).plan(path, *part)


def test_windows_and_frames(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Sampling(fps=1), Sampling(frames=4, over="video", side=224), Sampling(fps=2, over=4))
    assert [len(task.spans) for task in plan.tasks] == [10, 1, 3]
    assert plan.tasks[2].spans == ((0, 4), (4, 8), (8, 10))
    assert plan.frames == 20 + 4  # what fps: 2 asks for holds what fps: 1 does
    assert plan.segments is not None
    assert len(plan.segments) == 10
    assert plan.video.hash
    assert plan.lacking == []


def test_a_part_of_the_video(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Sampling(fps=1), Sampling(frames=1, over="video"), Sampling(fps=1, over=4), part=(2.5, 6))
    assert plan.span == (2.5, 6)
    assert plan.tasks[0].spans == ((2.5, 3), (3, 4), (4, 5), (5, 6))
    assert plan.tasks[1].spans == ((2.5, 6),)
    assert plan.tasks[2].spans == ((2.5, 4), (4, 6))


@pytest.mark.parametrize(
    ("part", "span"),
    [
        ((None, None), (0, 10)),
        ((-5, 99), (0, 10)),
        ((0, math.inf), (0, 10)),
        ((-math.inf, None), (0, 10)),
        ((9.5, None), (9.5, 10)),
    ],
)
def test_a_part_is_clipped_to_the_video(part: tuple[Any, Any], span: tuple[float, float], tmp_path: Path) -> None:
    assert plan_of(tmp_path, part=part).span == span


@pytest.mark.parametrize("part", [(10, None), (11, 12), (5, 5), (6, 5), (None, 0), (None, -1), (math.inf, None)])
def test_an_empty_part_is_an_error(part: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(StackError, match="the video is 10 s long"):
        plan_of(tmp_path, part=part)


def test_a_video_that_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="holds nothing"):
        plan_of(tmp_path, video={"duration": 0.0})


def test_who_can_see_nothing_has_no_windows(tmp_path: Path) -> None:
    asks = (Sampling(fps=1), Sampling(audio_rate=16_000), Sampling(fps=1, audio_rate=16_000), Sampling())
    silent = plan_of(tmp_path, *asks, video={"streams": BOTH[:1]})
    assert [len(task.spans) for task in silent.tasks] == [10, 0, 10, 0]
    dark = plan_of(tmp_path, *asks, video={"streams": BOTH[1:], "width": 0, "height": 0})
    assert [len(task.spans) for task in dark.tasks] == [0, 10, 10, 0]


def test_what_is_cached_is_not_asked_for_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Sampling(fps=1))
    plan.tasks[0].store.append([(span, []) for span in plan.tasks[0].spans[:7]])
    again = plan_of(tmp_path, Sampling(fps=1))
    assert again.tasks[0].missing == [Span(7.0, 8.0), Span(8.0, 9.0), Span(9.0, 10.0)]
    assert again.frames == 3
    assert plan_of(tmp_path, Sampling(fps=1), part=(0, 7)).frames == 0
    assert again.to_json()["perceive"][0]["cached"] == 7
    other = plan_of(tmp_path, Sampling(fps=1, side=224))
    assert len(other.tasks[0].missing) == 10


def test_segments_that_must_be_seen_first_are_known_after_the_first_watch(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Sampling(fps=1), segment=Halves())
    assert plan.segments is None
    assert plan.to_json()["segments"] is None
    file = segments_file(plan.stack, plan.video)
    write_whole(file, "[[0, 5.5], [5.5, 10]]")
    assert plan_of(tmp_path, Sampling(fps=1), segment=Halves()).tasks[0].spans == ((0, 5.5), (5.5, 10))
    for damage in ("", "[[0, 5], 5]", "[[0, 1, 2]]", "{}x"):
        write_whole(file, damage)
        assert plan_of(tmp_path, Sampling(fps=1), segment=Halves()).segments is None


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(fps=30, over="video"), "perceive.p0: a window of 10 s takes 264 MB of frames, at most 256: lower"),
        (Sampling(frames=292, over="video"), "257 MB of frames"),
        (Sampling(frames=8, over=3, lead=100), "MB of frames, at most 256"),
        (
            Sampling(fps=1, over="video", audio_rate=16_000, lead=595),
            "perceive.p0: a window of 605 s of sound, at most 600",
        ),
    ],
)
def test_a_window_that_holds_too_much(sampling: Sampling, said: str, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=said):
        plan_of(tmp_path, sampling, video={"duration": 10.0} if sampling.over != 3 else {"duration": 300.001})


def test_all_that_hold_too_much_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    spec = Spec({}, where={("perceive", "p0"): "s.yaml:3", ("perceive", "p2"): "s.yaml:5"})
    asks = (Sampling(fps=30, over="video"), Sampling(fps=30), Sampling(frames=500, over="video"))
    with pytest.raises(StackError) as raised:
        plan_of(tmp_path, *asks, origin=spec)
    assert [problem.where for problem in raised.value.problems] == ["s.yaml:3", "s.yaml:5"]


def test_what_just_fits(tmp_path: Path) -> None:
    assert plan_of(tmp_path, Sampling(frames=291, over="video")).frames == 291
    assert plan_of(tmp_path, Sampling(fps=30, over="video", side=224))


@pytest.mark.parametrize(
    ("memory", "groups"),
    [
        (100, ["p0 p1 p2 p3 p4"]),
        (60, ["p0 p1 p3", "p2 p4"]),
        (40, ["p0 p1 p3", "p2 p4"]),
        (1, ["p0 p1 p3", "p2 p4"]),
    ],
)
def test_models_that_do_not_fit_together(memory: int, groups: list[str], tmp_path: Path) -> None:
    big, other = Weights("big", 50), Weights("other", 20)
    models: list[Sequence[Weights]] = [(big,), (big,), (other,), (), (other,)]
    plan = plan_of(tmp_path, *(Asks(Sampling(fps=1), weights) for weights in models))
    found = [" ".join(task.name for task in group) for group in plan.groups(lambda device: memory)]
    assert sorted(" ".join(found).split()) == ["p0", "p1", "p2", "p3", "p4"]
    for group in plan.groups(lambda device: memory):
        needed = {w.id: w.bytes for task in group for w in task.perceiver.weights()}
        assert sum(needed.values()) <= memory or len(needed) == 1
    assert len(found) == len(groups)


@pytest.mark.parametrize(
    ("residency", "groups"), [("together", [["p0", "p1", "p2"]]), ("one_at_a_time", [["p0", "p1"], ["p2"]])]
)
def test_residency_says_which_models_are_held_at_once(residency: str, groups: list[list[str]], tmp_path: Path) -> None:
    models = [(Weights("a", 50),), (Weights("a", 50),), (Weights("b", 20),)]  # two share theirs
    asks = [Asks(Sampling(fps=1), weights) for weights in models]
    plan = plan_of(tmp_path, *asks, residency=residency)
    for memory in (10, 10**12):
        found = plan.groups({"cpu": memory}.__getitem__)
        assert [[task.name for task in group] for group in found] == groups


def test_residency_is_one_of_three(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="residency: must be together, one_at_a_time or auto, not 'all'"):
        plan_of(tmp_path, Sampling(fps=1), residency="all")


def test_only_what_is_missing_is_grouped(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Sampling(fps=1), Sampling(fps=2))
    plan.tasks[0].store.append([(span, []) for span in plan.tasks[0].spans])
    assert [[task.name for task in group] for group in plan.groups(lambda device: 1)] == [["p1"]]


def test_a_plan_is_json(tmp_path: Path) -> None:
    model = Weights("blip/base@1", 5, here=False)
    plan = plan_of(tmp_path, Asks(Sampling(frames=2, over="video"), [model]))
    out = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    assert out["video"]["path"] == str(tmp_path / "video.mp4")
    assert out["span"] == [0, 10]
    assert (out["segments"], out["frames"], out["stack"]) == (10, 2, "stack")
    assert out["weights"] == [{"for": "perceive.p0", "id": "blip/base@1", "bytes": 5, "here": False}]
    (perceive,) = out["perceive"]
    assert (perceive["name"], perceive["windows"], perceive["cached"]) == ("p0", 1, 0)
    assert perceive["sampling"]["frames"] == 2


def test_a_plan_says_whose_models_a_watch_would_load(tmp_path: Path) -> None:
    model = Weights("blip/base@1", 5)
    plan = plan_of(tmp_path, Asks(Sampling(fps=1), [model]), Asks(Sampling(fps=2), [model]), Sampling(fps=1))
    assert plan.loads == plan.to_json()["loads"] == ["perceive.p0", "perceive.p1"]
    plan.tasks[0].store.append([(span, []) for span in plan.tasks[0].spans])
    assert plan.loads == ["perceive.p1"]
    plan.tasks[1].store.append([(span, []) for span in plan.tasks[1].spans[:-1]])
    assert plan.loads == ["perceive.p1"]
    plan.tasks[1].store.append([(plan.tasks[1].spans[-1], [])])
    assert plan.loads == [], "a cached watch loads nothing"


def test_before_the_segments_are_known_every_model_would_be_loaded(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, Asks(Sampling(fps=1), [Weights("blip/base@1")]), segment=Halves())
    assert (plan.segments, plan.loads) == (None, ["perceive.p0"])


def test_what_does_not_wait_for_the_segments_is_known_before_them(tmp_path: Path) -> None:
    model = [Weights("blip/base@1")]
    asks = [Sampling(fps=1, over=5), Sampling(frames=1, over="video"), Sampling(audio_rate=16_000), Sampling(fps=1)]
    silent = {"streams": BOTH[:1]}
    plan = plan_of(tmp_path, *(Asks(ask, model) for ask in asks), video=silent, segment=Halves())
    assert plan.segments is None
    assert plan.loads == ["perceive.p0", "perceive.p1", "perceive.p3"], "there is nothing to hear"
    for task in plan.tasks[:2]:
        task.store.append([(span, []) for span in task.spans])
    assert plan.loads == ["perceive.p3"]


def test_refiners_are_loaded_where_what_they_made_is_not_kept(tmp_path: Path) -> None:
    perceive, refine = {"a": Weighty(5, fps=1)}, {"first": Heavy(), "second": Heavy()}
    clip = make(tmp_path / "clip.mp4", frames=50, size=(64, 48)).path
    made = Stack(perceive=perceive, refine=refine)
    assert made.plan(clip).loads == ["perceive.a", "refine.first", "refine.second"]
    made.watch(clip)
    assert made.plan(clip).loads == []
    changed = Stack(perceive=perceive, refine={"first": Heavy(), "second": Heavy(Passing.Options(word="other"))})
    assert changed.plan(clip).loads == ["refine.second"]
