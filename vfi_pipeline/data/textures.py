"""Photographs that come with scikit-image and scikit-learn, as textures; or pictures of the user's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vfi_pipeline.data.broken import LeftOut, NamedFiles
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.images import SUFFIXES
from vfi_pipeline.media.stills import read_rgb8

log = logging.getLogger(__name__)

# Public-domain, CC0 or CC BY photographs and scans inside the wheel (see skimage/data/README.txt): nothing is fetched.
BUNDLED = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip


def bundled_textures() -> list[np.ndarray]:
    """Each photograph as (height, width, 3) uint8 RGB, in a fixed order."""
    import skimage
    import sklearn.datasets

    folder = Path(skimage.__file__).parent / "data"
    photos = [folder / name for name in BUNDLED]
    photos += sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    return [read_rgb8(path) for path in photos if path.is_file()]


def image_files(root: Path) -> list[Path]:
    """All images under ``root``, any depth, sorted.

    Raises:
        UserError: if the folder is missing or holds none.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder.", "Point at a folder of images.", BAD_INPUT)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
    if not files:
        raise UserError(f"{root} holds no images.", f"Known endings: {' '.join(sorted(SUFFIXES))}.", BAD_INPUT)
    return files


def own_textures(root: Path, most: int = 500, named: NamedFiles | None = None) -> list[np.ndarray]:
    """Up to ``most`` images of a folder, evenly spread; unreadable ones are left out with a warning.

    ``named``: the broken files that the run has named.
    """
    files = image_files(root)
    files = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))]
    pictures, left_out = [], LeftOut(len(files), named)
    for k, path in enumerate(files):
        try:
            pictures.append(read_rgb8(path))
        except UserError as error:
            left_out.note(k, error, path)
    if not pictures:
        raise UserError(f"None of the images in {root} can be read.", "See the warnings above.", BAD_INPUT)
    if len(pictures) == 1:
        log.warning("There is one texture only: training and validation scenes show the same.")
    return pictures


def split_textures(textures: Sequence[np.ndarray], held: bool) -> list[np.ndarray]:
    """Every fifth texture, or the last of fewer, is held out for validation; the others are for training."""
    if len(textures) < 2:
        return list(textures)
    every = min(5, len(textures))
    return [texture for k, texture in enumerate(textures) if (k % every == every - 1) == held]
