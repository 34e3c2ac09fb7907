"""Hard cuts, found while the film streams by.

A pair of neighbouring frames is judged on small pictures (96 px), made independent of brightness and contrast (mean 0,
deviation 1), by what motion cannot explain (``differences``):

- ``match``: every block of one picture is looked up in the other within a sixth of the width; the best correlation,
  averaged over the blocks by their contrast, in the better and in the worse direction;
- ``residual``: what is left after dense optical flow (DIS) has warped one onto the other;
- ``tones``, ``colours``: Hellinger distance of the luma and chroma histograms.

A logistic model of the five gives the evidence. It is then weighed against its surroundings: where the pairs around
are hard to explain too (a shaky chase), more evidence is asked for. Frames without structure (black, white) follow a
rule of their own: next to a picture of full contrast they are a cut, at the end of a fade they are not. And a change
that is taken back within two frames while the picture keeps its structure or is washed out is a flash, not a cut.

Fades, dissolves, wipes and pans change little from frame to frame and are interpolated.

How many cuts are found and how many reported ones are none, on clips that nothing was fitted to and beside
PySceneDetect's detectors: BENCHMARKS.md, by ``python -m benchmarks.shots``. It takes 1 ms of one core per frame,
and 1 ms more at 1080p to shrink it (4 ms at 4K).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.shots.thumbnails import dense_flow, shrunk_yuv

THRESHOLD = 0.5
"""A pair whose score is above this is a cut. 0 .. 1: 0.2 finds more, 0.9 only what is beyond doubt."""

Weights = tuple[float, float, float, float, float, float]
"""Of a logistic model: constant, best match, worst match, residual, tones, colours."""


@dataclass(frozen=True)
class CutRule:
    """The constants of the detector.

    ``with_colour``, ``without_colour``, ``plain``, ``bar_offset`` and ``bar_limit`` are what ``benchmarks.shots`` found
    on half of its clips; the others were chosen by hand while looking at real clips. The figures of all of them
    together are those of the other half.

    Attributes:
        span: px, longest side of the pictures compared.
        block: px of them, side of the blocks that are looked up.
        search: px of them, how far a block is looked for: a sixth of the width.
        noise: 8-bit codes of deviation; contrast below it is taken for noise and not stretched.
        flat: 8-bit codes of deviation; a frame of less has no structure.
        full: 8-bit codes of deviation; a frame of more cannot be the last but one of a fade.
        alike: deviations; pairs of a smaller mean difference are no cut. The least of 1,400 cuts had 0.48.
        with_colour, without_colour: the logistic model, and that of films in grey.
        certain, impossible: log odds where a rule decides.
        faint: 8-bit codes of deviation; a frame of less is a card of one colour.
        card_step: 8-bit codes between two cards of one colour that are told apart.
        card_odds: log odds of such a step: a cut, unless the steps around are like it (a fade that goes on).
        plain: log odds; a pair of more is a cut whatever surrounds it, and does not raise the bar of its neighbours.
        bar_offset, bar_slope, bar_limit: log odds, factor, log odds; by how much the median of the pairs around raises
            the bar: ``bar_slope * (median + bar_offset)``, within 0 and ``bar_limit``.
        lookahead: frames behind a pair that its verdict waits for: the longest flash.
        lookback: frames before a pair that its verdict looks at.
        flash_step: 8-bit codes by which a flash is brighter or darker than the picture before it.
        flash_contrast: share of its contrast that a picture washed out by a flash may keep.
        blown: 8-bit codes; pixels above it are blown out.
        blown_share: share of the picture that a flash blows out.
        flash_match, bright_flash_match: correlation; block match above which a flash shows the same picture, darker or
            as bright; and brighter by ``bright_flash_step`` 8-bit codes.
    """

    span: int = 96
    block: int = 16
    search: int = 16
    noise: float = 3.0
    flat: float = 1.5
    full: float = 20.0
    alike: float = 0.3
    with_colour: Weights = (3.76, -5.42, -5.15, 4.17, 1.82, 1.5)
    without_colour: Weights = (4.0, -5.52, -5.33, 4.44, 2.2, 0.0)
    certain: float = 6.0
    impossible: float = -8.0
    faint: float = 4.0
    card_step: float = 40.0
    card_odds: float = 2.0
    plain: float = 3.0
    bar_offset: float = 3.0
    bar_slope: float = 1.3
    bar_limit: float = 3.0
    lookahead: int = 2
    lookback: int = 4
    flash_step: float = 40.0
    flash_contrast: float = 0.4
    blown: float = 210.0
    blown_share: float = 0.3
    flash_match: float = 0.7
    bright_flash_match: float = 0.57
    bright_flash_step: float = 30.0


RULE = CutRule()


@dataclass(frozen=True, eq=False)
class Signature:
    """What is kept of a frame to compare it with others.

    ``luma``: (h, w) float32, 8-bit codes. ``even``: (h, w) uint8, luma with mean 128 and deviation 40. ``tones``,
    ``colours``: histograms of the evened luma and chroma that sum to 1. ``grey``: there is no colour to compare.
    ``mean``, ``deviation``: of the luma, 8-bit codes. ``tint``: mean chroma, 8-bit codes.
    """

    luma: np.ndarray
    even: np.ndarray
    tones: np.ndarray
    colours: np.ndarray
    grey: bool
    mean: float
    deviation: float
    tint: tuple[float, ...] = ()


def signature(frame: Frame, rule: CutRule = RULE) -> Signature:
    """Reduces a frame for ``CutDetector.push``."""
    luma, *chroma = shrunk_yuv(frame, rule.span)
    luma = luma * np.float32(219)
    mean, deviation = float(luma.mean()), float(luma.std())
    gain = 1 / max(deviation, rule.noise)
    even = np.clip(128 + 40 * gain * (luma - mean), 0, 255).astype(np.uint8)
    tones = cv2.GaussianBlur(cv2.calcHist([even], [0], None, [32], [0, 256]).T, (5, 1), 1).ravel()
    colours, grey = np.ones(1), True
    if chroma:
        grey = max(float(c.std()) for c in chroma) * 224 < rule.flat
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


Comparison = Callable[[Signature, Signature, CutRule], float]
"""Two frames to the log odds of a cut between them."""


class CutDetector:
    """Streams: ``push`` every frame's signature, get the verdicts that have become certain, in order.

    A verdict says whether a new shot starts with that frame; it comes ``rule.lookahead`` frames late. ``flush`` gives
    the rest. The first frame starts nothing.
    """

    def __init__(
        self,
        threshold: float = THRESHOLD,
        flashes: bool = False,
        rule: CutRule = RULE,
        compare: Comparison | None = None,
    ) -> None:
        """``threshold``: 0 .. 1, see ``THRESHOLD``. ``flashes``: both ends of a flash are reported as cuts too.

        ``compare``: in place of ``evidence``, for a fit that keeps what it has compared.
        """
        margin = min(max(threshold, 1e-3), 1 - 1e-9)  # the least is above what rules call no cut
        self.rule, self.flashes, self._compare = rule, flashes, compare or evidence
        self._margin = math.log(margin / (1 - margin))
        self._recent: deque[Signature] = deque(maxlen=rule.lookahead + 2)  # frames k - 1 .. k + lookahead
        self._odds: deque[float] = deque(maxlen=rule.lookback + 1 + rule.lookahead)  # of pairs; k's at -1 - lookahead
        self._pushed = self._decided = 0
        self._returns: set[int] = set()  # frames with which a flash ends

    def push(self, now: Signature) -> list[bool]:
        """Takes the next frame; returns no verdict or one."""
        if self._recent:
            self._odds.append(self._compare(self._recent[-1], now, self.rule))
        self._recent.append(now)
        self._pushed += 1
        return [self._decide()] if self._pushed > self.rule.lookahead else []

    def flush(self) -> list[bool]:
        """The verdicts that are still out, at the film's end."""
        return [self._decide() for _ in range(self._pushed - self._decided)]

    def _decide(self) -> bool:
        k, rule = self._decided, self.rule
        self._decided += 1
        if k == 0:
            return False
        after = self._pushed - 1 - k  # how many frames behind k are known
        odds = list(self._odds)
        here = odds.pop(len(odds) - 1 - after)
        around = odds[max(0, len(odds) - after - rule.lookback) :]
        # Pairs around that are hard to explain as well raise the bar; plain cuts among them (short shots) do not.
        hard = [o for o in around if o < rule.plain]
        bar = min(max(rule.bar_slope * (median(hard) + rule.bar_offset), 0), rule.bar_limit) if hard else 0.0
        if here - bar <= self._margin or k in self._returns:
            return False
        return self.flashes or not self._is_flash(k, list(self._recent)[-2 - after :])

    def _is_flash(self, k: int, frames: list[Signature]) -> bool:
        """Whether the picture before ``k`` is soon back and was never gone. ``frames``: k - 1, k, ... so far."""
        before = frames[0]
        for length in range(1, len(frames) - 1):
            if not _is_washed(before, frames[length], self.rule):
                return False
            if self._compare(before, frames[length + 1], self.rule) <= 0:
                self._returns.add(k + length)
                return True
        return False


