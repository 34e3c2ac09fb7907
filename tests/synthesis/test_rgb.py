"""Frames as RGB and back: constants are exact, ramps stay where they are, in every format, siting and size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from painted import from_rgb, mixed, with_luma_of

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.synthesis.rgb import to_rgb

FORMATS = ("gray", "gray10le", "yuv420p", "yuv420p10le", "yuv422p", "yuv440p", "yuv411p", "yuv410p", "yuv444p12le",
           "gbrp", "gbrp16le", "yuva420p", "gbrap")  # fmt: skip


def frame_of(name, width, height, colour=None, seed=0, smooth=True):
    """A frame whose planes are ramps over the picture in the middle half of the codes (or noise)."""
    form, random = pixel_format(name), np.random.default_rng(seed)
    planes = []
    for index, plane in enumerate(form.planes):
        h, w = form.plane_size(index, width, height)
        if smooth:
            y, x = np.mgrid[0:h, 0:w]
            share = 0.45 + 0.1 * (x * plane.sub_x / width) * (1 - index / 4) + 0.05 * (y * plane.sub_y / height)
        else:
            share = random.uniform(0.1, 0.9, (h, w))
        planes.append(np.round(share * form.peak).astype(form.dtype))
    return Frame(tuple(planes), form, width, height, Fraction(3, 7), colour or Colour())


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(32, 24), (33, 23), (1, 1), (5, 3)])
def test_a_constant_colour_comes_back_exactly(name, size):
    frame = frame_of(name, *size)
    flat = [np.full_like(plane, plane.flat[0]) for plane in frame.planes]
    kinds = [plane.kind for plane in frame.format.planes]
    if "a" in kinds:
        flat[kinds.index("a")][:] = frame.format.peak
    frame = Frame(tuple(flat), frame.format, *size, frame.time, frame.colour)
    back = from_rgb(to_rgb(frame), frame)
    assert back.time == frame.time and back.colour == frame.colour
    for ours, theirs in zip(back.planes, frame.planes):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt2020nc", None])
@pytest.mark.parametrize("range_", ["tv", "pc"])
@pytest.mark.parametrize("site", ["left", "center", "topleft", "bottomleft", None])
def test_ramps_come_back_within_a_code(matrix, range_, site):
    frame = frame_of("yuv420p", 64, 48, Colour(matrix=matrix, range=range_, chroma_location=site))
    back = from_rgb(to_rgb(frame), frame)
    inner = (slice(2, -2), slice(2, -2))  # a replicated border is no ramp
    for ours, theirs in zip(back.planes, frame.planes):
        assert np.abs(ours[inner].astype(int) - theirs[inner]).max() <= 1


def test_chroma_is_averaged_where_it_is_sited():
    """A step in chroma between columns 7 and 8: sited left, column 4's sample (at pixel 8) is half a pixel past it."""
    rgb = torch.full((1, 3, 8, 16), 0.5)
    rgb[:, 2, :, 8:] = 0.75
    made = {}
    for site in ("left", "center"):
        like = frame_of("yuv420p", 16, 8, Colour(matrix="bt709", range="tv", chroma_location=site))
        made[site] = from_rgb(rgb, like).planes[1][2].astype(int)
    low, high = made["center"][3], made["center"][4]
    assert low == 128 and high > 140
    assert made["left"][3] == low and made["left"][5] == high
    assert abs(made["left"][4] - (low + 3 * (high - low) / 4)) <= 1  # three quarters of its two pixels lie beyond


def test_rgb_keeps_every_code():
    frame = frame_of("gbrp", 19, 11, smooth=False)
    back = from_rgb(to_rgb(frame), frame)
    assert all(np.array_equal(a, b) for a, b in zip(back.planes, frame.planes))


@pytest.mark.parametrize("name", ["yuva420p", "gbrap"])
def test_alpha_stays_and_what_is_transparent_is_seen_as_grey(name):
    frame = frame_of(name, 16, 16)
    kinds = [plane.kind for plane in frame.format.planes]
    clear = [plane.copy() for plane in frame.planes]
    clear[kinds.index("a")][:8] = 0
    frame = Frame(tuple(clear), frame.format, 16, 16)
    assert torch.allclose(to_rgb(frame)[:, :, :8], torch.tensor(0.5))
    painted = from_rgb(torch.rand(1, 3, 16, 16), frame)
    assert np.array_equal(painted.planes[kinds.index("a")], frame.planes[kinds.index("a")])


def test_a_colour_agrees_with_the_guides_conversion():
    from vfi_pipeline.synthesis.guide import guide

    frame = frame_of("yuv444p", 20, 12, Colour(matrix="bt709", range="tv"), smooth=False)
    assert torch.allclose(to_rgb(frame), guide(frame, 20), atol=1e-6)


def test_colours_kept_means_the_sources_own_chroma_and_the_painted_luma():
    source, painted = frame_of("yuv420p", 16, 12, seed=1), frame_of("yuv420p", 16, 12, seed=2, smooth=False)
    made = with_luma_of(painted, source)
    assert np.array_equal(made.planes[0], painted.planes[0])
    assert all(np.array_equal(a, b) for a, b in zip(made.planes[1:], source.planes[1:]))
    grey = [np.full((4, 4), code, np.uint8) for code in (100, 120, 140)]  # g, b, r
    lighter = [plane + 10 for plane in grey]
    form = pixel_format("gbrp")
    made = with_luma_of(Frame(tuple(lighter), form, 4, 4), Frame(tuple(grey), form, 4, 4))
    assert [int(plane[0, 0]) for plane in made.planes] == [110, 130, 150]


def test_strength_goes_from_the_source_bit_for_bit_to_the_painted_frame():
    source, painted = frame_of("yuv420p10le", 16, 12), frame_of("yuv420p10le", 16, 12, seed=2, smooth=False)
    assert all(np.array_equal(a, b) for a, b in zip(mixed(painted, source, 0.0).planes, source.planes))
    assert all(np.array_equal(a, b) for a, b in zip(mixed(painted, source, 1.0).planes, painted.planes))
    half = mixed(painted, source, 0.5).planes[0].astype(float)
    assert np.abs(half - (source.planes[0].astype(float) + painted.planes[0]) / 2).max() <= 0.5
