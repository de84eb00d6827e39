"""What CLIP's tags have of their own; all else is tested together with SigLIP's."""

from pathlib import Path

import numpy as np
import pytest

from videochat import Frame, Pool, Video, Window
from videochat_plugins.perceive.tag_clip import ClipTagger

pytest.importorskip("transformers", reason="the extra models is not installed")


def shares(folder: Path, words: list[str]) -> dict[str, float]:
    file = folder / f"{len(words)}.txt"
    file.write_text("\n".join(words))
    options = ClipTagger.Options(checkpoint=str(folder), vocabulary=str(file), threshold=0, top=len(words))
    tagger = ClipTagger(options)
    tagger.load(Pool("cpu"))
    frame = Frame(0.5, np.random.default_rng(1).integers(0, 256, (40, 48, 3), np.uint8))
    (found,) = tagger.perceive([Window(0, 1, Video(Path("clip.mp4"), 1, 48, 40), (frame,))])
    return {record.text: record.score or 0.0 for record in found}


def test_shares_add_up_to_one_and_a_longer_vocabulary_lowers_all(tmp_path: Path) -> None:
    from taggers import WORDS, save

    folder = save(tmp_path / "clip", "clip")
    few, all_of_them = shares(folder, WORDS[:3]), shares(folder, WORDS)
    assert sum(few.values()) == pytest.approx(1, abs=1e-3)
    assert sum(all_of_them.values()) == pytest.approx(1, abs=1e-3)
    assert all(all_of_them[word] < share for word, share in few.items())
