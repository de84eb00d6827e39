"""What stands out from the background: the moving pixels of a few frames of one shot, and the blobs that they form."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from videochat_plugins.perceive.colour import NAMES, name_indices
from videochat_plugins.perceive.flow import STILL, Image, Matrix, Step

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_REST = 0.5  # pixels: a flow below this is none
_DIFFERENT = 18.0  # of 255: how far a pixel lies from the background's, and never under 4 times the noise
_FILL = 6  # a plain thing of up to a 6th of the longer side is filled in
_IN_VIEW = 0.9  # of the frames that must have a place in view, when the camera moves, to say what moves there
_TOO_MUCH = 0.5  # of the frame: so large a foreground is a change of light or a lost camera, not a thing


@dataclass(frozen=True)
class Blob:
    """Connected pixels of one frame that differ from the background."""

    frame: int
    box: tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels of that frame
    place: Floats  # (2,) x, y of its box's centre in the coordinates of the shot's middle frame
    area: int  # pixels
    colours: Floats  # (11,) shares of colour.NAMES
    flowing: float  # share of its pixels that the optical flow saw move
    cut_off: bool  # whether it touches the frame's edge


def chain(cameras: Sequence[Matrix], reference: int) -> list[Matrix]:
    """Return for each of n + 1 frames the (2, 3) matrix that takes it to the reference, given n frame-to-frame ones."""
    full = [np.vstack([camera, [0, 0, 1]]) for camera in cameras]
    out = [np.eye(3) for _ in range(len(full) + 1)]
    for i in range(reference, len(full)):
        out[i + 1] = out[i] @ np.linalg.inv(full[i])
    for i in range(reference - 1, -1, -1):
        out[i] = out[i + 1] @ full[i]
    return [matrix[:2] for matrix in out]


def blobs(images: Sequence[Image], steps: Sequence[Step], min_area: float) -> list[list[Blob]]:
    """Return the moving blobs of each frame of one shot; `min_area` is a share of the frame."""
    cameras = [STILL if step.camera is None else step.camera for step in steps]
    to_middle = chain(cameras, len(images) // 2)
    away = moving(images, steps)
    masks = foreground(images, away, None if all(camera is STILL for camera in cameras) else to_middle)
    return [
        _wholes(_components(i, images[i], masks[i], away[i], to_middle[i], min_area), images[i].shape[1])
        if masks[i].mean() < _TOO_MUCH
        else []
        for i in range(len(images))
    ]


def moving(images: Sequence[Image], steps: Sequence[Step]) -> list[Mask]:
    """Return for each frame where something moves (H, W).

    Flow runs out over a plain background and change misses the inside of a plain thing. So: the flow, where it lies in
    or between changes.
    """
    import cv2

    last = Step(steps[-1].after, steps[-1].before)  # the last frame has no next
    side = max(images[0].shape) // _FILL | 1
    kernel = np.ones((side, side), np.uint8)  # a rectangle: cv2 takes it apart, so its size costs nothing
    out = []
    for i, step in enumerate([*steps, last]):
        changed = step.changed | (steps[i - 1].changed if i else False)
        between = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, kernel) > 0
        out.append(between & (np.hypot(step.moving[..., 0], step.moving[..., 1]) > _REST))
    return out


def foreground(images: Sequence[Image], away: Sequence[Mask], to_middle: Sequence[Matrix] | None) -> list[Mask]:
    """Return for each frame where it differs from the background (H, W).

    The background at a pixel is the median of what was seen there at rest, so that a slow thing does not become part of
    it; where nothing was ever at rest, the mean of its surroundings stands in. A shift of a pixel is no difference.
    """
    import cv2

    kernel = np.ones((3, 3), np.uint8)
    stack, gone = np.stack(images), np.stack(away)
    if to_middle is not None:
        size = images[0].shape[1::-1]
        stack = np.stack([cv2.warpAffine(image, m, size) for image, m in zip(images, to_middle, strict=True)])
        ones = np.ones(size[::-1], np.uint8)
        inside = np.stack([cv2.warpAffine(ones, m, size) > 0 for m in to_middle])
        gone = np.stack(
            [cv2.warpAffine(mask.astype(np.uint8), m, size) for mask, m in zip(away, to_middle, strict=True)]
        )
        gone = (gone > 0) | ~inside
    background, seen = rest_median(stack, gone)  # (H, W, 3), (H, W)
    background = _fill(background, seen)
    slack = kernel if to_middle is None else np.ones((5, 5), np.uint8)  # a moving camera is never known exactly
    low, high = cv2.erode(background, slack).astype(np.float32), cv2.dilate(background, slack).astype(np.float32)
    masks = []
    for i, image in enumerate(stack):
        value = _relit(image, background, seen & ~gone[i])
        distance = cv2.max(*map(_largest, (low - value, value - high)))  # (H, W)
        noise = 1.48 * float(np.median(np.abs(value - background)[::4, ::4]))
        mask = distance > max(_DIFFERENT, 4 * noise)
        if to_middle is not None:
            mask &= inside[i] & (inside.mean(axis=0) >= _IN_VIEW)
            flags = cv2.WARP_INVERSE_MAP | cv2.INTER_NEAREST
            mask = cv2.warpAffine(mask.astype(np.uint8), to_middle[i], size, flags=flags) > 0
        opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
        # The larger the foreground, the nearer the things, and the wider apart the parts of one.
        gap = max(5, int(float(opened.mean()) ** 1.5 * max(opened.shape)) | 1)
        masks.append(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8)) > 0)
    return masks


def rest_median(stack: npt.NDArray[np.uint8], away: Mask) -> tuple[Image, Mask]:
    """Return the median over time (H, W, 3) of a stack (T, H, W, 3) where not `away`, and where there is one (H, W)."""
    count = (~away).sum(axis=0)  # (H, W)
    ordered = np.sort(np.where(away[..., None], np.uint8(255), stack), axis=0)  # what is away sorts to the end
    middle = (np.maximum(count, 1) - 1) // 2
    return np.take_along_axis(ordered, middle[None, ..., None], axis=0)[0], count > 0


def _largest(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the largest of three channels (H, W)."""
    import cv2

    return np.asarray(cv2.max(cv2.max(image[..., 0], image[..., 1]), image[..., 2]))


