"""How the picture moves as a whole from one frame to the next: cuts, dense flow and camera motion."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

STILL: Matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_LEAST = 64  # pixels a side; cv2's flow crashes on pictures of a few pixels
_CUT_RESIDUAL = 0.5  # of the picture's own contrast, left over when the flow has explained all that it can
_CUT_OVERLAP = 0.75  # of the colours
_TEXTURE = 0.02  # of the strongest corner: what counts as a corner at all
_REST = 0.5  # pixels: a flow below this is none
_REST_SHARE = 0.3  # of the corners at rest and spread over the frame: the camera is at rest, and the others are things
_CHANGE = 14  # of 255: more than noise and compression do
_BETTER = 0.8  # how far undoing the camera's motion must lower the difference between two frames
_SPREAD = 0.25  # of the frame that corners span at least to speak for all of it


@dataclass(frozen=True)
class Step:
    """What happens between two frames of one size."""

    before: Image  # RGB (H, W, 3)
    after: Image

    @cached_property
    def grey(self) -> tuple[Image, Image]:
        """Both frames in grey (H, W), the second given the mean and contrast of the first: a flash is not a motion."""
        import cv2

        first, second = (
            np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (self.before, self.after)
        )
        gain = np.clip(first.std() / max(second.std(), 1.0), 0.5, 2.0)
        shift = first.mean() - gain * second.mean()
        if abs(gain - 1) > 0.02 or abs(shift) > 1:
            second = np.clip(second * gain + shift, 0, 255).round().astype(np.uint8)
        return first, second

    @cached_property
    def flow(self) -> Flow:
        """Displacement in pixels (H, W, 2) of each pixel of `before`: DIS optical flow (Kroeger et al., ECCV 2016)."""
        import cv2

        height, width = self.grey[0].shape
        high, wide = max(height, _LEAST), max(width, _LEAST)
        first, second = (cv2.resize(grey, (wide, high)) for grey in self.grey)
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        flow = cv2.resize(dis.calc(first, second, np.zeros((high, wide, 2), np.float32)), (width, height))
        return np.asarray(flow * (width / wide, height / high), dtype=np.float32)

    @cached_property
    def is_cut(self) -> bool:
        """Whether the frames belong to different shots.

        They do when neither moving pixels about nor a change of brightness makes one into the other, and their colours
        differ too; a cut between two alike views can pass for a motion, and a dissolve is no cut.
        """
        import cv2

        first, second = self.grey
        height, width = first.shape
        column, row = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        x, y = self.flow[..., 0] + column, self.flow[..., 1] + row
        moved = cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        residual = float(cv2.absdiff(first, moved).mean()) / max(float(first.std()), 8.0)
        return residual > _CUT_RESIDUAL or (residual > _CUT_RESIDUAL / 2 and self.overlap < _CUT_OVERLAP)

    @cached_property
    def overlap(self) -> float:
        """Share of the colours that both frames have in common: the intersection of their histograms."""
        import cv2

        hists = [
            cv2.calcHist([image], [0, 1, 2], None, [4, 4, 4], [0, 256] * 3) / image[..., 0].size
            for image in (self.before, self.after)
        ]
        return float(np.minimum(*hists).sum())

    @cached_property
    def camera(self) -> Matrix | None:
        """The similarity (2, 3) that takes the background of `before` to that of `after`; None if no one motion fits.

        Corners at rest all over the frame outvote moving ones: then the camera stands, and what moves are things.
        """
        import cv2

        first, second = self.grey
        unchanged = STILL if (cv2.absdiff(first, second) < 8).mean() > 0.6 else None
        corners = cv2.goodFeaturesToTrack(first, 300, _TEXTURE, max(4, min(first.shape) / 24))
        if corners is None or len(corners) < 8:
            return unchanged
        points = np.asarray(corners, np.float32).reshape(-1, 2)  # (N, 2) x, y
        column, row = points.round().astype(int).T
        shift = self.flow[row.clip(0, first.shape[0] - 1), column.clip(0, first.shape[1] - 1)]  # (N, 2)
        rest = np.hypot(*shift.T) < _REST
        if rest.mean() >= _REST_SHARE and _spread(points[rest], first.size) > _SPREAD:
            return STILL
        found, inliers = cv2.estimateAffinePartial2D(
            points, points + shift, method=cv2.RANSAC, ransacReprojThreshold=1.0, maxIters=500
        )
        if found is None or inliers.mean() < 0.4 or _spread(points[inliers.ravel() > 0], first.size) < _SPREAD:
            return unchanged
        matrix = np.asarray(found, np.float64)
        # A wrong camera moves the background instead of holding it.
        better = cv2.absdiff(first, _back(second, matrix)).mean() < _BETTER * cv2.absdiff(first, second).mean()
        return matrix if better else unchanged

    @cached_property
    def moving(self) -> Flow:
        """What is left of the flow when the camera's part is taken out: pixels (H, W, 2)."""
        if self.camera is None or self.camera is STILL:
            return self.flow
        height, width = self.flow.shape[:2]
        column, row = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
        (a, b, x), (c, d, y) = (self.camera - STILL).astype(np.float32)
        camera = np.stack([a * column + b * row + x, c * column + d * row + y], axis=-1)
        return np.asarray(self.flow - camera, np.float32)

    @cached_property
    def changed(self) -> npt.NDArray[np.bool_]:
        """Where the picture is no longer the same, the camera's part taken out: (H, W)."""
        import cv2

        first, second = self.grey
        if self.camera is not None and self.camera is not STILL:
            second = _back(second, self.camera)
        return np.asarray(cv2.absdiff(first, second) > _CHANGE)


def steps(images: Sequence[Image]) -> list[Step]:
    """Return what happens between each two neighbours."""
    return [Step(before, after) for before, after in pairwise(images)]


def _spread(points: Flow, size: int) -> float:
    """Return the share of a frame of `size` pixels that the points' bounding box takes."""
    return float(np.ptp(points, axis=0).prod()) / size if len(points) else 0.0


def _back(image: Image, matrix: Matrix) -> Image:
    """Return an image with the motion of the camera undone."""
    import cv2

    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE))
