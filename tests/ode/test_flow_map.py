"""Flow maps: closed-form flows, convergence orders, there and back, semigroup, and adjoint gradients."""

import math

import pytest
import torch
from fields import EXACT, GRID, HEIGHT, WIDTH, accelerating, rotation, swirl
from hypothesis import given, settings
from hypothesis import strategies as st

from vfi_pipeline.geometry import compose, warp
from vfi_pipeline.losses import folding_penalty, out_of_grid_penalty
from vfi_pipeline.ode import Counted, SampledVelocity, Solver, flow_map, flow_maps, flow_maps_at, scaling_and_squaring

PRECISE = [Solver("rk4", 32), Solver("dopri5", rtol=1e-9, atol=1e-9)]
ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}


@pytest.mark.parametrize("solver", PRECISE, ids=lambda s: s.method)
@pytest.mark.parametrize("field", EXACT, ids=str)
@pytest.mark.parametrize("start, end", [(0.0, 1.0), (1.0, 0.0), (0.25, 0.6), (0.0, -0.5)])
def test_solvers_find_the_closed_form(field, solver, start, end):
    found = flow_map(field.velocity, GRID, start, end, solver)
    assert (found - field.displacement(GRID, start, end)).abs().max() < 1e-5


@pytest.mark.parametrize("method, order", ORDERS.items())
def test_halving_the_step_divides_the_error_by_two_to_the_order(method, order):
    field = rotation(2.0)
    exact = field.displacement(GRID, 0.0, 1.0)
    errors = [(flow_map(field.velocity, GRID, 0, 1, Solver(method, n)) - exact).abs().max().item() for n in (16, 32)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)


def test_a_tighter_tolerance_gives_a_smaller_error():
    field = rotation(2.0)
    exact = field.displacement(GRID, 0.0, 1.0)
    errors = [
        (flow_map(field.velocity, GRID, 0, 1, Solver("dopri5", rtol=0, atol=tol)) - exact).abs().max().item()
        for tol in (1e-1, 1e-4, 1e-7)
    ]
    assert errors[2] < 1e-2 * errors[1] < 1e-3 * max(errors[0], 1e-9) * 10 and errors[2] < 1e-5


@settings(max_examples=12, deadline=None)
@given(strength=st.floats(-3, 3), phase=st.floats(0, 6.3))
def test_warping_there_and_back_returns_every_pixel(strength, phase):
    v = swirl(strength, phase)
    there, back = flow_map(v, GRID, 0, 1), flow_map(v, GRID, 1, 0)
    # The coordinates serve as the image, so the error reads in pixels.
    returned = warp(warp(GRID, there), back)
    assert (returned - GRID).abs().max() < 0.1


def test_the_flow_is_a_semigroup_in_time():
    v = swirl(3.0)
    first, second = flow_map(v, GRID, 0, 0.4), flow_map(v, GRID, 0.4, 1)
    assert (compose(second, first) - flow_map(v, GRID, 0, 1)).abs().max() < 0.02


def test_all_times_come_from_one_solve_and_equal_their_own():
    field, times = accelerating(5, -2), [0.2, 0.5, 1.0]
    counted = Counted(field.velocity)
    maps = flow_maps(counted, GRID, 0.0, times, Solver("rk4", 10))
    assert maps.shape == (3, 1, 2, HEIGHT, WIDTH) and counted.nfe == 4 * 10
    for flow, t in zip(maps, times):
        assert torch.allclose(flow, field.displacement(GRID, 0.0, t), atol=1e-6)


def test_the_end_state_comes_after_the_last_step():
    # The reference code saves states before each step: t = 1 is never written.
    maps = flow_maps(EXACT[0].velocity, GRID, 0.0, [1.0], Solver("euler", 5))
    assert torch.allclose(maps[-1], EXACT[0].displacement(GRID, 0.0, 1.0))


def test_the_start_itself_moves_nothing():
    assert flow_maps(swirl(), GRID, 0.3, [0.3]).abs().max() == 0
    assert flow_maps(swirl(), GRID, 0.0, [0.0, 0.5])[0].abs().max() == 0


def test_times_that_turn_back_are_refused():
    with pytest.raises(ValueError, match="one direction"):
        flow_maps(swirl(), GRID, 0.0, [0.5, 0.2])
    with pytest.raises(ValueError, match="one direction"):
        flow_maps(swirl(), GRID, 0.5, [0.2, 0.9])


def test_unknown_solvers_and_no_steps_are_refused():
    with pytest.raises(ValueError, match="No solver 'rk5'"):
        Solver("rk5")
    with pytest.raises(ValueError, match="at least one step"):
        Solver("euler", 0)


def test_a_sampled_field_flows_as_the_function_it_was_sampled_from():
    v = swirl(2.0)
    found = flow_map(SampledVelocity(v(0.0, GRID)), GRID, 0, 1)
    assert (found - flow_map(lambda t, x: v(0.0, x), GRID, 0, 1)).abs().max() < 0.05