def _fill(background: Image, seen: Mask) -> Image:
    """Return the background with what was never seen taken from the mean of what is around."""
    import cv2

    if seen.all():
        return background
    side = (max(seen.shape) // _FILL * 2 + 1,) * 2
    known = cv2.blur(seen.astype(np.float32), side)
    mean = cv2.blur(background * seen[..., None].astype(np.float32), side) / np.maximum(known, 1e-6)[..., None]
    return np.where(seen[..., None], background, mean.round().astype(np.uint8))


def _relit(image: Image, background: Image, rest: Mask) -> npt.NDArray[np.float32]:
    """Return the image in the light of the background: with the gain and offset that pixels at rest ask for."""
    pick = rest[::4, ::4]
    if pick.sum() < 50:
        return image.astype(np.float32)
    seen = image[::4, ::4][pick].astype(np.float32).mean(axis=-1)
    wanted = background[::4, ::4][pick].astype(np.float32).mean(axis=-1)
    spread = max(float(np.percentile(seen, 90) - np.percentile(seen, 10)), 1.0)
    gain = float(np.percentile(wanted, 90) - np.percentile(wanted, 10)) / spread if spread > 30 else 1.0
    gain = gain if abs(gain - 1) > 0.03 else 1.0
    return image.astype(np.float32) * gain + float(np.median(wanted - gain * seen))


def _wholes(found: Sequence[Blob], width: int) -> list[Blob]:
    """Leave out the crumbs: small blobs beside a large one of like colours."""
    margin = 0.05 * width

    def part(crumb: Blob, whole: Blob) -> bool:
        near = all(
            crumb.box[i] - margin < whole.box[i + 2] and whole.box[i] - margin < crumb.box[i + 2] for i in range(2)
        )
        return near and whole.area > 6 * crumb.area and float(np.minimum(crumb.colours, whole.colours).sum()) > 0.3

    return [blob for blob in found if not any(part(blob, other) for other in found)]


def _components(frame: int, image: Image, mask: Mask, moving: Mask, matrix: Matrix, min_area: float) -> list[Blob]:
    import cv2

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    height, width = mask.shape
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # edges mix the thing's colour with others
    out = []
    for label in range(1, count):
        x, y, w, h, area = (int(value) for value in stats[label])
        if area < min_area * mask.size:
            continue
        part = np.s_[y : y + h, x : x + w]
        own = labels[part] == label
        core = own & inner[part]
        names = name_indices(image[part][core if core.sum() >= area / 4 else own])
        out.append(
            Blob(
                frame,
                (x, y, x + w, y + h),
                matrix @ np.array([x + w / 2, y + h / 2, 1.0]),
                area,
                np.bincount(names, minlength=len(NAMES)) / names.size,
                float(moving[part][own].mean()),
                x == 0 or y == 0 or x + w == width or y + h == height,
            )
        )
    return out
