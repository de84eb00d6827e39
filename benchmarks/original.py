"""How the original went about a video, with the same networks: what the stack `text` is measured against.

Written after a description of VideoChat-Text's released code: every model in memory in float32; all frames decoded at
once, as large as they are, and kept; each made ready by itself with Pillow and sent to the device by itself; dense
captions one picture a call; sound after pictures, one model after the other.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmarks import media
from benchmarks.sizes import SIZES
from videochat_plugins.perceive.tags import SHIPPED, read_tags

if TYPE_CHECKING:
    import torch

Picture = npt.NDArray[np.uint8]


class Original:
    """The networks, loaded, and the loops around them.

    Args:
        places: the checkpoints, by the names that they have in the stack.
        size: "full" or "tiny".
        device: where they run.
    """

    def __init__(self, places: Mapping[str, Path], size: str, device: str) -> None:
        import transformers
        import whisper

        classes: dict[str, Any] = {
            "action": transformers.VideoMAEForVideoClassification,
            "caption": transformers.BlipForConditionalGeneration,
            "tags": transformers.SiglipModel,
            "dense": transformers.Florence2ForConditionalGeneration,
            "summary": transformers.T5ForConditionalGeneration,
        }
        self._models = {name: cls.from_pretrained(places[name]).to(device).eval() for name, cls in classes.items()}
        self._words = {
            name: transformers.AutoTokenizer.from_pretrained(places[name]) for name in classes if name != "action"
        }
        self._ears = whisper.load_model(str(places["speech"]), device=device)
        self._size, self._device = SIZES[size], device
        self._tags, self._texts = _texts(self._models["tags"], self._words["tags"])

    def watch(self, clip: Path, at_once: int, decode_each: bool = False) -> dict[str, list[str]]:
        """Return what each network says of a video, looked at once a second.

        Args:
            clip: the video.
            at_once: frames in one call of the tagger and the captioner. The original's Tag2Text gets all of them,
                however many; its picture captioners of other kinds get one.
            decode_each: whether each model decodes the video anew.
        """
        import torch

        with torch.inference_mode():
            frames = _decode(clip)
            found = {"action": [self._action(frames)], "tags": [], "caption": []}
            for name, see in (("tags", self._name), ("caption", self._describe)):
                frames = _decode(clip) if decode_each else frames
                for at in range(0, len(frames), at_once):
                    found[name] += see(frames[at : at + at_once])
            frames = _decode(clip) if decode_each else frames
            found["dense"] = [self._regions(frame) for frame in frames[:-1:5]]
            found["summary"] = [self._condense(found["caption"])]
            found["speech"] = self._hear(clip)
        return found

    def _pixels(self, name: str, frames: Sequence[Picture]) -> "torch.Tensor":
        """Return frames as a model takes them (N, 3, side, side), each resized and sent by itself."""
        import torch
        from PIL import Image

        side = self._size.sides[name]
        sent = []
        for frame in frames:
            picture = Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC)
            values = (np.asarray(picture, np.float32) / 255 - 0.5) / 0.5
            sent.append(torch.from_numpy(values).permute(2, 0, 1)[None].to(self._device))
        return torch.cat(sent)

    def _action(self, frames: Sequence[Picture]) -> str:
        model = self._models["action"]
        places = np.linspace(0, len(frames) - 1, self._size.frames).astype(int)
        scores = model(pixel_values=self._pixels("action", [frames[i] for i in places])[None]).logits
        return str(model.config.id2label[int(scores.argmax())])

    def _name(self, frames: Sequence[Picture]) -> list[str]:
        seen = self._models["tags"].get_image_features(pixel_values=self._pixels("tags", frames)).pooler_output
        best = (seen / seen.norm(dim=-1, keepdim=True) @ self._texts.T).topk(5).indices.cpu()
        return [" | ".join(self._tags[int(place)] for place in row) for row in best]

    def _describe(self, frames: Sequence[Picture]) -> list[str]:
        tokens = {"num_beams": 3, "max_new_tokens": self._size.tokens["caption"], "do_sample": False}
        said = self._models["caption"].generate(pixel_values=self._pixels("caption", frames), **tokens)
        return list(self._words["caption"].batch_decode(said, skip_special_tokens=True))

    def _regions(self, frame: Picture) -> str:
        import torch

        model, words = self._models["dense"], self._words["dense"]
        cells = (self._size.sides["dense"] // 32) ** 2 + 1  # of the picture, and their mean
        asked = words("Locate the objects in the image, with their descriptions.", add_special_tokens=False).input_ids
        whole = [*[model.config.image_token_id] * cells, words.bos_token_id, *asked, words.eos_token_id]
        ids = torch.tensor([whole], device=self._device)
        tokens = {"num_beams": 3, "max_new_tokens": self._size.tokens["dense"], "do_sample": False}
        said = model.generate(input_ids=ids, pixel_values=self._pixels("dense", [frame]), **tokens)
        return str(words.batch_decode(said, skip_special_tokens=False)[0])

    def _condense(self, captions: Sequence[str]) -> str:
        given = self._words["summary"]([". ".join(captions)], return_tensors="pt").to(self._device)
        how = {"num_beams": 2, "repetition_penalty": 2.5, "early_stopping": True, "do_sample": False}
        tokens = {"max_new_tokens": self._size.tokens["summary"]}
        said = self._models["summary"].generate(
            input_ids=given["input_ids"], attention_mask=given["attention_mask"], **how, **tokens
        )
        return str(self._words["summary"].batch_decode(said, skip_special_tokens=True)[0])

    def _hear(self, clip: Path) -> list[str]:
        sound = ["-f", "s16le", "-ac", "1", "-ar", "16000", "-"]
        command = [media.ffmpeg(), "-v", "error", "-i", str(clip), "-vn", *sound]
        samples = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
        found = self._ears.transcribe(
            np.frombuffer(samples, np.int16).astype(np.float32) / 32768,
            temperature=(0.0,),
            beam_size=5,
            logprob_threshold=None,
            compression_ratio_threshold=None,
            no_speech_threshold=None,
            fp16=self._device != "cpu",
        )
        return [str(part["text"]) for part in found["segments"]]


def _decode(clip: Path) -> list[Picture]:
    """Return the first frame of each second, as large as it is."""
    import av

    frames: list[Picture] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= len(frames):
                frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
    return frames


def _texts(model: Any, words: Any) -> "tuple[list[str], torch.Tensor]":
    """Return the tags and their vectors (V, width), made before any video as those of Tag2Text are."""
    import torch

    tags, parts = read_tags(SHIPPED), []
    length = model.config.text_config.max_position_embeddings
    with torch.inference_mode():
        for at in range(0, len(tags), 256):
            texts = [f"a photo of {tag}" for tag in tags[at : at + 256]]
            ids = words(texts, padding="max_length", truncation=True, max_length=length, return_tensors="pt").input_ids
            parts.append(model.get_text_features(input_ids=ids.to(model.device)).pooler_output)
    found = torch.cat(parts)
    return tags, found / found.norm(dim=-1, keepdim=True)
