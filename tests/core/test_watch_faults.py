"""What goes wrong in a watch stays small: the others go on, nothing wrong is cached, and what is missing is named."""

from pathlib import Path
from typing import Any

import pytest

from components import Counting, Echo, Failing, Passing, Seeing, Unavailable, Weighty
from media import blot, cut, make
from videochat import Pool, Record, Stack, UnavailableError, VideoError, Weights, Window
from videochat.cache import root
from videochat.context import Fault


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(clips: Path) -> Path:
    return make(clips / "clip.mp4", frames=100, size=(64, 48)).path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDEOCHAT_CACHE", str(tmp_path / "cache"))
    return root()


def stack(**values: Any) -> Stack:
    return Stack(**{"device": "cpu", **values})


def test_a_perceiver_that_raises_is_a_fault_and_the_others_go_on(clip: Path) -> None:
    bad, good, reader = Failing(RuntimeError("lost"), after=2.0, fps=2, batch=3), Echo(fps=1), Counting()
    context = stack(read=reader, perceive={"bad": bad, "good": good}).watch(clip)
    assert context.faults == (
        Fault("bad", 2.0, 3.0, "RuntimeError: lost"),
        Fault("bad", 3.0, 4.0, "RuntimeError: lost"),
    )
    assert [(r.source, r.start) for r in context.records] == [
        ("bad", 0.0), ("good", 0.0), ("bad", 1.0), ("good", 1.0), ("good", 2.0), ("good", 3.0),
    ]  # fmt: skip
    assert context.to_json()["faults"][0] == {
        "source": "bad", "start": 2.0, "end": 3.0, "reason": "RuntimeError: lost",
    }  # fmt: skip
    assert [cost.windows for cost in context.ledger] == [2, 4]


class Remote(Weighty):
    """Has its model elsewhere."""

    fetched = 0

    def weights(self) -> list[Weights]:
        return [Weights("model", 10, here=self.fetched > 0)]

    def fetch(self) -> None:
        if self.options.word == "lost":
            raise UnavailableError("the model cannot be had")
        self.fetched += 1


def test_models_are_fetched_before_anything_is_read(clip: Path) -> None:
    reader, perceiver = Counting(), Remote(10, fps=2, word="lost")
    with pytest.raises(UnavailableError, match="the model cannot be had"):
        stack(read=reader, segment={"use": "shots"}, perceive={"it": perceiver}).watch(clip)
    assert reader.passes == 0


def test_nothing_is_fetched_for_a_video_that_cannot_be_read(tmp_path: Path) -> None:
    perceiver = Remote(10, fps=2)
    with pytest.raises(VideoError, match="no such file"):
        stack(perceive={"it": perceiver}).watch(tmp_path / "none.mp4")
    assert perceiver.fetched == 0


def test_a_model_is_fetched_once(clip: Path) -> None:
    perceiver = Remote(10, fps=2)
    made = stack(perceive={"it": perceiver})
    assert made.watch(clip).faults == ()
    made.watch(clip)
    assert perceiver.fetched == 1


def test_the_ledger_tells_what_a_plugin_notes(clip: Path) -> None:
    class Noting(Echo):
        notes = ("out of memory: batch 4 to 2",)

    context = stack(perceive={"it": Noting(fps=1)}, refine={"pass": Passing()}).watch(clip)
    assert [cost.notes for cost in context.ledger] == [["out of memory: batch 4 to 2"], []]
    assert context.to_json()["ledger"][0]["notes"] == ["out of memory: batch 4 to 2"]


def test_faults_are_not_cached(clip: Path) -> None:
    stack(perceive={"it": Failing(RuntimeError("lost"), after=2.0, fps=2)}, refine={"pass": Passing()}).watch(clip)
    mended = Failing(RuntimeError("lost"), after=99.0, fps=2)
    context = stack(perceive={"it": mended}, refine={"pass": Passing()}).watch(clip)
    assert mended.spans == [(2.0, 3.0), (3.0, 4.0)]
    assert context.faults == ()
    assert [r.start for r in context.records] == [0.0, 1.0, 2.0, 3.0]


def test_two_alike_that_fail_are_two_faults(clip: Path) -> None:
    parts = {name: Failing(RuntimeError("lost"), after=3.0, fps=2) for name in ("one", "two")}
    context = stack(perceive=parts).watch(clip)
    assert [(fault.source, fault.start) for fault in context.faults] == [("one", 3.0), ("two", 3.0)]
    assert len(context.records) == 6


def test_a_model_that_does_not_load_is_a_fault(clip: Path) -> None:
    class Broken(Echo):
        def load(self, pool: Pool) -> None:
            super().load(pool)
            raise RuntimeError("the weights are damaged")

    broken, good = Broken(fps=1), Echo(fps=1, word="good")
    context = stack(perceive={"broken": broken, "good": good}).watch(clip)
    assert context.faults == (Fault("broken", 0.0, 4.0, "RuntimeError: the weights are damaged"),)
    assert [r.source for r in context.records] == ["good"] * 4
    assert broken.closes == good.closes == 1
    alone = stack(perceive={"broken": Broken(fps=1)}).watch(clip)
    assert len(alone.faults) == 1
    assert list(alone.records) == []


