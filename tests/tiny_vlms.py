"""Video-language models of a few families with random weights, as folders that transformers loads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_llama import SENTENCES

WIDTH = 32
# Answers of random weights say more where these are spread widely.
SPREAD = {"initializer_range": 0.3}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LISTS_ONLY = (  # as many templates of such models are: it finds no text in content that is no list
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def save_tokenizer(folder: Path, special: Sequence[str], *, chat: str = "", **named: str) -> Any:
    """Save a tokenizer of bytes and some words; return it.

    Args:
        folder: where to.
        special: its special tokens, in the order of their ids.
        chat: its chat template.
        named: which of them are what, as `eos_token`.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words.train_from_iterator(
        SENTENCES, trainers.BpeTrainer(vocab_size=400, special_tokens=list(special), initial_alphabet=alphabet)
    )
    if first := named.get("bos_token"):  # as Llama's puts it before every text
        words.post_processor = processors.TemplateProcessing(f"{first} $A", None, [(first, special.index(first))])
    others = [token for token in special if token not in named.values()]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, additional_special_tokens=others, **named)
    if chat:
        tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_video_llava(folder: Path, *, chat: str = "", seed: int = 0, width: int = WIDTH, **text: Any) -> Path:
    """Save a Video-LLaVA: pictures of 32 x 32, 16 rows an image and 17 a frame; as a rule without a chat template."""
    import torch
    import transformers as hf

    special = ("<unk>", "<s>", "</s>", "<pad>", "<image>", "<video>")
    tokenizer = save_tokenizer(
        folder, special, chat=chat, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 2048}
    words = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer), **sizes, **ids}
    eyes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = hf.VideoLlavaConfig(
        text_config=hf.LlamaConfig(**words, **SPREAD, **text),
        vision_config=hf.CLIPVisionConfig(image_size=32, patch_size=8, **eyes, **SPREAD),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_seq_length=16,
        video_seq_length=17 * 8,
        **ids,
    )
    torch.manual_seed(seed)
    hf.VideoLlavaForConditionalGeneration(config).save_pretrained(folder)
    hf.VideoLlavaImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def save_qwen2_5_vl(folder: Path, *, chat: str = CHATML, seed: int = 0, width: int = WIDTH, **text: Any) -> Path:
    """Save a Qwen2.5-VL: patches of 8 x 8, two frames and 2 x 2 patches a row, two places a second."""
    import torch
    import transformers as hf
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    seen = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *seen)
    named = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = save_tokenizer(folder, special, chat=chat, **named)
    start, end, image, video = (tokenizer.convert_tokens_to_ids(token) for token in seen)
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    words = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer), **sizes, **ids}
    eyes = {"depth": 2, "hidden_size": width, "intermediate_size": 2 * width, "num_heads": 2, "patch_size": 8}
    eyes["out_hidden_size"] = width
    half = width // 4
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [half // 4, half * 3 // 8, half * 3 // 8]}
    config = hf.Qwen2_5_VLConfig(
        text_config={**words, "rope_parameters": rope, "max_position_embeddings": 2048, **SPREAD, **text},
        vision_config={**eyes, "window_size": 32, "fullatt_block_indexes": [1], "tokens_per_second": 2, **SPREAD},
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        **ids,
    )
    torch.manual_seed(seed)
    hf.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    size = {"shortest_edge": 16 * 16 * 4, "longest_edge": 16 * 16 * 24}
    Qwen2VLImageProcessorPil(size=size, patch_size=8).save_pretrained(folder)
    return folder


def save_internvl(folder: Path, *, chat: str = CHATML, seed: int = 0, width: int = WIDTH, **text: Any) -> Path:
    """Save an InternVL: tiles of 32 x 32, 4 rows each."""
    import torch
    import transformers as hf
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

    seen = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *seen)
    tokenizer = save_tokenizer(folder, special, chat=chat, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    words = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer), **sizes, **ids}
    eyes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    eyes["layer_scale_init_value"] = 1.0
    config = hf.InternVLConfig(
        text_config=hf.Qwen2Config(**words, max_position_embeddings=2048, **SPREAD, **text),
        vision_config=hf.InternVLVisionConfig(image_size=32, patch_size=8, **eyes, **SPREAD),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(seed)
    model = hf.InternVLForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.vision_tower.embeddings.position_embeddings)  # zeros, as it comes
    model.save_pretrained(folder)
    GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def save_llava_onevision(folder: Path, *, chat: str = CHATML, seed: int = 0, width: int = WIDTH, **text: Any) -> Path:
    """Save a LLaVA-OneVision: tiles of 32 x 32, 16 rows each and 4 a frame; stills in at most 4 x 4, 2 after that."""
    import torch
    import transformers as hf
    from transformers.models.llava_onevision.image_processing_pil_llava_onevision import (
        LlavaOnevisionImageProcessorPil,
    )

    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
    tokenizer = save_tokenizer(folder, special, chat=chat, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    ids = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    words = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer), **sizes, **ids}
    eyes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    grids = [[32 * rows, 32 * columns] for rows in range(1, 5) for columns in range(1, 5)]
    config = hf.LlavaOnevisionConfig(
        text_config=hf.Qwen2Config(**words, max_position_embeddings=2048, **SPREAD, **text),
        vision_config=hf.SiglipVisionConfig(image_size=32, patch_size=8, vision_use_head=False, **eyes, **SPREAD),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grids,
        vision_aspect_ratio="anyres_max_2",
        **ids,
    )
    torch.manual_seed(seed)
    hf.LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    prepare = LlavaOnevisionImageProcessorPil(size={"height": 32, "width": 32}, image_grid_pinpoints=grids)
    prepare.save_pretrained(folder)
    return folder


def save_smolvlm(folder: Path, *, chat: str = "", seed: int = 0, width: int = WIDTH, **text: Any) -> Path:
    """Save a SmolVLM2: tiles of 32 x 32, 4 rows each, four along a still's longer edge; with the class's template."""
    import torch
    import transformers as hf
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.processing_smolvlm import DEFAULT_CHAT_TEMPLATE

    tiles = [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    seen = ("<fake_token_around_image>", "<global-img>", "<image>", *tiles)
    special = ("<|endoftext|>", "<|im_start|>", "<end_of_utterance>", *seen)
    named = {"bos_token": "<|im_start|>", "eos_token": "<end_of_utterance>", "pad_token": "<|endoftext|>"}
    tokenizer = save_tokenizer(folder, special, chat=chat or DEFAULT_CHAT_TEMPLATE, **named)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 2048}
    words = {"hidden_size": width, "intermediate_size": 2 * width, "vocab_size": len(tokenizer), **sizes, **ids}
    eyes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = hf.SmolVLMConfig(
        text_config=hf.LlamaConfig(**words, **SPREAD, **text),
        vision_config={**eyes, "image_size": 32, "patch_size": 8, **SPREAD},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        **ids,
    )
    torch.manual_seed(seed)
    hf.SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    prepare = SmolVLMImageProcessorPil(size={"longest_edge": 128}, max_image_size={"longest_edge": 32})
    prepare.save_pretrained(folder)
    return folder


SAVED = {
    "video_llava": save_video_llava,
    "qwen2_5_vl": save_qwen2_5_vl,
    "internvl": save_internvl,
    "llava_onevision": save_llava_onevision,
    "smolvlm": save_smolvlm,
}
