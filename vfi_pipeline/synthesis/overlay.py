"""What lies over a moving picture and does not move with it: logos, subtitles, counters.

A frame's overlay is found on full-size luma, in runs of ``Rule.frames`` key frames of one shot that hold the frame:

- **a lasting edge**: two neighbouring samples whose difference keeps its sign and never falls below ``contrast`` in the
  run, and at least one of which stays nearly equal;
- **in two directions**: an edge that moves along itself lasts too (a fence in a pan, the side of a letter in credits
  that scroll upwards). Lasting edges count only where they run both ways: by the smaller eigenvalue of their structure
  tensor;
- **what belongs to it**: samples near such edges that stay equal, and right at the edges also those that nearly do
  (translucent logos).

A run that begins or ends with the frame is as good as one around it, so a subtitle that comes and goes is an overlay
from its first frame to its last, and a mask depends on the frames within ``Rule.frames - 1`` of its own. Runs that lie
before or after the pair to be made count only if most other edges moved in them: a camera that starts to move was
still before.

In a made frame, an overlay is kept from the nearer source frame (``synthesis.mask.keep``), but only where the camera
moves, and what lies around the overlay with it (``moving``): of a still camera's background nothing is touched. Beside
an overlay, what would be pulled from under it is taken from the other frame (``synthesis.compose``).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.models.motion import IntermediateMotion


@dataclass(frozen=True)
class Rule:
    """When something is an overlay. Chosen on 38 real clips for training, with drawn overlays and without
    (docs/interpolate.md, *Overlays*, has the figures); luma in 8-bit codes, distances in pixels of the film.

    Attributes:
        frames: key frames in a run. 3 finds more in films without overlays, 5 loses subtitles of 0.2 s.
        equal: largest range of a sample that stays equal: twice the noise of H.264 at CRF 17 beside moving pictures.
        nearly: the same at a lasting edge: a logo of 85 % opacity over black and white.
        contrast: least difference across a lasting edge.
        cell, around: px; edges are counted in cells, and judged over so many cells in each direction.
        corners: least smaller eigenvalue, in edges per pixel. In 20 clips of moving cameras the largest is 0.065 to
            0.09 where the ground stays between feet, 0.03 elsewhere; text has 0.2 to 0.4.
        faint: the same within ``around`` cells of such a place: the ends of a word, letters of little contrast.
        grow: px around a lasting edge that belong to it where they stay equal.
        moves: px between the two frames beyond which something moves.
        near: share of the frame's longer side over which the motion around is averaged.
        share: least share of what lies around that moves.
        whole: least share of the frame that moves: the camera does. In 17 of 20 clips of moving cameras it is 0.75 to
            1, in 16 of still ones 0.01 to 0.54.
        still: largest share of a frame's edges that may last in a run beside the pair. Films with drawn text have
            0.1 to 0.3, still cameras 0.3 to 0.8.
    """

    frames: int = 4
    equal: int = 8
    nearly: int = 32
    contrast: int = 16
    cell: int = 4
    around: int = 5
    corners: float = 0.1
    faint: float = 0.02
    grow: int = 2
    moves: float = 1.0
    near: float = 1 / 6
    share: float = 0.5
    whole: float = 0.6
    still: float = 0.35


RULE = Rule()


class Run(NamedTuple):
    """What lasts through a run: ``mask``, (h, w) uint8, 0 or 255; and the ``share`` of all its edges that do."""

    mask: np.ndarray
    share: float


class Overlays:
    """The overlay masks of a stream's frames; what several need of a frame is made once."""

    def __init__(self, rule: Rule = RULE) -> None:
        self.rule = rule
        self._lumas: dict[int, np.ndarray] = {}
        self._runs: dict[int, Run | None] = {}
        self._lock = threading.Lock()

    def mask(self, around: Sequence[tuple[int, Frame]], index: int, pair: tuple[int, int]) -> np.ndarray | None:
        """The overlay of frame ``index``, one of ``pair``: (h, w) uint8, 0 or 255; None if it has none.

        Args:
            around: (index, frame) of the frames of its shot within ``rule.frames - 1``, in order, itself among them.
        """
        length = self.rule.frames
        numbers = [number for number, _ in around]
        place = numbers.index(index)
        found: np.ndarray | None = None
        with self._lock:
            for start in range(max(0, place - length + 1), min(place, len(around) - length) + 1):
                run = self._run(around[start : start + length])
                spans = set(pair) <= set(numbers[start : start + length])
                if run is not None and (spans or run.share <= self.rule.still):
                    found = run.mask if found is None else cv2.bitwise_or(found, run.mask)
        return found

    def forget_before(self, index: int) -> None:
        """Frees what belongs to frames before ``index``."""
        with self._lock:
            self._lumas = {key: kept for key, kept in self._lumas.items() if key >= index}
            self._runs = {key: kept for key, kept in self._runs.items() if key >= index}

    def _run(self, frames: Sequence[tuple[int, Frame]]) -> Run | None:
        begin = frames[0][0]
        if begin not in self._runs:
            for index, frame in frames:
                if index not in self._lumas:
                    self._lumas[index] = luma(frame)
            self._runs[begin] = lasting([self._lumas[index] for index, _ in frames], self.rule)
        return self._runs[begin]