def evidence(a: Signature, b: Signature, rule: CutRule = RULE) -> float:
    """Log odds that a cut lies between two frames, surroundings left aside."""
    decided = odds_by_rule(a, b, rule)
    return logistic_odds(a, b, differences(a, b, rule), rule) if decided is None else decided


def logistic_odds(a: Signature, b: Signature, terms: tuple[float, ...], rule: CutRule = RULE) -> float:
    """Log odds by the logistic model. ``terms``: the ``differences`` of the two."""
    weights = rule.without_colour if a.grey and b.grey else rule.with_colour
    return sum(weight * term for weight, term in zip(weights, (1.0, *terms)))


def differences(a: Signature, b: Signature, rule: CutRule = RULE) -> tuple[float, float, float, float, float]:
    """What the logistic model weighs: best and worst match, residual, and the distance of tones and of colours."""
    worst, best = sorted((_match(a.luma, b.luma, rule), _match(b.luma, a.luma, rule)))
    residual = min(_residual(a.even, b.even), _residual(b.even, a.even))
    return best, worst, residual, _hellinger(a.tones, b.tones), _hellinger(a.colours, b.colours)


def odds_by_rule(a: Signature, b: Signature, rule: CutRule = RULE) -> float | None:
    """The log odds of pairs that the logistic model is not asked about: without structure, or all but equal."""
    if max(a.deviation, b.deviation) < rule.faint:
        step = max(abs(x - y) for x, y in zip((a.mean, *a.tint), (b.mean, *b.tint)))
        if step > rule.card_step:
            return rule.card_odds
    if min(a.deviation, b.deviation) < rule.flat:
        # Black to black is no cut; a picture of full contrast that is gone at once is; the dim end of a fade is not.
        return rule.certain if max(a.deviation, b.deviation) > rule.full else rule.impossible
    if float(cv2.absdiff(a.even, b.even).mean()) < 40 * rule.alike:
        return rule.impossible
    return None


