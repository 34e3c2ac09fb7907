"""Repeated frames. (Rule under construction.)"""

from __future__ import annotations

import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis.guide import luma

THRESHOLD = 0.5


class Detector:
    def __init__(self, threshold: float = THRESHOLD) -> None:
        self.threshold, self.anchor = threshold, None

    def repeats(self, frame: Frame, fresh: bool = False) -> bool:
        now = luma(frame, 192)
        if not fresh and self.anchor is not None and np.abs(now - self.anchor).max() < 0.06 * self.threshold:
            return True
        self.anchor = now
        return False