def luma(frame: Frame) -> np.ndarray:
    """What is seen of a frame, as (h, w) uint8: its luma, of RGB about a luma, over black where it is transparent."""
    kinds = [plane.kind for plane in frame.format.planes]

    def eight(kind: str) -> np.ndarray:
        plane = frame.planes[kinds.index(kind)]
        return plane if frame.format.depth <= 8 else cv2.convertScaleAbs(plane, alpha=255 / frame.format.peak)

    if frame.format.is_rgb:
        seen = cv2.addWeighted(cv2.addWeighted(eight("r"), 0.5, eight("b"), 0.5, 0), 0.5, eight("g"), 0.5, 0)
    else:
        seen = eight("y")
    if frame.format.has_alpha:
        seen = cv2.multiply(seen, eight("a"), scale=1 / 255)
    return seen


def lasting(lumas: Sequence[np.ndarray], rule: Rule = RULE) -> Run | None:
    """What stays in every one of ``lumas`` ((h, w) uint8) and has lasting edges both ways; None if nothing does."""
    high, low = lumas[0], lumas[0]
    for picture in lumas[1:]:
        high, low = cv2.max(high, picture), cv2.min(low, picture)
    spread = cv2.subtract(high, low)
    nearly = _at_most(spread, rule.nearly)
    size = spread.shape[1] // rule.cell, spread.shape[0] // rule.cell
    if min(size) < rule.around:
        return None
    sideways, downwards = (_edges(lumas, nearly, axis, rule) for axis in (0, 1))
    if sideways is None or downwards is None:
        return None
    (right, left), (down, up) = sideways, downwards
    across, along = cv2.bitwise_or(right, left), cv2.bitwise_or(down, up)
    falling = cv2.bitwise_or(cv2.bitwise_and(right, down), cv2.bitwise_and(left, up))
    rising = cv2.bitwise_or(cv2.bitwise_and(right, up), cv2.bitwise_and(left, down))

    def density(edges: np.ndarray) -> np.ndarray:
        cells = cv2.resize(edges, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        return cv2.blur(cells * np.float32(1 / 255), (rule.around, rule.around))

    xx, yy, xy = density(across), density(along), density(falling) - density(rising)
    smaller = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    surely = (smaller >= rule.corners).astype(np.uint8) * 255
    if not surely.any():
        return None
    both_ways = cv2.bitwise_and(_dilated(surely, rule.around), (smaller >= rule.faint).astype(np.uint8) * 255)
    there = cv2.resize(both_ways, spread.shape[::-1], interpolation=cv2.INTER_NEAREST)
    across, along = cv2.bitwise_and(across, there), cv2.bitwise_and(along, there)
    edges = np.asarray(cv2.bitwise_or(across, along), np.uint8)
    edges[:, 1:] = cv2.bitwise_or(edges[:, 1:], across[:, :-1])  # the second sample of each pair
    edges[1:] = cv2.bitwise_or(edges[1:], along[:-1])
    close = cv2.bitwise_and(_dilated(edges, 1), nearly)
    mask = cv2.bitwise_or(close, cv2.bitwise_and(_dilated(edges, rule.grow), _at_most(spread, rule.equal)))
    all_edges = sum(cv2.countNonZero(_at_least(step, rule.contrast)) for step in (
        cv2.absdiff(lumas[0][:, 1:], lumas[0][:, :-1]), cv2.absdiff(lumas[0][1:], lumas[0][:-1])))  # fmt: skip
    lasts = sum(cv2.countNonZero(part) for part in (right, left, down, up))
    return Run(np.asarray(mask, np.uint8), lasts / max(all_edges, 1))


def _edges(
    lumas: Sequence[np.ndarray], nearly: np.ndarray, axis: int, rule: Rule
) -> tuple[np.ndarray, np.ndarray] | None:
    """Lasting edges between each sample and the next one to the right (axis 0) or below (1), rising and falling: uint8
    0 or 255, at the first sample of each pair. None where there are none."""
    before, after = ((slice(None), slice(None, -1)), (slice(None), slice(1, None))) if axis == 0 else (
        (slice(None, -1), slice(None)), (slice(1, None), slice(None)))  # fmt: skip
    stays = np.zeros_like(nearly)
    stays[before] = cv2.bitwise_or(nearly[before], nearly[after])
    if not cv2.countNonZero(stays):
        return None
    found = []
    for one, other in ((after, before), (before, after)):
        least: np.ndarray | None = None
        for picture in lumas:
            step = cv2.subtract(picture[one], picture[other])
            least = step if least is None else cv2.min(least, step)
        assert least is not None
        edges = np.zeros_like(nearly)
        edges[before] = _at_least(least, rule.contrast)
        found.append(cv2.bitwise_and(edges, stays))
    if not (cv2.countNonZero(found[0]) or cv2.countNonZero(found[1])):
        return None
    return found[0], found[1]


def _at_most(spread: np.ndarray, limit: int) -> np.ndarray:
    return cv2.threshold(spread, limit, 255, cv2.THRESH_BINARY_INV)[1]


def _at_least(step: np.ndarray, limit: int) -> np.ndarray:
    return cv2.threshold(step, limit - 1, 255, cv2.THRESH_BINARY)[1]


def _dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))


