"""Writes pictures as files: MP4 with H.264 through PyAV, and PNG."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from videochat.cache import write_whole
from videochat_plugins.learn.world_render import Image
from videochat_plugins.learn.world_things import FPS

# The same bytes in every run on one machine: one thread, no dates, and no mbtree, whose first costs come out of memory
# that was never written.
_CODEC = {"preset": "superfast", "crf": "25", "sc_threshold": "0", "threads": "1", "bf": "0", "x264-params": "mbtree=0"}


def write_video(path: Path, frames: Sequence[Image]) -> None:
    """Write RGB frames (H, W, 3) as a file that appears whole or not at all; frame i is shown from i / FPS seconds."""
    import av

    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with av.open(str(part), "w", format="mp4", container_options={"fflags": "+bitexact"}) as target:
            stream = target.add_stream("libx264", rate=FPS, options=_CODEC)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt, stream.codec_context.gop_size = "yuv420p", 2 * FPS
            for frame in frames:
                target.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            target.mux(stream.encode(None))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_image(path: Path, picture: Image) -> None:
    """Write an RGB picture (H, W, 3) as PNG."""
    import cv2

    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    write_whole(path, data.tobytes())
