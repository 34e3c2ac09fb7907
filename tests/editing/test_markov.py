"""Belief propagation, ICM and the best single label against brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vfi_pipeline.editing.markov import (
    belief_propagation,
    best_single,
    iterated_conditional_modes,
    total_energy,
)


def field(height, width, labels, seed, strength=1.0):
    random = torch.Generator().manual_seed(seed)
    return (
        torch.rand(height, width, labels, generator=random, dtype=torch.float64),
        strength * torch.rand(height, width - 1, labels, labels, generator=random, dtype=torch.float64),
        strength * torch.rand(height - 1, width, labels, labels, generator=random, dtype=torch.float64),
    )


def brute_force(data, across, down):
    height, width, labels = data.shape
    best = None
    for each in itertools.product(range(labels), repeat=height * width):
        candidate = torch.tensor(each).view(height, width)
        cost = total_energy(candidate, data, across, down)
        if best is None or cost < best[0]:
            best = cost, candidate
    return best


def test_the_energy_is_the_sum_written_out():
    data, across, down = field(2, 3, 2, 0)
    labels = torch.tensor([[0, 1, 1], [1, 0, 1]])
    total = 0.0
    for y in range(2):
        for x in range(3):
            total += float(data[y, x, labels[y, x]])
            if x < 2:
                total += float(across[y, x, labels[y, x], labels[y, x + 1]])
            if y < 1:
                total += float(down[y, x, labels[y, x], labels[y + 1, x]])
    assert total_energy(labels, data, across, down) == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (1, 6)])
@pytest.mark.parametrize("seed", range(8))
def test_a_chain_is_solved_exactly(shape, seed):
    parts = field(*shape, 4 if shape != (1, 6) else 3, seed, strength=2.0)
    least, labels = brute_force(*parts)
    found = belief_propagation(*parts)
    assert total_energy(found, *parts) == pytest.approx(least, abs=1e-9)
    assert torch.equal(found, labels)


def test_a_chain_is_not_solved_by_icm_or_a_single_label():
    """Or the test above would say nothing of belief propagation."""
    worse = 0
    for seed in range(20):
        parts = field(1, 6, 3, seed, strength=2.0)
        worse += total_energy(iterated_conditional_modes(*parts), *parts) > brute_force(*parts)[0] + 1e-9
    assert worse >= 5


@pytest.mark.parametrize("seed", range(6))
def test_a_small_grid_comes_near_brute_force(seed):
    parts = field(3, 3, 3, seed)
    assert total_energy(belief_propagation(*parts), *parts) <= 1.03 * brute_force(*parts)[0]


@given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 7), st.integers(1, 5), st.floats(0, 3))
@settings(max_examples=40, deadline=None)
def test_belief_propagation_costs_at_most_icm_and_icm_at_most_the_best_single(seed, height, width, labels, strength):
    parts = field(height, width, labels, seed, strength)
    costs = [
        total_energy(find(*parts), *parts) for find in (belief_propagation, iterated_conditional_modes, best_single)
    ]
    assert costs[0] <= costs[1] + 1e-9 <= costs[2] + 2e-9


def test_without_pairwise_costs_each_node_takes_its_best_label():
    data, across, down = field(4, 5, 3, 1, 0.0)
    for find in (belief_propagation, iterated_conditional_modes):
        assert torch.equal(find(data, across, down), data.argmin(dim=2))


def test_the_best_single_label_is_the_cheapest_of_all_constant_ones():
    parts = field(4, 4, 5, 3)
    costs = [total_energy(torch.full((4, 4), k), *parts) for k in range(5)]
    assert torch.equal(best_single(*parts), torch.full((4, 4), costs.index(min(costs))))
