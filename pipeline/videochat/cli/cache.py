"""`videochat cache` and `videochat cache clear`."""

import json

import typer

from videochat.cli.display import say, show
from videochat.cli.options import Json

app = typer.Typer(help="Show where the cache is and how large, or clear it.")


@app.callback(invoke_without_command=True)
def info(ctx: typer.Context, as_json: Json = False) -> None:
    """Show where the cache is and how large."""
    if ctx.invoked_subcommand:
        return
    from videochat import cache

    videos, size = cache.size()
    if as_json:
        show(json.dumps({"folder": str(cache.root()), "videos": videos, "bytes": size}))
    else:
        show(f"{cache.root()}: {videos} videos, {size / 2**20:.1f} MB")


@app.command()
def clear(as_json: Json = False) -> None:
    """Delete all that the cache holds."""
    from videochat import cache

    freed = cache.clear()
    left, _ = cache.size()
    if left:
        say(f"note: {left} video{'s' * (left > 1)} stayed in the cache: being watched now")
    show(json.dumps({"freed": freed}) if as_json else f"freed {freed / 2**20:.1f} MB")
