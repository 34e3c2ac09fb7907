"""The search that model=flow begins with: known shifts are found, swapping the frames swaps its halves."""

import numpy as np
import pytest
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import warp
from vfi_pipeline.models.checkpoint import save_model
from vfi_pipeline.models.flow import FlowInterpolator, FlowModel, FlowMotion, flow_interpolator, maps_at
from vfi_pipeline.models.motion import Context
from vfi_pipeline.models.start import searched_pair, searched_start
from vfi_pipeline.nets.flow import STATE, FlowNet, velocities_of

SMALL = {
    "widths": (8, 8, 8), "hidden": (6, 6, 6), "handed": (4, 4), "radii": (0, 1, 2), "match": (4, 4, 4), "stem": 4,
    "depth": (1, 1, 1),
}  # fmt: skip


def photograph(height: int, width: int) -> torch.Tensor:
    from skimage.data import astronaut

    return torch.from_numpy(np.array(astronaut()[:height, :width])).permute(2, 0, 1)[None].float() / 255


def shifted_pair() -> tuple[torch.Tensor, torch.Tensor]:
    """Content moves 12 px to the right and 8 px down: 3 and 2 cells of the network's grid."""
    picture = photograph(256 + 8, 320 + 12)
    return picture[..., 8:, 12:].contiguous(), picture[..., :256, :320].contiguous()


def test_a_shift_is_found_in_cells_of_a_quarter():
    state = searched_start(*shifted_pair())

    assert state.shape == (1, 2 * STATE, 64, 80)
    inner = state[..., 8:-8, 8:-8]
    for side, sign in (
        (inner[:, :2], 1),
        (inner[:, STATE : STATE + 2], -1),
    ):  # each half's velocity points away from its frame
        found = side.flatten(2).median(dim=2).values[0]
        torch.testing.assert_close(found, sign * torch.tensor([3.0, 2.0]), atol=0.1, rtol=0)


def test_swapped_frames_swap_the_halves():
    a, b = shifted_pair()
    torch.testing.assert_close(searched_start(b, a), searched_start(a, b).roll(STATE, dims=1), atol=1e-3, rtol=1e-3)


def test_a_batch_is_searched_pair_by_pair():
    a, b = shifted_pair()
    both = searched_start(torch.cat((a, b)), torch.cat((b, a)))
    assert torch.equal(both[:1], searched_start(a, b)) and torch.equal(both[1:], searched_start(b, a))


def test_identical_pictures_start_at_rest_with_equal_shares():
    a, _ = shifted_pair()
    state = searched_start(a, a)
    assert state[:, (0, 1, STATE, STATE + 1)].abs().max() == 0
    assert torch.equal(state[:, 2], state[:, STATE + 2])


def test_a_network_that_corrects_nothing_keeps_the_start():
    torch.manual_seed(0)
    net = FlowNet(**SMALL)
    for level in net.levels:
        for parameter in level.head.parameters():
            torch.nn.init.zeros_(parameter)
    a, b = shifted_pair()
    start = searched_start(a, b)

    found = net(net.encode(a), net.encode(b), start)[0]

    assert torch.equal(found.first, start[:, :2]) and torch.equal(found.last, -start[:, STATE : STATE + 2])
    assert torch.equal(found.visibility, start[:, 2:3] - start[:, STATE + 2 : STATE + 3])


