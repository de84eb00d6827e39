"""Captioners: pictures in, a sentence about each out, a batch at a time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from videochat import Component, Key, Pool, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import check_preprocessing, load_model
from videochat_plugins.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import torch

_BLIP_PROMPT = "a picture of"  # what BLIP was fine-tuned to go on from


class CaptionOptions(Component.Options):
    """How captions are worded; the defaults are BLIP's for COCO."""

    prompt: str | None = Field(default=None, max_length=500)
    """What each caption goes on from, left out of the result; null: "a picture of" for BLIP, nothing for the others."""
    beams: int = Field(default=3, ge=1, le=16)
    """Wordings that are followed at once; 1: the likeliest next word is taken each time, which is faster."""
    max_tokens: int = Field(default=20, ge=1, le=200)
    """The longest caption, in tokens."""


class Captioner:
    """A loaded captioner: BLIP (arXiv 2201.12086), BLIP-2 (2301.12597) or GIT (2205.14100).

    The prompt is put into tokens here, once, as each class expects it: `generate` gets pixels and token ids, so no
    composite processor is needed.

    Args:
        model: a transformers model of one of these types.
        tokenizer: that of its checkpoint.
        prepare: the preprocessing that its checkpoint asks for.
        options: how captions are worded.

    Raises:
        UnavailableError: if the model's config does not say which token stands for the picture.
    """

    needs: ClassVar[tuple[str, ...]] = (  # files besides the weights
        "config.json",
        "preprocessor_config.json|processor_config.json",
        "tokenizer.json|vocab.txt|vocab.json|spiece.model",
    )
    released: ClassVar[Mapping[str, int]] = {  # bytes that known checkpoints take to download
        "Salesforce/blip-image-captioning-base": 989_000_000,
        "Salesforce/blip-image-captioning-large": 1_880_000_000,
        "Salesforce/blip2-opt-2.7b": 15_500_000_000,
        "Salesforce/blip2-flan-t5-xl": 15_800_000_000,
        "microsoft/git-base-coco": 707_000_000,
        "microsoft/git-large-coco": 1_580_000_000,
    }
    classes: ClassVar[Mapping[str, str]] = {  # of transformers, by model type
        "blip": "BlipForConditionalGeneration",
        "blip-2": "Blip2ForConditionalGeneration",
        "git": "GitForCausalLM",
    }

    def __init__(self, model: Any, tokenizer: Any, prepare: Preprocess, options: CaptionOptions) -> None:
        import torch

        self._model = model
        self._tokenizer = tokenizer
        self._prepare = prepare
        self._how = {"num_beams": options.beams, "max_new_tokens": options.max_tokens, "do_sample": False}
        start, self._given = _start(model.config, tokenizer, options.prompt)
        self._start = torch.tensor([start], device=model.device)  # (1, L)

    @classmethod
    def check(cls, checkpoint: Checkpoint) -> None:
        """Make sure, without network, that a checkpoint is whole and one that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        checkpoint.check()
        if checkpoint.path is not None:
            _class_name(checkpoint)
        check_preprocessing(checkpoint)

    @classmethod
    def load(
        cls, checkpoint: Checkpoint, pool: Pool, precision: str, device: str, options: CaptionOptions | None = None
    ) -> Self:
        """Return the captioner of a checkpoint; its model is loaded once for all who use it.

        Args:
            checkpoint: the files; downloaded if they are not here.
            pool: where loaded models are kept.
            precision: "float32", "bfloat16" or "float16".
            device: "cpu", "cuda", "cuda:1", ...
            options: how captions are worded.

        Raises:
            UnavailableError: if it cannot be had, or is no captioner that this can use.
        """
        import transformers

        folder = checkpoint.fetch()
        kind = getattr(transformers, _class_name(checkpoint))
        key = Key(kind.__name__, checkpoint.weights().id, precision, "", device)
        model = pool.get(key, lambda: load_model(kind, checkpoint, precision, device))
        return cls(model, load_tokenizer(checkpoint), Preprocess.read(folder), options or CaptionOptions())

    @property
    def side(self) -> int:
        """Shorter side of the pictures that it is best given, in pixels."""
        return self._prepare.side

    def describe(self, images: "torch.Tensor") -> list[str]:
        """Return a caption for each picture, by one call of `generate`.

        Args:
            images: RGB uint8 (N, H, W, 3), on the model's device (see `upload`).
        """
        import torch

        pixels = self._prepare(images, self._model.dtype)
        start = self._start.repeat(len(images), 1)  # (N, L)
        found = self._model.generate(
            pixel_values=pixels, input_ids=start, attention_mask=torch.ones_like(start), **self._how
        )
        texts = self._tokenizer.batch_decode(found[:, self._given :].tolist(), skip_special_tokens=True)
        return [text.strip() for text in texts]


def _class_name(checkpoint: Checkpoint) -> str:
    found = checkpoint.config().get("model_type")
    if found not in Captioner.classes:
        wanted = " or ".join(Captioner.classes)
        raise UnavailableError(f"the checkpoint {checkpoint.name} is a {found} model, and this needs {wanted}")
    return Captioner.classes[str(found)]


def _start(config: Any, tokenizer: Any, prompt: str | None) -> tuple[list[int], int]:
    """Return the token ids that a caption goes on from, and how many ids of the output they take."""
    if prompt is None:
        prompt = _BLIP_PROMPT if config.model_type == "blip" else ""
    words: list[int] = tokenizer(prompt, add_special_tokens=False).input_ids
    if config.model_type == "git":
        start = [config.bos_token_id, *words]
        return start, len(start)
    if config.model_type == "blip":  # `generate` drops the last token, which a tokenizer would have put there
        return [config.text_config.bos_token_id, *words, config.text_config.sep_token_id], 1 + len(words)
    if config.image_token_index is None:
        raise UnavailableError(
            f"config.json of {config.name_or_path} has no image_token_index: it is of before transformers 4.46; "
            "take the checkpoint's newest revision"
        )
    pictures = [config.image_token_index] * config.num_query_tokens
    if config.text_config.is_encoder_decoder:  # T5 reads the prompt and writes the caption alone
        return [*pictures, *words, config.text_config.eos_token_id], 0
    start = [*pictures, config.text_config.bos_token_id, *words]
    return start, len(start)
