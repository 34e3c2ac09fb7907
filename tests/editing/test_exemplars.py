"""Several exemplars at once: what is chosen, and that one alone is the single transfer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vfi_pipeline.editing.exemplars import (
    ExemplarSettings,
    animated,
    blended,
    field_of,
    most_alike,
    seam_energy,
    stylised,
)
from vfi_pipeline.editing.markov import best_single, iterated_conditional_modes, total_energy
from vfi_pipeline.editing.painters import ExemplarPainter
from vfi_pipeline.editing.pyramid import transferred
from vfi_pipeline.geometry import blur

SETTINGS = ExemplarSettings(patches=6, levels=4)


def pictures(count, seed=0, size=(48, 60), channels=3):
    return blur(torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed)), 1.5)


@pytest.mark.parametrize("channels", [1, 3])
def test_one_exemplar_is_the_single_transfer(channels):
    picture, exemplar = pictures(1, 1, channels=channels), pictures(1, 2, channels=channels)
    made = stylised(picture, exemplar, SETTINGS).result
    if channels == 1:
        assert torch.equal(made, transferred(picture, exemplar, 4))
    # In an opponent space the bands of colours are transferred one by one; grey pictures stay grey in it.
    grey = stylised(picture[:, :1].expand(-1, 3, -1, -1), exemplar[:, :1].expand(-1, 3, -1, -1), SETTINGS).result
    assert torch.allclose(grey[:, :1], transferred(picture[:, :1], exemplar[:, :1], 4), atol=1e-5)
    assert torch.allclose(grey[:, 0], grey[:, 2], atol=1e-5)


def test_colours_stay_unless_they_are_asked_for():
    picture, exemplar = 0.4 + 0.2 * pictures(1, 1), 0.4 + 0.2 * pictures(1, 2)

    def differences(rgb):
        light = (rgb * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(dim=1)
        return torch.stack((rgb[:, 0] - light, rgb[:, 2] - light))

    plain = stylised(picture, exemplar, SETTINGS).result
    assert torch.allclose(differences(plain), differences(picture), atol=1e-5)
    coloured = stylised(picture, exemplar, replace(SETTINGS, colour=True)).result
    assert not torch.allclose(differences(coloured), differences(picture), atol=0.01)


def test_the_picture_as_its_own_exemplar_comes_back():
    picture = pictures(1, 1)
    both = torch.cat((pictures(1, 2), picture))
    found = stylised(picture, both, SETTINGS)
    assert bool((found.labels == 1).all()) and (found.result - picture).abs().max() < 1e-4


def test_each_side_takes_after_the_exemplar_that_is_like_it():
    picture = pictures(1, 1, (48, 96), 1)
    left, right = pictures(1, 2, (48, 96), 1), pictures(1, 3, (48, 96), 1)
    left[..., :48], right[..., 48:] = picture[..., :48], picture[..., 48:]
    labels = stylised(picture, torch.cat((left, right)), ExemplarSettings(patches=8, levels=3, seams=0.1)).labels
    assert bool((labels[:, :3] == 0).all()) and bool((labels[:, 5:] == 1).all())


def test_the_labels_cost_at_most_what_icm_and_the_best_single_one_cost():
    picture, exemplars = pictures(1, 4, channels=1), pictures(5, 5, channels=1)
    found = stylised(picture, exemplars, SETTINGS)
    parts = (found.field.data, found.field.across, found.field.down)
    costs = [
        total_energy(each, *parts) for each in (found.labels, iterated_conditional_modes(*parts), best_single(*parts))
    ]
    assert costs[0] <= costs[1] + 1e-5 <= costs[2] + 2e-5


def test_two_equal_exemplars_cost_nothing_at_a_seam():
    one = pictures(1, 5, channels=1)
    found = field_of(pictures(1, 4, channels=1), torch.cat((one, one, pictures(1, 6, channels=1))), SETTINGS)
    for costs in (found.across, found.down):
        assert float(costs[..., 0, 1].abs().max()) == 0 == float(costs.diagonal(dim1=2, dim2=3).abs().max())
        assert float(costs[..., 0, 2].min()) > 0
        assert torch.equal(costs, costs.transpose(2, 3))


def test_the_pairwise_cost_is_the_mean_difference_where_two_patches_meet():
    """Two exemplars whose transfers differ by a step at the right edge only."""
    picture = torch.full((1, 1, 8, 32), 0.5)
    exemplars = torch.full((2, 1, 8, 32), 0.5)
    exemplars[1, ..., 24:] = 0.9
    found = field_of(picture, exemplars, ExemplarSettings(patches=4, levels=1, seams=1.0))
    assert found.across.shape == (1, 3, 2, 2)
    costs = found.across[0, :, 0, 1]
    assert float(costs[0]) < 1e-6 and 0.04 < float(costs[2]) < 0.12  # half of 0.4^2 where they meet


def test_weights_still_add_up_to_one_and_follow_the_pictures_edges():
    picture = torch.zeros(1, 1, 40, 40)
    picture[..., 20:] = 1
    hard = torch.zeros(1, 2, 40, 40)
    hard[:, 0, :, :20], hard[:, 1, :, 20:] = 1, 1
    soft = blended(hard, picture, SETTINGS)
    assert torch.allclose(soft.sum(dim=1), torch.ones(1, 40, 40), atol=1e-5)
    assert (soft - hard).abs().max() < 0.02  # the seam lies on an edge: it stays
    flat = blended(hard, torch.full_like(picture, 0.5), SETTINGS)
    assert 0.05 < float(torch.diff(flat[0, 0, 20]).abs().max()) < 0.2  # no edge: it is spread
    assert torch.equal(blended(hard, picture, ExemplarSettings(radius=0)), hard)


def test_the_filter_takes_seams_away():
    picture, exemplars = (
        pictures(1, 4, channels=1),
        pictures(4, 5, channels=1) * torch.tensor([0.5, 1, 1.3, 0.8]).view(4, 1, 1, 1),
    )
    energies = []
    for radius in (0.0, 1.0):
        found = stylised(picture, exemplars, ExemplarSettings(patches=6, levels=4, seams=0.0, radius=radius))
        labels = found.field.weights(found.labels)[0].argmax(dim=0)
        energies.append(seam_energy(found.result, picture, labels))
    assert energies[1] < 0.5 * energies[0]


def test_seam_energy_counts_steps_of_the_change_across_labels_only():
    picture = pictures(1, 1, (6, 6), 1)
    labels = torch.zeros(6, 6, dtype=torch.int64)
    labels[:, 3:] = 1
    made = picture.clone()
    made[..., 3:] += 0.2
    assert seam_energy(made, picture, labels) == pytest.approx(0.04, rel=1e-3)
    assert seam_energy(made, picture, torch.zeros_like(labels)) == 0


def test_the_most_alike_come_first():
    picture = pictures(1, 1)
    others = torch.cat((pictures(2, 2), picture * 0.5 + 0.2, pictures(1, 3)))
    assert most_alike(picture, others, 2)[0] == 2  # light and contrast do not count
    assert len(most_alike(picture, others, 9)) == 4


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_animation_begins_with_the_picture_bit_for_bit(channels):
    picture = pictures(1, 1, channels=channels)
    if channels == 4:
        picture[:, :3] *= picture[:, 3:]
    animation = animated(picture, pictures(3, 2), SETTINGS)
    assert torch.equal(animation.frame(0), picture)
    end, half = animation.frame(1), animation.frame(0.5)
    assert end.shape == picture.shape and not torch.equal(end, picture)
    assert torch.allclose(half, (picture + end) / 2, atol=1e-5)
    if channels == 4:
        assert torch.equal(end[:, 3:], picture[:, 3:]) and bool((end[:, :3] <= end[:, 3:] + 1e-6).all())


def test_a_films_labels_are_carried_to_the_next_frame():
    picture, exemplars = pictures(1, 1), pictures(5, 2)
    painter = ExemplarPainter(lambda size: exemplars, ExemplarSettings(patches=6, levels=3, most=3, steady=5.0))
    first = painter.paint(0, picture, None, None)
    assert first.shape == (1, 3 + 2 * 3, 48, 60)
    noisy = (picture + 0.05 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 1)
    carried = first.half().float()
    held = painter.paint(1, noisy, carried, torch.ones(1, 1, 48, 60))
    assert torch.equal(held[:, 6:], carried[:, 6:])  # the same exemplars, exactly, after a round trip through float16

    def alike(one, other):
        return float((one[:, 3:6].argmax(dim=1) == other[:, 3:6].argmax(dim=1)).float().mean())

    painter.settings = replace(painter.settings, steady=0.0)
    free = painter.paint(1, noisy, carried, torch.ones(1, 1, 48, 60))
    assert alike(held, first) > 0.9 and alike(held, first) > alike(free, first)
