"""Folders of pictures that are compared with another picture: read onto its size, all of one shape."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.images import SUFFIXES, natural_key
from vfi_pipeline.media.stills import read_rgb8

log = logging.getLogger(__name__)

MIN_KEPT_SHARE = 0.7
"""Share of a picture that must stay when it is cut to the other's shape."""


def set_files(folder: str | Path, option: str) -> list[Path]:
    """The pictures of a folder, or the one picture named, in natural order; sub-folders are not looked into.

    Args:
        option: what the user typed it for.

    Raises:
        UserError: if it does not exist or holds no picture.
    """
    root = Path(folder)
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise UserError(f"{option}={folder} does not exist.", "check the name; a folder of pictures.", BAD_INPUT)
    files = [path for path in root.iterdir() if path.suffix.lower() in SUFFIXES and path.name[0] != "."]
    if not files:
        below = sorted(path.name for path in root.iterdir() if path.is_dir())
        remedy = (
            f"{option}={root / below[0]}" if below else f"put pictures there ({' '.join(sorted(SUFFIXES)[:6])}...)."
        )
        raise UserError(f"{option}={folder} holds no pictures.", remedy, BAD_INPUT)
    return sorted(files, key=natural_key)


def set_digest(files: Sequence[Path]) -> str:
    """A hash of the files' names, sizes and bytes: equal for equal sets."""
    digest = hashlib.sha256()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}).", "check the file.", BAD_INPUT) from error
        digest.update(f"{path.name} {len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def read_set(
    files: Sequence[Path], size: tuple[int, int], option: str, progress: Callable[[float], None] = lambda share: None
) -> Tensor:
    """The pictures as (N, 3, height, width) uint8: scaled until they cover ``size`` (height, width), and cut
    evenly at the edges. Pictures that cannot be read are left out with a warning.

    Raises:
        UserError: if none can be read, or one is of such another shape that less than 70 % of it would stay.
    """
    pictures, unreadable = [], []
    for number, path in enumerate(files):
        try:
            pixels = read_rgb8(path)
        except UserError as error:
            unreadable.append((path, error))
            continue
        pictures.append(_placed(pixels, size, path, option))
        progress((number + 1) / len(files))
    for path, reason in unreadable[:3]:
        log.warning("%s= is used without %s: %s", option, path.name, reason.args[0])
    if len(unreadable) > 3:
        log.warning("%s= is used without %d more pictures that cannot be read.", option, len(unreadable) - 3)
    if not pictures:
        raise UserError(f"None of the {len(files)} pictures of {option}= can be read.", "save them as PNG.", BAD_INPUT)
    return torch.stack(pictures)


def _placed(pixels: np.ndarray, size: tuple[int, int], path: Path, option: str) -> Tensor:
    height, width = pixels.shape[:2]
    down, across = size[0] / height, size[1] / width
    kept = min(down, across) / max(down, across)
    if kept < MIN_KEPT_SHARE:
        raise UserError(
            f"{path.name} of {option}= is {width}x{height}: cut to the shape of the picture that is edited, only "
            f"{100 * kept:.0f} % of it would stay.",
            "cut both to one shape, so that what they show lies in the same place.",
            BAD_INPUT,
        )
    factor = max(down, across)
    shape = (max(size[0], round(height * factor)), max(size[1], round(width * factor)))
    picture = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255
    if tuple(picture.shape[-2:]) != shape:
        picture = F.interpolate(picture, shape, mode="bicubic", antialias=True, align_corners=False)
    top, left = (shape[0] - size[0]) // 2, (shape[1] - size[1]) // 2
    picture = picture[0, :, top : top + size[0], left : left + size[1]]
    return (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
