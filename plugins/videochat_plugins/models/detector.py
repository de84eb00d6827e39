"""Object detectors of the DETR family: frames in, named boxes out, a batch at a time."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Self

from videochat import Box, Key, Pool, UnavailableError
from videochat_plugins.models.checkpoint import Checkpoint
from videochat_plugins.models.detection import Detection
from videochat_plugins.models.preprocess import Preprocess
from videochat_plugins.models.pretrained import load_model

if TYPE_CHECKING:
    import torch


class Detector:
    """A loaded detector of the DETR family; it needs no non-maximum suppression.

    One kind gives each query its likeliest class, the class "nothing" among them (softmax: DETR, arXiv 2005.12872).
    The other ranks all pairs of query and class (sigmoid: Deformable DETR, 2010.04159; Conditional DETR, 2108.06152;
    RT-DETR, 2304.08069; RT-DETRv2, 2407.17140; D-FINE, 2410.13842), so one query may be found under two names.

    Args:
        model: a transformers model for object detection.
        prepare: the preprocessing that its checkpoint asks for.

    Raises:
        UnavailableError: if the model is of a type whose outputs this cannot read.
    """

    # Files besides the weights.
    needs: ClassVar[tuple[str, ...]] = ("config.json", "preprocessor_config.json|processor_config.json")
    # How many pairs of query and class are ranked, by model type: as many as queries (0), so many, or None for softmax.
    pairs: ClassVar[Mapping[str, int | None]] = {
        "rt_detr": 0,
        "rt_detr_v2": 0,
        "d_fine": 0,
        "deformable_detr": 100,
        "conditional_detr": 100,
        "detr": None,
    }

    def __init__(self, model: Any, prepare: Preprocess) -> None:
        _check_type(model.config.model_type, model.config.name_or_path)
        self._model = model
        self._prepare = prepare
        self._pairs = self.pairs[model.config.model_type]
        self._names: dict[int, str] = {int(index): str(name) for index, name in model.config.id2label.items()}

    @classmethod
    def check(cls, checkpoint: Checkpoint) -> None:
        """Make sure, without network, that a checkpoint is whole and one that this can use, or can be asked for.

        Raises:
            UnavailableError: naming what is missing or wrong.
        """
        checkpoint.check()
        if checkpoint.path is None:
            return
        config = checkpoint.config()
        _check_type(str(config.get("model_type")), checkpoint.name)
        if _uses_timm(config) and find_spec("timm") is None:
            raise UnavailableError(
                f"the backbone of the checkpoint {checkpoint.name} needs timm: pip install timm, or take a checkpoint "
                "without it, such as PekingU/rtdetr_r50vd or facebook/detr-resnet-50@no_timm"
            )

    @classmethod
    def load(cls, checkpoint: Checkpoint, pool: Pool, precision: str, device: str) -> Self:
        """Return the detector of a checkpoint; its model is loaded once for all who use it.

        Args:
            checkpoint: the files; downloaded if they are not here.
            pool: where loaded models are kept.
            precision: "float32", "bfloat16" or "float16".
            device: "cpu", "cuda", "cuda:1", ...

        Raises:
            UnavailableError: if it cannot be had, or is no detector that this can use.
        """
        from transformers import AutoModelForObjectDetection

        folder = checkpoint.fetch()
        cls.check(checkpoint)  # a download could not be looked into before
        auto = AutoModelForObjectDetection
        key = Key(auto.__name__, checkpoint.weights().id, precision, "", device)
        model = pool.get(key, lambda: load_model(auto, checkpoint, precision, device))
        return cls(model, Preprocess.read(folder))

    @property
    def labels(self) -> frozenset[str]:
        """The names that it gives."""
        return frozenset(self._names.values())

    def __call__(self, images: "torch.Tensor", threshold: float = 0.5) -> list[list[Detection]]:
        """Return what is in each picture with a score above the threshold, the surest first.

        Args:
            images: RGB uint8 (N, H, W, 3), on the model's device (see `upload`).
            threshold: the score, 0 to 1, that a detection must exceed.
        """
        import torch

        _, height, width, _ = images.shape
        found = self._model(pixel_values=self._prepare(images, self._model.dtype))
        scores, classes, boxes = self._rank(found.logits.float(), found.pred_boxes.float())
        edges = torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], dim=-1)
        edges = edges.clamp(0, 1) * edges.new_tensor([width, height, width, height])  # (N, K, 4): x1, y1, x2, y2
        rows = torch.cat([edges, scores[..., None], classes[..., None].float()], dim=-1)
        return [
            [
                Detection(Box(x1, y1, x2, y2), score, self._names[int(index)])
                for x1, y1, x2, y2, score, index in picture
                if score > threshold
            ]
            for picture in rows.tolist()  # the one copy to the host
        ]

    def _rank(
        self, logits: "torch.Tensor", boxes: "torch.Tensor"
    ) -> tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]:
        """Return scores (N, K), classes (N, K) and boxes (N, K, 4), the highest scores first."""
        _, queries, count = logits.shape
        if self._pairs is None:
            scores, classes = logits.softmax(-1)[..., :-1].max(-1)  # (N, Q); the last class is "nothing"
            scores, query = scores.sort(dim=-1, descending=True, stable=True)
            classes = classes.gather(1, query)
        else:
            kept = min(self._pairs or queries, queries * count)
            scores, pair = logits.sigmoid().flatten(1).topk(kept)  # (N, Q * C) to (N, K)
            query, classes = pair // count, pair % count
        return scores, classes, boxes.gather(1, query[..., None].expand(-1, -1, 4))


def _check_type(found: str, name: str) -> None:
    if found not in Detector.pairs:
        wanted = " or ".join(Detector.pairs)
        raise UnavailableError(f"the checkpoint {name} is a {found} model, and this needs {wanted}")


def _uses_timm(config: Mapping[str, Any]) -> bool:
    """Return whether transformers takes the backbone from timm, which for the older types it does by default."""
    backbone = config.get("backbone_config")
    if isinstance(backbone, Mapping):
        return str(backbone.get("model_type")).startswith("timm")
    older = config.get("model_type") in ("detr", "conditional_detr", "deformable_detr")
    return bool(config.get("use_timm_backbone", older))
