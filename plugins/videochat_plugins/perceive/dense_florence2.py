"""Described regions and read text, each with its place, by Florence-2."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from videochat import Box, Component, Pool, Record, UnavailableError, hookimpl
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import upload
from videochat_plugins.models.tokenizer import load_tokenizer
from videochat_plugins.models.views import FramePerceiver, View

if TYPE_CHECKING:
    import torch

BINS = 1000  # steps that the model counts a picture's width and height in


class Task(NamedTuple):
    """Something that the model was trained to do when it is asked in these words."""

    prompt: str
    kind: str  # of the records
    points: int  # places that it tells for each thing: two corners, or the four of a line of text


TASKS: Mapping[str, Task] = {
    "regions": Task("Locate the objects in the image, with their descriptions.", "region", 2),
    "text": Task("What is the text in the image, with regions?", "text", 4),
}


class DenseFlorence2(FramePerceiver):
    """Describe the regions of a frame, and read the text in it, with Florence-2 (arXiv 2311.06242, MIT).

    One region record for each thing that it describes; one text record for each line, if asked for, with the smallest
    upright rectangle around it. Boxes are exact to half a thousandth of the frame's width and height. The model gives
    no scores.

    What it cannot know: how sure it is; what is too small to be seen once the frame is resized to 768 x 768 pixels; or
    whether a thing is the one of the frame before: the refiner `track` joins them.
    """

    class Options(FramePerceiver.Options):
        """What it looks for."""

        checkpoint: str = "florence-community/Florence-2-base"
        """The model, laid out as transformers has it: a hub's `org/name` or `org/name@revision`, or a folder."""
        side: int = Field(default=768, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""
        tasks: tuple[Literal["regions", "text"], ...] = Field(default=("regions",), min_length=1)
        """What is asked for: `regions` described, `text` read; each takes a pass over the frames of its own."""
        beams: int = Field(default=3, ge=1, le=16)
        """Wordings that are followed at once, 3 as published; 1: the likeliest word each time, which is faster."""
        max_tokens: int = Field(default=1024, ge=8, le=1024)
        """The longest answer for one frame, in tokens; a region takes five or more, a line of text nine or more."""

    released: ClassVar[Mapping[str, int]] = {
        "florence-community/Florence-2-base": 464_000_000,
        "florence-community/Florence-2-base-ft": 464_000_000,
        "florence-community/Florence-2-large": 1_560_000_000,
        "florence-community/Florence-2-large-ft": 1_560_000_000,
    }
    needs = (
        "config.json",
        "preprocessor_config.json|processor_config.json",
        "tokenizer.json|vocab.json",
    )
    model_types = ("florence2",)
    batch_sizes: ClassVar[Mapping[str, int]] = {"cpu": 1, "cuda": 16}
    options: Options
    _model: Any = None
    _prepare: Preprocess | None = None
    _tokenizer: Any = None
    _bins: Mapping[int, int]

    @property
    def emits(self) -> Collection[str]:
        """Region or text records, or both."""
        return {TASKS[task].kind for task in self.options.tasks}

    def load(self, pool: Pool) -> None:
        """Load the model and its tokenizer.

        Raises:
            UnavailableError: if one cannot be had, or the tokenizer knows no places.
        """
        from transformers import Florence2ForConditionalGeneration

        super().load(pool)
        folder = self.checkpoint.fetch()
        self.check()  # a download could not be looked into before
        self._tokenizer = load_tokenizer(self.checkpoint)
        ids = self._tokenizer.get_vocab()
        try:
            self._bins = {ids[f"<loc_{number}>"]: number for number in range(BINS)}
        except KeyError as error:
            raise UnavailableError(f"the tokenizer of {self.checkpoint.name} has no {error} for places") from None
        self._model = self.pretrained(pool, Florence2ForConditionalGeneration)
        self._prepare = Preprocess.read(folder)

    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the regions and texts of each frame."""
        assert self._prepare is not None  # loaded
        pixels = self._prepare(upload([view.image for view in views], self.device), self._model.dtype)
        found: list[list[Record]] = [[] for _ in views]
        for task in (TASKS[name] for name in dict.fromkeys(self.options.tasks)):
            for view, ids, records in zip(views, self._answers(task.prompt, pixels), found, strict=True):
                height, width, _ = view.image.shape
                records += [
                    Record(task.kind, view.time, view.time, text, box=box, times=(view.time,))
                    for text, box in things(ids, self._bins, self._text, task.points, (width, height))
                ]
        return found

    def _answers(self, prompt: str, pixels: "torch.Tensor") -> list[list[int]]:
        """Return the token ids that the model answers with for each picture (N, 3, H, W)."""
        import torch

        config, tokenizer = self._model.config, self._tokenizer
        words = tokenizer(prompt, add_special_tokens=False).input_ids
        pictures = [config.image_token_id] * picture_tokens(config.vision_config, *pixels.shape[-2:])
        asked = [*pictures, tokenizer.bos_token_id, *words, tokenizer.eos_token_id]
        ids = torch.tensor([asked] * len(pixels), device=pixels.device)  # (N, L)
        found = self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            num_beams=self.options.beams,
            max_new_tokens=min(self.options.max_tokens, config.text_config.max_position_embeddings - 1),
            do_sample=False,
        )
        answers: list[list[int]] = found.tolist()
        return answers

    def _text(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def close(self) -> None:
        """Let go of the model."""
        self._model = self._prepare = self._tokenizer = None


def things(
    ids: Sequence[int],
    bins: Mapping[int, int],
    decode: Callable[[Sequence[int]], str],
    points: int,
    size: tuple[int, int],
) -> Iterator[tuple[str, Box]]:
    """Yield the text and box of each thing in an answer; what has no text or not all of its places is left out.

    An answer is a row of texts, each followed by the places of one thing or of several that it fits. Places are tokens,
    not spelt out, so no text that the model reads can feign one.

    Args:
        ids: the tokens of the answer.
        bins: the number, 0 to 999, of each token that tells a place along an axis.
        decode: makes a text of tokens, without special ones.
        points: how many points (x, then y) make a thing; its box holds them all.
        size: the picture's width and height in pixels; a place is the middle of its bin.
    """
    width, height = size
    text = ""
    for placed, run in groupby(ids, bins.__contains__):
        part = list(run)
        if not placed:
            text = decode(part).strip()
            continue
        places = [(bins[token] + 0.5) / BINS for token in part]
        for i in range(0, len(places) - 2 * points + 1, 2 * points):
            xs, ys = places[i : i + 2 * points : 2], places[i + 1 : i + 2 * points : 2]
            if text:
                yield text, Box(min(xs) * width, min(ys) * height, max(xs) * width, max(ys) * height)


def picture_tokens(vision: Any, height: int, width: int) -> int:
    """Return how many tokens stand for a picture: one for each cell of the last stage, and one for their mean."""
    for kernel, step, border in zip(vision.patch_size, vision.patch_stride, vision.patch_padding, strict=True):
        height, width = ((edge + 2 * border - kernel) // step + 1 for edge in (height, width))
    return height * width + 1


@hookimpl
def register_components(register: Callable[[str, str, type[Component]], None]) -> None:
    """Register the perceiver."""
    register("perceive", "dense.florence2", DenseFlorence2)
