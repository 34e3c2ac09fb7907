"""The generator of one picture: its weights, its sizes, what it draws; the losses it is trained with."""

from __future__ import annotations

import pytest
import torch

from vfi_pipeline.animation.primitives import PrimitiveAnimator
from vfi_pipeline.errors import UserError
from vfi_pipeline.losses.conditional import discriminator_hinge, feature_matching, generator_hinge
from vfi_pipeline.models.checkpoint import load_model, save_model
from vfi_pipeline.models.shipped import model_of
from vfi_pipeline.models.single_image import SingleImageGenerator, load_single_image, nearest_colour
from vfi_pipeline.models.style import StyleTransfer
from vfi_pipeline.nets.conditional_gan import Discriminator, Generator

COLOURS = [(255, 255, 255), (0, 0, 0), (200, 30, 30)]


def generator(**more):
    torch.manual_seed(0)
    return SingleImageGenerator((8, 8, 8), 1, COLOURS, **more).eval()


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (8, 9)])
def test_any_size_goes_through(size):
    made = Generator((8, 8, 8), 1)(torch.rand(2, 3, *size))
    assert made.shape == (2, 3, *size) and 0 < float(made.min()) and float(made.max()) < 1


@pytest.mark.parametrize("size", [(64, 64), (17, 33), (6, 6)])
def test_discriminators_look_at_two_sizes_and_end_with_scores(size):
    judged = Discriminator(8, 3)(torch.rand(2, 3, *size), torch.rand(2, 3, *size))
    assert len(judged) == 2 and all(each[-1].shape[:2] == (2, 1) for each in judged)


def test_weights_come_back_with_colours_and_size(tmp_path):
    model = generator(guide_span=48)
    save_model(tmp_path / "y.safetensors", model)
    read, _ = load_model(tmp_path / "y.safetensors")
    primitive = torch.rand(1, 3, 40, 30)
    assert read.colours == [list(c) for c in COLOURS] and read.guide_span == 48
    assert torch.equal(read.draw(primitive), model.draw(primitive))
    assert model_of(tmp_path / "y.safetensors") == "deepsim"
    assert torch.equal(load_single_image(tmp_path / "y.safetensors").draw(primitive), model.draw(primitive))


def test_weights_of_another_kind_are_refused(tmp_path):
    save_model(tmp_path / "s.safetensors", StyleTransfer((4, 4, 4), 1))
    with pytest.raises(UserError, match="holds a style model"):
        load_single_image(tmp_path / "s.safetensors")


def test_only_the_learned_colours_are_seen():
    primitive = torch.tensor(COLOURS).T.view(1, 3, 1, 3).float() / 255
    assert torch.equal(nearest_colour(primitive, COLOURS), primitive)
    assert torch.equal(nearest_colour((primitive + 0.1).clamp(0, 1), COLOURS), primitive)
    assert torch.equal(nearest_colour(primitive * 0.7, ()), primitive * 0.7)
    model = generator()
    picture = nearest_colour(torch.rand(1, 3, 24, 24), COLOURS)
    assert torch.equal(model.draw(picture), model.draw(picture + 0.02 * torch.rand_like(picture)))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_drawn_has_the_primitives_size_and_channels(channels):
    primitive = torch.rand(1, channels, 50, 70)
    made = generator(guide_span=32).draw(primitive)
    assert made.shape == primitive.shape
    if channels == 4:
        assert torch.equal(made[:, 3:], primitive[:, 3:]) and bool((made[:, :3] <= made[:, 3:]).all())


class Slide:
    """A pair model that shows the first picture moved to the right, whatever the second is."""

    def solve(self, first, last, *, points=None, progress=None):
        self.first = first
        if progress is not None:
            progress(1.0, self)
        return self

    def frame(self, t):
        return self.first.roll(round(8 * t), dims=-1)

    def sides(self, t):
        return self.frame(t), self.frame(t)


def test_every_frame_of_an_animation_is_drawn_the_ends_too():
    model = generator()
    one, other = nearest_colour(torch.rand(1, 3, 16, 24), COLOURS), torch.rand(1, 3, 16, 24)
    told = []
    animation = PrimitiveAnimator(model, Slide()).solve(
        one, other, progress=lambda share, found: told.append(found.frame(0))
    )
    for t in (0, 0.5, 1):
        assert torch.equal(animation.frame(t), model.draw(one.roll(round(8 * t), dims=-1)))
    assert torch.equal(told[0], model.draw(one))
    assert torch.equal(PrimitiveAnimator(model, Slide()).still(one).frame(0.3), model.draw(one))


class TestLosses:
    def test_hinge_by_hand(self):
        real, made = [[torch.tensor([2.0, 0.5])]], [[torch.tensor([-2.0, 0.0])]]
        assert float(discriminator_hinge(real, made)) == pytest.approx(0.25 + 0.5)
        assert float(generator_hinge(made)) == 1.0
        assert float(discriminator_hinge([[torch.tensor([1.0])]], [[torch.tensor([-1.0])]])) == 0

    def test_matching_is_zero_for_equal_pictures_and_leaves_scores_out(self):
        one = [[torch.ones(1, 2, 3, 3), torch.zeros(1)]]
        other = [[torch.full((1, 2, 3, 3), 1.5, requires_grad=True), torch.ones(1)]]
        assert float(feature_matching(one, one)) == 0
        loss = feature_matching(one, other)
        assert float(loss) == 0.5
        loss.backward()
        assert other[0][0].grad is not None

    def test_several_discriminators_count_alike(self):
        made = [[torch.tensor([1.0])], [torch.tensor([3.0, 3.0, 3.0])]]
        assert float(generator_hinge(made)) == -2.0
