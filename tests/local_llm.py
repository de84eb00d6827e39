"""Tiny language models of several families, with random weights that answer differently to different prompts."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tiny_llama import save_tiny_llama
from videochat import Generation, Line, Message, Pool, Record, Text
from videochat.prompt import Part
from videochat_plugins.llm.transformers import Transformers

FAMILIES = ("Llama", "Qwen3", "GPTNeoX", "Gemma3Text", "Mistral", "Bamba")
NO_REUSE = ("Gemma3Text", "Mistral", "Bamba")  # whose windows slide, or who keep a state
WIDTH = 32


def save(folder: Path, family: str = "Llama", *, chat: bool = True, seed: int = 0, **values: Any) -> Path:
    """Save a model of a family with the tokenizer of `tiny_llama`."""
    import torch
    import transformers

    save_tiny_llama(folder, chat=chat)
    sizes: dict[str, Any] = {
        "hidden_size": WIDTH,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    if family in ("Qwen3", "Gemma3Text", "Mistral"):
        sizes |= {"num_key_value_heads": 2, "head_dim": 8}
    if family == "Bamba":  # a state space layer, then one of attention
        sizes |= {"attn_layer_indices": [1], "num_key_value_heads": 2}
        sizes |= {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
    if family in ("Gemma3Text", "Mistral"):
        sizes |= {"sliding_window": 16, "tie_word_embeddings": False}  # shorter than any prompt
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    spread = {"initializer_range": 0.3, "max_position_embeddings": 2048, "vocab_size": 400}
    config = getattr(transformers, f"{family}Config")(**{**sizes, **ids, **spread, **values})
    torch.manual_seed(seed)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def load(folder: Path, **options: Any) -> Transformers:
    """Return the plugin, loaded."""
    llm = Transformers(Transformers.Options(model=str(folder), device="cpu", **options))
    llm.check()
    llm.load(Pool("cpu"))
    return llm


def user(*parts: Part | str) -> Message:
    """Return a question; what is a string is the prompt file's own."""
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def perceived(text: str) -> Text:
    """Return text as the chat puts what was perceived into a prompt."""
    return Text(text, "textualizing_videos", (Line(text, (Record("caption", 0, 1, text),)),))


def talk(caption: str = "a red ball", question: str = "What moves?") -> list[Message]:
    """Return a prompt as the chat makes it."""
    system = Message("system", (Text("You see a video:\n"), perceived(caption)))
    return [system, user("Question: ", Text(question, "question"))]


def say(llm: Transformers, messages: Sequence[Message], **how: Any) -> str:
    """Return a whole answer."""
    return "".join(llm.answer(messages, Generation(**{"max_tokens": 24, **how})))


@cache
def plain(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer as transformers itself loads them."""
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


def turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as transformers takes them."""
    return [{"role": message.role, "content": message.text} for message in messages]


def reference(folder: Path, messages: Sequence[Message], tokens: int = 24, **how: Any) -> list[int]:
    """Return the ids that transformers' own `generate` answers with."""
    ids = prompt_ids(folder, messages)
    return generated(plain(folder)[0], {"input_ids": ids}, ids.shape[1], tokens, **how)


def prompt_ids(folder: Path, messages: Sequence[Message]) -> Any:
    """Return the ids (1, n) that transformers' own chat template gives."""
    tokenizer = plain(folder)[1]
    return tokenizer.apply_chat_template(turns(messages), add_generation_prompt=True, return_tensors="pt")["input_ids"]


def decoded(folder: Path, ids: Sequence[int]) -> str:
    """Return ids as the text of an answer."""
    text: str = plain(folder)[1].decode(ids, skip_special_tokens=True)
    return text.lstrip()


def generated(model: Any, inputs: dict[str, Any], given: int, tokens: int = 24, **how: Any) -> list[int]:
    """Return the new ids of `generate`, greedy if not told otherwise."""
    whole = model.generate(**inputs, max_new_tokens=tokens, **{"do_sample": False, **how})
    found: list[int] = whole[0, given:].tolist()
    return found


def count_fed(llm: Transformers) -> Callable[[], int]:
    """Return a function that tells how many tokens the model was fed since this call."""
    fed = 0

    def note(module: Any, args: Any, given: dict[str, Any]) -> None:
        nonlocal fed
        ids = given.get("input_ids")
        fed += (given["inputs_embeds"] if ids is None else ids).shape[1]

    assert llm._decoder is not None
    llm._decoder.model.register_forward_pre_hook(note, with_kwargs=True)
    return lambda: fed
