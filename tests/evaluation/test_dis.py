"""The door to OpenCV's flow: its convention, its sizes, and that it always answers the same."""

import cv2
import pytest
import torch
from skimage import data

from vfi_pipeline.evaluation.dis import PRESETS, dis_flow


def photograph(height: int, width: int, x: int = 0, y: int = 0) -> torch.Tensor:
    whole = torch.from_numpy(data.astronaut()).permute(2, 0, 1)[None] / 255
    return whole[..., 60 + y : 60 + y + height, 120 + x : 120 + x + width]


@pytest.mark.parametrize("preset", PRESETS)
def test_content_that_moves_right_and_up_has_positive_dx_and_negative_dy(preset):
    source, target = photograph(120, 150), photograph(120, 150, x=-5, y=3)
    flow = dis_flow(source, target, preset, finest=0)
    inner = flow[..., 20:-20, 20:-20].flatten(2).median(dim=2).values
    assert inner[0].tolist() == pytest.approx([5, -3], abs=0.1)


def test_identical_pictures_do_not_move():
    assert dis_flow(photograph(40, 50), photograph(40, 50)).abs().max() == 0


@pytest.mark.parametrize("size", [(1, 1), (2, 70), (9, 13), (31, 33), (61, 90)])
def test_any_size_gives_a_finite_flow_of_that_size(size):
    flow = dis_flow(photograph(*size), photograph(*size, x=1), finest=0)
    assert flow.shape == (1, 2, *size) and bool(flow.isfinite().all())


def test_the_answer_does_not_depend_on_threads():
    source, target = photograph(120, 150), photograph(120, 150, x=-4)
    threads = cv2.getNumThreads()
    try:
        flows = []
        for count in (1, 3):
            cv2.setNumThreads(count)
            flows.append(dis_flow(source, target))
    finally:
        cv2.setNumThreads(threads)
    assert torch.equal(*flows)


def test_wrong_calls_say_what_is_right():
    with pytest.raises(ValueError, match="one of ultrafast, fast, medium"):
        dis_flow(photograph(40, 50), photograph(40, 50), "slow")
    with pytest.raises(ValueError, match="one size"):
        dis_flow(photograph(40, 50), photograph(40, 51))
