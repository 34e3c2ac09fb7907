"""The acceleration of a pair's pixels, from the flows of the pairs before and after it.

Two frames do not show whether a thing speeds up between them. The frames around them do: a content point has velocity
``v`` in this interval and ``v'`` in a neighbouring one, and the change between the two is its acceleration ``a``. The
content velocity within the pair is ``v + (t - 1/2) a`` (quadratic motion, Xu et al. 2019). Integrated to either frame,
it displaces by

    flow_to_first(t) = exp(-t v) + t (1 - t) / 2 * a,      flow_to_last(t) = exp((1 - t) w) + t (1 - t) / 2 * a

to first order in ``a``. Both ends stay where they are, and all t still come from the one solve of the fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vfi_pipeline.estimation.flow import BidirectionalFlow
from vfi_pipeline.geometry import blur, pixel_grid, sample


@dataclass(frozen=True)
class AccelerationSettings:
    """Weights of the neighbouring intervals. docs/results.md names the clips that the values were chosen on.

    Attributes:
        trust_floor: confidence (of 1) at which a neighbour has half its weight.
        single_gain: factor on the estimate where there is only one neighbour.
        window: standard deviation, cells, of the region in which both neighbours' estimates are compared.
        power_floor: power, squared cells, below which the two estimates count as equal.
        noise_gain: factor on the power of the estimates' difference, which is subtracted from that of their mean.
        longest_ratio: a neighbouring interval is used if it is at most this many times longer or shorter.
        smoothing: standard deviation, cells, of the final blur.
    """

    trust_floor: float = 0.03
    single_gain: float = 0.6
    window: float = 3.0
    power_floor: float = 0.02
    noise_gain: float = 0.1
    longest_ratio: float = 3.0
    smoothing: float = 1.0


class Interval(NamedTuple):
    """A neighbouring interval: numbers, or tensors that broadcast (a recorded CUDA graph then serves other lengths).

    Attributes:
        span: its length in time, in units of the pair's.
        rate: from a difference of mean velocities to the acceleration: one over the time between the middles of both
            intervals, ``2 / (1 + span)``.
        used: (B, 1, 1, 1), in which samples of a batch it counts; None is all.
    """

    span: float | Tensor
    rate: float | Tensor
    used: Tensor | None = None

    @classmethod
    def of(cls, span: float) -> Interval:
        return cls(span, 2 / (1 + span))

    @classmethod
    def within(cls, span: float | Tensor, settings: AccelerationSettings) -> Interval | None:
        """The interval, or None where its length says nothing of the pair; of a tensor for each sample."""
        if not isinstance(span, Tensor):
            return cls.of(span) if is_comparable(span, settings) else None
        return cls(span, 2 / (1 + span), (span >= 1 / settings.longest_ratio) & (span <= settings.longest_ratio))

    def trusted(self, trust: Tensor) -> Tensor:
        """``trust``, 0 in samples in which the interval does not count."""
        return trust if self.used is None else trust * self.used


def is_comparable(span: float, settings: AccelerationSettings) -> bool:
    """Whether an interval of this length, in units of the pair's, says something of the pair."""
    return 1 / settings.longest_ratio <= span <= settings.longest_ratio


def estimate_acceleration(
    pair: BidirectionalFlow,
    before: BidirectionalFlow | None,
    after: BidirectionalFlow | None,
    spans: tuple[float | Tensor | Interval, float | Tensor | Interval],
    velocity: Tensor,
    settings: AccelerationSettings = AccelerationSettings(),
) -> Tensor | None:
    """The acceleration of a pair's pixels where they are at t = 1/2; None where there is no neighbour.

    Args:
        pair, before, after: flows of the pair and of its neighbours, all on one grid.
        spans: the neighbours' lengths in time, in units of the pair's; tensors (B, 1, 1, 1) differ by sample. A
            neighbour of another length than ``is_comparable`` allows is left out, unless its ``Interval`` is given.
        velocity: (B, 2, h, w) of the pair at t = 1/2, cells per unit t.

    Returns:
        (B, 2, h, w), cells per unit t squared.

    Where there are both neighbours, their mean is weighted by their agreement around the place (a Wiener filter: power
    of the mean less that of the difference). A jump in one interval, such as a repeated frame, gives opposite signs
    and cancels.
    """
    intervals = [span if isinstance(span, Interval) else Interval.within(span, settings) for span in spans]
    grid = pixel_grid(*velocity.shape[-2:], like=velocity)
    estimates = []
    if before is not None and (interval := intervals[0]) is not None:
        change = (pair.forward + before.backward / interval.span) * interval.rate
        trust = interval.trusted(pair.confidence_first * before.confidence_last)
        estimates.append(sample(torch.cat((change, trust), dim=1), grid - velocity / 2).split((2, 1), dim=1))
    if after is not None and (interval := intervals[1]) is not None:
        change = (pair.backward + after.forward / interval.span) * interval.rate
        trust = interval.trusted(pair.confidence_last * after.confidence_first)
        estimates.append(sample(torch.cat((change, trust), dim=1), grid + velocity / 2).split((2, 1), dim=1))
    if not estimates:
        return None
    if len(estimates) == 1:
        ((change, trust),) = estimates
        acceleration = settings.single_gain * change * trust / (trust + settings.trust_floor)
    else:
        (from_before, trust_before), (from_after, trust_after) = estimates
        mean = (from_before * trust_before + from_after * trust_after) / (
            trust_before + trust_after + settings.trust_floor
        )
        acceleration = mean * _agreement(from_before, from_after, trust_before * trust_after, settings)
    return blur(acceleration, settings.smoothing)


def _agreement(from_before: Tensor, from_after: Tensor, trust: Tensor, settings: AccelerationSettings) -> Tensor:
    """The Wiener gain, (B, 1, h, w) in (0, 1]."""
    weight = trust + 1e-3
    powers = (
        torch.cat(
            (
                (from_before + from_after).square().sum(1, keepdim=True),
                (from_before - from_after).square().sum(1, keepdim=True),
            ),
            1,
        )
        / 4
    )
    signal, noise = (blur(powers * weight, settings.window) / blur(weight, settings.window)).chunk(2, dim=1)
    floor = settings.power_floor
    return ((signal - settings.noise_gain * noise).clamp(min=0) + floor) / (signal + floor)
