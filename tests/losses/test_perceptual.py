"""Content, style and total variation against values worked out by hand."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfi_pipeline.losses.perceptual import (
    FeatureDistance,
    StyleObjective,
    StyleTarget,
    content_distance,
    gram,
    style_distance,
    temporal_distance,
    total_variation,
)

DOUBLE = torch.float64


class TwoLayers(torch.nn.Module):
    """A feature network that can be worked by hand: the picture itself, and half of its 2 x 2 means."""

    layers = ("fine", "coarse")

    def forward(self, image, upto=None):
        found = {"fine": image}
        if upto != "fine":
            found["coarse"] = torch.nn.functional.avg_pool2d(image, 2) / 2
        return found


def test_the_gram_matrix_of_a_constant_map_is_the_outer_product_of_its_value():
    c = torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE)
    assert torch.allclose(gram(c.view(1, 3, 1, 1).expand(1, 3, 5, 7))[0], torch.outer(c, c), atol=1e-15)


def test_a_gram_matrix_worked_by_hand():
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]], dtype=DOUBLE)  # two channels, two pixels
    assert gram(features)[0].tolist() == [[2.5, 0.5], [0.5, 5.0]]


@given(rows=st.integers(-9, 9), columns=st.integers(-9, 9))
def test_a_circular_shift_leaves_the_gram_matrix(rows, columns):
    x = torch.rand(2, 4, 6, 9, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    assert torch.allclose(gram(x.roll((rows, columns), (2, 3))), gram(x), atol=1e-13)


def test_gram_matrices_belong_to_one_picture_each():
    x = torch.rand(3, 4, 5, 5, dtype=DOUBLE)
    assert torch.allclose(gram(x)[1], gram(x[1:2])[0], atol=1e-15)


def test_distances_are_zero_for_a_picture_and_itself_and_one_for_features_of_zero():
    x = {"a": torch.rand(2, 4, 6, 5, dtype=DOUBLE), "b": torch.rand(2, 3, 4, 4, dtype=DOUBLE)}
    nothing = {name: torch.zeros_like(value) for name, value in x.items()}
    own = {name: gram(value) for name, value in x.items()}
    assert content_distance(x, x, ("a", "b")) == 0 and style_distance(x, own) == 0
    assert content_distance(nothing, x, ("a", "b")) == pytest.approx(1)
    assert style_distance(nothing, own) == pytest.approx(1)


def test_features_twice_as_large_differ_by_their_own_size_and_their_gram_matrices_by_three_times_theirs():
    x = {"a": torch.rand(1, 4, 6, 5, dtype=DOUBLE)}
    double = {"a": 2 * x["a"]}
    assert content_distance(double, x, ("a",)) == pytest.approx(1)
    assert style_distance(double, {"a": gram(x["a"])}) == pytest.approx(9)  # |4 G - G|^2 / |G|^2


@pytest.mark.parametrize("axis", [2, 3])
def test_the_total_variation_of_a_ramp_is_its_slope_squared(axis):
    size = (7, 11)
    ramp = 0.25 * torch.arange(size[axis - 2], dtype=DOUBLE)
    image = ramp.view(1, 1, -1, 1) if axis == 2 else ramp.view(1, 1, 1, -1)
    assert total_variation(image.expand(2, 3, *size)) == pytest.approx(0.25**2)
    assert total_variation(torch.full((1, 3, 1, 1), 0.5)) == 0  # a single pixel varies nowhere


def test_the_temporal_loss_counts_only_where_it_is_trusted():
    made, expected = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    trusted = torch.zeros(1, 1, 4, 4)
    assert temporal_distance(made, expected, trusted) == 0
    trusted[..., :2, :] = 1
    assert temporal_distance(made, expected, trusted) == pytest.approx(0.5)


def test_losses_have_the_gradients_that_differences_show():
    x = torch.rand(1, 3, 4, 5, dtype=DOUBLE, requires_grad=True)
    goal = torch.rand(1, 3, 4, 5, dtype=DOUBLE)
    assert torch.autograd.gradcheck(lambda x: style_distance({"a": x}, {"a": gram(goal)}), (x,))
    assert torch.autograd.gradcheck(lambda x: content_distance({"a": x}, {"a": goal}, ("a",)), (x,))
    assert torch.autograd.gradcheck(total_variation, (x,))


def test_the_objective_is_the_weighted_sum_of_its_terms():
    network, picture = TwoLayers(), torch.rand(1, 3, 8, 8, dtype=DOUBLE)
    made, style = torch.rand(1, 3, 8, 8, dtype=DOUBLE), torch.rand(1, 3, 8, 8, dtype=DOUBLE)
    objective = StyleObjective(2.0, 3.0, 5.0, 7.0, ("coarse",))
    target = StyleTarget.of(network, style, ("fine", "coarse"))
    terms = objective(
        network, made, objective.content_of(network, picture), target, picture, torch.ones(1, 1, 8, 8, dtype=DOUBLE)
    )
    expected = 2 * terms["content"] + 3 * terms["style"] + 5 * terms["temporal"] + 7 * terms["tv"]
    assert terms["total"] == pytest.approx(float(expected))
    assert terms["temporal"] == pytest.approx(float((made - picture).square().mean()))
    assert objective(network, style, network(style), target)["style"] == 0


def test_at_two_sizes_the_style_is_the_mean_of_both():
    network, style = TwoLayers(), torch.rand(1, 3, 8, 6, dtype=DOUBLE)
    made = torch.rand(2, 3, 8, 6, dtype=DOUBLE)
    target = StyleTarget.of(network, style, ("fine",), sizes=2)
    assert StyleTarget.of(network, style, ("fine",)).grams[0]["fine"].equal(target.grams[0]["fine"])

    def halved(picture):
        return picture.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).mean(dim=(3, 5))

    apart = [style_distance({"fine": a}, {"fine": gram(b)}) for a, b in ((made, style), (halved(made), halved(style)))]
    terms = StyleObjective(content_layers=("fine",))(network, made, network(made), target)
    assert terms["style"] == pytest.approx(float(sum(apart) / 2))
    odd = torch.full((1, 3, 5, 7), 0.5, dtype=DOUBLE)  # what lies beyond an odd side is not counted
    assert StyleTarget.of(network, odd, ("fine",), sizes=3).distance(network, odd, network(odd)) == 0
    assert (
        StyleTarget.of(network, odd, ("fine",), sizes=3).grams[2]["fine"].allclose(torch.full((), 0.25, dtype=DOUBLE))
    )


def test_as_a_training_loss_it_is_zero_for_the_true_frames_and_has_a_gradient_elsewhere():
    loss = FeatureDistance(TwoLayers(), ("coarse",))
    true = torch.rand(2, 3, 8, 8)
    assert loss(true, true) == 0
    made = true.flip(-1).requires_grad_()
    loss(made, true).backward()
    assert made.grad.abs().sum() > 0


def test_interpolation_can_be_trained_by_it():
    from types import SimpleNamespace

    from vfi_pipeline.losses import triplet_objective

    objective = triplet_objective(l2=1.0, perceptual=0.5, network=FeatureDistance(TwoLayers(), ("coarse",)))
    true = torch.rand(1, 1, 3, 8, 8)
    made = torch.rand(1, 1, 3, 8, 8, requires_grad=True)
    motion = SimpleNamespace(frame=made, velocity=None, forward=None, backward=None, auxiliary={}, path=None)
    terms = {name: value.detach() for name, value in objective(motion, true, true[:, 0]).items()}
    wanted = content_distance(TwoLayers()(made[0]), TwoLayers()(true[0]), ("coarse",))
    assert terms["perceptual"] == pytest.approx(float(wanted.detach()))
    assert terms["total"] == pytest.approx(float(terms["l2"] + 0.5 * terms["perceptual"]))
    with pytest.raises(ValueError, match="perceptual@objective.network=features"):
        triplet_objective(perceptual=0.5)


@pytest.mark.parametrize("choice", ["features", "lpips"])
def test_the_configuration_names_both_networks(root, choice):
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(root / "conf"), version_base=None):
        words = [
            "experiment=flow",
            "data.root=x",
            f"+perceptual@objective.network={choice}",
            "objective.perceptual=0.1",
        ]
        cfg = compose("train", words)
    assert cfg.objective.perceptual == 0.1
    assert (
        cfg.objective.network._target_.rsplit(".", 1)[1]
        == {"features": "FeatureDistance", "lpips": "Perceptual"}[choice]
    )