def _is_washed(before: Signature, now: Signature, rule: CutRule) -> bool:
    """Whether ``now`` may be ``before`` in another light: flat, faint, blown out, or with the same structure."""
    brighter = now.mean - before.mean
    faint = now.deviation < rule.flash_contrast * before.deviation and abs(brighter) > rule.flash_step
    blown = brighter > rule.flash_step and float((now.luma > rule.blown).mean()) > rule.blown_share
    if now.deviation < rule.flat or faint or blown:
        return True
    match = max(_match(before.luma, now.luma, rule), _match(now.luma, before.luma, rule))
    return match > (rule.bright_flash_match if brighter > rule.bright_flash_step else rule.flash_match)


def _match(a: np.ndarray, b: np.ndarray, rule: CutRule) -> float:
    """How well a's blocks are found in b: best correlation within ``search``, weighted by the blocks' contrast."""
    h, w = a.shape
    block_h, block_w = min(rule.block, h), min(rule.block, w)
    total = weights = 0.0
    for y in np.linspace(0, h - block_h, max(2, round(h / rule.block))).astype(int):
        for x in np.linspace(0, w - block_w, max(2, round(w / rule.block))).astype(int):
            block = a[y : y + block_h, x : x + block_w]
            contrast = min(float(block.std()), 20.0)
            if contrast < rule.flat:
                continue
            rows = slice(max(0, y - rule.search), y + block_h + rule.search)
            columns = slice(max(0, x - rule.search), x + block_w + rule.search)
            correlation = cv2.matchTemplate(b[rows, columns], block, cv2.TM_CCOEFF_NORMED)
            best = float(np.where(np.isfinite(correlation), correlation, 0).max())
            total, weights = total + contrast * min(best, 1.0), weights + contrast
    return total / weights if weights else 0.6  # no structure to speak for or against


def _residual(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference, in deviations, that is left when b is warped onto a."""
    flow = dense_flow(a, b)
    x = flow[..., 0] + np.arange(a.shape[1], dtype=np.float32)
    y = flow[..., 1] + np.arange(a.shape[0], dtype=np.float32)[:, None]
    warped = cv2.remap(b, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(cv2.absdiff(warped, a).mean()) / 40


def _hellinger(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(max(0.0, 1 - float(np.sqrt(a * b).sum())))
