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
from its first frame to its last. Runs a little further away are carried to the frame as long as the samples stay alike
(``Rule.carry``): a white letter before a white wall has no edge. A mask depends on the frames within ``Rule.reach`` of
its pair. Runs that lie before or after the pair to be made count only if most other edges moved in them: a camera that
starts to move was still before.

Digits that change while the rest stays (``switched``) need only two frames before and two after the change, beside an
overlay that was found; what moves past is equal in neither.

In a made frame, an overlay is kept from the nearer source frame (``synthesis.mask.keep``), but only where the camera
moves, and what lies around the overlay with it (``moving``): of a still camera's background nothing is touched. Beside
an overlay, what would be pulled from under it is taken from the other frame (``synthesis.compose``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.estimation.memo import Memo
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis.counters import changing_digits


@dataclass(frozen=True)
class Rule:
    """When something is an overlay. Chosen on 38 real clips for training, with drawn overlays and without
    (docs/interpolate.md, *Overlays*, has the figures); luma in 8-bit codes, distances in pixels of the film.

    Attributes:
        frames: key frames in a run; masks of runs of 3 to 5 hardly differ, fewer are weaker evidence.
        equal: largest range of a sample that stays equal, in compressed films (14 gave ragged masks no fewer holes).
        nearly: the same at a lasting edge: a logo of 85 % opacity over black and white.
        contrast: least difference across a lasting edge.
        cell, around: px; edges are counted in cells, and judged over so many cells in each direction.
        corners: least smaller eigenvalue, in edges per pixel. In 20 clips of moving cameras the largest is 0.065 to
            0.09 where the ground stays between feet, 0.03 elsewhere; text has 0.2 to 0.4.
        faint: the same within ``around`` cells of such a place: the ends of a word, letters of little contrast.
        grow: px around a lasting edge that belong to it where they stay equal.
        moves: px between the two frames beyond which something moves. At 0.75, 5 of 40 clips without overlays lose up
            to 0.13 dB; at 1, two of 66 lose 0.004 and 0.04 dB.
        near: share of the frame's longer side over which the motion around is averaged.
        share: least share of what lies around that moves.
        whole: least share of the frame that moves: the camera does. In 17 of 20 clips of moving cameras it is 0.75 to
            1, in 16 of still ones 0.01 to 0.54; without this bound those lost 0.2 to 0.7 dB.
        still: largest share of a frame's edges that may last in a run beside the pair. Films with drawn text have
            0.1 to 0.3, still cameras 0.3 to 0.8.
        alike: largest range of a sample of a letter over ground that changes: encoders ring about thin strokes.
        carry: runs that begin or end so many frames beside a frame are carried to it: a letter over ground of its own
            colour has no edge there.
        stays: least share of what lies at lasting edges, around each place, that must be equal in another frame for the
            overlay to be there: of a thin letter over other ground, its strokes without their rims.
        line: of the frame's longer side: how far beside an overlay a digit may change that lasts two frames only.
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
    alike: int = 24
    carry: int = 3
    stays: float = 0.3
    line: float = 1 / 12

    @property
    def reach(self) -> int:
        """Frames on either side of a pair's own that are looked at."""
        return self.frames - 1 + self.carry


RULE = Rule()

GAPPED = ((0, 1, 2, 7), (0, 1, 5, 6), (0, 1, 6, 7), (0, 5, 6, 7), (1, 5, 6, 7))
"""Frames of runs with a gap, counted from a shot's end."""


class Run(NamedTuple):
    """What lasts through a run.

    Attributes:
        mask: (h, w) uint8, 0 or 255.
        sure: the part of it that lies right at lasting edges; the rest may be even ground beside them.
        share: of all its edges that last.
    """

    mask: np.ndarray
    sure: np.ndarray
    share: float


Around = Sequence[tuple[int, Frame]]
"""(index, frame) of frames of one shot, in order and without gaps."""

Masks = tuple[np.ndarray | None, np.ndarray | None]
"""Of a pair's first and last frame: (h, w) uint8, 0 or 255; None where there is nothing."""


class Overlays:
    """The overlay masks of a stream's frames; what several need of a frame is made once, whatever threads ask."""

    def __init__(self, rule: Rule = RULE) -> None:
        self.rule = rule
        self._memo = Memo()  # ("luma" | "run", frame numbers)

    def masks(self, shot: Around, pair: tuple[int, int]) -> tuple[Masks, Masks]:
        """What has to stay of a pair's two frames: overlays that last, and digits beside them that change in the pair.

        Args:
            shot: the pair among the frames of its shot within ``rule.reach`` of it.
            pair: the indices of the two.
        """
        place = [number for number, _ in shot].index(pair[0])
        found = [self._found(shot, place + k, pair) for k in (0, 1)]
        first, last = (self._luma(shot[place + k]) for k in (0, 1))
        masks = [None if one is None else _without_ground(one, first, last, self.rule) for one in found]
        near = either(*masks)
        changed: Masks = None, None
        if near is not None and 0 < place < len(shot) - 2:
            before, after = self._luma(shot[place - 1]), self._luma(shot[place + 2])
            changed = switched((before, first, last, after), near, self.rule)
        near = either(near, self._near(shot))
        if near is None:
            return (masks[0], masks[1]), (None, None)
        lumas, beside = [self._luma(item) for item in shot], _beside(near, self.rule)
        digits = changing_digits(lumas, place, beside)
        changed = either(changed[0], digits[0]), either(changed[1], digits[1])
        boxes = [_with_box(lumas, mask, beside, self.rule) for mask in masks]
        around = [_with_box(lumas, mask, beside, self.rule) for mask in changed]
        return (boxes[0], boxes[1]), (around[0], around[1])

    def forget_before(self, index: int) -> None:
        """Frees what belongs to frames before ``index``."""
        self._memo.forget(lambda key: key[1] < index)

    def _found(self, shot: Around, place: int, pair: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        """(mask, its sure part) of frame ``place`` of ``shot``, from the runs that hold it and those beside it."""
        length, carry = self.rule.frames, self.rule.carry
        mask, sure = self._at_an_end(shot, place, pair)
        for start in range(max(0, place - length + 1 - carry), min(place + carry, len(shot) - length) + 1):
            run = self._run(shot[start : start + length])
            if run is None:
                continue
            held = start <= place < start + length
            spans = {shot[start + k][0] for k in range(length)} >= set(pair)
            if run.share > self.rule.still and not (held and spans):
                continue
            parts = (run.mask, run.sure)
            if not held:
                between = range(place, start + 1) if place < start else range(start + length - 1, place + 1)
                carried = _carried(run.sure, [self._luma(shot[k]) for k in between], self.rule)
                if carried is None:
                    continue
                parts = carried, np.zeros_like(carried)
            mask, sure = either(mask, parts[0]), either(sure, parts[1])
        return None if mask is None or sure is None else (mask, sure)

    def _at_an_end(
        self, shot: Around, place: int, pair: tuple[int, int]
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """(mask, its sure part) of a frame near its shot's end, where runs lie on one side of it only.

        As many frames are looked at with a gap between them, in which ground of a letter's own colour may pass.
        """
        mask: np.ndarray | None = None
        sure: np.ndarray | None = None
        first = [index for index, _ in shot].index(pair[0])
        begins = first < self.rule.reach and place < self.rule.carry
        ends = len(shot) - 2 - first < self.rule.reach and len(shot) - 1 - place < self.rule.carry
        if len(shot) < self.rule.reach + 2 or not (begins or ends):
            return None, None
        for gapped in GAPPED:
            places = [k if begins else len(shot) - 1 - k for k in gapped]
            run = self._run([shot[k] for k in sorted(places)])
            if run is None or run.share > self.rule.still:
                continue
            parts = run.mask, run.sure
            if place not in places:
                nearest = min(places, key=lambda k: abs(k - place))
                between = range(min(place, nearest), max(place, nearest) + 1)
                carried = _carried(run.sure, [self._luma(shot[k]) for k in between], self.rule)
                if carried is None:
                    continue
                parts = carried, np.zeros_like(carried)
            mask, sure = either(mask, parts[0]), either(sure, parts[1])
        return mask, sure

    def _near(self, shot: Around) -> np.ndarray | None:
        """What lasts through any run of ``shot``, also beside the pair: digits that change may have stayed there."""
        near: np.ndarray | None = None
        for start in range(len(shot) - self.rule.frames + 1):
            run = self._run(shot[start : start + self.rule.frames])
            if run is not None and run.share <= self.rule.still:
                near = either(near, run.sure)
        return near

    def _luma(self, item: tuple[int, Frame]) -> np.ndarray:
        index, frame = item
        return self._memo.recall(("luma", index), lambda: luma(frame))

    def _run(self, frames: Around) -> Run | None:
        return self._memo.recall(
            ("run", *(index for index, _ in frames)),
            lambda: lasting([self._luma(item) for item in frames], self.rule),
        )


def either(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    """Both masks as one; None is an empty one."""
    if one is None or other is None:
        return other if one is None else one
    return cv2.bitwise_or(one, other)


def _share(part: np.ndarray, whole: np.ndarray, rule: Rule) -> np.ndarray:
    """Share of ``whole`` that ``part`` is, in a window of ``around`` cells about each sample; (h, w) float32."""
    side = (rule.around * rule.cell,) * 2
    return cv2.blur(part.astype(np.float32), side) / cv2.blur(whole.astype(np.float32), side).clip(min=1e-3)


def _carried(mask: np.ndarray, lumas: Sequence[np.ndarray], rule: Rule) -> np.ndarray | None:
    """What of ``mask``, a run's sure one, is there in a frame beside the run; None if nothing is.

    Its samples are alike in all ``lumas``, from the run's nearest frame to that one, and so are enough around them.
    """
    high, low = lumas[0], lumas[0]
    for picture in lumas[1:]:
        high, low = cv2.max(high, picture), cv2.min(low, picture)
    same = cv2.bitwise_and(mask, _at_most(cv2.subtract(high, low), rule.alike))
    if not cv2.countNonZero(same):
        return None
    same[_share(same, mask, rule) < rule.stays] = 0
    return same if cv2.countNonZero(same) else None


def _without_ground(
    found: tuple[np.ndarray, np.ndarray], first: np.ndarray, last: np.ndarray, rule: Rule
) -> np.ndarray:
    """A frame's mask without even ground beside an overlay that stays, where something comes or goes in the pair."""
    mask, sure = found
    differs = cv2.absdiff(first, last)
    same = cv2.bitwise_and(sure, _at_most(differs, rule.equal))
    ground = cv2.bitwise_and(cv2.bitwise_and(mask, cv2.bitwise_not(sure)), _at_least(differs, rule.equal + 1))
    if not cv2.countNonZero(ground):
        return mask
    ground[_share(same, sure, rule) < rule.stays] = 0
    return cv2.bitwise_and(mask, cv2.bitwise_not(ground))


def switched(lumas: Sequence[np.ndarray], near: np.ndarray, rule: Rule = RULE) -> Masks:
    """Digits that change between the second and the third of four frames, beside an overlay that stays.

    Something is there in the first two, equal, and something else in the last two: what moves is neither. Where the
    ground around them is even (a box, a bar), all that changes is part of it.

    Args:
        lumas: (h, w) uint8, of four frames in order.
        near: the overlay that was found, (h, w) uint8, 0 or 255.
    """
    beside = _beside(near, rule)
    x, y, w, h = cv2.boundingRect(beside)
    if not w:
        return None, None
    part = np.s_[y : y + h, x : x + w]
    before, first, last, after = (picture[part] for picture in lumas)
    strict = replace(rule, nearly=rule.equal)
    runs = [lasting(two, strict) for two in ((before, first), (last, after))]
    if runs[0] is None or runs[1] is None:
        return None, None
    still = [_at_most(cv2.absdiff(*two), rule.equal) for two in ((before, first), (last, after))]
    # Strokes of one digit give way to the ground of the other: at edges that last before, and at others after.
    both = cv2.bitwise_and(runs[0].mask, runs[1].mask)
    both = cv2.bitwise_and(cv2.bitwise_and(both, beside[part]), _at_least(cv2.absdiff(first, last), rule.nearly))
    both = cv2.bitwise_and(both, cv2.bitwise_and(*still))
    both[cv2.blur(both, (3, 3)) < 3 * 255 // 9] = 0  # single samples are the ground's
    if not cv2.countNonZero(both):
        return None, None
    place = cv2.bitwise_and(_dilated(both, rule.around), beside[part])
    strokes = cv2.bitwise_or(runs[0].mask, runs[1].mask)
    found = []
    for one in still:
        mask = np.zeros_like(near)
        mask[part] = cv2.bitwise_and(cv2.bitwise_and(strokes, one), place)
        found.append(mask if cv2.countNonZero(mask) else None)
    return found[0], found[1]


def _beside(near: np.ndarray, rule: Rule) -> np.ndarray:
    """An overlay and what lies beside it, in its own line: (h, w) uint8, 0 or 255."""
    wide = max(rule.around * rule.cell, round(max(near.shape) * rule.line))
    return cv2.dilate(near, np.ones((2 * rule.cell + 1, 2 * wide + 1), np.uint8))


def _with_box(
    lumas: Sequence[np.ndarray], mask: np.ndarray | None, beside: np.ndarray, rule: Rule
) -> np.ndarray | None:
    """``mask`` with the box that holds it: ground that is equal in all of ``lumas``, touches it and ends beside it."""
    if mask is None or len(lumas) < 2 * rule.frames - 1:
        return mask
    x, y, w, h = cv2.boundingRect(beside)
    part = np.s_[y : y + h, x : x + w]
    high, low = lumas[0][part], lumas[0][part]
    for picture in lumas[1:]:
        high, low = cv2.max(high, picture[part]), cv2.min(low, picture[part])
    even = _at_most(cv2.subtract(high, low), rule.equal)
    number, labels = cv2.connectedComponents(even)
    belongs = np.zeros(number, bool)
    belongs[labels[_dilated(mask[part], 1) > 0]] = True
    belongs[labels[beside[part] == 0]] = False  # it goes on: a sky, a bar across the picture
    edges = ((y > 0, labels[0]), (x > 0, labels[:, 0]),
             (y + h < mask.shape[0], labels[-1]), (x + w < mask.shape[1], labels[:, -1]))  # fmt: skip
    for within, edge in edges:
        if within:
            belongs[edge] = False
    belongs[0] = False
    whole = mask.copy()
    whole[part][belongs[labels]] = 255
    return whole


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
    mask = cv2.bitwise_or(close, cv2.bitwise_and(mask, cv2.medianBlur(mask, 3)))  # single samples are the ground's
    all_edges = sum(cv2.countNonZero(_at_least(step, rule.contrast)) for step in (
        cv2.absdiff(lumas[0][:, 1:], lumas[0][:, :-1]), cv2.absdiff(lumas[0][1:], lumas[0][:-1])))  # fmt: skip
    lasts = sum(cv2.countNonZero(part) for part in (right, left, down, up))
    return Run(np.asarray(mask, np.uint8), np.asarray(close, np.uint8), lasts / max(all_edges, 1))


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
