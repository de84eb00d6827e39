"""Finds the videos that a dataset names, inside one folder and nowhere else."""

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".mpg", ".mpeg", ".flv", ".gif", ".ts", ".wmv")


class Videos:
    """The videos in a folder and those below it.

    Args:
        folder: nothing outside of it is opened, not through a link either.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, names: Sequence[Any]) -> Path:
        """Return the file of the first of these names that there is.

        A name is a path in the folder, or the end of one, as datasets lie in folders of many makings; its suffix may be
        missing.

        Raises:
            ValueError: if there is none, if several fit, or if it would lie outside.
        """
        if not names:
            raise ValueError("names no video")
        for name in names:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"the video must be the name of a file, not {name!r}")
            parts = PurePosixPath(name.replace("\\", "/"))
            if not parts.parts or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0] or "\0" in name:
                raise ValueError(f"the video {name!r} leads out of the folder {self.folder}")
        try:
            for name in names:
                if found := self._named(PurePosixPath(name.replace("\\", "/"))):
                    return found
        except OSError as error:  # no file has so long a name
            raise ValueError(f"the video {name[:80]!r} cannot be looked for: {error.strerror}") from None
        tried = " or ".join(map(repr, names))
        raise ValueError(f"no video {tried} below {self.folder}; --videos FOLDER says where they are")

    def _named(self, name: PurePosixPath) -> Path | None:
        direct = self.folder / name
        if name.suffix.lower() in SUFFIXES and direct.is_file():
            return self._inside(direct)
        found = [path for path in self._by_stem.get(_stem(name), ()) if _ends_with(path, name)]
        if len(found) > 1:
            raise ValueError(f"the video {str(name)!r} may be {found[0]} or {found[1]}")
        if not found and direct.is_dir():
            how = "make a video of them first, which docs/learn_eval.md tells how to"
            raise ValueError(f"{direct} is a folder of pictures: {how}")
        return self._inside(found[0]) if found else None

    def _inside(self, path: Path) -> Path:
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise ValueError(f"{path} is a link out of {self.folder}; give --videos a folder that holds both")
        return path

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for folder, below, files in os.walk(self.folder):
            below.sort()
            for file in sorted(files):
                path = Path(folder, file)
                if path.suffix.lower() in SUFFIXES:
                    found.setdefault(path.stem, []).append(path)
        return found


def _stem(name: PurePosixPath) -> str:
    return name.stem if name.suffix.lower() in SUFFIXES else name.name


def _ends_with(path: Path, name: PurePosixPath) -> bool:
    """Return whether a path ends with a name; a name without suffix fits any."""
    whole = path if name.suffix.lower() in SUFFIXES else path.with_suffix("")
    return whole.parts[-len(name.parts) :] == name.parts
