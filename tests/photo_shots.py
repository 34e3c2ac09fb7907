"""Shots for the detectors' tests: windows that move over the photographs that ship with scikit-image."""

from functools import lru_cache

import cv2
import numpy as np
from skimage import data

from vfi_pipeline.media.frames import Frame, pixel_format

SIZE = (192, 108)
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "retina", "hubble_deep_field", "motorcycle")


@lru_cache
def photo(name: str) -> np.ndarray:
    """(h, w, 3) uint8 RGB, 480 px wide."""
    picture = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return cv2.resize(picture, (480, round(picture.shape[0] * 480 / picture.shape[1])), interpolation=cv2.INTER_AREA)


def frame(rgb: np.ndarray, name: str = "yuv420p") -> Frame:
    """RGB (h, w, 3), 0 .. 255, any dtype, as BT.601 limited range, or grey for ``gray``."""
    r, g, b = np.moveaxis(np.asarray(rgb, np.float64), 2, 0) / 255
    y = 0.299 * r + 0.587 * g + 0.114 * b
    fmt = pixel_format(name)
    h, w = y.shape
    if name == "gray":
        return Frame((np.round(255 * y).astype(np.uint8),), fmt, w, h)
    chroma = [128 + 224 * cv2.resize(c, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
              for c in ((b - y) / 1.772, (r - y) / 1.402)]  # fmt: skip
    return Frame(tuple(np.round(p).astype(np.uint8) for p in (16 + 219 * y, *chroma)), fmt, w, h)


def shot(name: str, frames: int, speed: float = 3.0, start: float = 10.0) -> list[np.ndarray]:
    """RGB pictures of a camera that pans by ``speed`` px a frame, right and a little down."""
    pictures = []
    for k in range(frames):
        at = np.float32([[1, 0, -start - speed * k], [0, 1, -start - 0.3 * speed * k]])
        pictures.append(cv2.warpAffine(photo(name), at, SIZE, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))
    return pictures
