"""Makes one folder of VideoChat-Embed (arXiv 2305.06355) out of the files that its makers released.

The weights of the ViT, of the Q-Former and what VideoChat trained come from several files, the later over the earlier.
They are checked by name, shape and value before anything is written: the original loads whatever fits, and talks
nonsense if that is not all.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videochat import Event, StackError, UnavailableError
from videochat.cache import file_hash
from videochat.registry import registry
from videochat_plugins.learn.convert_names import folded, listed
from videochat_plugins.learn.convert_read import BLIP2, QFORMER, VIDEOCHAT, VIT, Look, look, read_folder, read_weights
from videochat_plugins.learn.convert_sizes import config_of, merged
from videochat_plugins.models.checkpoint import Checkpoint

if TYPE_CHECKING:
    from torch import Tensor

    from videochat_plugins.models.videochat_embed.config import VideoChatEmbedConfig

_QFORMER_WIDTH, _T5_WIDTH = 768, 4096  # of the released Q-Former, and of Flan-T5-XXL, which it was trained with
_SHOWN = 10  # names that a message lists, unless all are asked for
_EXPECTED: dict[str, Look] = {
    "--vit": VIT,
    "--qformer": QFORMER,
    "--blip2": BLIP2,
    "--stage1": VIDEOCHAT,
    "--videochat": VIDEOCHAT,
}
# What else the files hold, and this network does not: language side, text side and heads of the training before.
_KNOWN = {
    "--vit": r"visual_encoder\.((fc_)?norm|head|lm_head)\..*|visual_encoder\.mask_token",
    "--qformer": (
        r"(t5|opt|llm|vision|text)_proj\..*|itm_head\..*|temp|Qformer\.cls\..*|"
        r"Qformer\.bert\.(embeddings\.(word|position)_embeddings|encoder\.layer\.\d+\.(intermediate|output))\..*"
    ),
    "--blip2": (
        r"(language_model|language_projection|embeddings|vision_projection|text_projection|itm_head)\..*|"
        r"qformer\.(embeddings|encoder\.layer\.\d+\.(intermediate|output))\..*"
    ),
}
# Which option brings a weight.
_TRAINED = ("--videochat", "--stage1")
_BRINGS = (
    (r"gmhra|extra_query_tokens|llama_proj|vision_model\.post_layernorm", _TRAINED),
    (r"vision_model\.", ("--vit", "--blip2")),
    (r"qformer\.|query_tokens", ("--qformer", "--blip2")),
)
_LAYER = re.compile(r"vision_model\.encoder\.layers\.(\d+)\.")


@dataclass(slots=True)
class Source:
    """A file that weights come from."""

    option: str  # that named it
    path: Path
    weights: dict[str, "Tensor"]  # by our names
    unknown: list[str] = field(default_factory=list)  # by the file's names
    ignored: list[str] = field(default_factory=list)
    doubt: str = ""  # what fits, and yet is not what VideoChat was trained with

    def __str__(self) -> str:
        return f"{self.path} ({self.option})"

    def facts(self, used: int) -> dict[str, Any]:
        """Return what JSON tells of it; `used`: how many of its weights are in the network."""
        size, digest = self.path.stat().st_size, file_hash(self.path)
        known = {"option": self.option, "file": self.path.name, "bytes": size, "sha256": digest, "weights": used}
        return {**known, "ignored": folded(self.ignored)}


@dataclass(frozen=True, slots=True)
class Network:
    """Checked weights, what they make, and where they came from."""

    config: "VideoChatEmbedConfig"
    weights: dict[str, "Tensor"]
    sources: Sequence[dict[str, Any]]
    warnings: Sequence[str]


def assemble(files: Mapping[str, Path], known: Mapping[str, Any], every_name: bool = False) -> Network:
    """Return the network that released files make together, after checking that it is whole.

    Args:
        files: by option; `--vit` and `--qformer`, or the folder `--blip2`; `--stage1`, `--videochat` or both. In this
            order a later one replaces what an earlier one says.
        known: values of config.json that the weights do not tell, such as numbers of heads.
        every_name: whether messages list all names, not the first few.

    Raises:
        StackError: if files are lacking, or given twice.
        UnavailableError: if a file cannot be read or is another than it was given as, if weights are missing, unknown,
            of a wrong shape or no numbers, or if files contradict each other; each with its file.
    """
    _check_options(files)
    sources = list(_read_all(files))
    shown = None if every_name else _SHOWN
    origin: dict[str, Source] = {}
    clashes = []
    for source in sources:
        for name, weight in source.weights.items():
            before = origin.get(name)
            if before and (other := before.weights[name].shape) != weight.shape:
                clashes.append(f"{name} is {tuple(other)} in {before} and {tuple(weight.shape)} in {source}")
            origin[name] = source
    if clashes:
        why = " (one is of the 7B, the other of the 13B model)" if "llama_proj" in clashes[0] else ""
        raise UnavailableError("\n".join([f"files of different networks{why}:", *listed(clashes, shown)]))
    weights = {name: source.weights[name] for name, source in origin.items()}
    told = _of_folder(files["--blip2"]) if "--blip2" in files else {}
    config = config_of({name: tuple(weight.shape) for name, weight in weights.items()}, merged(told, known))
    _drop_last_blocks(config.vision_config.num_hidden_layers, weights, origin)
    if faults := list(_faults(config, weights, origin, sources, shown)):
        raise UnavailableError("\n".join(["these files make no whole VideoChat-Embed:", *faults]))
    facts = []
    for done, source in enumerate(sources):
        tell("sha256", done, len(sources), source.path.name)
        facts.append(source.facts(sum(origin[name] is source for name in weights)))
    return Network(config, weights, facts, [f"{source}: {source.doubt}" for source in sources if source.doubt])


def tell(name: str, done: int, total: int, words: str) -> None:
    """Tell observers how far the conversion is."""
    registry().observe(Event("convert", name, done, total, detail=words))


def _check_options(files: Mapping[str, Path]) -> None:
    frozen = files.keys() & {"--vit", "--qformer", "--blip2"}
    if frozen not in ({"--vit", "--qformer"}, {"--blip2"}):
        raise StackError("give both --vit and --qformer, or --blip2 instead of them")
    if not files.keys() & {"--videochat", "--stage1"}:
        raise StackError("give --videochat, the file that VideoChat's training wrote, or --stage1")


def _read_all(files: Mapping[str, Path]) -> Iterator[Source]:
    """Yield what each file brings, in the order in which later ones win.

    Raises:
        UnavailableError: telling of every file that cannot be read or is given as what it is not.
    """
    faults = []
    given = [option for option in _EXPECTED if option in files]
    for done, option in enumerate(given):
        tell("read", done, len(given), files[option].name)
        try:
            yield from _read(option, files[option])
        except UnavailableError as error:
            faults.append(f"{option}: {error}")
    if faults:
        raise UnavailableError("\n".join(faults))


def _read(option: str, path: Path) -> Iterator[Source]:
    from videochat_plugins.models.videochat_embed.released import rename

    known = re.compile(_KNOWN.get(option, r"(?!)"))
    found = _read_blip2(path) if option == "--blip2" else {path: read_weights(path)}
    everything = {name: weight for state in found.values() for name, weight in state.items()}
    _check_look(path, _EXPECTED[option], everything)
    doubt = _doubt(everything) if option in ("--qformer", "--blip2") else ""
    for file, state in found.items():
        if option == "--vit":  # saved by itself, so without its place in the whole
            state = {f"visual_encoder.{name.removeprefix('visual_encoder.')}": w for name, w in state.items()}
        if option == "--blip2":
            weights = {name: weight for name, weight in state.items() if not known.fullmatch(name)}
            unknown = [name for name in state if name not in weights]
        else:
            weights, unknown = rename(state)
        ignored = [name for name in unknown if known.fullmatch(name)]
        if weights or not ignored:  # a shard of nothing but the language model is no source
            yield Source(option, file, weights, [name for name in unknown if name not in ignored], ignored, doubt)
        doubt = ""  # told once


def _read_blip2(folder: Path) -> dict[Path, dict[str, "Tensor"]]:
    checkpoint = Checkpoint(str(folder))
    checkpoint.check()
    if checkpoint.path is None:
        raise UnavailableError(f"there is no folder {folder}: run `hf download {folder}` where there is a network")
    if (found := checkpoint.config().get("model_type")) != "blip-2":
        raise UnavailableError(f"{folder} is a {found} model, and this needs a BLIP-2 of transformers")
    return read_folder(checkpoint.path)


def _doubt(weights: Mapping[str, "Tensor"]) -> str:
    """Return why a full-size Q-Former is not the one that VideoChat was trained with, as far as that can be told."""
    t5 = any(name.startswith(("t5_proj.", "language_model.encoder.")) for name in weights)
    to_text = weights.get("t5_proj.weight", weights.get("language_projection.weight"))
    released = to_text is not None and t5 and len(to_text) == _T5_WIDTH
    if released or "query_tokens" not in weights or weights["query_tokens"].shape[-1] != _QFORMER_WIDTH:
        return ""
    return "not the Q-Former that VideoChat was trained with, that of BLIP-2 with Flan-T5-XXL; answers will suffer"


def _check_look(path: Path, expected: Look, names: Iterable[str]) -> None:
    names = list(names)
    found = look(names)
    if found is expected:
        return
    some = ", ".join(sorted(names)[:3])
    if found is None:
        raise UnavailableError(f"{path} is not {expected.what}: it holds {some}, ...")
    raise UnavailableError(f"{path} is not {expected.what}: it looks like {found.what} ({some}, ...); {found.mend}")


def _of_folder(folder: Path) -> dict[str, Any]:
    """Return what the config.json of a BLIP-2 tells beyond the shapes of its weights."""
    found = Checkpoint(str(folder)).config()
    parts = {part: found.get(part) or {} for part in ("vision_config", "qformer_config")}
    key = "num_attention_heads"
    return {part: {key: sizes[key]} for part, sizes in parts.items() if key in sizes}


def _drop_last_blocks(depth: int, weights: dict[str, "Tensor"], origin: Mapping[str, Source]) -> None:
    """Leave out the blocks of the ViT behind the last one that is read."""
    behind = {name: found[0] for name in weights if (found := _LAYER.match(name)) and int(found[1]) >= depth}
    for name, block in behind.items():
        if (whole := f"{block}*") not in (ignored := origin[name].ignored):
            ignored.append(whole)
        del weights[name]


def _faults(
    config: "VideoChatEmbedConfig",
    weights: Mapping[str, "Tensor"],
    origin: Mapping[str, Source],
    sources: Sequence[Source],
    shown: int | None,
) -> Iterator[str]:
    """Yield lines that tell what keeps weights from being the whole network, grouped by file."""
    import torch

    from videochat_plugins.models.videochat_embed.network import VideoChatEmbed

    with torch.device("meta"):
        wanted = VideoChatEmbed(config).state_dict()
    paths = {source.option: source.path for source in sources}
    lacking: dict[str, list[str]] = defaultdict(list)
    for name in wanted:
        brings = next(those for pattern, those in _BRINGS if re.match(pattern, name))
        # BLIP-2 has a ln_vision too, but as it was before VideoChat's training.
        if name not in weights or (brings is _TRAINED and origin[name].option not in brings):
            lacking[next(option for option in brings if option in paths)].append(name)
    for option, names in lacking.items():
        where = paths[option].parent if option == "--blip2" else paths[option]
        yield from _group(f"{where} ({option}) lacks", folded(names), shown)
    for source in sources:
        mine = [name for name in weights if origin[name] is source]
        strange = [name for name in mine if name not in wanted]
        yield from _group(f"{source} has unknown", folded([*source.unknown, *strange]), shown)
        shapes = [(name, tuple(weights[name].shape), tuple(wanted[name].shape)) for name in mine if name in wanted]
        wrong = [f"{name}: {has}, and it should be {asks}" for name, has, asks in shapes if has != asks]
        yield from _group(f"{source} has wrong shapes for", wrong, shown)
        bad = [name for name in mine if name in wanted and not _is_sound(weights[name])]
        yield from _group(f"{source} has no finite numbers in", folded(bad), shown)


def _group(title: str, names: Sequence[str], shown: int | None) -> list[str]:
    return [f"{title}:", *listed(names, shown)] if names else []


def _is_sound(weight: "Tensor") -> bool:
    import torch

    floats = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    plain = weight.dtype in floats and weight.layout == torch.strided and not weight.is_meta
    return bool(plain and weight.isfinite().all())
