"""The mark that every result carries, so that it is not taken for an input when the same folder is given again.

Films say which program wrote them, in the tag that their container has for that (``encoder``, WritingApp, the
service's provider in MPEG-TS); animations and images carry a comment. It is looked for in the bytes, so that no
stranger's file has to be parsed.
"""

from __future__ import annotations

import os
import re
import zlib
from pathlib import Path
from typing import IO

import vfi_pipeline

TEXT = f"vfi-pipeline/{vfi_pipeline.__version__}"
_MARK = re.compile(rb"vfi-pipeline/\d")

_HEAD, _TAIL, _MOOV = 1 << 16, 1 << 12, 1 << 20
"""Bytes that are looked at: at the beginning and the end of a file, at both ends of an MP4's ``moov`` box."""


def film_tags(suffix: str) -> dict[str, list[str]]:
    """The tags that put the mark into a film whose video is the first stream, by ffmpeg's option."""
    if suffix in (".ts", ".m2ts"):
        return {"metadata": [f"service_provider={TEXT}"]}
    return {"metadata": [f"encoding_tool={TEXT}"], "metadata:s:v:0": [f"encoder={TEXT}"]}


def mark(path: Path) -> None:
    """Put the mark into a finished GIF, APNG, WebP, PNG or JPEG; other files are left as they are."""
    with path.open("r+b") as file:
        head = file.read(16)
        if head.startswith(b"GIF8"):
            # Behind the colour table: ffmpeg takes a comment at the end for one more picture.
            table = 3 << ((head[10] & 7) + 1) if head[10] & 0x80 else 0
            _insert(file, 13 + table, b"\x21\xfe" + bytes([len(TEXT)]) + TEXT.encode() + b"\0")
        elif head.startswith(b"\x89PNG\r\n\x1a\n"):
            body = b"tEXtSoftware\0" + TEXT.encode()
            checked = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
            file.seek(-12, os.SEEK_END)  # IEND
            end = file.read(12)
            file.seek(-12, os.SEEK_END)
            file.write(checked + end)
        elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
            text = TEXT.encode() + bytes(len(TEXT) % 2)
            file.seek(0, os.SEEK_END)
            file.write(b"VFIP" + len(text).to_bytes(4, "little") + text)  # chunks of other names are to be passed over
            length = file.tell() - 8
            file.seek(4)
            file.write(length.to_bytes(4, "little"))
        elif head.startswith(b"\xff\xd8\xff"):
            _insert(file, 2, b"\xff\xfe" + (len(TEXT) + 2).to_bytes(2, "big") + TEXT.encode())


def _insert(file: IO[bytes], at: int, inserted: bytes) -> None:
    file.seek(at)
    rest = file.read()
    file.seek(at)
    file.write(inserted + rest)


def is_result(path: Path) -> bool:
    """Whether ``path`` was written by this program, of whatever version has marked its results."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            if _MARK.search(head):
                return True
            if head[4:8] == b"ftyp":
                return _in_moov(file)
            file.seek(max(len(head), os.path.getsize(path) - _TAIL))
            return _MARK.search(file.read(_TAIL)) is not None
    except OSError:
        return False


def _in_moov(file: IO[bytes]) -> bool:
    """The same of an MP4's or MOV's ``moov`` box, which names the program at its beginning or at its end."""
    at = 0
    for _ in range(64):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return False
        length = int.from_bytes(head[:4], "big")
        length = int.from_bytes(head[8:16], "big") if length == 1 else length
        if length < 8:
            return False
        if head[4:8] == b"moov":
            for place in {at, max(at, at + length - _MOOV)}:
                file.seek(place)
                if _MARK.search(file.read(min(length, _MOOV))):
                    return True
            return False
        at += length
    return False
