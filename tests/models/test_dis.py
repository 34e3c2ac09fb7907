"""The door to OpenCV's flow: its convention, its sizes, and that it always answers the same."""

import cv2
import pytest
import torch
from skimage import data

from vfi_pipeline.models.dis import PRESETS, dis_flow, luma_bytes


def photograph(height: int, width: int, x: int = 0, y: int = 0) -> torch.Tensor:
    whole = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    return whole[..., 60 + y : 60 + y + height, 120 + x : 120 + x + width]


@pytest.mark.parametrize("preset", PRESETS)
def test_content_that_moves_right_and_up_has_positive_dx_and_negative_dy(preset):
    source, target = photograph(120, 150), photograph(120, 150, x=-5, y=3)
    flow = dis_flow(source, target, preset, finest=0)
    inner = flow[..., 20:-20, 20:-20].flatten(2).median(dim=2).values
    assert inner[0].tolist() == pytest.approx([5, -3], abs=0.1)


def test_the_median_leaves_edges_of_the_motion_and_takes_single_errors_away():
    """The upper half moves by 4 px, the lower one stays."""
    source, target = photograph(160, 200).clone(), photograph(160, 200).clone()
    target[..., :80, :] = photograph(160, 200, x=-4)[..., :80, :]
    flow = dis_flow(source, target, "sparse", finest=0)[0, 0, :, 20:-20]

    upper, lower = flow[:76].median(), flow[84:].median()
    assert upper == pytest.approx(4, abs=0.1) and lower == pytest.approx(0, abs=0.1)
    assert ((flow[10:70] - 4).abs() < 1).float().mean() > 0.97
    assert (flow[90:150].abs() < 1).float().mean() > 0.97


def test_identical_pictures_do_not_move():
    assert dis_flow(photograph(40, 50), photograph(40, 50)).abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 70), (9, 13), (31, 33), (61, 90)])
def test_any_size_gives_a_finite_flow_of_that_size(size):
    flow = dis_flow(photograph(*size), photograph(*size, x=1), finest=0)
    assert flow.shape == (1, 2, *size) and bool(flow.isfinite().all())


def test_the_answer_does_not_depend_on_threads_and_leaves_the_start_alone():
    source, target = photograph(120, 150), photograph(120, 150, x=-4)
    start = torch.full((1, 2, 120, 150), 1.5)
    threads = cv2.getNumThreads()
    try:
        found = []
        for count in (1, 3):
            cv2.setNumThreads(count)
            found.append(dis_flow(source, target, start=start))
    finally:
        cv2.setNumThreads(threads)
    assert torch.equal(*found)
    assert start.unique().tolist() == [1.5]


def test_luma_is_rounded_bt601():
    colours = torch.eye(3).view(1, 3, 1, 3)
    assert luma_bytes(colours).tolist() == [[[[76, 150, 29]]]]


@pytest.mark.parametrize("size", [(120, 150), (9, 13)])
def test_pictures_may_be_given_as_bytes(size):
    source, target = photograph(*size), photograph(*size, x=2)
    start = torch.full((1, 2, *size), 1.5)
    for a, b in ((source, target), (source.mean(1, keepdim=True), target.mean(1, keepdim=True))):
        assert torch.equal(dis_flow(a, b, start=start), dis_flow(luma_bytes(a), luma_bytes(b), start=start))
    assert luma_bytes(luma_bytes(source)).equal(luma_bytes(source))


def test_wrong_calls_say_what_is_right():
    with pytest.raises(ValueError, match="one of ultrafast, fast, medium"):
        dis_flow(photograph(40, 50), photograph(40, 50), "slow")
    with pytest.raises(ValueError, match="one size"):
        dis_flow(photograph(40, 50), photograph(40, 51))
