"""Acceleration from the pairs around a pair: exact where they agree, none where only one step jumps."""

import pytest
import torch
from photographs import ACCELERATION, SIZE, VELOCITY, true_flow

from vfi_pipeline.estimation.acceleration import AccelerationSettings, estimate_acceleration

INNER = (..., slice(20, -20), slice(28, -28))


def velocity() -> torch.Tensor:
    return torch.tensor(VELOCITY).view(1, 2, 1, 1).expand(1, 2, *SIZE)


def median(field: torch.Tensor) -> torch.Tensor:
    return field[INNER].flatten(2).median(dim=2).values[0]


@pytest.mark.parametrize("before, after", [(-1.0, 2.0), (-0.5, 1.5), (-2.0, 1.5), (-1.0, 3.0)])
def test_acceleration_is_exact_whatever_the_neighbours_distance(before, after):
    flows = true_flow(0, 1), true_flow(before, 0), true_flow(1, after)
    acceleration = estimate_acceleration(*flows, (-before, after - 1), velocity())
    torch.testing.assert_close(median(acceleration), torch.tensor(ACCELERATION), atol=0.15, rtol=0.03)


@pytest.mark.parametrize("which", ["before", "after"])
def test_one_neighbour_alone_is_taken_in_part(which):
    before, after = true_flow(-1, 0), true_flow(1, 2)
    near = (before, None) if which == "before" else (None, after)
    acceleration = median(estimate_acceleration(true_flow(0, 1), *near, (1.0, 1.0), velocity()))
    gain = AccelerationSettings().single_gain
    torch.testing.assert_close(acceleration, gain * torch.tensor(ACCELERATION), atol=0.02, rtol=0.05)


def test_no_neighbours_or_far_ones_tell_nothing():
    pair, before, after = true_flow(0, 1), true_flow(-1, 0), true_flow(1, 2)
    assert estimate_acceleration(pair, None, None, (1.0, 1.0), velocity()) is None
    assert estimate_acceleration(pair, before, after, (9.0, 0.1), velocity()) is None
    only = estimate_acceleration(pair, before, after, (1.0, 9.0), velocity())
    torch.testing.assert_close(only, estimate_acceleration(pair, before, None, (1.0, 1.0), velocity()))


def test_a_single_jump_between_still_frames_stays_on_its_straight_path():
    still = true_flow(0, 0)
    acceleration = estimate_acceleration(true_flow(0, 1), still, still, (1.0, 1.0), velocity())
    assert acceleration[INNER].abs().max() < 0.1


def test_played_backwards_the_acceleration_is_the_same():
    torch.manual_seed(0)
    pair, before, after = true_flow(0, 1), true_flow(-0.5, 0), true_flow(1, 2.5)
    forward = estimate_acceleration(pair, before, after, (0.5, 1.5), velocity())

    def reversed_(flow):
        return type(flow)(flow.backward, flow.forward, flow.confidence_last, flow.confidence_first)

    backward = estimate_acceleration(
        reversed_(pair), reversed_(after), reversed_(before), (1.5, 0.5), -velocity()
    )  # fmt: skip
    torch.testing.assert_close(forward, backward, atol=1e-4, rtol=1e-4)


def test_each_pair_of_a_batch_is_estimated_alone():
    flows = [true_flow(0, 1), true_flow(-1, 0), true_flow(1, 2)]
    still = true_flow(0, 0)
    both = [type(f)(*(torch.cat((a, b)) for a, b in zip(vars(f).values(), vars(still).values()))) for f in flows]
    batched = estimate_acceleration(*both, (1.0, 1.0), torch.cat((velocity(), torch.zeros_like(velocity()))))
    alone = estimate_acceleration(*flows, (1.0, 1.0), velocity())
    torch.testing.assert_close(batched[:1], alone)
    assert batched[1].abs().max() == 0


def test_spans_may_differ_from_sample_to_sample_and_far_neighbours_have_no_weight():
    pairs = [
        (true_flow(0, 1), true_flow(before, 0), true_flow(1, after)) for before, after in ((-1.0, 2.0), (-0.5, 1.5))
    ]
    both = [type(a)(*(torch.cat(parts) for parts in zip(vars(a).values(), vars(b).values()))) for a, b in zip(*pairs)]
    spans = [torch.tensor(values).view(2, 1, 1, 1) for values in ((1.0, 0.5), (1.0, 0.5))]

    batched = estimate_acceleration(*both, tuple(spans), torch.cat((velocity(), velocity())))

    for row, (flows, span) in enumerate(zip(pairs, (1.0, 0.5))):
        torch.testing.assert_close(batched[row : row + 1], estimate_acceleration(*flows, (span, span), velocity()))
    far = torch.full((1, 1, 1, 1), 9.0)
    assert estimate_acceleration(*pairs[0], (far, far), velocity()).abs().max() == 0