def test_a_model_that_cannot_be_had_ends_it_before_anything_is_decoded(clip: Path, cache: Path) -> None:
    first, reader = Echo(fps=1), Counting()
    with pytest.raises(UnavailableError, match="cannot be had"):
        stack(read=reader, perceive={"first": first, "none": Unavailable(fps=1, word="x")}).watch(clip)
    assert reader.passes == 0
    assert first.closes == 1
    left = [path.name for path in cache.rglob("*") if path.is_file()]
    assert [name for name in left if name != ".lock" and not name.endswith(".json")] == []
    again = Echo(fps=1)
    stack(read=Counting(), perceive={"first": again}).watch(clip)
    assert len(again.spans) == 4


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(1)])
def test_what_ends_the_program_keeps_what_is_finished(clip: Path, stop: BaseException) -> None:
    with pytest.raises(type(stop)):
        stack(perceive={"it": Failing(stop, after=2.0, fps=2)}).watch(clip)
    rest = Failing(stop, after=99.0, fps=2)
    context = stack(perceive={"it": rest}).watch(clip)
    assert rest.spans == [(2.0, 3.0), (3.0, 4.0)]
    assert len(context.records) == 4


def test_a_truncated_file_is_a_fault_of_the_reader_where_it_ends(clips: Path) -> None:
    whole = make(clips / "whole.mkv", frames=200, size=(320, 240), tone=300.0).path
    half = cut(whole, clips / "half.mkv", 0.5)
    eye, both = Echo(fps=4), Echo(frames=3, audio_rate=8000, over=0.5)
    context = stack(perceive={"eye": eye, "both": both}).watch(half)
    assert [fault.source for fault in context.faults] == ["read"]
    (fault,) = context.faults
    assert 2 <= fault.start <= 6
    assert fault.end == context.video.duration
    assert "ends early or is damaged" in fault.reason
    assert context.records
    assert all(r.start < fault.start + 1 for r in context.records)
    again = stack(perceive={"eye": Echo(fps=4), "both": Echo(frames=3, audio_rate=8000, over=0.5)}).watch(half)
    assert again.faults == context.faults
    assert list(again.records) == list(context.records)


def test_groups_give_one_fault_for_one_stretch(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("videochat.watch.free_bytes", lambda device: 100)
    whole = make(clips / "groups.mkv", frames=100, size=(320, 240)).path
    half = cut(whole, clips / "groups-half.mkv", 0.5)
    parts = {word: Weighty(60, fps=2, word=word) for word in ("first", "second")}
    context = stack(perceive=parts).watch(half)
    assert [fault.source for fault in context.faults] == ["read"]


def test_damage_in_the_middle_loses_no_window(clips: Path) -> None:
    whole = make(clips / "sound.mkv", frames=200, size=(160, 120)).path
    hurt = blot(whole, clips / "hurt.mkv", 0.4, 0.5)
    eye = Echo(frames=1)
    context = stack(perceive={"eye": eye}).watch(hurt)
    assert len(context.records) + sum(round(fault.end - fault.start) for fault in context.faults) == len(
        context.segments
    )
    assert len(context.records) >= 6


def test_sound_alone_and_pictures_alone(clips: Path, clip: Path) -> None:
    song = make(clips / "song.m4a", frames=0, tone=300.0, audio_seconds=2.0).path
    parts = {"eye": Echo(fps=2), "ear": Echo(audio_rate=8000), "both": Echo(fps=2, audio_rate=8000)}
    context = stack(perceive=parts).watch(song)
    assert context.faults == ()
    assert {r.source for r in context.records} == {"ear", "both"}
    silent = stack(perceive=parts).watch(clip)
    assert silent.faults == ()
    assert {r.source for r in silent.records} == {"eye", "both"}
    assert silent.ledger[1].windows == 0


def test_a_file_that_is_no_video(tmp_path: Path) -> None:
    for name, data in (("text.mp4", b"these are words\n" * 99), ("empty.mp4", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VideoError):
            stack(perceive={"eye": Echo(fps=1)}).watch(tmp_path / name)


def test_words_of_an_error_are_made_harmless(clip: Path) -> None:
    def see(window: Window) -> list[Record]:
        raise ValueError("\x1b[2J‮ line\nline")

    context = stack(perceive={"it": Seeing(see, frames=1, over="video")}).watch(clip)
    assert context.faults[0].reason == "ValueError: [2J line line"


@pytest.mark.parametrize("suffix", ["mp3", "opus"])
def test_what_an_encoder_filled_its_last_packet_with_is_no_damage(suffix: str, tmp_path: Path) -> None:
    codec = {"mp3": "libmp3lame", "opus": "libopus"}[suffix]
    sound = make(
        tmp_path / f"sound.{suffix}", frames=0, tone=300.0, audio_codec=codec, audio_rate=48_000, audio_seconds=3.0
    ).path
    ear = Echo(audio_rate=8000, over=1.0)
    context = stack(perceive={"ear": ear}).watch(sound)
    assert 3.0 < context.video.duration < 3.1, "the file counts them"
    assert context.faults == ()
    assert len(ear.spans) == 4
    assert stack(perceive={"ear": Echo(audio_rate=8000, over=1.0)}).plan(sound).tasks[0].missing == []
