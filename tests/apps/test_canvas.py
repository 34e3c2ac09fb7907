"""One size and format for pictures that have different ones."""

import numpy as np
import pytest
import torch

from vfi_pipeline.apps import canvas
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Colour, Frame, pixel_format


def frame(name, samples):
    """A frame of ``(planes, h, w)`` code values."""
    form = pixel_format(name)
    planes = tuple(np.ascontiguousarray(plane, dtype=form.dtype) for plane in samples)
    return Frame(planes, form, planes[0].shape[1], planes[0].shape[0], colour=Colour(range="pc"))


def noise(name, size=(6, 8), seed=0):
    form = pixel_format(name)
    values = np.random.default_rng(seed).integers(0, form.peak, (len(form.planes), *size), endpoint=True)
    return frame(name, values)


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (("gray", "gray"), "gray"),
        (("gray", "gbrp"), "gbrp"),
        (("gray16le", "gbrp"), "gbrp16le"),
        (("gray", "gbrap"), "gbrap"),
        (("gbrap16le", "gray"), "gbrap16le"),
        (("gbrp10le", "gbrp"), "gbrp16le"),
    ],
)
def test_the_common_format_holds_every_picture(names, common):
    frames = [noise(name) for name in names]
    form = canvas.common_format(frames)

    assert form.name == common
    for one in frames:
        wide = canvas.promoted(one, form, Colour())
        assert wide.format == form
        # What was promoted goes back to what it was.
        for plane, samples in zip(form.planes, wide.planes):
            if plane.kind != "a" or one.format.has_alpha:
                kinds = [p.kind for p in one.format.planes]
                before = one.planes[kinds.index(plane.kind if plane.kind in kinds else "y")]
                assert (np.round(samples * (one.format.peak / form.peak)) == before).all()
            else:
                assert (samples == form.peak).all()


@pytest.mark.parametrize("name", ["gray", "gray16le", "gbrp", "gbrp16le"])
def test_a_frame_survives_the_way_to_tensors_and_back(name):
    one = noise(name)
    back = canvas.frame_of(canvas.tensor_of(one), one)

    assert all((a == b).all() for a, b in zip(one.planes, back.planes))


def test_colours_come_back_from_alpha_where_anything_is_to_be_seen():
    one = noise("gbrap", seed=3)
    back = canvas.frame_of(canvas.tensor_of(one), one)
    alpha = one.planes[3]

    assert (back.planes[3] == alpha).all()
    for before, after in zip(one.planes[:3], back.planes[:3]):
        assert (before == after)[alpha == 255].all()
        assert np.abs(before.astype(int) - after)[alpha > 0].max() <= 1
        assert (after == 0)[alpha == 0].all()


def test_a_picture_of_the_right_size_is_not_touched():
    one = noise("gbrp")

    assert canvas.placed(one, (8, 6), "stretch").frame is one


def test_cropping_keeps_the_middle_and_its_scale():
    ramp = np.tile(np.arange(0, 160, 10), (4, 1))  # 16 x 4
    made = canvas.placed(frame("gray", [ramp]), (8, 4), "crop")

    assert (made.frame.planes[0] == ramp[:, 4:12]).all()
    assert made.moved(torch.tensor([[4.0, 1.0]])).tolist() == [[0.0, 1.0]]


def test_padding_adds_bars_evenly():
    made = canvas.placed(frame("gray", [np.full((4, 8), 200)]), (8, 8), "pad").frame.planes[0]

    assert (made[:2] == 0).all() and (made[2:6] == 200).all() and (made[6:] == 0).all()


def test_padding_a_picture_with_alpha_adds_nothing_to_be_seen():
    made = canvas.placed(frame("gbrap", np.full((4, 4, 8), 200)), (8, 8), "pad").frame

    assert (made.planes[3][:2] == 0).all() and (made.planes[3][2:6] == 200).all()


def test_points_follow_a_stretched_picture():
    # The middle of the left pixel of 8 lies a quarter of an output pixel left of the middle of the left pixel of 4.
    moved = canvas.placed(noise("gray"), (4, 12), "stretch").moved(torch.tensor([[0.0, 0.0], [7.0, 5.0]]))

    assert moved.tolist() == [[-0.25, 0.5], [3.25, 10.5]]


def test_shapes_far_apart_have_no_rule_until_one_is_named():
    canvas.check_overlap("a.png", (1600, 900), (800, 600), None)  # 16:9 beside 4:3
    canvas.check_overlap("a.png", (400, 100), (100, 100), "pad")
    with pytest.raises(UserError, match="25 % of it would be seen") as caught:
        canvas.check_overlap("a.png", (400, 100), (100, 100), None)
    assert caught.value.code == BAD_INPUT


@pytest.mark.parametrize(
    ("text", "size"), [("first", (4, 3)), ("largest", (9, 9)), ("smallest", (2, 5)), ("7x6", (7, 6))]
)
def test_the_size_asked_for(text, size):
    assert canvas.canvas_size(text, [(4, 3), (9, 9), (2, 5)]) == size
