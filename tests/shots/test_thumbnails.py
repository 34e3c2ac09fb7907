"""The small pictures that the detectors compare."""

import cv2
import numpy as np
import pytest

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.shots.thumbnails import dense_flow, luma, rgb_frame, shrunk_yuv, thumbnail_size


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


@pytest.mark.parametrize("preset", [cv2.DISOPTICAL_FLOW_PRESET_FAST, cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST])
@pytest.mark.parametrize("size", [(12, 64), (16, 96), (29, 96), (96, 20), (31, 320), (8, 8)])
def test_the_flow_of_long_and_narrow_pictures_is_that_of_their_motion(size, preset):
    random = np.random.default_rng(0)
    wide = cv2.GaussianBlur(random.integers(0, 255, (size[0], size[1] + 2), dtype=np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    a, b = (np.ascontiguousarray(wide[:, k : k + size[1]]) for k in (0, 2))

    for _ in range(20):  # what was read beyond the picture was not always fatal
        flow = dense_flow(a, b, preset)

    assert flow.shape == (*size, 2) and np.isfinite(flow).all()
    if min(size) >= 12:
        assert np.median(flow[..., 0]) == pytest.approx(-2, abs=0.5)
