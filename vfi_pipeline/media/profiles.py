"""ICC profiles of pictures: read, compared, converted (by LittleCMS, through Pillow), put into images.

The one place that knows of colour management. Pictures without a profile are sRGB, as on the web.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vfi_pipeline.media.frames import Frame, pixel_format

EMBEDS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")
"""Images that hold a profile."""

SRGB = b""
"""Stands for sRGB where a profile is expected."""


@lru_cache(maxsize=32)
def same_colours(profile: bytes) -> bool:
    """Whether pictures with ``profile`` look as if they were sRGB, to two steps of 255; also if it cannot be read."""
    if profile == SRGB:
        return True
    steps = np.linspace(0, 255, 6).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    if (transform := _transform(profile, SRGB, "RGB")) is not None:
        shown = _applied(transform, colours)
        return int(np.abs(shown.astype(int) - colours).max()) <= 2
    if (transform := _transform(profile, SRGB, "L")) is not None:
        greys = np.arange(256, dtype=np.uint8).reshape(1, -1)
        shown = _applied(transform, greys)[..., 1]
        return int(np.abs(shown.astype(int) - greys).max()) <= 2
    return True


def described(profile: bytes) -> str:
    """What the profile calls itself."""
    from PIL import ImageCms

    if profile == SRGB:
        return "sRGB"
    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip() or "unnamed"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "unreadable"


def converted(frame: Frame, own: bytes, target: bytes) -> Frame:
    """``frame`` (8 bit RGB or grey, with alpha or without) from one profile to another; alpha stays.

    Grey becomes RGB where the target is a profile of colours. Frames of more bits, and profiles that cannot be read,
    are left as they are.
    """
    if own == target or frame.format.depth != 8 or any(plane.kind == "u" for plane in frame.format.planes):
        return frame
    kinds = {plane.kind: array for plane, array in zip(frame.format.planes, frame.planes)}
    grey = set(kinds) == {"y"}
    transform = _transform(own, target, "L" if grey else "RGB")
    if transform is None:
        return frame
    picture = kinds["y"] if grey else np.stack([kinds["r"], kinds["g"], kinds["b"]], axis=-1)
    shown = _applied(transform, np.ascontiguousarray(picture))
    if grey:
        return replace(frame, planes=(np.ascontiguousarray(shown[..., 1]),))
    converted = {kind: np.ascontiguousarray(shown[..., place]) for kind, place in (("r", 0), ("g", 1), ("b", 2))}
    form = pixel_format(frame.format.name)
    return replace(frame, planes=tuple(converted.get(plane.kind, kinds[plane.kind]) for plane in form.planes))


@lru_cache(maxsize=32)
def _transform(own: bytes, target: bytes, mode: str) -> Any:
    """LittleCMS's transform to RGB, relative colorimetric, black points matched; None if profiles do not fit."""
    from PIL import ImageCms

    try:
        ends = [
            ImageCms.ImageCmsProfile(io.BytesIO(end)) if end != SRGB else ImageCms.createProfile("sRGB")
            for end in (own, target)
        ]
        return ImageCms.buildTransform(
            ends[0], ends[1], mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _applied(transform: Any, picture: np.ndarray) -> np.ndarray:
    from PIL import Image, ImageCms

    shown = ImageCms.applyTransform(Image.fromarray(picture), transform)
    assert shown is not None
    return np.asarray(shown)


# -------------------------------------------------------------------------------------------------------- embedding


def embed(path: Path, profile: bytes) -> None:
    """Put ``profile`` into a PNG, JPEG, TIFF or WebP; other files are left as they are."""
    data = path.read_bytes()
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(_png(data, profile))
    elif data.startswith(b"\xff\xd8\xff"):
        path.write_bytes(_jpeg(data, profile))
    elif data.startswith(b"II*\0"):
        path.write_bytes(_tiff(data, profile))
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        path.write_bytes(_webp(data, profile))


def _png(data: bytes, profile: bytes) -> bytes:
    """iCCP behind IHDR; chunks that say otherwise go (PNG, third edition, 4.3)."""
    out, at = data[:8], 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        chunk = data[at : at + 12 + length]
        at += 12 + length
        if kind in (b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP"):
            continue
        out += chunk
        if kind == b"IHDR":
            body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile)
            out += (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    return out


def _jpeg(data: bytes, profile: bytes) -> bytes:
    """APP2 segments behind APP0 (ICC.1, annex B.4)."""
    at = 2
    while data[at : at + 2] == b"\xff\xe0":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    parts = [profile[k : k + 65519] for k in range(0, len(profile), 65519)]
    out = b""
    for number, part in enumerate(parts, 1):
        body = b"ICC_PROFILE\0" + bytes([number, len(parts)]) + part
        out += b"\xff\xe2" + (len(body) + 2).to_bytes(2, "big") + body
    return data[:at] + out + data[at:]


def _tiff(data: bytes, profile: bytes) -> bytes:
    """Tag 34675 in a copy of the first directory at the end of the file."""
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    entries = [data[at + 2 + 12 * k : at + 14 + 12 * k] for k in range(count)]
    after = data[at + 2 + 12 * count : at + 6 + 12 * count]
    data += bytes(len(data) % 2)
    place = len(data)
    data += profile + bytes(len(profile) % 2)
    tag = (34675).to_bytes(2, "little") + (7).to_bytes(2, "little")
    entries = [entry for entry in entries if entry[:2] != tag[:2]]
    entries.append(tag + len(profile).to_bytes(4, "little") + place.to_bytes(4, "little"))
    entries.sort(key=lambda entry: int.from_bytes(entry[:2], "little"))
    directory = len(entries).to_bytes(2, "little") + b"".join(entries) + after
    return data[:4] + len(data).to_bytes(4, "little") + data[8:] + directory


def _webp(data: bytes, profile: bytes) -> bytes:
    """ICCP behind VP8X, which is made if it is missing (WebP container specification)."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as picture:
        (width, height), alpha = picture.size, picture.mode == "RGBA"
    body, flags = data[12:], 0x20
    if body[:4] == b"VP8X":
        flags |= body[8] & ~0x20
        body = body[18:]
    else:
        flags |= 0x10 if alpha else 0
    head = bytes([flags, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    out = b"WEBP" + b"VP8X" + (10).to_bytes(4, "little") + head
    out += b"ICCP" + len(profile).to_bytes(4, "little") + profile + bytes(len(profile) % 2) + body
    return b"RIFF" + len(out).to_bytes(4, "little") + out
