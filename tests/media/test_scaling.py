"""Which part of a source picture lies where on the result's."""

from dataclasses import replace
from fractions import Fraction as F

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.info import VideoInfo
from vfi_pipeline.media.scaling import scaling_of


def video(width=1920, height=1080, form="yuv420p", **more):
    return VideoInfo(0, "h264", width, height, form, form, F(1, 24), F(24), **more)


def test_one_shape_is_the_whole_picture_on_the_whole_canvas():
    found = scaling_of((1280, 720), None, video())
    assert (found.canvas, found.place, found.window) == ((1280, 720), (0, 0, 1280, 720), (0, 0, 1920, 1080))
    # Pixels cover areas: the first one's centre, 0.5 of 1.5 source pixels in, is source position 0.25.
    assert found.to_source == ((1.5, 0.25), (1.5, 0.25))


def test_the_same_size_changes_nothing():
    assert scaling_of((1920, 1080), None, video()) is None and scaling_of(F(1), None, video()) is None


def test_cropping_keeps_the_middle():
    found = scaling_of((1080, 1080), "crop", video())
    assert found.place == (0, 0, 1080, 1080) and found.window == (420, 0, 1080, 1080)
    assert scaling_of((640, 480), None, video()).window == (240, 0, 1440, 1080)  # 0.75 of it stays: not asked for


def test_padding_shows_all_with_bars_of_whole_chroma_samples():
    found = scaling_of((640, 480), "pad", video())
    assert found.place == (0, 60, 640, 360) and found.padded and found.window == (0, 0, 1920, 1080)
    odd = scaling_of((642, 366), "pad", video(1920, 800))
    assert all(side % 2 == 0 for side in odd.place)


def test_another_shape_that_would_lose_much_is_asked_for():
    with pytest.raises(UserError, match="fit_size=crop"):
        scaling_of((480, 854), None, video())
    assert scaling_of((480, 854), "stretch", video()).window == (0, 0, 1920, 1080)


def test_a_size_is_of_square_pixels_and_a_factor_keeps_their_shape():
    dvd = video(720, 576, sample_aspect=F(64, 45))  # seen as 1024x576
    full = scaling_of((1280, 720), None, dvd)
    assert full.window == (0, 0, 720, 576) and full.sample_aspect == 1
    assert scaling_of((720, 576), "stretch", dvd).sample_aspect == 1  # not the same picture
    double = scaling_of(F(2), None, dvd)
    assert double.canvas == (1440, 1152) and double.sample_aspect == F(64, 45)


def test_a_size_is_of_the_upright_picture():
    phone = video(rotation=90)
    assert scaling_of((720, 1280), None, phone).canvas == (1280, 720)  # as stored
    with pytest.raises(UserError, match="seen as 1080x1920"):
        scaling_of((1280, 720), None, phone)


@pytest.mark.parametrize(
    "size, form, factor, canvas",
    [((854, 480), "yuv420p", F(1, 2), (428, 240)), ((853, 479), "yuv444p", F(1, 2), (427, 240)),
     ((65, 49), "yuv420p", F(2), (130, 98)), ((100, 50), "yuv422p", F(1, 4), (26, 13)),
     ((3, 3), "gray", F(1, 9), (1, 1))],
)  # fmt: skip
def test_a_factor_gives_whole_chroma_samples(size, form, factor, canvas):
    assert scaling_of(factor, None, video(*size, form)).canvas == canvas


def test_two_views_in_a_picture_stay_in_their_halves():
    with pytest.raises(UserError, match="two views"):
        scaling_of((640, 480), "crop", video(stereo=("left_right", 3)))
    assert scaling_of((640, 480), "stretch", video(stereo=("left_right", 3)))


def test_sizes_that_nothing_can_hold_are_refused():
    with pytest.raises(UserError, match="cannot be stored"):
        scaling_of((100_000, 100), "stretch", video())
    with pytest.raises(UserError, match="cannot be stored"):
        scaling_of(F(100), None, replace(video(), width=4000))
