"""The little of Matroska's own bytes (EBML, RFC 8794) that ffmpeg's demuxer does not tell."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def is_complete(path: Path) -> bool:
    """Whether the file states the size of its segment and holds all of it; False where it does not say."""
    try:
        with path.open("rb") as file:
            if file.read(4) != _EBML:
                return False
            header = _size(file)
            if header is None:
                return False
            file.seek(header, os.SEEK_CUR)
            if file.read(4) != _SEGMENT:
                return False
            length = _size(file)
            return length is not None and file.tell() + length <= os.path.getsize(path)
    except OSError:
        return False


def _size(file: IO[bytes]) -> int | None:
    """The size that follows an element's name; None if it is unknown (all ones) or none."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return None if value == (1 << (7 * width)) - 1 else value
