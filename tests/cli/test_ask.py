"""`videochat ask`."""

from pathlib import Path

import pytest

from command_line import complaint, run

FIELDS = {"question", "answer", "citations", "usage", "stack"}


def test_answer_and_what_it_rests_on(clip: Path, cheap: Path) -> None:
    done = run(
        "ask", clip, "What is there?", "-c", cheap, "--set", "llm={use: talker, says: [It is, ' at 00:01-00:02']}"
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == "It is at 00:01-00:02\nrests on 00:01-00:02 (told)\n"


def test_json(clip: Path, cheap: Path) -> None:
    model = "llm={use: talker, says: ['00:01-00:02']}"
    found = run("ask", clip, "Was ist <da>?", "-c", cheap, "--set", model, "--json").json
    assert set(found) >= FIELDS
    assert (found["question"], found["answer"], found["stack"]) == ("Was ist <da>?", "00:01-00:02", "cheap")
    (cited,) = found["citations"]
    assert {"start", "end", "source", "record"} <= set(cited)
    assert (cited["start"], cited["end"], cited["source"]) == (1.0, 2.0, "told")
    assert found["usage"]["prompt"] == 7
    records = run("watch", clip, "-c", cheap, "--json").json["records"]
    assert cited["record"] in [record["id"] for record in records]


def test_the_default_model_needs_nothing(clip: Path, cheap: Path) -> None:
    found = run("ask", clip, "What bar code is there?", "-c", cheap, "--llm", "extractive", "--json").json
    assert "a bar code" in found["answer"]
    assert found["citations"]


def test_several_videos(clip: Path, cheap: Path, tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(clip.read_bytes())
    done = run("ask", clip, tmp_path / "other.mp4", "What?", "-c", cheap, "--llm", "echo")
    assert done.code == 0
    assert "Video 1, clip.mp4:" in done.out
    assert "Video 2, other.mp4:" in done.out


def test_as_of_a_moment(clip: Path, cheap: Path) -> None:
    def shown(*at: str) -> list[str]:
        done = run("ask", clip, "What?", "-c", cheap, "--llm", "echo", *at)
        assert done.code == 0
        return [line for line in done.out.splitlines() if "caption: a bar code" in line]

    assert len(shown()) == 2
    assert shown("--at", "1") == ["00:00-00:01 caption: a bar code"]
    assert shown("--at", "0") == []
    assert len(shown("--at", "1:00:00")) == 2


def test_what_did_not_fit_is_said(clip: Path, cheap: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.txt").write_text("{textualizing_videos}\n{question}")
    whole, less = (
        run("ask", clip, "What?", "-c", cheap, "--set", f"prompt={tmp_path}/bare.txt", "--set", f"llm.window={window}")
        for window in (70, 60)
    )
    assert (whole.code, less.code) == (0, 0)
    assert whole.err == ""
    assert less.err.startswith("note: the video did not fit the model's window whole: ")


def test_an_answer_cut_short_is_said(clip: Path, cheap: Path) -> None:
    done = run("ask", clip, "What?", "-c", cheap, "--set", "llm={use: talker, finish: length}")
    assert (done.code, done.out) == (0, "It is red.\n")
    assert "llm.max_tokens" in done.err


def test_one_argument_is_no_question(clip: Path, cheap: Path) -> None:
    assert "in quotes: videochat ask clip.mp4" in complaint(run("ask", clip, "-c", cheap), 2)
    assert "Missing argument" in complaint(run("ask"), 2)


def test_a_question_that_was_forgotten(clip: Path, cheap: Path) -> None:
    for question, words in (("", "the question is empty"), (" \n", "the question is empty"), (clip, "is a file: give")):
        assert words in complaint(run("ask", clip, question, "-c", cheap), 2)
        assert words in complaint(run("compare", clip, "What?", question, *("-c", cheap) * 2), 2)


@pytest.mark.parametrize("question", ["describe", "What?", "what?" * 2000])
def test_a_question_may_be_called_like_a_file(question: str, clip: Path, cheap: Path, here: Path) -> None:
    for name in ("describe", "What?"):
        (here / name).write_text("in the way")
    assert run("ask", clip, question, "-c", cheap).out == "It is red.\n"
    assert run("compare", clip, question, *("-c", cheap) * 2).code == 0


@pytest.mark.parametrize("at", ["-1", "later", "1:99", "inf", ""])
def test_moment_in_bad_form(clip: Path, cheap: Path, at: str) -> None:
    assert "is not a time" in complaint(run("ask", clip, "What?", "-c", cheap, "--at", at), 2)


def test_the_stack_is_checked_before_the_video(tmp_path: Path, cheap: Path) -> None:
    assert "talker" in complaint(run("ask", tmp_path / "none.mp4", "What?", "-c", cheap, "--llm", "talkr"), 2)


def test_a_moment_after_the_end_is_said(clip: Path, cheap: Path) -> None:
    asked = run("ask", clip, "What?", "-c", cheap, "--at", "5:00")
    assert (asked.code, asked.err) == (0, "note: clip.mp4 ends at 00:02, before that moment\n")
    assert run("ask", clip, "What?", "-c", cheap, "--at", "2").err == ""


def test_a_moment_before_anything_has_ended_is_said(clip: Path, cheap: Path) -> None:
    for at in ("0", "0.9"):
        asked = run("ask", clip, "What?", "-c", cheap, "--at", at)
        words = "note: nothing that is perceived in clip.mp4 has ended by 00:00\n"
        assert (asked.code, asked.out, asked.err) == (0, "It is red.\n", words)
    assert run("ask", clip, "What?", "-c", cheap, "--at", "1").err == ""
    assert run("ask", clip, "What?", "-c", cheap, "--set", "perceive=null", "--at", "0").err == ""


@pytest.mark.parametrize("command", ["ask", "chat"])
def test_the_video_is_looked_at_before_the_model(tmp_path: Path, cheap: Path, command: str) -> None:
    question = ["What?"] if command == "ask" else []
    absent = ["--set", "llm={use: transformers, model: no-such-model-anywhere}"]
    assert "none.mp4" in complaint(run(command, tmp_path / "none.mp4", *question, "-c", cheap, *absent), 3)


def test_faults_are_said_before_the_model_fails(clip: Path, cheap: Path) -> None:
    broken = ["--set", "perceive.bad={use: failing, after: 1}", "--set", "llm={use: talker, breaks: no more}"]
    done = run("ask", clip, "What?", "-c", cheap, *broken)
    assert done.code == 4
    assert done.err.index("warning: bad at 00:01-00:02") < done.err.index("error: ")
