"""WGAN-GP on critics whose gradient is known."""

import math

import pytest
import torch

from vfi_pipeline.losses import critic_loss, generator_loss, gradient_norm, gradient_penalty

SHAPE = (4, 2, 3, 5)


def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, *SHAPE, generator=generator, dtype=torch.float64).unbind(0)


def linear_critic(slope):
    return lambda x: slope * x.flatten(1).sum(dim=1, keepdim=True)


@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_the_penalty_of_a_linear_critic_follows_from_its_slope(slope):
    real, made = samples()
    norm = slope * math.sqrt(2 * 3 * 5)
    assert gradient_norm(linear_critic(slope), real, made).tolist() == pytest.approx([norm] * 4, abs=1e-5)
    assert gradient_penalty(linear_critic(slope), real, made).item() == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_the_points_lie_between_the_samples():
    real, made = samples()
    mix = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64)

    def squares(x):  # its gradient at u is u
        return 0.5 * x.flatten(1).square().sum(dim=1)

    between = mix.view(-1, 1, 1, 1) * real + (1 - mix.view(-1, 1, 1, 1)) * made
    assert torch.allclose(gradient_norm(squares, real, made, mix), between.flatten(1).norm(dim=1))


def test_a_patch_map_is_averaged_not_counted_as_samples():
    real, made = samples()

    def patches(x):  # (B, 1, 3, 5) scores, each of its own pixel
        return x.sum(dim=1, keepdim=True)

    assert gradient_norm(patches, real, made).tolist() == pytest.approx([math.sqrt(30) / 15] * 4)


def test_critic_and_generator_pull_in_opposite_directions():
    real, made = samples()
    critic = linear_critic(0.2)
    terms = critic_loss(critic, real, made, penalty=7.0)
    assert terms["wasserstein"].item() == pytest.approx((critic(real).mean() - critic(made).mean()).item())
    assert terms["total"].item() == pytest.approx(7 * terms["gradient_penalty"].item() - terms["wasserstein"].item())
    assert generator_loss(critic, made).item() == pytest.approx(-critic(made).mean().item())


def test_the_critics_loss_gives_the_generator_no_gradient():
    real, made = samples()
    made.requires_grad_()
    weight = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    critic_loss(lambda x: weight * x.flatten(1).sum(1), real, made)["total"].backward()
    assert made.grad is None and weight.grad is not None


def test_the_penalty_is_differentiable_in_the_critics_weights():
    real, made = samples()
    mix = torch.full((4,), 0.3, dtype=torch.float64)
    weight = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()

    def penalty(w):
        return gradient_penalty(lambda x: torch.tanh(x.flatten(1) @ w).sum(dim=1), real, made, mix)

    assert torch.autograd.gradcheck(penalty, (weight,))


def test_unequal_batches_are_refused():
    real, made = samples()
    with pytest.raises(ValueError, match="one by one"):
        gradient_penalty(linear_critic(1.0), real, made[:2])


def test_a_random_mix_needs_no_grad_mode_of_the_caller():
    real, made = samples()
    with torch.no_grad():
        assert gradient_norm(linear_critic(0.5), real, made).shape == (4,)
