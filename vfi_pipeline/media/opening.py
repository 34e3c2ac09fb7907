"""Opening a media file with PyAV, guarded: no network, no other file, no picture beyond the limit, plain words."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import av
import av.error

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.ffmpeg import DEMUXERS, file_url

MAX_PIXELS = 16384 * 16384
"""Pictures with more samples per plane are refused unless the limit is raised (``max_pixels=``)."""


def check_file(path: Path) -> None:
    """UserError unless ``path`` is a regular file with something in it that may be read."""
    try:
        mode = os.stat(path)
    except OSError as error:
        raise UserError(f"{path} cannot be found: {error.strerror}.", "check name and folder.", BAD_INPUT) from None
    except ValueError as error:  # a NUL in the name
        raise UserError(f"{path!r} is no file name: {error}.", "check the name.", BAD_INPUT) from None
    if stat.S_ISDIR(mode.st_mode):
        raise UserError(f"{path} is a folder.", "name a file, or a folder of pictures.", BAD_INPUT)
    if not stat.S_ISREG(mode.st_mode):
        raise UserError(f"{path} is not a regular file.", "save the video to a file first.", BAD_INPUT)
    if mode.st_size == 0:
        raise UserError(f"{path} is empty (0 bytes).", "copy or download it again.", BAD_INPUT)
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read.", f"chmod u+r {path.name}", BAD_INPUT)


def open_media(
    path: Path, max_pixels: int = MAX_PIXELS, format: str | None = None, options: dict[str, str] | None = None
) -> av.container.InputContainer:
    """Open ``path`` for reading.

    Args:
        max_pixels: decoders refuse larger pictures.
        format: ffmpeg's demuxer, where the caller knows it; otherwise found from the bytes.
        options: more options for the demuxer.

    Raises:
        UserError: if it cannot be opened as media.
    """
    check_file(path)
    guards = {
        "protocol_whitelist": "file",
        "format_whitelist": DEMUXERS if format is None else format,
        "max_pixels": str(max_pixels),
    }
    try:
        return av.open(
            file_url(path), "r", format=format, options={**guards, **(options or {})}, metadata_errors="replace"
        )
    except av.error.FFmpegError as error:
        raise _unreadable(path, error) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be opened: {error}.", "check the file.", BAD_INPUT) from error


def _unreadable(path: Path, error: av.error.FFmpegError) -> UserError:
    logged: Any = error.log  # (level, component, message)
    message = logged[2].strip() if logged else ""
    if isinstance(error, PermissionError):
        return UserError(f"{path} may not be read.", f"chmod u+r {path.name}", BAD_INPUT)
    if isinstance(error, MemoryError):
        return UserError(f"{path} asks for more memory than there is.", "check the file; it may be damaged.", BAD_INPUT)
    if "moov atom not found" in message or _lacks_moov(path):
        return UserError(
            f"{path} is not a complete MP4 or MOV file: its index (moov) is missing.",
            "copy it again from the source; a recording that was cut off needs a repair tool such as untrunc.",
            BAD_INPUT,
        )
    if isinstance(error, av.error.ArgumentError) or "whitelist" in message.lower():
        return UserError(
            f"{path} is not a plain media file; playlists, scripts and texts that name other files are not opened.",
            "give the media file itself.",
            BAD_INPUT,
        )
    if isinstance(error, av.error.InvalidDataError):
        return UserError(
            f"{path} is not a video, or it is damaged at its beginning.",
            "check that it plays elsewhere; copy or convert it again.",
            BAD_INPUT,
        )
    why = error.strerror or str(error)
    return UserError(
        f"{path} cannot be read as video: {why}.", "check that it plays elsewhere; copy or convert it again.", BAD_INPUT
    )


def _lacks_moov(path: Path) -> bool:
    """Whether the file begins as MP4 does and yet has no ``moov`` box."""
    try:
        with path.open("rb") as file:
            size, at = os.path.getsize(path), 0
            if file.read(8)[4:8] not in (b"ftyp", b"mdat", b"wide", b"free"):
                return False
            for _ in range(64):
                file.seek(at)
                head = file.read(16)
                if len(head) < 8:
                    return True
                if head[4:8] == b"moov":
                    return False
                length = int.from_bytes(head[:4], "big")
                length = int.from_bytes(head[8:16], "big") if length == 1 else length
                if length < 8:
                    return True
                at += length
                if at >= size:
                    return True
    except OSError:
        return False
    return False
