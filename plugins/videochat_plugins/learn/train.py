"""`videochat train`."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from videochat import UnavailableError, hookimpl

if TYPE_CHECKING:
    import typer

_NEEDS = ("torch", "transformers", "accelerate")


@hookimpl
def register_commands(cli: "typer.Typer") -> None:
    """Add `videochat train`."""
    import typer

    from videochat.cli.options import Json, Quiet

    @cli.command()
    def train(
        stage: Annotated[Literal["stage1", "stage2"], typer.Argument(help="Alignment, or instruction tuning.")],
        config: Annotated[Path, typer.Argument(metavar="CONFIG", help="What to train, a YAML file.")],
        check: Annotated[bool, typer.Option("--check", help="Only check config and data; train nothing.")] = False,
        force: Annotated[bool, typer.Option("--force", help="Replace what an earlier training wrote.")] = False,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        """Train VideoChat-Embed on captions, or on talks; goes on from where it was interrupted."""
        from videochat.cli.display import progress, say, show, show_values
        from videochat_plugins.learn.train_config import read_config
        from videochat_plugins.learn.train_run import prepare
        from videochat_plugins.learn.train_run import train as run

        read = read_config(config, stage)
        _check_packages(getattr(read, "lora", None) is not None)
        first = os.environ.get("RANK", "0") == "0"  # of the processes that `accelerate launch` started
        prepared = prepare(read, stage)
        for problem in prepared.problems if first else ():
            say(f"warning: left out: {problem}")
        if check:
            facts = {
                "data": {medium: len(prepared.data.of(medium)) for medium in ("image", "video")},
                "left_out": [str(problem) for problem in prepared.problems],
                "over_long": prepared.over_long(),
            }
            show_values(facts) if as_json else show(_checked(facts, read.length))
            return
        with progress(quiet or not first):
            facts = run(prepared, force)
        for told in facts["unread"] if first else ():
            say(f"warning: another clip was taken for one that cannot be read: {told}")
        if first:
            show_values(facts) if as_json else show(_told(facts))


def _check_packages(lora: bool) -> None:
    """Make sure that the networks' packages are here.

    Raises:
        UnavailableError: with the command that gets them.
    """
    for needed, extra in ((_NEEDS, "train"), (("peft",) if lora else (), "lora")):
        if absent := [name for name in needed if find_spec(name) is None]:
            raise UnavailableError(f'train needs {", ".join(absent)}: pip install "videochat[{extra}]"')


def _checked(facts: dict[str, Any], length: int) -> str:
    lines = [f"{facts['data']['video']} videos, {facts['data']['image']} images; {len(facts['left_out'])} left out"]
    lines += [f"{where}: over {length} tokens of text" for where in facts["over_long"][:10]]
    if facts["over_long"]:
        lines.append(f"{len(facts['over_long'])} texts are over long")
    return "\n".join(lines)


def _told(facts: dict[str, Any]) -> str:
    """Return what came of a training, for people."""
    media, parameters = facts["data"], facts["parameters"]
    resumed = f", resumed after {facts['resumed']}" if facts["resumed"] else ""
    lines = [
        f"{facts['stage']}: {facts['steps']} steps{resumed}, {facts['seconds']:.1f} s",
        f"{media['video']} videos, {media['image']} images; {len(facts['left_out'])} left out, "
        f"{facts['unreadable']} times one could not be read, {facts['cut']} times a text was cut",
        f"{parameters['trained']:,} of {parameters['all']:,} parameters trained",
    ]
    for name in ("loss", "eval_loss"):
        if ends := facts[name]:
            lines.append(f"{name} {ends['first']:.4f} -> {ends['last']:.4f}")
    return "\n".join([*lines, f"written to {facts['config']['out']}"])
