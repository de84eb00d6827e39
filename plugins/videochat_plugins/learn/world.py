"""`videochat world make`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from videochat import hookimpl

if TYPE_CHECKING:
    import typer


@hookimpl
def register_commands(cli: "typer.Typer") -> None:
    """Add `videochat world make`."""
    import typer

    from videochat.cli.options import Json, Quiet

    app = typer.Typer(no_args_is_help=True, help="Make a small world of videos of which everything is known.")
    cli.add_typer(app, name="world")

    @app.callback()
    def world() -> None:
        """Make a small world of videos of which everything is known."""

    @app.command()
    def make(
        out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write, or to go on with.")],
        videos: Annotated[int, typer.Option(min=1, max=99_999, help="How many; each comes with its reverse.")] = 100,
        seed: Annotated[int, typer.Option(min=0, help="Another seed, another world.")] = 0,
        things: Annotated[
            int | None,
            typer.Option(min=1, max=5, help="In a scene, at most, that never meet. Default: stories of two to five."),
        ] = None,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        """Write videos of moving shapes with captions, descriptions, the truth about them, and questions.

        A run that was stopped goes on where it was. Every fifth video is for tests.
        """
        from videochat.cli.display import progress, show
        from videochat_plugins.learn.world_render import need_cv2
        from videochat_plugins.learn.world_write import check_target
        from videochat_plugins.learn.world_write import make as write

        need_cv2()
        check_target(out, seed, videos, things or 0)
        with progress(quiet):
            facts = write(out, seed, videos, things or 0)
        if as_json:
            show(json.dumps(facts))
        else:
            _show(facts)


def _show(facts: dict[str, Any]) -> None:
    from videochat.cli.display import show, table

    kinds = facts["kinds"].items()
    table(("questions", ""), [*kinds, *facts["splits"].items(), ("all", facts["questions"])], right=("",))
    show(f"\n{facts['videos']} videos and their reverses, {facts['written']} files written now")
    show(f"written to {facts['folder']}")
