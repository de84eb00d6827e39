"""Checkpoints of a training: sealed when they are whole, and looked through before a training goes on from one.

The seal is a list of digests, which is written last. A checkpoint without it was interrupted. One whose files are not
those of its seal was damaged later: whoever trains has to know, since steps that they may count on are lost with it.
"""

import hashlib
import json
import re
import shutil
from pathlib import Path

from videochat import UnavailableError
from videochat.cache import write_whole

_NAME = re.compile(r"checkpoint-(\d+)")  # as Trainer has it; other folders beside them are left alone
_SEAL = "digests.json"  # the sha256 of each file of a checkpoint


def seal(checkpoint: Path) -> None:
    """Write down what a checkpoint holds, now that it is whole."""
    digests = {path.name: _digest(path) for path in sorted(checkpoint.iterdir())}
    write_whole(checkpoint / _SEAL, json.dumps(digests, indent=1) + "\n")


def keep_last(folder: Path, count: int) -> None:
    """Remove all checkpoints of a folder but the last so many."""
    for path in _checkpoints(folder)[:-count]:
        shutil.rmtree(path)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the last checkpoint that was written to its end; those after it, which were not, are removed."""
    for path in reversed(_checkpoints(folder)):
        if (path / _SEAL).exists():
            return path
        shutil.rmtree(path)
    return None


def step_of(checkpoint: Path) -> int:
    """Return after how many steps a checkpoint was written."""
    return int(checkpoint.name.rpartition("-")[2])


def check_checkpoint(checkpoint: Path) -> None:
    """Make sure that a checkpoint holds what was written.

    Raises:
        UnavailableError: naming the file that is damaged, and the checkpoint before it that is not.
    """
    if not (fault := _fault(checkpoint)):
        return
    damaged = [checkpoint]
    for path in reversed([one for one in _checkpoints(checkpoint.parent) if step_of(one) < step_of(checkpoint)]):
        if not _fault(path):
            names = " and ".join(map(str, damaged))
            mend = f"delete {names} to go on from {path.name}, which is whole, or train anew with --force"
            break
        damaged.append(path)
    else:
        mend = "there is no whole checkpoint before it: train anew with --force"
    raise UnavailableError(f"{fault}; {mend}")


def _checkpoints(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, the first steps' first."""
    return sorted((path for path in folder.glob("*") if _NAME.fullmatch(path.name)), key=step_of)


def _fault(checkpoint: Path) -> str:
    """Return which file of a checkpoint is not what was written; empty: none."""
    file = checkpoint / _SEAL
    try:
        digests = json.loads(file.read_text(encoding="utf-8"))
        for name, digest in digests.items():
            file = checkpoint / name
            if _digest(file) != digest:
                return f"{file} is damaged: it is not what the training wrote"
    except FileNotFoundError:
        return f"{file} is missing"
    except OSError as error:
        return f"{file} cannot be read: {error.strerror or error}"
    except (ValueError, AttributeError):  # of the seal itself
        return f"{file} is damaged: it lists no digests"
    return ""


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
