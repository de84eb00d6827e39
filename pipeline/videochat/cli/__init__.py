"""The command line: one file for each command.

Exit codes: 0 good; 2 wrong usage or stack; 3 the video cannot be read; 4 the language model failed; 5 finished, but
some perceivers faulted; 6 a model or extra could not be had; 130 stopped with Ctrl-C.
"""

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from videochat.cli import ask, cache, chat, compare, config, explain, plan, plugins, watch
from videochat.cli.display import say, show
from videochat.errors import VideoChatError
from videochat.record import fold
from videochat.registry import registry


class _Group(TyperGroup):
    """Turns what is raised on purpose into one message and an exit code, for every command, also strangers'."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VideoChatError as error:
            say(f"error: {error}")
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            say("stopped; what was finished is kept, and the next run goes on from there")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # `videochat watch ... | head`
            sys.stderr.close()
            raise typer.Exit(0) from None
        except OSError as error:  # a full disk, a cache folder that cannot be written to
            say(f"error: {': '.join(filter(None, (error.filename, error.strerror or str(error))))}{_cure(error)}")
            raise typer.Exit(1) from None


def _cure(error: OSError) -> str:
    """Return what to do about a file of the cache that is gone or cannot be written."""
    from videochat.cache import root

    if not isinstance(error.filename, str | Path) or not Path(error.filename).is_relative_to(root()):
        return ""
    gone = isinstance(error, FileNotFoundError)
    return f"; {'the cache was cleared meanwhile: run it again' if gone else 'set VIDEOCHAT_CACHE to another folder'}"


def _print_version(wanted: bool) -> None:
    if wanted:
        show(f"videochat {version('videochat')}")
        raise typer.Exit


def _root(
    wanted: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def build() -> typer.Typer:
    """Return the command line with the commands of all plugins."""
    app = typer.Typer(
        name="videochat",
        cls=_Group,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Put a video in front of a language model.",
        callback=_root,
    )
    for command in (watch.watch, ask.ask, chat.chat, compare.compare, plan.plan, plugins.plugins, explain.explain):
        app.command()(command)
    app.add_typer(config.app, name="config")
    app.add_typer(cache.app, name="cache")
    for broken in registry().broken:
        say(f"warning: plugin {broken.plugin} ({broken.package}) was skipped: {broken.reason}")
    _add_commands(app)
    return app


def _add_commands(app: typer.Typer) -> None:
    """Let each plugin add its commands; one that fails at it is named and skipped."""
    for hook in registry().manager.hook.register_commands.get_hookimpls():
        try:
            hook.function(*(app for argument in hook.argnames if argument == "cli"))
        except Exception as error:  # a stranger's plugin may raise anything
            reason = fold(f"{type(error).__name__}: {error}")
            say(f"warning: plugin {hook.plugin_name}, hook register_commands, was skipped: {reason}")


def main() -> None:
    """Run the command line."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115 - open to the end
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a letter that cannot be shown or read must not end the run
    build()(prog_name="videochat")
