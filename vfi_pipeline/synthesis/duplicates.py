"""Repeated frames (film on twos and threes, a stuck capture), found while the film streams by.

Two frames show the same picture if *no* block of it differs: the largest mean difference over blocks of a 64th of the
width decides, so a mouth that moves in a still face is seen, where a mean over the frame would miss it. Averaging
within the block keeps grain and compression noise below the threshold. Every frame is compared with the first of its
run, not with the one before: slow drift adds up until it is seen.

Measured on 8 clips with every frame doubled, re-encoded by x264 (CRF 18, 23, 30; grain of 4 and 8 codes added before):
repeats differ by 0.4 to 10.5 codes (6.1 but for CRF 30), new pictures by 19 and more; by 5 in a clip that all but
stands still, where holding a frame longer is no loss.
"""

from __future__ import annotations

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis.cuts import flow_between
from vfi_pipeline.synthesis.guide import luma

THRESHOLD = 0.5
"""0 .. 1: a block may differ by up to ``14 * threshold`` 8-bit codes; 0 takes only equal frames for repeats."""

SPAN = 256  # px, longest side of the pictures compared
BLOCK = 4  # px of them
CODES = 14.0
USUAL = 40.0  # 8-bit codes of deviation: pictures of less contrast have to differ less to be new
STILL = 1.5  # 8-bit codes: below this no motion hides
MOVING = 0.5  # px of the small picture: more than a quarter of it moves further in a pan over faint texture


class Detector:
    """Streams: ``repeats`` for every frame in order."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """``threshold``: 0 .. 1, see ``THRESHOLD``."""
        self.threshold = threshold
        self._kept: np.ndarray | None = None  # the first frame of the run

    def repeats(self, frame: Frame, fresh: bool = False) -> bool:
        """Whether ``frame`` shows the same as the first frame of the run; if not, or if ``fresh``, it starts a run."""
        now = luma(frame, SPAN) * np.float32(219)
        if self._kept is not None and not fresh and _same(self._kept, now, CODES * self.threshold):
            return True
        self._kept = now
        return False


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest mean absolute difference over the blocks."""
    apart = cv2.absdiff(a, b)
    h, w = apart.shape
    blocks = cv2.resize(apart, (max(1, w // BLOCK), max(1, h // BLOCK)), interpolation=cv2.INTER_AREA)
    return float(blocks.max())


def _same(a: np.ndarray, b: np.ndarray, codes: float) -> bool:
    apart = difference(a, b)
    if apart > codes * float(np.clip(a.std() / USUAL, 0.4, 1)):
        return False
    if apart <= STILL or min(a.shape) < 16:
        return True
    flow = flow_between(a.astype(np.uint8), b.astype(np.uint8))
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 75)) <= MOVING
