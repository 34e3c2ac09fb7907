"""Hard cuts, found while the film streams by.

A pair of neighbouring frames is judged on small pictures (96 px), made independent of brightness and contrast (mean 0,
deviation 1), by what motion cannot explain:

- ``match``: every block of one picture is looked up in the other within a sixth of the width; the best correlation,
  averaged over the blocks by their contrast, in the better and in the worse direction;
- ``residual``: what is left after dense optical flow (DIS) has warped one onto the other;
- ``tones``, ``colours``: Hellinger distance of the luma and chroma histograms.

A logistic model of the five gives the evidence. It is then weighed against its surroundings: where the pairs around
are hard to explain too (a shaky chase), more evidence is asked for. Frames without structure (black, white) follow a
rule of their own: next to a picture of full contrast they are a cut, at the end of a fade they are not. And a change
that is taken back within two frames while the picture keeps its structure or is washed out is a flash, not a cut.

Fades, dissolves, wipes and pans change little from frame to frame and are interpolated.

The logistic model was fitted on 4,900 pairs of this project's 78 real clips (neighbours, every 2nd, every 4th frame,
darkened and faded ones; against pairs across clips). As a detector, run on streams of the same clips: no false cut in
9,015 pairs at the native rate, none in 4,482 at half of it, 1 in 2,218 at a quarter (a motocross chase at 6 frames/s);
none in 150 flashes, 100 fades through black, 100 dissolves of 6 to 24 frames. Found: all of 420 cuts between shots of 8
to 20 frames, 419 of 420 between shots of 1 to 3 frames, 296 of 300 around 1 to 3 foreign frames in a shot, 414 of 420
within one film (same palette), 149 of 150 at a tenth or a fifth of the brightness, 200 of 200 without colour, 308 of
320 to and from black or white frames. It takes 1 ms of one core per frame, and 1 ms more at 1080p
to shrink it (4 ms at 4K).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis.guide import shrunk_yuv

THRESHOLD = 0.5
"""A pair whose score is above this is a cut. 0 .. 1: 0.2 finds more, 0.9 only what is beyond doubt."""

LOOKAHEAD = 2  # frames behind a pair that its verdict waits for: a flash of up to two frames
LOOKBACK = 4  # frames before a pair that its verdict looks at

SPAN = 96  # px, longest side of the pictures compared
BLOCK = 16  # px
REACH = 16  # px, how far a block is looked for: a sixth of the width
FLOOR = 3.0  # 8-bit codes: contrast below it is taken for noise and not stretched
FLAT = 1.5  # 8-bit codes of deviation: a frame without structure
CONTRAST = 20.0  # 8-bit codes of deviation: a frame that cannot be the last but one of a fade
ALIKE = 0.3  # deviations: mean difference below which none of 1,400 cuts lay (the least was 0.48)

# (constant, best match, worst match, residual, tones, colours), and the same for films without colour.
WITH_COLOUR = (-2.53, -5.78, -7.34, 9.11, 7.62, 12.96)
WITHOUT_COLOUR = (-1.83, -5.57, -8.85, 11.25, 14.35, 0.0)

SURE, SURELY_NOT = 6.0, -8.0  # log odds where a rule decides
FAINT = 4.0  # 8-bit codes of deviation: a card of one colour
STEP, STEPPED = 40.0, 2.0  # 8-bit codes between two cards of one colour, and log odds: a cut, unless the fade goes on
PLAIN = 5.0  # log odds of a cut that no motion could be mistaken for


@dataclass(frozen=True)
class Signature:
    """What is kept of a frame to compare it with others.

    ``luma``: (h, w) float32, 8-bit codes. ``even``: (h, w) uint8, luma with mean 128 and deviation 40. ``tones``,
    ``colours``: histograms of the evened luma and chroma that sum to 1. ``grey``: there is no colour to compare.
    """

    luma: np.ndarray
    even: np.ndarray
    tones: np.ndarray
    colours: np.ndarray
    grey: bool
    mean: float
    deviation: float
    tint: tuple[float, ...] = ()  # mean chroma, 8-bit codes

    @property
    def flat(self) -> bool:
        return self.deviation < FLAT


def signature(frame: Frame) -> Signature:
    """Reduces a frame for ``Detector.push``."""
    luma, *chroma = shrunk_yuv(frame, SPAN)
    luma = luma * np.float32(219)
    mean, deviation = float(luma.mean()), float(luma.std())
    gain = 1 / max(deviation, FLOOR)
    even = np.clip(128 + 40 * gain * (luma - mean), 0, 255).astype(np.uint8)
    tones = cv2.GaussianBlur(cv2.calcHist([even], [0], None, [32], [0, 256]).T, (5, 1), 1).ravel()
    colours, grey = np.ones(1), True
    if chroma:
        grey = max(float(c.std()) for c in chroma) * 224 < FLAT
        small = [
            np.clip(128 + 60 * gain * 224 * cv2.resize(c, (luma.shape[1] // 2 or 1, luma.shape[0] // 2 or 1),
                                                       interpolation=cv2.INTER_AREA), 0, 255).astype(np.uint8)
            for c in chroma
        ]  # fmt: skip
        colours = cv2.calcHist(small, [0, 1], None, [16, 16], [0, 256, 0, 256])
        colours = cv2.GaussianBlur(colours, (3, 3), 0.7).ravel()
        colours = colours / colours.sum()
    tint = tuple(float(c.mean()) * 224 for c in chroma)
    return Signature(luma, even, tones / tones.sum(), colours, grey, mean, deviation, tint)


class Detector:
    """Streams: ``push`` every frame's signature, get the verdicts that have become certain, in order.

    A verdict says whether a new shot starts with that frame; it comes ``LOOKAHEAD`` frames late. ``flush`` gives the
    rest. The first frame starts nothing.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """``threshold``: 0 .. 1, see ``THRESHOLD``."""
        margin = min(max(threshold, 1e-3), 1 - 1e-9)  # the least is above what rules call no cut
        self._margin = math.log(margin / (1 - margin))
        self._recent: deque[Signature] = deque(maxlen=LOOKAHEAD + 2)  # frames k - 1 .. k + LOOKAHEAD
        self._odds: deque[float] = deque(maxlen=LOOKBACK + 1 + LOOKAHEAD)  # of the pairs around k, k at -1 - LOOKAHEAD
        self._pushed = self._decided = 0
        self._returns: set[int] = set()  # frames with which a flash ends

    def push(self, now: Signature) -> list[bool]:
        """Takes the next frame; returns no verdict or one."""
        if self._recent:
            self._odds.append(evidence(self._recent[-1], now))
        self._recent.append(now)
        self._pushed += 1
        return [self._decide()] if self._pushed > LOOKAHEAD else []

    def flush(self) -> list[bool]:
        """The verdicts that are still out, at the film's end."""
        return [self._decide() for _ in range(self._pushed - self._decided)]

    def _decide(self) -> bool:
        k = self._decided
        self._decided += 1
        if k == 0:
            return False
        after = self._pushed - 1 - k  # how many frames behind k are known
        odds = list(self._odds)
        here = odds.pop(len(odds) - 1 - after)
        around = odds[max(0, len(odds) - after - LOOKBACK) :]
        # Pairs around that are hard to explain as well raise the bar; plain cuts among them (short shots) do not.
        hard = [o for o in around if o < PLAIN]
        bar = min(max(1.3 * (median(hard) + 4), 0), 4.5) if hard else 0.0
        if here - bar <= self._margin or k in self._returns:
            return False
        return not self._is_flash(k, list(self._recent)[-2 - after :])

    def _is_flash(self, k: int, frames: list[Signature]) -> bool:
        """Whether the picture before ``k`` is soon back and was never gone. ``frames``: k - 1, k, ... so far."""
        before = frames[0]
        for length in range(1, len(frames) - 1):
            if not _is_washed(before, frames[length]):
                return False
            if evidence(before, frames[length + 1]) <= 0:
                self._returns.add(k + length)
                return True
        return False


