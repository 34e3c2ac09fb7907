"""Digits that change on every frame, beside an overlay that stays: time codes, running clocks, scores.

Nothing of such a digit lasts, so ``overlay.lasting`` cannot see it, and no motion explains it. It is known by three
facts together:

- **its ink comes back**: over the frames around, samples go to one brightest (or darkest) value and away from it and
  back, again and again, and the value is the same all over the digits;
- **the camera did not take it there**: what is seen there is in the other frame neither at the same place nor
  where the camera's motion would have brought it;
- **nor did a motion of its own**: credits that roll past a logo bring ink back as well, but are found again, shifted.

The camera's motion is the median of a dense inverse search flow (Kroeger et al. 2016, OpenCV) over wide windows, which
small things do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vfi_pipeline.shots.thumbnails import dense_flow


@dataclass(frozen=True)
class CounterRule:
    """When changing samples are a counter's. Fitted on drawn counters over photographs that move
    (``tests/synthesis/test_counters.py`` draws them) and on clips for training; luma in 8-bit codes.

    Attributes:
        least: frames around that are needed at least: fewer show too little of what comes back.
        ink: largest distance of a sample from its ink.
        ground: least distance of a sample that is not ink.
        returns: least changes between ink and ground in the frames.
        shows: least frames that show the ink.
        even: least share of what comes back in a window that is of the window's strongest ink.
        changes: least difference of a sample that changes from frame to frame.
        unlike: least difference from what the camera's motion would have brought.
        cell, around: px; samples are counted in windows of so many cells.
        dense: least share of a window's samples that are a counter's.
        shift: px, of the height of digits' window: how far a motion of their own is looked for.
        shifted: correlation from which digits count as shifted.
        span: px of the longer side on which the camera's motion is estimated.
        settled: least share of frames in which a sample is ink or the ground of its box.
        rim: px around ink that belong to it: outlines, soft edges.
    """

    least: int = 6
    ink: int = 16
    ground: int = 40
    returns: int = 3
    shows: int = 3
    even: float = 0.4
    changes: int = 32
    unlike: int = 24
    cell: int = 4
    around: int = 5
    dense: float = 0.02
    shift: int = 24
    shifted: float = 0.85
    span: int = 480
    settled: float = 0.8
    rim: int = 2


RULE = CounterRule()


def camera_motion(first: np.ndarray, last: np.ndarray, rule: CounterRule = RULE) -> np.ndarray:
    """The motion from ``first`` to ``last`` ((h, w) uint8) of most of what is seen around each place: (h, w, 2) px."""
    height, width = first.shape
    shrink = max(1.0, max(height, width) / rule.span)
    size = max(16, round(width / shrink)), max(16, round(height / shrink))
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in (first, last)]
    flow = dense_flow(small[0], small[1])
    cells = cv2.resize(flow, (max(1, size[0] // 8), max(1, size[1] // 8)), interpolation=cv2.INTER_AREA)
    reach = max(1, max(cells.shape[:2]) // 8)
    padded = np.pad(cells, ((reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1), axis=(0, 1))
    median = np.median(windows.reshape(*cells.shape, -1), axis=-1).astype(np.float32)
    scale = np.array([width / size[0], height / size[1]], np.float32)
    return np.asarray(cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR) * scale, np.float32)


def changing_digits(
    lumas: Sequence[np.ndarray], place: int, near: np.ndarray, rule: CounterRule = RULE
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Where two frames show digits that change between them, each its own.

    Args:
        lumas: (h, w) uint8, of frames of one shot in order, the pair among them.
        place: the first frame of the pair, as an index of ``lumas``.
        near: where digits are looked for, (h, w) uint8, 0 or 255.

    Returns:
        (of the first, of the last): (h, w) uint8, 0 or 255, or None where there are none.
    """
    x, y, w, h = cv2.boundingRect(near)
    if len(lumas) < rule.least or min(w, h) < rule.cell * rule.around:
        return None, None
    part = np.s_[y : y + h, x : x + w]
    stack = np.stack([luma[part] for luma in lumas])
    changed = (cv2.absdiff(stack[place], stack[place + 1]) >= rule.changes) & (near[part] > 0)
    inks = [(_returning(stack, extreme, rule), extreme) for extreme in (stack.max(axis=0), stack.min(axis=0))]
    if not any((changed & ink).any() for ink, _ in inks):
        return None, None
    motion = camera_motion(lumas[place], lumas[place + 1], rule)
    unseen = changed & (
        _elsewhere(lumas[place], lumas[place + 1], motion, rule)[part]
        | _elsewhere(lumas[place + 1], lumas[place], -motion, rule)[part]
    )
    kept = [np.zeros((h, w), bool), np.zeros((h, w), bool)]
    for bright, (ink, extreme) in zip((True, False), inks):
        for window, value in _digits(ink & unseen, extreme, bright, rule):
            if _is_shifted(lumas[place], lumas[place + 1], window, (x, y), rule):
                continue
            for mask, picture in zip(kept, (stack[place], stack[place + 1])):
                mask |= _shown(stack, picture, bright, window, value, near[part] > 0, rule)
    found: list[np.ndarray | None] = []
    for mask in kept:
        whole = np.zeros_like(near)
        whole[part][mask] = 255
        found.append(whole if mask.any() else None)
    return found[0], found[1]