GATE = 64
"""Cells along the longer side of the grid on which the motion around is averaged."""


def moving(motion: IntermediateMotion, width: int, height: int, rule: Rule = RULE) -> np.ndarray | None:
    """Where most of what lies around moves: (h, w) uint8, 0 or 255, on a coarse grid over the frame; None if nowhere.

    Args:
        width, height: of the frame, px.
    """
    flow = (motion.flow_to_last - motion.flow_to_first)[0].float().cpu()  # from first to last, about
    h, w = flow.shape[-2:]
    across, down = (flow * torch.tensor([width / w, height / h]).view(2, 1, 1)).numpy()
    moves = ((across * across + down * down) > rule.moves**2).astype(np.float32)
    if moves.mean() < rule.whole:
        return None
    shrink = max(1, round(max(h, w) / GATE))
    small = cv2.resize(moves, (max(1, w // shrink), max(1, h // shrink)), interpolation=cv2.INTER_AREA)
    side = max(1, round(max(small.shape) * rule.near)) | 1
    open_ = cv2.blur(small, (side, side)) >= rule.share
    return open_.astype(np.uint8) * 255 if open_.any() else None


def within(mask: np.ndarray, gate: np.ndarray) -> np.ndarray | None:
    """The part of ``mask`` that lies where ``gate`` is open, of the mask's size; None if nothing does."""
    if not gate.all():
        mask = cv2.bitwise_and(mask, cv2.resize(gate, mask.shape[::-1], interpolation=cv2.INTER_NEAREST))
    return mask if cv2.countNonZero(mask) else None


def hidden_part(mask: np.ndarray | None, shape: tuple[int, int], device: torch.device) -> Tensor:
    """A mask as (1, 1, h, w) float32 in [0, 1], for ``compose.planes``."""
    if mask is None:
        return torch.zeros(1, 1, *shape, device=device)
    return torch.from_numpy(mask)[None, None].to(device).float() * (1 / 255)
