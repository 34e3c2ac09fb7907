"""Morph: the original by hand, what both variants promise, and a pair that moves and changes its light."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from benchmarks.pairs import TIMES, faded, lit, moved, score, swirl
from vfi_pipeline.animation.maps import animation_of, state_of
from vfi_pipeline.animation.morph import MorphModel, morph_model
from vfi_pipeline.animation.motion_animation import animator
from vfi_pipeline.animation.original_morph import MapNet, OriginalMorph, Strengths, displacement, fit_maps, transform
from vfi_pipeline.errors import UserError
from vfi_pipeline.models import flow

STRENGTHS = Strengths(0.4, 0.4, 0.05)


@pytest.fixture(scope="module")
def small():
    frames = [F.avg_pool2d(x, 4) for x in lit(moved("astronaut", swirl))]
    return frames[0], frames[-1]


def solved(pair, variant, **settings):
    torch.manual_seed(0)
    return MorphModel(variant, **{"steps": 15, **settings}).solve(*pair)


@pytest.fixture(scope="module", params=["flow", "original"])
def animation(request, small):
    return solved(small, request.param)


@pytest.mark.slow
def test_a_pair_that_moves_and_changes_its_light_needs_both():
    first, *true, last = lit(moved("astronaut", swirl))
    both = MorphModel().solve(first, last)
    warp_alone = MorphModel(mult=0, add=0).solve(first, last)
    made = score([both.frame(t) for t in TIMES], true)
    assert made > 5 + score(faded(first, last), true)
    assert made > 5 + score([warp_alone.sides(t)[0] for t in TIMES], true)  # moving the first picture's pixels
    assert made > score([warp_alone.frame(t) for t in TIMES], true)  # moving both and fading
    # Each side alone shows the scene as it is at t, which no warp does.
    assert score([both.sides(t)[0] for t in TIMES], true) > 5 + score([warp_alone.sides(t)[0] for t in TIMES], true)
    told = both.shares()
    assert sum(told.values()) == pytest.approx(1) and told["fade"] < 0.1
    assert told["warp"] > 0.2 and told["mult"] + told["add"] > 0.2


@pytest.mark.slow
def test_the_originals_loss_falls_and_its_maps_explain_most_of_the_change(small):
    short, long = solved(small, "original", steps=5), solved(small, "original", steps=300)
    assert long.shares()["fade"] < 0.5 * short.shares()["fade"]


def test_the_ends_are_the_pictures_bit_for_bit(animation, small):
    assert torch.equal(animation.frame(0.0), small[0]) and torch.equal(animation.frame(1.0), small[1])
    assert float((animation.frame(1e-6) - small[0]).abs().max()) < 1e-3


def test_frames_are_pictures_and_shares_add_up(animation):
    for t in (0.25, 0.5, 0.9):
        made = animation.frame(t)
        assert made.min() >= 0 and made.max() <= 1 and bool(made.isfinite().all())
    told = animation.shares()
    assert set(told) == {"warp", "mult", "add", "fade"} and sum(told.values()) == pytest.approx(1)


def test_a_state_is_rendered_again_at_any_size(animation, small):
    kind, state = state_of(animation)
    assert kind in ("morph", "original_morph")
    again = animation_of(kind, state, *small)
    assert torch.equal(again.frame(0.37), animation.frame(0.37))
    large = [F.interpolate(x, (70, 64), mode="bilinear") for x in small]
    near = F.interpolate(animation.frame(0.5), (70, 64), mode="bilinear")
    assert (animation_of(kind, state, *large).frame(0.5) - near).abs().mean() < 0.03
    with pytest.raises(ValueError, match="channels"):
        animation_of(kind, state, small[0][:, :1], small[1][:, :1])


@pytest.mark.parametrize("variant", ["flow", "original"])
@pytest.mark.parametrize("off", ["mult", "add", "warp"])
def test_a_strength_of_nothing_leaves_its_map_out(small, variant, off):
    made = solved(small, variant, steps=3, **{off: 0.0})
    assert made.shares()[off] == 0
    if off == "warp":
        assert made.velocity().abs().max() == 0


@pytest.mark.parametrize("variant", ["flow", "original"])
@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures(variant, channels):
    first, last = torch.rand(2, 1, channels, 20, 28)
    if channels == 4:
        first, last = (torch.cat((x[:, :3] * x[:, 3:], x[:, 3:]), dim=1) for x in (first, last))
    made = solved((first, last), variant, steps=3).frame(0.5)
    assert made.shape == first.shape
    assert channels == 1 or bool((made[:, :3] <= made[:, 3:] + 1e-6).all())


def test_the_formula_by_hand():
    """One pixel of maps: 0.5 * (1 + 0.4 * 0.5) + 2 * 0.4 * 0.25 = 0.8, and added first: (0.5 + 0.2) * 1.2 = 0.84."""
    image = torch.full((1, 1, 4, 6), 0.5)
    maps = torch.zeros(1, 4, 4, 6)
    maps[:, 0], maps[:, 1] = 0.5, 0.25
    assert torch.allclose(transform(image, maps, STRENGTHS), torch.full_like(image, 0.8))
    first_added = replace(STRENGTHS, add_first=True)
    assert torch.allclose(transform(image, maps, first_added), torch.full_like(image, 0.84))
    maps[:, 0] = -10  # the factor stops at 0.1
    assert torch.allclose(transform(image, maps, STRENGTHS), torch.full_like(image, 0.25))


def test_a_warp_of_one_samples_five_per_cent_of_the_side_before():
    picture = torch.arange(40.0).expand(1, 1, 20, 40) / 40
    maps = torch.zeros(1, 4, 20, 40)
    maps[:, 2] = 1.0  # dx
    assert torch.allclose(displacement(maps, STRENGTHS, 20, 40)[0, :, 0, 0], torch.tensor([-2.0, 0.0]))
    shifted = transform(picture, maps, STRENGTHS)
    torch.testing.assert_close(shifted[..., 2:], picture[..., :-2])


def test_the_last_steps_maps_are_the_ones_that_are_kept(small):
    """The reference renders the maps of an earlier report: 12 steps are those of step 10."""
    a, b = (2 * x - 1 for x in small)
    seen = {}
    torch.manual_seed(0)
    final = fit_maps(a, b, STRENGTHS, 12, lambda share, maps: seen.update({share: maps}))
    assert list(seen) == [10 / 12] and not torch.equal(final, seen[10 / 12])
    torch.manual_seed(0)
    assert torch.equal(fit_maps(a, b, STRENGTHS, 12), final)


def test_frames_follow_the_originals_cross_fade(small):
    torch.manual_seed(1)
    maps = 0.3 * torch.randn(2, 8, *small[0].shape[-2:])
    animation = OriginalMorph(maps, STRENGTHS, *small)
    t = 0.3
    a = transform(2 * small[0] - 1, t * maps[:1], STRENGTHS).clamp(-1, 1)
    b = transform(2 * small[1] - 1, (1 - t) * maps[1:], STRENGTHS).clamp(-1, 1)
    torch.testing.assert_close(animation.frame(t), (((1 - t) * a + t * b) + 1) / 2)


def test_the_network_has_the_originals_shape():
    net = MapNet(3)
    assert [tuple(layer.weight.shape) for layer in net.layers] == [(64, 8, 5, 5), (64, 64, 5, 5), (16, 64, 5, 5)]
    assert net(torch.rand(1, 8, 50, 70)).shape == (2, 8, 50, 70)


def test_mistakes_are_named():
    with pytest.raises(UserError, match="no variant 'gan'"):
        MorphModel("gan")
    with pytest.raises(UserError, match="mult=-1"):
        MorphModel(mult=-1)
    with pytest.raises(UserError, match="steps=0"):
        MorphModel(steps=0)
    with pytest.raises(UserError, match="takes no points"):
        MorphModel("original").solve(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8), points=(torch.zeros(1, 2),) * 2)
    assert isinstance(animator(model := MorphModel()), MorphModel) and model.variant == "flow"


def test_only_the_flow_variant_starts_at_the_learned_flow(monkeypatch):
    monkeypatch.setattr(flow, "load_flow", lambda name, device: f"{name} on {device}")
    assert morph_model(device="cpu").initial_flow == "flow on cpu"
    assert morph_model("original").initial_flow is None and morph_model(warp=0).initial_flow is None
    model = morph_model("flow", 0.1, 0.2, 0.3, True, 9, 99)
    assert (model.strengths, model.steps, model.span) == (Strengths(0.1, 0.2, 0.3, True), 9, 99)
