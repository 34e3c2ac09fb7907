"""What the flow of a stationary velocity is in mathematics, measured: a group, invertible, keeping orientation."""

import math

import pytest
import torch
from fields import EDGE, GRID
from hypothesis import given, settings
from hypothesis import strategies as st

from vfi_pipeline.geometry import compose, folding, jacobian_determinant
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map, flow_maps, scaling_and_squaring

ORDERS = {"euler": 1, "midpoint": 2, "rk4": 4}
INSIDE = (slice(None), slice(None), slice(2, -2), slice(2, -2))


def still(strength=3.0, phase=0.4, waves=1):
    """A stationary velocity, px per unit t, smooth everywhere and zero at the frame's edge."""

    def velocity(t, x):
        fade = torch.sin(math.pi * x / EDGE.to(x)).prod(dim=1, keepdim=True)
        return strength * fade * torch.sin(2 * math.pi * waves * x.flip(1) / EDGE.to(x) + phase)

    return velocity


def moved(v, x, duration, solver):
    """exp(duration v)(x) for points anywhere: the solve begins at them, nothing is looked up between pixels."""
    return x + flow_map(v, x, 0.0, duration, solver)


@pytest.mark.parametrize("method, order", ORDERS.items())
@pytest.mark.parametrize("s, t", [(0.5, 0.5), (1.25, -0.75)])
def test_one_flow_after_another_is_the_flow_of_the_sum_to_the_solvers_order(method, order, s, t):
    """exp(s v) o exp(t v) = exp((s + t) v). Each of the three has steps of another length, so that nothing cancels."""
    v = still()

    def residual(n):
        after = moved(v, moved(v, GRID, t, Solver(method, 4 * n)), s, Solver(method, 8 * n))
        return float((after - moved(v, GRID, s + t, Solver(method, 2 * n))).abs().max())

    coarse, fine = residual(4), residual(8)
    assert math.log2(coarse / fine) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize("solver", [Solver("midpoint", 16), Solver("rk4", 8)], ids=lambda s: s.method)
@settings(max_examples=10, deadline=None)
@given(strength=st.floats(-3, 3), phase=st.floats(0, 6.3))
def test_the_flow_of_minus_the_velocity_is_the_inverse_within_a_fiftieth_of_a_pixel(solver, strength, phase):
    """On the pixel grid, as the product does it: the field is looked up between pixels, and so is the map."""
    field = still(strength, phase)(0.0, GRID)
    there = flow_map(SampledVelocity(field), GRID, 0.0, 1.0, solver)
    back = flow_map(SampledVelocity(-field), GRID, 0.0, 1.0, solver)

    points = GRID + there
    home = points + flow_map(SampledVelocity(-field), points, 0.0, 1.0, solver)
    assert (home - GRID).abs().max() < 0.02
    # Through the map itself, bilinear interpolation of it is left: a curvature's worth.
    assert compose(back, there)[INSIDE].abs().max() < 0.02 + 0.02 * abs(strength)


@settings(max_examples=10, deadline=None)
@given(
    weights=st.lists(st.floats(-1.2, 1.2), min_size=4, max_size=4),
    phases=st.lists(st.floats(0, 6.3), min_size=4, max_size=4),
)
def test_the_determinant_of_a_smooth_flow_is_positive_and_follows_the_divergence(weights, phases):
    """d/dt log det = div v along the path (Liouville's formula)."""
    fields = [still(w, p, waves=1 + k % 2) for k, (w, p) in enumerate(zip(weights, phases))]

    def velocity(t, x):
        return sum(field(t, x) for field in fields)

    steps = 16
    path = flow_maps(velocity, GRID, 0.0, [k / steps for k in range(1, steps + 1)], Solver("rk4", steps))
    flow = path[-1]
    low, share = folding(flow)
    assert float(low) > 0 and float(share) == 0

    rates = [divergence(velocity, GRID + u) for u in (torch.zeros_like(GRID), *path)]
    weights = [1, *([4, 2] * (steps // 2))][:-1] + [1]  # Simpson's rule
    logarithm = sum(w * rate for w, rate in zip(weights, rates)) / (3 * steps)
    # The determinant lives on cells, between four pixels.
    expected = torch.nn.functional.avg_pool2d(logarithm[:, None], 2, stride=1).exp()
    assert torch.allclose(jacobian_determinant(flow), expected, rtol=0.03, atol=0.01)


def divergence(velocity, x, step=1e-4):
    total = 0
    for axis in range(2):
        shift = torch.zeros(1, 2, 1, 1, dtype=x.dtype)
        shift[:, axis] = step
        total = total + (velocity(0.0, x + shift) - velocity(0.0, x - shift))[:, axis] / (2 * step)
    return total


@pytest.mark.parametrize("duration", [1.0, -1.0, 0.6])
def test_scaling_and_squaring_comes_to_the_solvers_map_as_the_field_gets_smoother(duration):
    """Each squaring looks the map up between pixels: what is left falls with the field's curvature."""
    left = []
    for strength in (2.0, 1.0, 0.5):
        field = still(strength)(0.0, GRID)
        solved = flow_map(SampledVelocity(field), GRID, 0.0, duration, Solver("rk4", 16))
        left.append(float((scaling_and_squaring(field, duration, 8) - solved).abs().max()))
    assert left[0] < 0.06 and left[1] < 0.5 * left[0] and left[2] < 0.5 * left[1]


@pytest.mark.parametrize("adjoint", [False, True], ids=["direct", "adjoint"])
@pytest.mark.parametrize("method", ["euler", "midpoint", "rk4"])
def test_gradients_of_either_path_agree_with_finite_differences(method, adjoint):
    """Of the map's own points and of a number in the velocity, central differences of the very solve."""
    start = GRID[..., 8:11, 9:13].clone()
    strength = torch.tensor(1.7, dtype=torch.float64)
    steps = {"euler": 300, "midpoint": 60, "rk4": 12}[method] if adjoint else 8
    solver = Solver(method, steps, adjoint=adjoint)

    def loss(points, gain):
        flow = flow_map(lambda t, x: gain * still(1.0)(t, x) * (1 + 0.3 * t), points, 0.0, 0.9, solver, (gain,))
        return (flow**2).mean() + (0.1 * flow.sin()).sum()

    points, gain = start.requires_grad_(), strength.requires_grad_()
    found = torch.autograd.grad(loss(points, gain), (points, gain))
    with torch.no_grad():
        step = 1e-5
        by_gain = (loss(start, strength + step) - loss(start, strength - step)) / (2 * step)
        at = (0, 1, 2, 1)
        nudge = torch.zeros_like(start)
        nudge[at] = step
        by_point = (loss(start + nudge, strength) - loss(start - nudge, strength)) / (2 * step)
    # The adjoint solves its own equation backwards: equal to the order of the solver, not to rounding.
    tolerance = 5e-3 if adjoint else 1e-6
    assert float(found[1]) == pytest.approx(float(by_gain), rel=tolerance)
    assert float(found[0][at]) == pytest.approx(float(by_point), rel=tolerance, abs=1e-7)
