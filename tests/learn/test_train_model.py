"""The network that is trained: what of it learns, what stays, and what the language model is fed."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from local_llm import save as save_llm
from tiny_videochat import tiny_network
from videochat_plugins.learn.train_model import TRAINED, Learner, digest_of
from videochat_plugins.models.videochat_embed.released import our_name

ROWS, WIDTH = 5, 32


@pytest.fixture(scope="module")
def llm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llm(tmp_path_factory.mktemp("models") / "llm", chat=False)


@pytest.fixture
def llm(llm_folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(llm_folder)


def batch(rows: int = 2, frames: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """Talks of 4 ids, 5 embeddings, and 8 ids of which the last 3 are learnt; the second row is two shorter."""
    chance = torch.Generator().manual_seed(seed)
    length = 4 + ROWS + 8
    ids = torch.randint(4, 200, (rows, length), generator=chance)
    ids[:, 0] = 1
    visual, mask = torch.zeros(rows, length, dtype=torch.bool), torch.ones(rows, length, dtype=torch.long)
    visual[:, 4 : 4 + ROWS] = True
    labels = torch.full((rows, length), -100)
    labels[:, -3:] = ids[:, -3:]
    labels[1:, -2:], mask[1:, -2:] = -100, 0
    return {
        "pixel_values": torch.randn(rows, frames, 3, 28, 28, generator=chance),
        "times": torch.arange(frames).expand(rows, -1).double(),
        "input_ids": ids,
        "visual": visual,
        "attention_mask": mask,
        "labels": labels,
    }


def test_trained_are_the_papers_parts_and_no_others(llm: Any) -> None:
    learner = Learner(tiny_network(), llm)
    names = {name.removeprefix("network.") for name in learner.trained()}
    stems = {name.partition(".")[0] for name in names}
    assert stems == {"gmhra", "gmhra_cls_token", "vision_model", "extra_query_tokens", "llama_proj"}
    vision = {name for name in names if name.startswith("vision_model")}
    assert vision == {"vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias"}
    assert len(names) == 2 * 16 + 1 + 2 + 1 + 2  # of the released eight blocks: 134
    assert not any(weight.requires_grad for weight in llm.parameters())


def test_they_are_those_that_the_released_file_holds() -> None:
    released = [
        "visual_encoder.gmhra_cls_token",
        "visual_encoder.gmhra.7.dpe.weight",
        "visual_encoder.gmhra.0.attn.in_proj_bias",
        "ln_vision.weight",
        "extra_query_tokens",
        "llama_proj.bias",
    ]
    frozen = ["query_tokens", "visual_encoder.pos_embed", "Qformer.bert.embeddings.LayerNorm.weight"]
    assert all(TRAINED.fullmatch(our_name(name) or "") for name in released)
    assert not any(TRAINED.fullmatch(our_name(name) or "") for name in frozen)


def test_nothing_that_is_frozen_drops_out_and_gmhra_does(llm: Any) -> None:
    learner = Learner(tiny_network(qformer_config={"hidden_dropout_prob": 0.5}), llm).train()
    training = {type(m).__name__ for m in learner.modules() if m.training and isinstance(m, nn.Dropout)}
    assert training == {"Dropout"}
    dropouts = {name for name, m in learner.named_modules() if isinstance(m, nn.Dropout) and m.training}
    assert dropouts == {"network.gmhra.0.mlp.dropout", "network.gmhra.1.mlp.dropout"}
    assert not learner.llm.training
    one, two = (learner(**batch())["loss"] for _ in range(2))
    assert one != two
    learner.eval()
    one, two = (learner(**batch())["loss"] for _ in range(2))
    assert torch.equal(one, two)


def fed(learner: Learner, given: dict[str, Tensor]) -> Tensor:
    """What the language model is fed: (B, L, C)."""
    found: list[Tensor] = []
    hook = learner.llm.register_forward_pre_hook(
        lambda module, args, how: found.append(how["inputs_embeds"]), with_kwargs=True
    )
    learner(**given)
    hook.remove()
    return found[0].detach()


def test_the_language_model_is_fed_its_own_embeddings_bos_first_and_the_videos_between(llm: Any) -> None:
    """The original writes the number of BOS, 1.0, into all of its embedding."""
    learner, given = Learner(tiny_network(), llm), batch()
    rows = fed(learner, given)
    table = llm.get_input_embeddings().weight
    assert torch.equal(rows[:, 0], table[1].expand(2, -1))
    assert not torch.equal(rows[0, 0], torch.ones(WIDTH))
    assert torch.equal(rows[~given["visual"]], table[given["input_ids"][~given["visual"]]])
    tokens = learner.network(given["pixel_values"], given["times"])
    assert torch.equal(rows[:, 4 : 4 + ROWS], tokens.detach())


def test_the_loss_is_the_mean_over_what_is_learnt_alone(llm: Any) -> None:
    learner, given = Learner(tiny_network(), llm), batch()
    rows = fed(learner, given)
    logits = llm(inputs_embeds=rows, attention_mask=given["attention_mask"]).logits
    losses = [
        -logits[row, at - 1].log_softmax(-1)[given["input_ids"][row, at]]
        for row, at in (given["labels"] != -100).nonzero().tolist()
    ]
    assert len(losses) == 4
    assert torch.allclose(learner(**given)["loss"], torch.stack(losses).mean(), atol=1e-5)
    assert torch.allclose(learner(**given, num_items_in_batch=8)["loss"], torch.stack(losses).sum() / 8, atol=1e-5)


def test_what_fills_a_row_up_changes_nothing(llm: Any) -> None:
    learner, given = Learner(tiny_network(), llm), batch()
    other = {name: value.clone() for name, value in given.items()}
    other["input_ids"][1, -2:] = 77
    assert torch.allclose(learner(**given)["loss"], learner(**other)["loss"], atol=1e-6)


@pytest.mark.parametrize("frames", [1, 3])
def test_every_trained_weight_gets_a_gradient_and_no_other(llm: Any, frames: int) -> None:
    learner = Learner(tiny_network(), llm)
    learner(**batch(frames=frames))["loss"].backward()
    with_gradient = {name for name, weight in learner.named_parameters() if weight.grad is not None}
    assert with_gradient == {*learner.trained()}


def gradients(learner: Learner) -> dict[str, Tensor]:
    learner(**batch())["loss"].backward()
    return {name: weight.grad for name, weight in learner.named_parameters() if weight.grad is not None}


def test_computing_activations_again_gives_the_same_gradients(llm: Any) -> None:
    plain = gradients(Learner(tiny_network(), llm))
    learner = Learner(tiny_network(), llm, checkpointing=True)
    calls: list[str] = []
    for layer in (llm.model.layers[0].self_attn, learner.network.qformer.encoder.layer[0].attention):
        layer.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    again = gradients(learner)
    assert len(calls) == 4  # each forward twice
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[name], again[name], atol=1e-6) for name in plain)


def test_digests_tell_weights_their_names_and_numbers_apart() -> None:
    weights = {"a": torch.arange(4.0), "b": torch.ones(2, 2)}
    told = digest_of(weights)
    assert told == digest_of({"b": torch.ones(2, 2), "a": torch.arange(4.0)})
    others = [
        {"a": weights["b"], "b": weights["a"]},
        {**weights, "a": torch.arange(4.0).bfloat16()},
        {**weights, "b": torch.ones(4)},
        {**weights, "a": torch.tensor([0.0, 1.0, 2.0, 3.0001])},
    ]
    assert len({told, *map(digest_of, others)}) == 5
    assert digest_of(weights, ["a"]) == digest_of({"a": weights["a"]})


def test_weights_of_another_network_are_not_taken_over(llm: Any) -> None:
    learner = Learner(tiny_network(), llm)
    state = {name: weight + 1 for name, weight in learner.trained().items()}
    learner.load_trained(state)
    assert all(torch.equal(weight, state[name]) for name, weight in learner.trained().items())
    state.popitem()
    with pytest.raises(ValueError, match="another network"):
        learner.load_trained(state)
