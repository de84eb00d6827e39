"""`videochat eval`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from videochat import StackError, hookimpl

if TYPE_CHECKING:
    import typer

    from videochat import Stack
    from videochat_plugins.learn.eval_data import Dataset, Example
    from videochat_plugins.learn.eval_report import System

FormatName = Literal["world", "mvbench", "nextqa", "egoschema", "videomme", "moviechat", "videoqa"]
_SHOWN = 20  # warnings; all are in results.jsonl


@hookimpl
def register_commands(cli: "typer.Typer") -> None:
    """Add `videochat eval`."""
    import typer

    from videochat.cli.options import Device, Hosts, Json, Model, Quiet, Settings

    def option(*names: str, metavar: str | None = None, words: str) -> Any:
        return typer.Option(*names, metavar=metavar, help=words)

    @cli.command("eval")
    def evaluate(
        source: Annotated[Path, typer.Argument(metavar="DATASET", help="A folder or file of questions about videos.")],
        config: Annotated[
            list[str] | None,
            option("--config", "-c", metavar="STACK", words="A stack; may be repeated. Default: offline."),
        ] = None,
        out: Annotated[
            Path | None, option("-o", "--out", metavar="DIR", words="Keep answers here; a later run goes on from them.")
        ] = None,
        format: Annotated[FormatName | None, option("--format", words="Of the dataset; default: as it looks.")] = None,
        videos: Annotated[Path | None, option("--videos", metavar="FOLDER", words="Where the videos are.")] = None,
        split: Annotated[str | None, option("--split", metavar="NAME", words="The part of the dataset.")] = None,
        category: Annotated[
            list[str] | None, option("--category", metavar="NAME", words="Only these questions. May be repeated.")
        ] = None,
        limit: Annotated[
            int | None,
            typer.Option(min=1, metavar="N", help="At most so many, of all categories; twins both or not at all."),
        ] = None,
        ask: Annotated[
            Literal["open", "choice"] | None, option("--ask", words="With lettered options or without.")
        ] = None,
        bad: Annotated[
            Literal["refuse", "skip"], option("--bad", words="What to do about entries that cannot be asked.")
        ] = "refuse",
        blind: Annotated[
            bool, option("--blind/--no-blind", words="Ask each stack's language model without the video too.")
        ] = True,
        jobs: Annotated[
            int, typer.Option(min=1, max=64, metavar="N", help="Questions that a model elsewhere may be asked at once.")
        ] = 4,
        judge: Annotated[
            str | None, option("--judge", metavar="PROVIDER:MODEL", words="A language model that scores open answers.")
        ] = None,
        judge_settings: Annotated[
            list[str] | None, option("--judge-set", metavar="KEY=VALUE", words="An option of it. May be repeated.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the bootstrap.")] = 0,
        settings: Settings = None,
        llm: Model = None,
        device: Device = None,
        hosts: Hosts = None,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        """Ask stacks the questions of a dataset and tell how many they answer right, and how many without seeing."""
        from videochat.cli.display import progress, say, show_values
        from videochat.cli.options import open_stack
        from videochat_plugins.learn.eval_folder import opened
        from videochat_plugins.learn.eval_formats import read
        from videochat_plugins.learn.eval_judge import Judge
        from videochat_plugins.learn.eval_report import report, results
        from videochat_plugins.learn.eval_show import show_report
        from videochat_plugins.learn.eval_systems import answer, named, score

        if out is not None and source.is_dir() and out.resolve() == source.resolve():
            raise typer.BadParameter("choose another folder than the dataset's own", param_hint="-o")
        if judge is None and judge_settings:
            raise typer.BadParameter("sets options of a judge: name it with --judge", param_hint="--judge-set")
        stacks = named([open_stack(name, settings, llm, device, hosts) for name in config or ["offline"]])
        reader = Judge(judge, judge_settings or (), device or "auto", hosts or ()) if judge is not None else None
        dataset = read(source, format, videos, split)
        dataset.check(skip=bad == "skip")
        examples = dataset.chosen(category or (), limit)
        choice = _choice(dataset, examples, ask)
        _tell(dataset)
        if reader:
            reader.prepare()
        with opened(out) as folder, progress(quiet):
            systems = answer(stacks, examples, choice, blind, folder, jobs)
            systems = score(systems, examples, choice, reader, folder)
            found = {
                **report(examples, systems, seed),
                "dataset": {**_about(source, dataset, examples), "split": split, "limit": limit},
                "ask": "choice" if choice else "open",
                "judge": reader.about() if reader else None,
                "stacks": {name: _settings(stack) for name, stack in stacks.items()},
            }
            folder.finish(found, results(examples, systems))
        if as_json:
            show_values(found)
        else:
            show_report(found)
        if out is not None:
            say(f"written to {out}")
        _finish(systems)


def _choice(dataset: "Dataset", examples: "Sequence[Example]", ask: str | None) -> bool:
    """Return whether to show lettered options.

    Raises:
        StackError: if that is wanted, and there are none.
    """
    if ask == "choice" and not any(example.candidates for example in examples):
        raise StackError("--ask choice: the questions of this dataset have no options to choose from")
    return dataset.choice if ask is None else ask == "choice"


def _tell(dataset: "Dataset") -> None:
    from videochat.cli.display import say
    from videochat_plugins.learn.eval_data import listed

    for problem in listed(dataset.problems):
        say(f"skipped: {problem}")
    for note in dataset.notes:
        say(f"note: {note}")


def _about(source: Path, dataset: "Dataset", examples: "Sequence[Example]") -> dict[str, Any]:
    """Return what was asked, as JSON values."""
    from dataclasses import asdict

    from videochat.cache import digest

    asked = [{**asdict(example), "video": example.video.name} for example in examples]
    return {
        "path": str(source),
        "videos": str(dataset.videos.folder),
        "questions": len(examples),
        "groups": len({example.group for example in examples}),
        "digest": digest(asked),
        "bad": [str(problem) for problem in dataset.problems],
    }


def _settings(stack: "Stack") -> dict[str, Any]:
    from videochat_plugins.learn.eval_run import key_of

    return {"key": key_of(stack), "prompt": stack.template.text, "filled": stack.filled()}


def _finish(systems: "Sequence[System]") -> None:
    """Say what went wrong, each thing once, and leave with the code of the worst."""
    import typer

    from videochat.cli.display import say

    lines = list(dict.fromkeys(_warnings(systems)))
    for line in lines[:_SHOWN]:
        say(line)
    if more := len(lines[_SHOWN:]):
        say(f"and {more:,} more warnings; -o keeps them all, in results.jsonl")
    if codes := [answered.code for system in systems for answered in system.answers if answered.code]:
        raise typer.Exit(min(codes))
    if any(answered.faults for system in systems for answered in system.answers):
        raise typer.Exit(5)


def _warnings(systems: "Sequence[System]") -> Iterator[str]:
    for system in systems:
        for answered in system.answers:
            yield from (f"warning: {system.name}: {fault}" for fault in answered.faults)
            if answered.error:
                yield f"error: {system.name}: {answered.error}"
        for verdict in system.verdicts:
            if verdict.reason:
                yield f"warning: {system.name}: set aside: {verdict.reason}"
