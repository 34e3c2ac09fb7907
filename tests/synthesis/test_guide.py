"""The small RGB picture for the motion estimate."""

import numpy as np
import pytest

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.synthesis.guide import guide


def flat(name, values, width=64, height=48, colour=Colour()):
    fmt = pixel_format(name)
    planes = tuple(np.full(fmt.plane_size(i, width, height), v, fmt.dtype) for i, v in enumerate(values))
    return Frame(planes, fmt, width, height, colour=colour)


@pytest.mark.parametrize(
    "name, values, colour, rgb",
    [
        # Primary red in code values, worked out by hand from the luma equations.
        ("yuv420p", (63, 102, 240), Colour(matrix="bt709", range="tv"), (1, 0, 0)),
        ("yuv420p", (81, 90, 240), Colour(matrix="smpte170m", range="tv"), (1, 0, 0)),
        ("yuv444p10le", (64 + 57.5, 512, 512), Colour(matrix="bt2020nc", range="tv"), (57.5 / 876,) * 3),
        ("yuv420p", (76, 85, 255), Colour(matrix="bt470bg", range="pc"), (1, 0, 0)),
        ("yuv422p10le", (940, 512, 512), Colour(), (1, 1, 1)),
        ("gbrp", (10, 20, 30), Colour(), (30 / 255, 10 / 255, 20 / 255)),
        ("gray16le", (32768,), Colour(), (32768 / 65535,) * 3),
    ],
)
def test_codes_become_the_right_colour(name, values, colour, rgb):
    picture = guide(flat(name, values, colour=colour), 32)
    assert picture.shape == (1, 3, 24, 32)
    assert np.abs(picture[0, :, 5, 7].numpy() - rgb).max() < 0.006


@pytest.mark.parametrize("size, same_as", [((640, 480), "smpte170m"), ((1280, 720), "bt709")])
def test_untagged_video_is_bt601_below_hd(size, same_as):
    codes = (63, 102, 240)
    untagged = guide(flat("yuv420p", codes, *size), 40)
    tagged = guide(flat("yuv420p", codes, *size, colour=Colour(matrix=same_as, range="tv")), 40)
    assert (untagged == tagged).all()


def test_the_small_picture_covers_the_same_area():
    # A ramp over frame pixels: the mean position of guide pixel i is (i + 0.5) * W / w - 0.5.
    fmt = pixel_format("gray16le")
    ramp = np.broadcast_to(np.arange(853) * 64, (481, 853)).astype("<u2")
    small = guide(Frame((ramp,), fmt, 853, 481), 160)[0, 0].numpy() * 65535 / 64
    h, w = small.shape
    assert (h, w) == (90, 160)
    assert np.abs(small[4] - ((np.arange(w) + 0.5) * 853 / w - 0.5)).max() < 0.04  # cv2 weighs in fixed point


def test_transparency_shows_grey_and_not_what_is_hidden():
    frame = flat("gbrap", (250, 5, 130, 0))
    assert np.abs(guide(frame, 32).numpy() - 0.5).max() < 0.01
    half = guide(flat("gbrap", (255, 0, 0, 51)), 32)[0, :, 3, 3].numpy()
    assert np.abs(half - [0.4, 0.6, 0.4]).max() < 0.01
