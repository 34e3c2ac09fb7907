"""Photographs that come with scikit-image and scikit-learn, as textures; or pictures of the user's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from vfi_pipeline.errors import BAD_INPUT, UserError

log = logging.getLogger(__name__)

# Public-domain, CC0 or CC BY photographs and scans inside the wheel (see skimage/data/README.txt): nothing is fetched.
BUNDLED = (
    "astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "motorcycle_left.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
IMAGES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


def bundled_textures() -> list[np.ndarray]:
    """Each photograph as (height, width, 3) uint8 RGB, in a fixed order."""
    import skimage
    import sklearn.datasets

    folder = Path(skimage.__file__).parent / "data"
    photos = [folder / name for name in BUNDLED]
    photos += sorted((Path(sklearn.datasets.__file__).parent / "images").glob("*.jpg"))
    return [read_image(path) for path in photos if path.is_file()]


def read_image(path: Path) -> np.ndarray:
    """An image file as (height, width, 3) uint8 RGB; alpha is dropped, 16 bits are rounded to 8.

    Raises:
        UserError: if the file is missing or no image.
    """
    try:
        with Image.open(path) as opened:
            opened = ImageOps.exif_transpose(opened)
            if opened.mode.startswith("I"):
                codes = np.asarray(opened, np.int64)
                return np.repeat(np.round(codes.clip(0, 65535) / 257).astype(np.uint8)[..., None], 3, axis=2)
            return np.array(opened.convert("RGB"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.", "Check the path.", BAD_INPUT) from error
    except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises on files that are no images
        raise UserError(
            f"{path} is not an image, or is damaged.", "Copy the file again, or move it out of the folder.", BAD_INPUT
        ) from error


def image_files(root: Path) -> list[Path]:
    """All images under ``root``, any depth, sorted.

    Raises:
        UserError: if the folder is missing or holds none.
    """
    if not root.is_dir():
        raise UserError(f"{root} is no folder.", "Point at a folder of images.", BAD_INPUT)
    files = sorted(path for path in root.rglob("*") if path.suffix.lower() in IMAGES and path.name[0] != ".")
    if not files:
        raise UserError(f"{root} holds no images.", f"Known endings: {' '.join(sorted(IMAGES))}.", BAD_INPUT)
    return files


def own_textures(root: Path, most: int = 500) -> list[np.ndarray]:
    """Up to ``most`` images of a folder, evenly spread; unreadable ones are left out with a warning."""
    files = image_files(root)
    files = [files[k] for k in np.unique(np.linspace(0, len(files) - 1, min(most, len(files))).round().astype(int))]
    pictures = []
    for path in files:
        try:
            pictures.append(read_image(path))
        except UserError as error:
            log.warning("Left out: %s", error.args[0])
    if not pictures:
        raise UserError(f"None of the images in {root} can be read.", "See the warnings above.", BAD_INPUT)
    return pictures


def split_textures(textures: Sequence[np.ndarray], held: bool) -> list[np.ndarray]:
    """Every fifth texture is held out for validation; the others are for training."""
    return [texture for k, texture in enumerate(textures) if (k % 5 == 4) == held] or list(textures)
