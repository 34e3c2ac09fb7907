"""Batches: mixing samples with and without a known velocity, and refusing to mix shapes."""

import pytest
import torch

from vfi_pipeline.data.batch import Triplet, Unpaired, collate


def triplet(times: int = 1, velocity: torch.Tensor | None = None) -> Triplet:
    picture = torch.rand(3, 6, 8)
    return Triplet(
        picture, torch.rand(times, 3, 6, 8), picture.flip(0), torch.linspace(0, 1, times + 2)[1:-1], velocity
    )


def test_a_batch_of_triplets_keeps_every_sample_in_place():
    samples = [triplet(2), triplet(2), triplet(2)]

    batch = collate(samples)

    assert batch.first.shape == (3, 3, 6, 8) and batch.targets.shape == (3, 2, 3, 6, 8) and batch.t.shape == (3, 2)
    assert torch.equal(batch.last[1], samples[1].last) and batch.velocity is None


def test_a_triplet_without_middle_frames_collates():
    assert collate([triplet(0), triplet(0)]).targets.shape == (2, 0, 3, 6, 8)


def test_unknown_velocity_becomes_a_zero_mask_and_never_a_nan():
    batch = collate([triplet(1, torch.ones(2, 6, 8)), triplet(1)])

    values, known = batch.masked_velocity()

    assert known.flatten(1).mean(1).tolist() == [1.0, 0.0]
    assert values[0].eq(1).all() and values[1].eq(0).all()
    assert collate([triplet(1)]).masked_velocity()[1].sum() == 0


def test_samples_of_two_shapes_or_kinds_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        collate([triplet(1), triplet(2)])
    with pytest.raises(ValueError, match="one kind"):
        collate([triplet(1), Unpaired(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4))])


def test_unpaired_draws_collate_side_by_side():
    batch = collate([Unpaired(torch.full((1, 4, 4), k), torch.full((1, 4, 4), -k)) for k in (1.0, 2.0)])

    assert batch.source[:, 0, 0, 0].tolist() == [1, 2] and batch.target[:, 0, 0, 0].tolist() == [-1, -2]