def evidence(a: Signature, b: Signature) -> float:
    """Log odds that a cut lies between two frames, surroundings left aside."""
    if max(a.deviation, b.deviation) < FAINT:
        step = max(abs(x - y) for x, y in zip((a.mean, *a.tint), (b.mean, *b.tint)))
        if step > STEP:
            return STEPPED
    if a.flat or b.flat:
        # Black to black is no cut; a picture of full contrast that is gone at once is; the dim end of a fade is not.
        return SURE if max(a.deviation, b.deviation) > CONTRAST else SURELY_NOT
    if float(cv2.absdiff(a.even, b.even).mean()) < 40 * ALIKE:
        return SURELY_NOT
    matches = sorted((_match(a.luma, b.luma), _match(b.luma, a.luma)))
    residual = min(_residual(a.even, b.even), _residual(b.even, a.even))
    w = WITHOUT_COLOUR if a.grey and b.grey else WITH_COLOUR
    distances = _hellinger(a.tones, b.tones), _hellinger(a.colours, b.colours)
    terms = (1.0, matches[1], matches[0], residual, *distances)
    return sum(weight * term for weight, term in zip(w, terms))


def _is_washed(before: Signature, now: Signature) -> bool:
    """Whether ``now`` may be ``before`` in another light: flat, faint, blown out, or with the same structure."""
    brighter = now.mean - before.mean
    faint = now.deviation < 0.4 * before.deviation and abs(brighter) > 40
    blown = brighter > 40 and float((now.luma > 210).mean()) > 0.3
    if now.flat or faint or blown:
        return True
    return max(_match(before.luma, now.luma), _match(now.luma, before.luma)) > (0.57 if brighter > 30 else 0.7)


def _match(a: np.ndarray, b: np.ndarray) -> float:
    """How well a's blocks are found in b: best correlation within ``REACH``, weighted by the blocks' contrast."""
    h, w = a.shape
    block_h, block_w = min(BLOCK, h), min(BLOCK, w)
    total = weights = 0.0
    for y in np.linspace(0, h - block_h, max(2, round(h / BLOCK))).astype(int):
        for x in np.linspace(0, w - block_w, max(2, round(w / BLOCK))).astype(int):
            block = a[y : y + block_h, x : x + block_w]
            contrast = min(float(block.std()), 20.0)
            if contrast < FLAT:
                continue
            around = b[max(0, y - REACH) : y + block_h + REACH, max(0, x - REACH) : x + block_w + REACH]
            found = cv2.matchTemplate(around, block, cv2.TM_CCOEFF_NORMED)
            best = float(np.where(np.isfinite(found), found, 0).max())
            total, weights = total + contrast * min(best, 1.0), weights + contrast
    return total / weights if weights else 0.6  # no structure to speak for or against


def _residual(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference, in deviations, that is left when b is warped onto a."""
    flow = flow_between(a, b)
    x = flow[..., 0] + np.arange(a.shape[1], dtype=np.float32)
    y = flow[..., 1] + np.arange(a.shape[0], dtype=np.float32)[:, None]
    warped = cv2.remap(b, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(warped, a).mean()) / 40


def flow_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dense optical flow of two small (h, w) uint8 pictures by DIS: (h, w, 2), px, (dx, dy), a's points seen in b."""
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(dis.calc(a, b, None))  # type: ignore[call-overload]  # None is allowed, the stubs do not say so


def _hellinger(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(max(0.0, 1 - float(np.sqrt(a * b).sum())))
