"""`videochat config check|fill|schema`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from videochat.cli.display import show
from videochat.cli.options import Hosts, Json, Model, Settings, open_stack
from videochat.errors import StackError

app = typer.Typer(no_args_is_help=True, help="Check a stack, print all its options, or print the schema for editors.")
Name = Annotated[str, typer.Argument(metavar="STACK", help="A name in configs/ or a YAML file.")]


@app.command()
def check(
    stack: Name = "offline",
    settings: Settings = None,
    llm: Model = None,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Say whether a stack is right, or everything that is wrong with it."""
    if not as_json:
        show(f"{open_stack(stack, settings, llm, None, hosts).name} is right")
        return
    try:
        open_stack(stack, settings, llm, None, hosts)
    except StackError as error:
        show(json.dumps({"stack": stack, "problems": [asdict(problem) for problem in error.problems]}))
        raise typer.Exit(error.exit_code) from None
    show(json.dumps({"stack": stack, "problems": []}))


@app.command()
def fill(
    stack: Name = "offline",
    settings: Settings = None,
    llm: Model = None,
    hosts: Hosts = None,
    as_json: Json = False,
) -> None:
    """Print a stack with every default written out."""
    import yaml

    filled = open_stack(stack, settings, llm, None, hosts).filled()
    show(json.dumps(filled) if as_json else yaml.safe_dump(filled, sort_keys=False, allow_unicode=True), end="")


@app.command()
def schema() -> None:
    """Print a JSON Schema of stacks, by which editors complete and check."""
    from videochat.schema import stack_schema

    show(json.dumps(stack_schema(), indent=1))
