"""Repeated frames (film on twos and threes, a stuck capture), found while the film streams by.

Every frame is compared with the first of its run, not with the one before: slow drift adds up until it is seen.
"""

from __future__ import annotations

import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.shots.stillness import RULE, StillnessRule, is_same_picture, stillness_picture

THRESHOLD = 0.5
"""0 .. 1: a block may differ by up to ``14 * threshold`` 8-bit codes; 0 takes only equal frames for repeats."""


class RepeatDetector:
    """Streams: ``repeats`` for every frame in order."""

    def __init__(self, threshold: float = THRESHOLD, rule: StillnessRule = RULE) -> None:
        """``threshold``: 0 .. 1, see ``THRESHOLD``."""
        self.threshold, self.rule = threshold, rule
        self._kept: np.ndarray | None = None  # the first frame of the run

    def repeats(self, frame: Frame, fresh: bool = False) -> bool:
        """Whether ``frame`` shows the same as the first frame of the run; if not, or if ``fresh``, it starts a run."""
        now = stillness_picture(frame, self.rule)
        kept = self._kept
        if kept is not None and not fresh and kept.shape == now.shape:
            if is_same_picture(kept, now, self.threshold, self.rule):
                return True
        self._kept = now
        return False
