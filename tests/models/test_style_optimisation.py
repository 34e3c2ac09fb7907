"""Ruder's weights and starts against values worked out by hand, and a descent that reaches what it is asked for."""

from __future__ import annotations

import pytest
import torch

from vfi_pipeline.estimation.visibility import visible
from vfi_pipeline.losses.perceptual import StyleObjective, StyleTarget, temporal_distance
from vfi_pipeline.models.style import advected, temporal_confidence
from vfi_pipeline.models.style_optimisation import (
    combined,
    later_pass_start,
    long_term_confidence,
    optimised,
    single_pass_start,
)


def square_moved(shift=4, size=(32, 48)):
    """Flows of a square (rows 8..19, columns 12..23) that moves right over a still background, and what it uncovers."""
    forward, backward = torch.zeros(2, 1, 2, *size)
    forward[:, 0, 8:20, 12:24] = shift
    backward[:, 0, 8:20, 12 + shift : 24 + shift] = -shift
    uncovered = torch.zeros(1, 1, *size)
    uncovered[..., 8:20, 12 : 12 + shift] = 1
    return backward, forward, uncovered


def test_a_square_that_moves_by_four_uncovers_exactly_its_strip():
    backward, forward, uncovered = square_moved()
    assert torch.equal(1 - visible(backward, forward), uncovered)
    assert (temporal_confidence(backward, forward) * uncovered).sum() == 0


def test_without_motion_every_pixel_is_trusted():
    still = torch.zeros(1, 2, 20, 30)
    assert temporal_confidence(still, still).min() == 1


def test_the_earlier_frame_is_carried_to_where_it_moves():
    backward, forward, uncovered = square_moved()
    before, after = torch.zeros(2, 1, 1, 32, 48)
    before[..., 8:20, 12:24] = 1
    after[..., 8:20, 16:28] = 1
    moved, confidence = advected(before, backward, forward)
    assert torch.equal((moved * (1 - uncovered)), after)
    assert temporal_distance(after, moved, confidence) == 0


def test_long_term_weights_are_the_formulas():
    c = [torch.full((1, 1, 2, 2), value) for value in (0.5, 0.5, 1.0)]
    assert [float(w.mean()) for w in long_term_confidence(c)] == [0.5, 0.0, 0.0]
    c = [torch.full((1, 1, 2, 2), value) for value in (0.0, 0.25, 1.0)]
    assert [float(w.mean()) for w in long_term_confidence(c)] == [0.0, 0.25, 0.75]
    assert long_term_confidence([]) == []


def test_several_expectations_have_the_gradient_of_one():
    torch.manual_seed(1)
    made = torch.rand(1, 3, 6, 5, dtype=torch.float64, requires_grad=True)
    expected = [torch.rand(1, 3, 6, 5, dtype=torch.float64) for _ in range(3)]
    weights = long_term_confidence([torch.rand(1, 1, 6, 5, dtype=torch.float64) for _ in range(3)])
    apart = sum(temporal_distance(made, w, c) for w, c in zip(expected, weights))
    together = temporal_distance(made, *combined(expected, weights))
    one, other = (torch.autograd.grad(value, made)[0] for value in (apart, together))
    assert torch.allclose(one, other, atol=1e-12)
    assert combined([], []) is None


def test_a_frame_starts_from_its_neighbour_where_that_is_trusted():
    image, expected = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    trusted = torch.zeros(1, 1, 4, 4)
    trusted[..., :2] = 1
    assert single_pass_start(image, expected, trusted).mean((0, 1, 2)).tolist() == [1, 1, 0, 0]
    assert later_pass_start(image, expected, trusted).mean((0, 1, 2)).tolist() == [0.5, 0.5, 0, 0]
    assert torch.equal(single_pass_start(image, None, None), image)
    assert torch.equal(later_pass_start(image, None, None), image)


class Itself(torch.nn.Module):
    """A feature network whose only layer is the picture."""

    layers = ("picture",)

    def forward(self, image, upto=None):
        return {"picture": image}


def test_the_descent_ends_between_what_pulls_it():
    """Content and a trusted expectation are both quadratic here: the minimum is known for every pixel."""
    network, image = Itself(), torch.full((1, 3, 4, 4), 0.25)
    target = StyleTarget.of(network, torch.rand(1, 3, 4, 4), ("picture",))
    expected, trusted = torch.full((1, 3, 4, 4), 0.75), torch.zeros(1, 1, 4, 4)
    trusted[..., 2:] = 1
    objective = StyleObjective(1.0, 0.0, 32.0, 0.0, ("picture",))
    shares = []
    made, losses = optimised(
        torch.rand(1, 3, 4, 4), image, network, target, objective, 60, (expected, trusted), shares.append
    )
    # content: (x - 1/4)^2 / (1/16) a pixel; temporal: 32 (x - 3/4)^2: 16 (x - 1/4) + 32 (x - 3/4) = 0.
    assert torch.allclose(made[..., :2], torch.tensor(0.25), atol=1e-3)
    assert torch.allclose(made[..., 2:], torch.tensor(28 / 48), atol=1e-3)
    assert set(losses) == {"content", "style", "tv", "temporal", "total"} and shares[-1] <= 1


def test_style_alone_reaches_the_gram_matrix():
    network = Itself()
    style = torch.rand(1, 3, 8, 8)
    target = StyleTarget.of(network, style, ("picture",))
    objective = StyleObjective(0.0, 1.0, 0.0, 0.0, ("picture",))
    made, losses = optimised(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), network, target, objective, 80)
    assert losses["style"] < 1e-4 and made.min() >= 0 and made.max() <= 1
    assert losses["style"] == pytest.approx(float(losses["total"]))


def test_the_search_stays_within_the_range_of_a_picture():
    """What pulls beyond white ends at white, and the others are not left short for it: exact for a quadratic."""
    network = Itself()
    target = StyleTarget.of(network, torch.rand(1, 3, 4, 4), ("picture",))
    expected = torch.full((1, 3, 4, 4), 0.6)
    expected[..., 0] = 1.5
    objective = StyleObjective(0.0, 0.0, 1.0, 0.0, ("picture",))
    picture, losses = optimised(
        torch.rand(1, 3, 4, 4),
        torch.rand(1, 3, 4, 4),
        network,
        target,
        objective,
        40,
        (expected, torch.ones(1, 1, 4, 4)),
    )
    assert torch.equal(picture[..., 0], torch.ones(1, 3, 4))
    assert torch.allclose(picture[..., 1:], torch.tensor(0.6), atol=1e-4)
    assert losses["temporal"] == pytest.approx(0.25 * 0.25, abs=1e-4)  # of the picture that is returned
