"""The small pictures that the detectors compare."""

import numpy as np
import pytest

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.shots.thumbnails import luma, rgb_frame, shrunk_yuv, thumbnail_size


def flat(name, values, width=64, height=48, colour=Colour()):
    fmt = pixel_format(name)
    planes = tuple(np.full(fmt.plane_size(i, width, height), v, fmt.dtype) for i, v in enumerate(values))
    return Frame(planes, fmt, width, height, colour=colour)


@pytest.mark.parametrize(
    "size, span, expected",
    [((1280, 720), 320, (180, 320)), ((480, 854), 427, (427, 240)), ((64, 48), 99, (48, 64)), ((1000, 1), 10, (1, 10))],
)
def test_the_longest_side_is_the_span_and_small_frames_stay(size, span, expected):
    assert thumbnail_size(*size, span) == expected


def test_luma_stretches_the_limited_range():
    assert luma(flat("yuv420p", (16, 0, 0)), 32).max() == 0
    assert luma(flat("yuv420p10le", (940, 512, 512)), 32).min() > 0.9999


def test_an_rgb_picture_is_taken_apart_by_bt601():
    red = np.zeros((8, 8, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    y, u, v = (float(plane.mean()) for plane in shrunk_yuv(rgb_frame(red), 8))

    assert (y, u, v) == (pytest.approx(0.299), pytest.approx(-0.299 / 1.772), pytest.approx(0.5))
