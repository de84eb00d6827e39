"""Tags by zero-shot classification: which words of a vocabulary fit a frame, by an image and a text tower."""

from abc import abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from videochat import Pool, Record, UnavailableError, Weights
from videochat.cache import digest, file_hash, remembered
from videochat.record import fold
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import upload
from videochat_plugins.models.tokenizer import load_tokenizer
from videochat_plugins.models.views import FramePerceiver, View

if TYPE_CHECKING:
    import torch

SHIPPED = Path(__file__).with_name("tags.txt")
_TEXTS_AT_ONCE = 256


class Tagger(FramePerceiver):
    """A perceiver that gives a frame the words of a vocabulary that fit it best.

    The words are put through the text tower once for each model and vocabulary, and kept in the cache's folder.
    """

    class Options(FramePerceiver.Options):
        """Which words, and how sure it must be."""

        vocabulary: str = ""
        """A file with one tag a line, notes behind #; empty: the one that is shipped, of 2,324 tags."""
        template: str = "a photo of {}"
        """What the text tower reads of a tag, which stands in the place of {}."""
        top: int = Field(default=5, ge=1, le=1000)
        """Tags given to a frame at most, the likeliest first."""
        side: int = Field(default=256, ge=16, le=4320)
        """Shorter side of the frames decoded for it, in pixels; more if the checkpoint takes larger ones."""

        @field_validator("template")
        @classmethod
        def _has_a_place(cls, template: str) -> str:
            if template.count("{}") != 1:
                raise ValueError("must hold {} once, where the tag goes")
            return template

    needs = ("config.json", "preprocessor_config.json|processor_config.json", "tokenizer.json|spiece.model|vocab.json")
    _model: Any = None
    _prepare: Preprocess
    _tags: Sequence[str] = ()
    _texts: Any = None  # float32 (V, width), each row of length 1

    @property
    def emits(self) -> Collection[str]:
        """Tags."""
        return {"tag"}

    @property
    def vocabulary(self) -> Path:
        """The file of tags."""
        return Path(self.options.vocabulary).expanduser() if self.options.vocabulary else SHIPPED

    def weights(self) -> Sequence[Weights]:
        """Return the checkpoint and the vocabulary: both decide what is found."""
        file = self.vocabulary
        known = file.is_file()
        words = Weights(f"{file.name}@{file_hash(file)[:12]}", file.stat().st_size) if known else Weights(str(file))
        return (*super().weights(), words)

    def check(self) -> None:
        """Make sure that checkpoint and vocabulary are right.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        read_tags(self.vocabulary)
        super().check()

    def load(self, pool: Pool) -> None:
        """Load the model, and the text side from the cache or through the text tower.

        Raises:
            UnavailableError: if the checkpoint cannot be had, or its files do not fit.
        """
        import torch

        super().load(pool)
        self._model = self.pretrained(pool, self.model_class())
        self._prepare = Preprocess.read(self.checkpoint.fetch())
        self._tags = read_tags(self.vocabulary)
        ids = [weights.id for weights in self.weights()]
        key = digest([type(self).__name__, self.version, ids, self.options.template, self.precision(pool)])
        with torch.inference_mode():
            kept = remembered(key, lambda: {"texts": self._encode(self._tags).cpu().numpy()})
        self._texts = torch.from_numpy(kept["texts"]).to(self.device)

    def close(self) -> None:
        """Let go of the model and of the text side."""
        self._model = self._texts = None

    def look(self, views: Sequence[View]) -> Sequence[Sequence[Record]]:
        """Return the tags of each frame, the likeliest first."""
        import torch

        pixels = self._prepare(upload([view.image for view in views], self.device), self._model.dtype)
        seen = _unit(self._model.get_image_features(pixel_values=pixels).pooler_output)  # (N, width)
        fit = self.scores(seen @ self._texts.T)  # (N, V)
        best = fit.topk(min(self.options.top, len(self._tags)))  # of (N, top)
        scores, places = torch.stack([best.values, best.indices.float()]).tolist()  # one copy off the device
        return [self._records(*told) for told in zip(views, scores, places, strict=True)]

    @abstractmethod
    def model_class(self) -> Any:
        """Return the class of transformers that the checkpoint is of."""

    @abstractmethod
    def scores(self, likeness: "torch.Tensor") -> "torch.Tensor":
        """Return how well each tag fits, 0 to 1, from the cosines of frames and tags (N, V)."""

    @abstractmethod
    def tokens(self, tokenizer: Any, texts: Sequence[str]) -> Any:
        """Return texts as the text tower was trained to read them."""

    def _encode(self, tags: Sequence[str]) -> "torch.Tensor":
        import torch

        tokenizer = load_tokenizer(self.checkpoint)
        texts = [self.options.template.replace("{}", tag) for tag in tags]
        parts = []
        for at in range(0, len(texts), _TEXTS_AT_ONCE):
            tokens = self.tokens(tokenizer, texts[at : at + _TEXTS_AT_ONCE]).to(self.device)
            parts.append(_unit(self._model.get_text_features(**tokens).pooler_output))
        return torch.cat(parts)

    def _records(self, view: View, scores: Sequence[float], places: Sequence[float]) -> list[Record]:
        found = [(self._tags[int(place)], round(score, 4)) for place, score in zip(places, scores, strict=True)]
        return [
            Record("tag", view.span.start, view.span.end, tag, score, times=(view.time,))
            for tag, score in found
            if score >= self.options.threshold
        ]


def read_tags(file: Path) -> list[str]:
    """Return the tags of a vocabulary, each once, in the order of the file.

    Raises:
        UnavailableError: if it cannot be read or holds none.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"the vocabulary {file} cannot be read: {error}") from None
    found = list(dict.fromkeys(tag for line in lines if (tag := fold(line.partition("#")[0]))))
    if not found:
        raise UnavailableError(f"the vocabulary {file} holds no tag: one a line is wanted")
    return found


def _unit(vectors: "torch.Tensor") -> "torch.Tensor":
    """Return vectors at length 1, in float32: tags that fit a frame differ in the third digit."""
    vectors = vectors.float()
    length: torch.Tensor = vectors.norm(dim=-1, keepdim=True)
    return vectors / length
