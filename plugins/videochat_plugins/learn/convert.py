"""`videochat convert`."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from videochat import UnavailableError, hookimpl

if TYPE_CHECKING:
    import typer

_NEEDS = ("torch", "transformers")


@hookimpl
def register_commands(cli: "typer.Typer") -> None:
    """Add `videochat convert`."""
    import typer

    from videochat.cli.options import Json, Quiet

    def file(words: str, metavar: str = "FILE") -> Any:
        return typer.Option(metavar=metavar, help=words)

    def flag(name: str, words: str) -> Any:
        return typer.Option(name, help=words)

    @cli.command()
    def convert(
        out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
        vit: Annotated[Path | None, file("EVA's ViT: eva_vit_g.pth.")] = None,
        qformer: Annotated[Path | None, file("BLIP-2's Q-Former: blip2_pretrained_flant5xxl.pth.")] = None,
        blip2: Annotated[
            Path | None, file("Instead of both: transformers' blip2-flan-t5-xxl, downloaded.", "FOLDER")
        ] = None,
        videochat: Annotated[Path | None, file("What VideoChat trained: videochat_7b.pth.")] = None,
        stage1: Annotated[
            Path | None, file("The same after the first stage: videochat_7b_stage1.pth; --videochat goes over it.")
        ] = None,
        llm: Annotated[str, file("The language model it was trained for: a folder, or a hub's name.", "NAME")] = "",
        config: Annotated[Path | None, file("JSON for config.json: what the weights do not tell.")] = None,
        precision: Annotated[
            Literal["released", "float32", "bfloat16", "float16"], typer.Option(help="Of the weights that are written.")
        ] = "released",
        check: Annotated[bool, flag("--check", "Only say whether the files fit; write nothing.")] = False,
        force: Annotated[bool, flag("--force", "Replace a folder that this command wrote.")] = False,
        verbose: Annotated[bool, flag("--verbose", "List all names of weights, not the first few.")] = False,
        quiet: Quiet = False,
        as_json: Json = False,
    ) -> None:
        """Make a folder for `embed.videochat` of the files that VideoChat's makers released."""
        from videochat.cli.display import progress, say, show_values
        from videochat_plugins.learn.convert_embed import assemble
        from videochat_plugins.learn.convert_llm import tie
        from videochat_plugins.learn.convert_sizes import read_config
        from videochat_plugins.learn.convert_write import check_target, write

        given = {"--vit": vit, "--qformer": qformer, "--blip2": blip2, "--stage1": stage1, "--videochat": videochat}
        _check_packages()
        if not check:
            check_target(out, force)
        known = read_config(config) if config else {}
        with progress(quiet):
            network = assemble({option: path for option, path in given.items() if path}, known, verbose)
            warnings = [*network.warnings, *tie(network.config, llm)]
            if not check:
                write(network, out, precision)
        for warning in warnings:
            say(f"warning: {warning}")
        facts = _facts(network, precision) | {"folder": None if check else str(out), "warnings": warnings}
        if as_json:
            show_values(facts)
        else:
            _show(facts, out)


def _check_packages() -> None:
    """Make sure that the networks' packages are here.

    Raises:
        UnavailableError: with the command that gets them.
    """
    if absent := [name for name in _NEEDS if find_spec(name) is None]:
        raise UnavailableError(f'convert needs {", ".join(absent)}: pip install "videochat[models]"')


def _facts(network: Any, precision: str) -> dict[str, Any]:
    """Return what was made, as JSON has it."""
    config = network.config
    return {
        "parameters": sum(weight.numel() for weight in network.weights.values()),
        "vision": {"width": config.vision_config.hidden_size, "blocks": config.vision_config.num_hidden_layers},
        "gmhra": config.gmhra_layers,
        "tokens": config.num_queries + config.num_extra_queries,
        "width": config.llm_width,
        "llm": config.llm,
        "space": config.space,
        "precision": precision,
        "sources": [*network.sources],
    }


def _show(facts: dict[str, Any], out: Path) -> None:
    from videochat.cli.display import show, table

    rows = [
        (one["option"], one["file"], f"{one['bytes'] / 1e6:.1f}", one["weights"], one["sha256"][:12])
        for one in facts["sources"]
    ]
    table(("option", "file", "MB", "weights", "sha256"), rows, right=("MB", "weights"))
    for one in facts["sources"]:
        if one["ignored"]:
            show(f"{one['file']}: not needed: {', '.join(one['ignored'])}")
    vision = facts["vision"]
    blocks = f"{vision['blocks']} blocks of width {vision['width']}, GMHRA after the last {facts['gmhra']}"
    show(f"\nViT of {blocks}; {facts['parameters']:,} parameters in all")
    show(f"{facts['tokens']} tokens of {facts['width']} for {facts['llm'] or 'a language model not named'}")
    if facts["space"]:
        show(f"space {facts['space']}")
    show(f"written to {out}" if facts["folder"] else "the files fit; nothing was written")
