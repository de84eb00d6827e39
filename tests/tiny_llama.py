"""A Llama of two narrow layers with random weights and its own tokenizer, as a folder that transformers loads."""

from pathlib import Path

SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")  # in the order of their ids
CHAT = (
    "{% for message in messages %}{{ '<s>' + message['role'] + ': ' + message['content'] + '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s>assistant: ' }}{% endif %}"
)
SENTENCES = (
    "You are shown what was seen and heard in a video, line by line, with the times of each.",
    "A man in a red jacket opens the door of a car, and a dog jumps out and runs across the wet street.",
    "What does the woman say after the phone rings? She says that she will come home before it is dark.",
    "The camera turns slowly to the left; two children play with a yellow ball near the water.",
    "Answer in one sentence. If the video does not show it, say so, and name no time that is not there.",
)


def save_tiny_llama(folder: Path, *, chat: bool = True) -> Path:
    """Save a model and its tokenizer, without a chat template if not `chat`; return the folder."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = Tokenizer(models.BPE(unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=list(SPECIAL), initial_alphabet=alphabet)
    words.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    if chat:
        tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2048,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
