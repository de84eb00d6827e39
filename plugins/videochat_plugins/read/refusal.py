"""Why a file is refused, in the same words whoever reads it."""

from pathlib import Path

from videochat import VideoError

ONLY_SOUND = "holds no pictures, only sound"
NO_STREAM = "holds neither pictures nor sound that can be decoded"
NO_PICTURE = "no picture in it can be decoded"
DAMAGED = f"{NO_PICTURE}; the file is damaged"


def check_file(path: Path) -> None:
    """Make sure that there is a file with something in it that may be read.

    Raises:
        VideoError: if there is not.
    """
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise VideoError(f"{path}: is a folder; name one video file in it")
        if not path.is_file():
            raise VideoError(f"{path}: is not a regular file; copy what it gives into a file first")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file") from None
    except PermissionError:
        raise VideoError(f"{path}: may not be read by this user; change its permissions") from None
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte in it
        raise VideoError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}") from None
    if size == 0:
        raise VideoError(f"{path}: is empty (0 bytes); was it copied whole?")


def no_media(path: Path, error: str = "") -> str:
    """Return why FFmpeg could not open a file that `check_file` let through; `error` is a reason beside its content."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"skip"):
        return "is an MP4 or MOV file without its index (the 'moov' box): it was cut off or is damaged; fetch it again"
    if error:
        return f"cannot be read: {error}"
    return (
        "is not a video, picture or sound file that can be read; playlists and other files that name further files "
        "are not followed: name the media file itself"
    )
