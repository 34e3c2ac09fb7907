"""The critic: one score a picture, sample by sample, of the paper's sizes."""

import pytest
import torch

from vfi_pipeline.losses import critic_loss, gradient_norm
from vfi_pipeline.nets.critic import Critic


@pytest.mark.parametrize("span, widths", [(32, (64, 128, 256)), (64, (64, 64, 128, 256)), (16, (8, 16))])
def test_the_papers_stacks_reduce_their_picture_to_one_number(span, widths):
    critic = Critic(channels=1, widths=widths)
    assert critic(torch.rand(3, 1, span, span)).shape == (3, 1) and critic.score.weight.shape[1] == widths[-1]


def test_larger_and_oblong_pictures_give_one_score_each():
    assert Critic(widths=(4, 8))(torch.rand(2, 3, 40, 71)).shape == (2, 1)


@pytest.mark.parametrize("norm", ["none", "instance", "group"])
def test_a_score_does_not_depend_on_batch_mates(norm):
    critic, pictures = Critic(widths=(8, 16), norm=norm), torch.rand(4, 3, 24, 24)
    assert torch.allclose(critic(pictures)[2:3], critic(pictures[2:3]), atol=1e-5)


def test_trained_on_two_constants_it_reaches_the_slope_that_theory_gives():
    torch.manual_seed(0)
    critic = Critic(channels=1, widths=(8, 16))
    optimizer = torch.optim.Adam(critic.parameters(), 2e-3, betas=(0.5, 0.9))
    real, made = torch.full((8, 1, 16, 16), 0.7), torch.full((8, 1, 16, 16), 0.3)
    for _ in range(150):
        optimizer.zero_grad()
        terms = critic_loss(critic, real, made)
        terms["total"].backward()
        optimizer.step()
    # Along the line between the two pictures, d = 0.4 * 16 apart, a slope g earns g d and costs 10 (g - 1)^2: best is
    # g = 1 + d / 20. (The penalty is soft: the slope is 1 only where nothing is left to gain.)
    distance = 0.4 * 16
    slope = 1 + distance / 20
    assert gradient_norm(critic, real, made).mean().item() == pytest.approx(slope, rel=0.03)
    assert terms["wasserstein"].item() == pytest.approx(slope * distance, rel=0.03)


def test_a_picture_too_small_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match=r"32 px or more.*critic.widths"):
        Critic(widths=(8, 8, 8))(torch.rand(1, 3, 28, 40))


def test_batch_normalisation_is_not_offered():
    with pytest.raises(ValueError, match="No normalisation 'batch'"):
        Critic(norm="batch")