@pytest.mark.parametrize("duration", [1.0, -1.0, 0.3])
def test_scaling_and_squaring_agrees_with_the_solver(duration):
    field = swirl(2.0)(0.0, GRID)
    solved = flow_map(SampledVelocity(field), GRID, 0.0, duration, Solver("rk4", 16))
    assert (scaling_and_squaring(field, duration, 8) - solved).abs().max() < 0.06


@pytest.mark.parametrize("times", [[[0.25, 1.0], [0.7, 0.1]], [[0.5, 0.5], [0.0, 1.0]], [[-0.5, 1.0], [1.0, 0.3]]])
def test_every_sample_gets_the_times_it_asked_for(times):
    field = accelerating(5, -2)
    grid = GRID.expand(2, -1, -1, -1)
    maps = flow_maps_at(field.velocity, grid, torch.tensor(times, dtype=torch.float64), solver=Solver("rk4", 8))
    for sample, row in enumerate(times):
        for index, t in enumerate(row):
            expected = field.displacement(GRID, 0.0, t)[0]
            assert torch.allclose(maps[index, sample], expected, atol=1e-6), (sample, t)


def test_own_times_of_a_velocity_that_depends_on_place_and_time():
    v, grid = swirl(3.0), GRID.expand(3, -1, -1, -1)
    times = torch.tensor([[0.1, 0.9], [0.6, 0.3], [1.0, 0.5]], dtype=torch.float64)
    maps = flow_maps_at(v, grid, times, solver=Solver("rk4", 16))
    for sample in range(3):
        for index in range(2):
            alone = flow_map(v, GRID, 0, float(times[sample, index]), Solver("rk4", 16))
            assert (maps[index, sample] - alone[0]).abs().max() < 1e-4


def test_equal_times_of_a_batch_cost_one_solve():
    counted = Counted(swirl())
    flow_maps_at(counted, GRID.expand(2, -1, -1, -1), torch.tensor([[0.5, 1.0, 0.25]] * 2), solver=Solver("euler", 8))
    assert counted.nfe == 8


def problem(solver, times):
    """Gradients of JD, OG and fit on all maps of one solve, whose field comes from a network."""
    torch.manual_seed(0)
    net = torch.nn.Conv2d(2, 2, 3, padding=1).double()
    picture = torch.sin(GRID[..., :10, :14] * 0.5).requires_grad_()
    grid = GRID[..., :10, :14]
    field = 4 * net(picture)
    gain = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def velocity(t, x):
        return gain * (1 + t) * SampledVelocity(field)(t, x)

    maps = flow_maps(velocity, grid, 0.0, times, solver, parameters=(field, gain))
    fit = (warp(picture, maps[-1]) ** 2).mean()
    (fit + folding_penalty(maps, margin=0.9) + 0.1 * out_of_grid_penalty(maps)).backward()
    return [picture.grad, net.weight.grad, net.bias.grad, gain.grad]


@pytest.mark.parametrize("times", [[1.0], [0.3, 0.55, 1.0], [-0.5, -1.0]])
def test_adjoint_gradients_equal_direct_ones_for_features_weights_and_penalties(times):
    direct = problem(Solver("rk4", 24), times)
    adjoint = problem(Solver("rk4", 24, adjoint=True), times)
    for one, two in zip(direct, adjoint):
        assert one.norm() > 1e-3
        # A bilinear field has kinks, where the two discretisations differ a little; on smooth ones see below.
        assert (one - two).norm() < 0.01 * one.norm()


def smooth_problem(adjoint, steps=32):
    """The same with a field without kinks, where direct and adjoint must agree to the solver's order."""
    strength = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    start = GRID[..., 4:20, 5:30].clone().requires_grad_()
    maps = flow_maps(
        lambda t, x: strength * swirl(1.0)(t, x),
        start,
        0.0,
        [0.4, 1.0],
        Solver("rk4", steps, adjoint=adjoint),
        (strength,),
    )
    (maps**2).mean().backward()
    return strength.grad, start.grad


def test_adjoint_and_direct_agree_to_six_digits_on_a_smooth_field():
    for one, two in zip(smooth_problem(False), smooth_problem(True)):
        assert torch.allclose(one, two, rtol=1e-6, atol=1e-9)


def test_the_adjoint_of_own_times_gives_the_same_gradients():
    times = torch.tensor([[0.3, 1.0], [0.8, 0.5]], dtype=torch.float64)
    grads = []
    for adjoint in (False, True):
        strength = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
        grid = GRID.expand(2, -1, -1, -1)
        solver = Solver("rk4", 24, adjoint=adjoint)
        maps = flow_maps_at(
            lambda t, x, s=strength: s * swirl(1.0)(t, x), grid, times, solver=solver, parameters=(strength,)
        )
        (maps**2).mean().backward()
        grads.append(strength.grad.item())
    assert grads[1] == pytest.approx(grads[0], rel=1e-6)


def test_a_tensor_left_out_of_the_parameters_gets_no_adjoint_gradient():
    strength = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    start = GRID.clone().requires_grad_()
    flow_map(lambda t, x: strength * swirl(1.0)(t, x), start, 0, 1, Solver("rk4", 4, adjoint=True)).sum().backward()
    assert strength.grad is None and start.grad is not None
