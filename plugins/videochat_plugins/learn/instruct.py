"""`videochat instruct`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from videochat import Stack, StackError, hookimpl
from videochat.errors import Problem
from videochat.registry import registry

if TYPE_CHECKING:
    import typer


@hookimpl
def register_commands(cli: "typer.Typer") -> None:
    """Add `videochat instruct`."""
    import typer

    from videochat.cli.options import Device, Hosts, Json, Model, Quiet, Settings, StackName

    @cli.command()
    def instruct(
        videos: Annotated[list[Path], typer.Argument(metavar="VIDEO...", help="Videos, or folders of them.")],
        out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="The folder to write.")],
        config: StackName = "offline",
        llm: Model = None,
        make: Annotated[
            str, typer.Option(metavar="WHAT", help="Of descriptions, conversations and captions, with commas between.")
        ] = "descriptions,conversations",
        jobs: Annotated[int, typer.Option(min=1, max=64, help="Requests that may be under way at once.")] = 4,
        retry: Annotated[bool, typer.Option("--retry", help="Ask again for what was set aside before.")] = False,
        plan: Annotated[bool, typer.Option("--plan", help="Only say what it would cost; ask nothing.")] = False,
        seed: Annotated[int, typer.Option(help="Of the instructions that descriptions answer.")] = 0,
        settings: Settings = None,
        device: Device = None,
        hosts: Hosts = None,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        """Make training data of videos: a language model writes descriptions and conversations of what a stack saw."""
        import typer

        from videochat.cli.display import progress
        from videochat.cli.options import open_stack
        from videochat.save import check_folder
        from videochat_plugins.learn.instruct_parts import Parts
        from videochat_plugins.learn.instruct_plan import forecast
        from videochat_plugins.learn.instruct_prompts import Prompts
        from videochat_plugins.learn.instruct_report import Report, show_forecast
        from videochat_plugins.learn.instruct_run import Making, run
        from videochat_plugins.learn.instruct_sources import find

        wanted = _wanted(make)
        stack = open_stack(config, settings, llm, device, hosts)
        check_folder(out)
        _check_writes(stack, wanted)
        making = Making(stack, Prompts.read(), wanted, seed)
        sources = find(stack, videos, out)
        if plan:
            show_forecast(forecast(making, sources.found, Parts(out), retry), making, sources, as_json)
            return
        with Parts.writing(out) as parts, progress(quiet):
            outcome = run(making, sources.found, parts, jobs, retry)
            report = Report.write(making, sources, parts, outcome)
        report.show(as_json)
        if report.exit_code:
            raise typer.Exit(report.exit_code)


def _wanted(words: str) -> tuple[str, ...]:
    """Return what `--make` asks for, each once.

    Raises:
        StackError: if it names something else.
    """
    from videochat_plugins.learn.instruct_prompts import MAKE

    wanted = dict.fromkeys(word.strip() for word in words.split(",") if word.strip())
    if not wanted or not wanted.keys() <= set(MAKE):
        raise StackError([Problem("--make", "", f"must be of {', '.join(MAKE)}, with commas between, not {words!r}")])
    return tuple(wanted)


def _check_writes(stack: Stack, make: Sequence[str]) -> None:
    """Make sure that the language model can write.

    Raises:
        StackError: if it can only repeat what it is shown.
    """
    from videochat_plugins.learn.asking import QUOTING

    use = registry().name_of(type(stack.llm))
    if use in QUOTING and tuple(make) != ("captions",):
        advice = "name one that writes, as --llm openai:gpt-4o-mini, or make captions only"
        raise StackError([Problem(stack.spec.at(("llm",)), "llm", f"{use} repeats what it is shown: {advice}")])
