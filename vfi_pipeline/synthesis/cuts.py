"""Hard cuts, found while the film streams by. (Rule under construction: histogram and difference.)"""

from __future__ import annotations

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis.guide import luma

THRESHOLD = 0.5
LOOKAHEAD = 0
SPAN = 96


def signature(frame: Frame) -> np.ndarray:
    return luma(frame, SPAN)


class Detector:
    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        self.before: np.ndarray | None = None

    def push(self, now: np.ndarray) -> list[bool]:
        before, self.before = self.before, now
        if before is None:
            return [False]
        return [float(np.abs(cv2.blur(now - before, (9, 9))).mean()) > 0.2 * self.threshold]

    def flush(self) -> list[bool]:
        return []