def _returning(stack: np.ndarray, extreme: np.ndarray, rule: CounterRule) -> np.ndarray:
    """Samples that go to their extreme value and away from it, again and again: (h, w) bool."""
    state = np.zeros(extreme.shape, np.int8)
    returns, shows = np.zeros(extreme.shape, np.uint8), np.zeros(extreme.shape, np.uint8)
    for picture in stack:
        distance = cv2.absdiff(picture, extreme)
        shown = distance <= rule.ink
        now = np.where(shown, 1, np.where(distance >= rule.ground, -1, state)).astype(np.int8)
        returns += (now != state) & (state != 0)
        shows += shown
        state = now
    return (returns >= rule.returns) & (shows >= rule.shows)


def _elsewhere(one: np.ndarray, other: np.ndarray, motion: np.ndarray, rule: CounterRule) -> np.ndarray:
    """Samples of ``one`` that are not seen in ``other`` where the camera's motion takes them, within a sample."""
    height, width = one.shape
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    across, down = columns + motion[..., 0], rows + motion[..., 1]
    there = cv2.remap(other, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    window = np.ones((3, 3), np.uint8)
    above = cv2.subtract(one, cv2.dilate(there, window))
    below = cv2.subtract(cv2.erode(there, window), one)
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    return np.asarray((cv2.max(above, below) >= rule.unlike) & inside)


def _digits(
    samples: np.ndarray, extreme: np.ndarray, bright: bool, rule: CounterRule
) -> list[tuple[np.ndarray, float]]:
    """Windows in which such samples are dense and most of one ink: ((h, w) bool, the ink's value) of each place."""
    side = rule.cell * rule.around
    value = extreme if bright else cv2.bitwise_not(extreme)
    strongest = cv2.dilate(np.where(samples, value, np.uint8(0)), np.ones((side + 1, side + 1), np.uint8))
    ink = samples & (cv2.subtract(strongest, value) <= rule.ink)
    count = cv2.blur(ink.astype(np.float32), (side, side))
    every = cv2.blur(samples.astype(np.float32), (side, side))
    dense = (count >= rule.dense) & (count >= rule.even * every)
    if not dense.any():
        return []
    number, labels = cv2.connectedComponents(dense.astype(np.uint8))
    found = []
    for label in range(1, number):
        window = labels == label
        own = ink & window
        if own.any():
            found.append((window, float(np.median(extreme[own]))))
    return found


def _is_shifted(
    first: np.ndarray, last: np.ndarray, window: np.ndarray, corner: tuple[int, int], rule: CounterRule
) -> bool:
    """Whether what the window shows of ``first`` is found in ``last`` at another place close by."""
    x, y, w, h = cv2.boundingRect(window.astype(np.uint8))
    left, top = x + corner[0], y + corner[1]
    reach = min(rule.shift, max(4, h))
    height, width = first.shape
    template = first[top : top + h, left : left + w]
    x0, y0 = max(0, left - reach), max(0, top - reach)
    around = last[y0 : min(height, top + h + reach), x0 : min(width, left + w + reach)]
    likeness = cv2.matchTemplate(around, template, cv2.TM_CCOEFF_NORMED)
    likeness[max(0, top - y0 - 1) : top - y0 + 2, max(0, left - x0 - 1) : left - x0 + 2] = -1
    return bool(likeness.max() >= rule.shifted)


def _shown(
    stack: np.ndarray,
    picture: np.ndarray,
    bright: bool,
    window: np.ndarray,
    value: float,
    near: np.ndarray,
    rule: CounterRule,
) -> np.ndarray:
    """What of the window belongs to the digits that ``picture`` shows: its ink with the rim, and a box's ground."""
    ink = (np.abs(picture.astype(np.int16) - round(value)) <= 2 * rule.ink) & window
    kernel = np.ones((2 * rule.rim + 1,) * 2, np.uint8)
    mask = cv2.dilate(ink.astype(np.uint8), kernel) > 0
    other = stack.min(axis=0) if bright else stack.max(axis=0)
    settled = np.zeros(picture.shape, np.uint8)
    for each in stack:
        settled += (np.abs(each.astype(np.int16) - round(value)) <= 2 * rule.ink) | (
            cv2.absdiff(each, other) <= rule.ink
        )
    return (mask | ((settled >= rule.settled * len(stack)) & window)) & near
