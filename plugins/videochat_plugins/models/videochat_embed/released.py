"""The names that the released files give to the weights of VideoChat-Embed, and ours.

The original keeps EVA's and LAVIS's names; ours are those of transformers' BLIP-2 classes, and its own for the rest.
"""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_END = r"(weight|bias)"
_BLOCK, _LAYER = r"visual_encoder\.blocks\.(\d+)", r"Qformer\.bert\.(encoder\.layer\.\d+\."
_OUR_BLOCK = r"vision_model.encoder.layers.\1"
_RULES = [
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"visual_encoder\.cls_token", "vision_model.embeddings.class_embedding"),
        (r"visual_encoder\.pos_embed", "vision_model.embeddings.position_embedding"),
        (rf"visual_encoder\.patch_embed\.proj\.{_END}", r"vision_model.embeddings.patch_embedding.\1"),
        (rf"{_BLOCK}\.norm([12])\.{_END}", rf"{_OUR_BLOCK}.layer_norm\2.\3"),
        (rf"{_BLOCK}\.attn\.qkv\.weight", rf"{_OUR_BLOCK}.self_attn.qkv.weight"),
        (rf"{_BLOCK}\.attn\.proj\.{_END}", rf"{_OUR_BLOCK}.self_attn.projection.\2"),
        (rf"{_BLOCK}\.mlp\.(fc[12])\.{_END}", rf"{_OUR_BLOCK}.mlp.\2.\3"),
        (r"visual_encoder\.(gmhra_cls_token)", r"\1"),
        (r"visual_encoder\.(gmhra\.\d+\.attn\.in_proj_(?:weight|bias))", r"\1"),
        (rf"visual_encoder\.(gmhra\.\d+\.(?:dpe|attn\.out_proj|ln_[123]|mlp\.c_(?:fc|proj)))\.{_END}", r"\1.\2"),
        (rf"ln_vision\.{_END}", r"vision_model.post_layernorm.\1"),
        (r"query_tokens|extra_query_tokens|llama_proj\.(?:weight|bias)", r"\g<0>"),
        (rf"Qformer\.bert\.embeddings\.LayerNorm\.{_END}", r"qformer.layernorm.\1"),
        (rf"{_LAYER}(?:cross)?attention)\.self\.(query|key|value)\.{_END}", r"qformer.\1.attention.\2.\3"),
        (rf"{_LAYER}(?:cross)?attention\.output\.(?:dense|LayerNorm))\.{_END}", r"qformer.\1.\2"),
        (rf"{_LAYER}(?:intermediate_query\.dense|output_query\.(?:dense|LayerNorm)))\.{_END}", r"qformer.\1.\2"),
    )
]
_BIAS = re.compile(rf"{_BLOCK}\.attn\.[qv]_bias")
_BUFFER = re.compile(
    r"Qformer\.bert\.embeddings\.position_ids|llama_model\.model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
)


def rename(state: Mapping[str, "Tensor"]) -> tuple[dict[str, "Tensor"], list[str]]:
    """Return weights under our names, and the names that are none of the network's.

    What the network does not need (positions that are counted, not learned) is dropped. Shapes are left as they are,
    but for the patch embedding, which may be that of single frames (C, 3, p, p) or of videos (C, 3, 1, p, p). A block's
    query and value biases become one of query, key and value, the key's zero; one without the other is not known.

    Args:
        state: weights by the names of the released files: `visual_encoder.*`, `ln_vision.*`, `Qformer.bert.*`,
            `query_tokens`, `extra_query_tokens` and `llama_proj.*`, or any part of them.
    """
    import torch

    renamed: dict[str, Tensor] = {}
    unknown: list[str] = []
    for name, weight in state.items():
        if _BUFFER.fullmatch(name):
            continue
        if found := _BIAS.fullmatch(name):
            stem = name.removesuffix("q_bias").removesuffix("v_bias")
            pair = [state.get(f"{stem}{which}_bias") for which in "qv"]
            match pair:
                case [torch.Tensor(ndim=1) as query, torch.Tensor(ndim=1) as value]:
                    whole = torch.cat([query, torch.zeros_like(query), value])
                    renamed[found.expand(rf"{_OUR_BLOCK}.self_attn.qkv.bias")] = whole
                case _:
                    unknown.append(name)
        elif ours := our_name(name):
            video = name == "visual_encoder.patch_embed.proj.weight" and weight.ndim == 5 and weight.shape[2] == 1
            renamed[ours] = weight.squeeze(2) if video else weight
        else:
            unknown.append(name)
    return renamed, unknown


def our_name(name: str) -> str | None:
    """Return our name of a single released weight; None where it has none of its own."""
    for theirs, ours in _RULES:
        if found := theirs.fullmatch(name):
            return found.expand(ours)
    return None
