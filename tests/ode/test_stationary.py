"""The solver of sampled fields: the same numbers as torchdiffeq, exact answers, and one solve for many durations."""

import pytest
import torch
from fields import CENTRE, GRID, HEIGHT, WIDTH, swirl

from vfi_pipeline.ode import (
    SampledVelocity,
    Solver,
    flow_map,
    flow_maps,
    positions_after,
    stationary_flow,
    stationary_flows,
    steps_to,
)
from vfi_pipeline.ode.stationary import stationary_nfe

FIELD = swirl(2.0)(torch.zeros(()), GRID)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
@pytest.mark.parametrize("steps", [1, 4, 7])
def test_it_takes_the_same_steps_as_torchdiffeq(method, steps):
    solver, durations = Solver(method, steps=steps), [0.125, 1 / 3, 1.0]
    ours = stationary_flows(FIELD, durations, solver)
    theirs = flow_maps(SampledVelocity(FIELD), GRID, 0.0, durations, solver)
    for one, other in zip(ours, theirs):
        assert torch.allclose(one, other, atol=1e-5)


def test_durations_come_in_the_order_asked_and_backwards_is_the_inverse():
    solver = Solver("rk4", steps=8)
    forth, nothing, back = stationary_flows(FIELD, [0.75, 0.0, -0.75], solver)
    assert torch.equal(nothing, torch.zeros_like(FIELD))
    assert torch.allclose(forth, flow_map(SampledVelocity(FIELD), GRID, 0, 0.75, solver), atol=1e-5)
    assert torch.allclose(back, flow_map(SampledVelocity(-FIELD), GRID, 0, 0.75, solver), atol=1e-5)


def test_a_translation_is_exact_and_a_rotation_converges_at_order_two():
    shift = torch.tensor([3.5, -2.25], dtype=torch.float64).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
    assert torch.allclose(stationary_flow(shift, 0.5), shift / 2, atol=1e-12)
    angle = 0.3
    generator = torch.tensor([[0.0, -angle], [angle, 0.0]], dtype=torch.float64)
    turn = torch.einsum("ij,bjhw->bihw", generator, GRID - CENTRE)
    true = torch.einsum("ij,bjhw->bihw", torch.matrix_exp(generator) - torch.eye(2).double(), GRID - CENTRE)
    inner = (..., slice(12, -12), slice(12, -12))  # what stays inside the grid
    errors = [
        (stationary_flow(turn, 1.0, Solver("midpoint", steps=n)) - true)[inner].abs().max().item() for n in (2, 4, 8)
    ]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2) and errors[1] / errors[2] == pytest.approx(4, rel=0.2)


def test_each_sample_follows_its_own_time_by_its_own_scale():
    durations = torch.tensor([0.25, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    solver = Solver("rk4", steps=16)
    both = stationary_flow(durations * FIELD, 1.0, solver)
    assert torch.allclose(both[:1], stationary_flow(FIELD, 0.25, solver), atol=1e-3)
    assert torch.allclose(both[1:], stationary_flow(FIELD, 1.0, solver), atol=1e-12)


def test_the_bill_counts_every_evaluation():
    assert stationary_nfe([0.5], Solver("midpoint", steps=4)) == 2 * 2
    assert stationary_nfe([0.25, 0.5, 0.75], Solver("midpoint", steps=4)) == 3 * 2
    assert stationary_nfe([0.3, -0.3], Solver("rk4", steps=4)) == 2 * 2 * 4
    assert stationary_nfe([0.0], Solver("euler", steps=4)) == 0


def test_adaptive_methods_are_refused():
    with pytest.raises(ValueError, match="fixed steps"):
        stationary_flow(FIELD, 1.0, Solver("dopri5"))


def test_gradients_reach_the_field():
    field = FIELD[..., 10:18, 10:20].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: stationary_flow(v, 0.7, Solver("midpoint", steps=2)), field, atol=1e-4)


@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_steps_given_as_a_tensor_are_the_steps_given_as_numbers(method):
    path = steps_to([0.125, 0.9, 1 / 3], Solver(method, steps=4))
    assert path.stops == {0.0: 0, 0.125: 1, 1 / 3: 2, 0.9: 5} and sum(path.lengths) == pytest.approx(0.9)
    numbers = positions_after(FIELD, path.lengths, method)
    tensors = positions_after(FIELD, torch.tensor(path.lengths, dtype=FIELD.dtype), method)
    assert len(numbers) == len(tensors) == 6
    for one, other in zip(numbers, tensors):
        assert torch.allclose(one, other, atol=1e-6)
