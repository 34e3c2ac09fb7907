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


def estimate_acceleration(
    pair: BidirectionalFlow,
    before: BidirectionalFlow | None,
    after: BidirectionalFlow | None,
    spans: tuple[float | Tensor, float | Tensor],
    velocity: Tensor,
    settings: AccelerationSettings = AccelerationSettings(),
) -> Tensor | None:
    """The acceleration of a pair's pixels where they are at t = 1/2; None where there is no neighbour.

    Args:
        pair, before, after: flows of the pair and of its neighbours, all on one grid.
        spans: the neighbours' lengths in time, in units of the pair's; tensors (B, 1, 1, 1) differ by sample.
        velocity: (B, 2, h, w) of the pair at t = 1/2, cells per unit t.

    Returns:
        (B, 2, h, w), cells per unit t squared.

    Where there are both neighbours, their mean is weighted by their agreement around the place (a Wiener filter: power
    of the mean less that of the difference). A jump in one interval, such as a repeated frame, gives opposite signs
    and cancels.
    """
    before, after = (
        neighbour if neighbour is not None and _may_be_used(span, settings) else None
        for neighbour, span in zip((before, after), spans)
    )
    grid = pixel_grid(*velocity.shape[-2:], like=velocity)
    estimates = []
    if before is not None:
        change = (pair.forward + before.backward / spans[0]) * (2 / (1 + spans[0]))
        trust = _where_comparable(pair.confidence_first * before.confidence_last, spans[0], settings)
        estimates.append(sample(torch.cat((change, trust), dim=1), grid - velocity / 2).split((2, 1), dim=1))
    if after is not None:
        change = (pair.backward + after.forward / spans[1]) * (2 / (1 + spans[1]))
        trust = _where_comparable(pair.confidence_last * after.confidence_first, spans[1], settings)
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


def _may_be_used(span: float | Tensor, settings: AccelerationSettings) -> bool:
    """Whether a neighbour of this length counts; one whose length differs by sample may."""
    return isinstance(span, Tensor) or 1 / settings.longest_ratio <= span <= settings.longest_ratio


def _where_comparable(trust: Tensor, span: float | Tensor, settings: AccelerationSettings) -> Tensor:
    """``trust``, 0 in samples whose neighbour is too long or too short."""
    if not isinstance(span, Tensor):
        return trust
    return trust * ((span >= 1 / settings.longest_ratio) & (span <= settings.longest_ratio))


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
