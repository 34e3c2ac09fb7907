"""Whether two frames show the same picture.

They do if *no* block of it differs: the largest mean difference over blocks of a 64th of the width decides, so a mouth
that moves in a still face is seen, where a mean over the frame would miss it. Averaging within the block keeps grain
and compression noise below the threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.shots.thumbnails import dense_flow, luma


@dataclass(frozen=True)
class StillnessRule:
    """The constants of the test; held-out figures, of clips on twos that x264 encoded anew: ``benchmarks.shots``.

    Attributes:
        span: px, longest side of the pictures compared.
        block: px of them, side of the blocks.
        codes: 8-bit codes by which a block may differ at ``threshold`` 1. With every frame doubled, re-encoded by x264
            (CRF 18, 23, 30; grain of 4 and 8 codes added before), repeats of 8 clips differed by 0.4 to 10.5 codes (6.1
            but for CRF 30), new pictures by 19 and more.
        usual: 8-bit codes of deviation; pictures of less contrast have to differ less to be new, ...
        least: ... down to this share of the codes.
        still: 8-bit codes; below this no motion hides.
        moving: px; more than a quarter of the picture moves further in a pan over faint texture.
    """

    span: int = 256
    block: int = 4
    codes: float = 14.0
    usual: float = 40.0
    least: float = 0.4
    still: float = 1.5
    moving: float = 0.5


RULE = StillnessRule()


def stillness_picture(frame: Frame, rule: StillnessRule = RULE) -> np.ndarray:
    """What ``is_same_picture`` compares: (h, w) float32, luma in 8-bit codes."""
    return luma(frame, rule.span) * np.float32(219)


def is_same_picture(a: np.ndarray, b: np.ndarray, threshold: float, rule: StillnessRule = RULE) -> bool:
    """Whether two ``stillness_picture`` show the same. ``threshold``: 0 .. 1; 0 takes only equal ones for repeats."""
    apart = largest_block_difference(a, b, rule)
    if apart > rule.codes * threshold * float(np.clip(a.std() / rule.usual, rule.least, 1)):
        return False
    if apart <= rule.still or min(a.shape) < 16:
        return True
    flow = dense_flow(a.astype(np.uint8), b.astype(np.uint8))
    return float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 75)) <= rule.moving


def largest_block_difference(a: np.ndarray, b: np.ndarray, rule: StillnessRule = RULE) -> float:
    """The largest mean absolute difference over the blocks."""
    apart = cv2.absdiff(a, b)
    h, w = apart.shape
    blocks = cv2.resize(apart, (max(1, w // rule.block), max(1, h // rule.block)), interpolation=cv2.INTER_AREA)
    return float(blocks.max())
