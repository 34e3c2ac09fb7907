"""Frames as RGB: which figure a code gets, how chroma is read, and that nothing is lost on the way back."""

from fractions import Fraction

import numpy as np
import pytest

from vfi_pipeline.evaluation.rgb import rgb_frame, to_rgb, unrounded_rgb
from vfi_pipeline.media.frames import Colour, Frame, pixel_format

W, H = 64, 32


def test_sixteen_bits_are_rounded_to_eight_not_cut():
    codes = np.linspace(0, 65535, W * H).astype("<u2").reshape(H, W)
    expected = np.array([round(Fraction(int(v), 257)) for v in codes.ravel()]).reshape(H, W)
    grey = Frame((codes,), pixel_format("gray16le"), W, H, colour=Colour(range="pc"))
    colour = Frame((codes, codes[::-1].copy(), codes), pixel_format("gbrp16le"), W, H)
    assert np.array_equal(to_rgb([grey])[0], np.stack([expected] * 3, -1))
    assert np.array_equal(to_rgb([colour])[0], np.stack([expected, expected, expected[::-1]], -1))


def test_a_picture_of_bytes_is_exact_in_eight_and_in_sixteen_bits():
    picture = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    frame = rgb_frame(picture.astype(np.float32))
    assert frame.format.name == "gbrp16le" and np.array_equal(frame.planes[0], picture[..., 1] * np.uint16(257))
    for made in (frame, rgb_frame(picture)):
        assert np.array_equal(to_rgb([made])[0], picture)
        assert np.array_equal(unrounded_rgb([made])[0], picture)


def test_alpha_is_dropped_and_every_frame_is_its_own():
    rng = np.random.default_rng(1)
    planes = [tuple(rng.integers(0, 256, (H, W), dtype=np.uint8) for _ in range(4)) for _ in range(2)]
    made = to_rgb([Frame(each, pixel_format("gbrap"), W, H) for each in planes])
    assert np.array_equal(made, np.stack([np.stack((each[2], each[0], each[1]), -1) for each in planes]))


SITES = [("left", 0, 0.5), ("center", 0.5, 0.5), ("topleft", 0, 0), (None, 0, 0.5)]


@pytest.mark.parametrize(("site", "x", "y"), SITES)
@pytest.mark.parametrize("slope", [(2, 0), (0, 2)])
def test_interpolated_chroma_follows_a_ramp_by_its_siting_and_repeated_chroma_steps(site, x, y, slope):
    def chroma(across, down):
        return 70 + slope[0] * across + slope[1] * down + np.zeros(np.broadcast_shapes(across.shape, down.shape))

    u = chroma(2 * np.arange(W // 2) + x, 2 * np.arange(H // 2)[:, None] + y)
    planes = (np.full((H, W), 120, np.uint8), u.astype(np.uint8), np.full((H // 2, W // 2), 128, np.uint8))
    frame = Frame(planes, pixel_format("yuv420p"), W, H, colour=Colour("smpte170m", range="tv", chroma_location=site))
    assert np.array_equal(u, planes[1])
    blue = (120 - 16) * 255 / 219 + 1.772 * 255 / 224 * (chroma(np.arange(W), np.arange(H)[:, None]) - 128)
    inside = (slice(6, -6), slice(6, -6))
    assert np.abs(to_rgb([frame], "bicubic")[0, ..., 2] - blue)[inside].max() <= 1
    repeated = to_rgb([frame])[0, ..., 2]
    assert np.abs(repeated - blue)[inside].max() > 1.5
    assert np.array_equal(repeated[:, ::2], repeated[:, 1::2]) and np.array_equal(repeated[::2], repeated[1::2])


def test_an_unknown_way_with_chroma_is_refused():
    with pytest.raises(ValueError, match="nearest, bicubic, got 'bilinear'"):
        to_rgb([rgb_frame(np.zeros((H, W, 3), np.uint8))], "bilinear")