def test_swapped_frames_give_the_same_motion_at_one_minus_t():
    torch.manual_seed(0)
    model = FlowModel(FlowNet(**SMALL), start=True)
    a, b = shifted_pair()
    one = model.motion(a, b).at([0.3])[0]
    model.reset()
    other = model.motion(b, a).at([0.7])[0]

    torch.testing.assert_close(one.there, other.back, atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(one.share, 1 - other.share, atol=1e-2, rtol=1e-2)


def test_what_was_searched_beforehand_starts_as_the_search_does():
    a, b = shifted_pair()
    pictures = [(image[0].permute(1, 2, 0) * 255).round().byte().numpy() for image in (a, b)]
    flows = torch.from_numpy(searched_pair(*pictures))
    alone = torch.full((1, 3, 4, 64, 80), float("nan"))
    alone[0, 1] = flows
    still = alone.clone()
    still[0, 0], still[0, 2] = 0.0, 0.0

    torch.testing.assert_close(searched_start(a, b, alone), searched_start(a, b))
    torch.testing.assert_close(searched_start(a, b, torch.full_like(alone, float("nan"))), searched_start(a, b))
    assert searched_start(a, b, alone)[:, STATE - 2 : STATE].abs().max() == 0
    known = searched_start(a, b, alone.where(torch.isfinite(alone), flows))
    assert known[:, STATE - 2 : STATE].abs().mean() < 0.1  # the same speed before and after: no acceleration
    assert searched_start(a, b, alone.where(torch.isfinite(alone), 0.0)).isfinite().all()


def test_paths_bend_by_the_accelerations_mean_of_both_halves():
    a, b = shifted_pair()
    start = searched_start(a, b).zero_()
    start[:, STATE - 2], start[:, 2 * STATE - 1] = 4.0, 2.0
    found = velocities_of(start)

    maps = maps_at(found, torch.tensor([0.5]))

    assert torch.allclose(maps.there[0, :, 9, 9], torch.tensor([2.0, 1.0]) / 8) and torch.equal(maps.there, maps.back)
    torch.testing.assert_close(FlowMotion(found, (64, 80)).at([0.5])[0].there, maps.there)


@pytest.mark.parametrize("share", [0.25, 0.625])
def test_looking_ahead_changes_no_bit(share):
    torch.manual_seed(0)
    net = FlowNet(**SMALL)
    picture = photograph(160 + 40, 224 + 60)
    frames = [picture[..., 8 * k : 160 + 8 * k, 10 * k : 224 + 10 * k].contiguous() for k in range(6)]
    model = FlowModel(net, start=True, search=share)
    threads = torch.get_num_threads()

    def same(one: int, two: int, before: int, after: int, further: torch.Tensor | None) -> bool:
        pair, around = (frames[one], frames[two]), (frames[before], frames[after])
        ahead = model.motion(*pair, Context(*around, further=further)).at([0.4])[0]
        alone = FlowModel(net, start=True, search=share).motion(*pair, Context(*around)).at([0.4])[0]
        return all(torch.equal(getattr(ahead, part), getattr(alone, part)) for part in ("there", "back", "share"))

    for k in range(1, 4):  # from the third on, a pair's start was made ahead as well
        assert same(k, k + 1, k - 1, k + 2, frames[k + 3] if k + 3 < len(frames) else None)
    assert same(1, 2, 0, 3, frames[4])
    assert same(3, 5, 2, 4, None), "another pair than the one that was looked at ahead"
    assert torch.get_num_threads() == threads


def test_a_finer_search_finds_the_shift_more_closely():
    picture = photograph(256 + 16, 320 + 16)
    shift = 2.75  # in quarters of what half the size shows
    there = torch.full((1, 2, 272, 336), -shift)
    a, b = picture[..., 8:264, 8:328].contiguous(), warp(picture, there)[..., 8:264, 8:328].contiguous()

    def miss(share: float) -> float:
        torch.manual_seed(0)
        net = FlowNet(**SMALL)
        for level in net.levels:
            for parameter in level.head.parameters():
                torch.nn.init.zeros_(parameter)
        made = FlowModel(net, start=True, search=share).motion(a, b).at([0.5])[0]
        assert made.there.shape[-2:] == (64, 80)
        return float((made.there + shift / 2 / 4)[..., 6:-6, 6:-6].abs().mean())

    assert miss(1.0) < miss(0.5) < 0.1
    for share in (0.0, 2.0):
        with pytest.raises(UserError, match="share"):
            FlowModel(FlowNet(**SMALL), start=True, search=share)


def test_training_goes_on_from_weights_and_a_new_start_resets_the_heads(tmp_path):
    torch.manual_seed(0)
    known = FlowInterpolator(**SMALL)
    save_model(tmp_path / "known.safetensors", known)

    same = flow_interpolator(str(tmp_path / "known.safetensors"), **SMALL)
    other = flow_interpolator(str(tmp_path / "known.safetensors"), start=True, **SMALL)

    assert all(torch.equal(a, b) for a, b in zip(known.state_dict().values(), same.state_dict().values()))
    assert all(parameter.abs().max() == 0 for level in other.net.levels for parameter in level.head.parameters())
    assert torch.equal(known.net.encoder.stem.weight, other.net.encoder.stem.weight)
    assert all(parameter.requires_grad for parameter in same.parameters())


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(tmp_path / "known.safetensors", FlowInterpolator(**SMALL))
    with pytest.raises(UserError, match="another network"):
        flow_interpolator(str(tmp_path / "known.safetensors"), **{**SMALL, "stem": 6})
