"""In-betweens in the file's own planes: exact shifts, siting, borders, alpha, parity with the source."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.geometry import synthesise
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.models.blend import CrossFade
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis import compose

HALF = Fraction(1, 2)


def picture(name, width, height, fill, colour=Colour(), time=Fraction(0)):
    """A frame whose plane ``kind`` at luma coordinates (x, y) of its samples is ``fill(kind, x, y)``."""
    fmt = pixel_format(name)
    planes = []
    for index, plane in enumerate(fmt.planes):
        h, w = fmt.plane_size(index, width, height)
        y, x = np.mgrid[:h, :w] * np.array([plane.sub_y, plane.sub_x])[:, None, None]
        planes.append(np.broadcast_to(np.asarray(fill(plane.kind, x, y)), (h, w)).astype(fmt.dtype))
    return Frame(tuple(planes), fmt, width, height, time, colour)


def noise(name, width, height, seed):
    rng = np.random.default_rng(seed)
    fmt = pixel_format(name)
    return picture(name, width, height, lambda kind, x, y: rng.integers(0, fmt.peak + 1, x.shape))


def uniform(there, back, share, t=0.5, cells=(9, 16)):
    """A motion that is the same everywhere; displacements in pixels of a frame of 160 x 90 per 16 x 9 cells."""

    def field(xy):
        return torch.tensor(xy, dtype=torch.float32).view(1, 2, 1, 1).expand(1, 2, *cells)

    return IntermediateMotion(t, field(there), field(back), torch.full((1, 1, *cells), float(share)))


def wavy(width, height, seed, amplitude=3.0, t=0.4):
    g = torch.Generator().manual_seed(seed)

    def smooth(c):
        return F.interpolate(torch.randn(1, c, 4, 5, generator=g), (height, width), mode="bilinear")

    return IntermediateMotion(t, smooth(2) * amplitude, smooth(2) * amplitude, smooth(1).sigmoid())


FORMATS = ["yuv420p", "yuv422p10le", "yuv444p12le", "yuv411p", "gray", "gray16le", "gbrp", "gbrap12le", "yuva420p"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_whole_pixel_shift_moves_every_plane_exactly(name):
    # Scene shifted by (8, -4) luma px: whole samples in every subsampling up to 4:1:1.
    first = noise(name, 160, 88, 1)
    if first.format.has_alpha:
        first = Frame((*first.planes[:-1], np.full_like(first.planes[-1], first.format.peak)), first.format, 160, 88)
    motion = uniform((8 * 16 / 160, -4 * 11 / 88), (0, 0), share=1, cells=(11, 16))

    made = compose.intermediate_frame(first, first, motion, HALF)

    for plane, source, out in zip(first.format.planes, first.planes, made.planes):
        dx, dy = 8 // plane.sub_x, -4 // plane.sub_y
        inside = np.s_[-dy:, :-dx] if dx else np.s_[-dy:]
        moved = np.roll(source, (-dy, -dx), axis=(0, 1))
        # 16-bit codes are finer than float32 positions: 1e-5 px of noise at full contrast is a code or two.
        tolerance = 0 if first.format.depth < 14 else 8
        assert np.abs(out[inside].astype(int) - moved[inside]).max() <= tolerance
    assert made.time == HALF and made.colour == first.colour


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [(853, 481), (64, 33), (3, 2), (1, 1)])
def test_odd_sizes_work_and_a_constant_stays_that_constant(name, size):
    value = {kind: 37 + 11 * k for k, kind in enumerate("yuvgbra")}
    frame = picture(name, *size, lambda kind, x, y: value[kind])

    made = compose.intermediate_frame(frame, frame, wavy(13, 7, 3), HALF)

    for plane, out in zip(frame.format.planes, made.planes):
        assert (out == value[plane.kind]).all()


@pytest.mark.parametrize("name, low, high", [("yuv420p", 16, 235), ("yuv420p10le", 64, 940)])
def test_a_ramp_keeps_its_mean_and_its_levels(name, low, high):
    ramp = picture(name, 1280, 64, lambda kind, x, y: np.round(low + (high - low) * x / 1279) if kind == "y" else 128)
    still = CrossFade().at([0.5])[0]
    for motion in (still, uniform((0.0, 0.3), (0.0, -0.3), 0.5)):
        made = compose.intermediate_frame(ramp, ramp, motion, HALF)
        assert abs(made.planes[0].mean() - ramp.planes[0].mean()) < 0.1
        if high > 255:
            assert len(np.unique(made.planes[0])) > 256


def test_a_moving_ramp_has_the_mean_of_the_truth():
    # 10 bit, 0.25 code per px, scene moving right 6 px from first to last: the middle is known in closed form.
    def scene(shift):
        return picture(
            "yuv420p10le", 640, 64, lambda kind, x, y: np.round(300 + 0.25 * (x - shift)) if kind == "y" else 512
        )

    motion = uniform((-3 * 16 / 640, 0), (3 * 16 / 640, 0), 0.5)

    made = compose.intermediate_frame(scene(0), scene(6), motion, HALF)

    assert abs(made.planes[0].mean() - scene(3).planes[0].mean()) < 0.1


@pytest.mark.parametrize("siting", ["left", "center", "topleft", None])
@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p10le"])
def test_chroma_reads_the_motion_where_its_samples_lie(name, siting):
    # The displacement grows along x and y (a zoom), and the chroma is a ramp over luma coordinates: ramp(x + u(x)) is
    # known in closed form at each sample's own place. A siting error of half a pixel shows as 0.15 px = 2 codes.
    width, height, slope = 96, 80, 8.0
    place = {"left": (0, 0.5), "center": (0.5, 0.5), "topleft": (0, 0), None: (0, 0.5)}[siting]
    fmt = pixel_format(name)
    off_y = place[1] if fmt.planes[1].sub_y == 2 else 0

    def ramp(x, y):
        return 100 + slope * (x * 0.5 + y * 0.5)

    first = picture(
        name, width, height, lambda kind, x, y: ramp(x, y) if kind == "y" else ramp(x + place[0], y + off_y),
        Colour(chroma_location=siting),
    )  # fmt: skip
    y, x = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    zoom = torch.stack((-0.3 * (x - 40), -0.3 * (y - 36)))[None]
    motion = IntermediateMotion(0.5, zoom, zoom, torch.ones(1, 1, height, width))

    made = compose.intermediate_frame(first, first, motion, HALF)

    v, u = np.mgrid[: made.planes[1].shape[0], : made.planes[1].shape[1]]
    at_x, at_y = 2 * u + place[0], fmt.planes[1].sub_y * v + off_y
    expected = ramp(at_x - 0.3 * (at_x - 40), at_y - 0.3 * (at_y - 36))
    inner = np.s_[2:-2, 2:-2]
    assert np.abs(made.planes[1][inner] - expected[inner]).max() < 1.0  # rounding of source and output


@pytest.mark.parametrize("name", FORMATS)
def test_swapping_the_frames_and_the_time_gives_the_same_picture(name):
    first, last, motion = noise(name, 97, 61, 1), noise(name, 97, 61, 2), wavy(24, 15, 3)
    swapped = IntermediateMotion(1 - motion.t, motion.flow_to_last, motion.flow_to_first, 1 - motion.blend_weight)

    orders = (first, last, motion), (last, first, swapped)
    one, other = (compose.intermediate_frame(*order, HALF) for order in orders)

    for a, b in zip(one.planes, other.planes):
        tolerance = 1 if first.format.depth < 16 else 4
        assert np.abs(a.astype(int) - b.astype(int)).max() <= tolerance


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_one_shows_that_source_alone(share):
    first, last = noise("yuv420p", 64, 48, 1), noise("yuv420p", 64, 48, 2)
    still = IntermediateMotion(0.5, torch.zeros(1, 2, 6, 8), torch.zeros(1, 2, 6, 8), torch.full((1, 1, 6, 8), share))
    for a, b in zip(compose.intermediate_frame(first, last, still, HALF).planes, (first if share else last).planes):
        assert np.array_equal(a, b)
    # A displacement of less than 1e-6 px keeps the still path out; the samples stay where they are.
    nearly = IntermediateMotion(0.5, still.flow_to_first + 1e-7, still.flow_to_last + 1e-7, still.blend_weight)
    for a, b in zip(compose.intermediate_frame(first, last, nearly, HALF).planes, (first if share else last).planes):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("name", ["yuv420p", "gbrp10le", "gray16le", "yuva444p"])
def test_no_value_lies_outside_the_sources(name):
    fmt = pixel_format(name)
    low, high = fmt.peak // 3, fmt.peak // 2
    rng = np.random.default_rng(0)
    a, b = (picture(name, 75, 50, lambda kind, x, y: rng.integers(low, high + 1, x.shape)) for _ in range(2))
    made = compose.intermediate_frame(a, b, wavy(20, 11, 5, amplitude=8), HALF)
    for out in made.planes:
        assert out.min() >= low and out.max() <= high


def test_what_enters_the_picture_comes_from_the_frame_that_sees_it():
    # A camera pan: the window moves 12 px to the right over a wide scene, so the right strip is seen by `last` only.
    rng = np.random.default_rng(0)
    coarse = torch.tensor(rng.uniform(0, 255, (1, 1, 12, 40)))
    scene = F.interpolate(coarse, (96, 400), mode="bicubic")[0, 0].clamp(0, 255)

    def window(at):
        return picture("gray", 160, 96, lambda kind, x, y: scene.numpy().round()[:, at : at + 160])

    first, last, truth = window(100), window(112), window(106)
    pan = uniform((6 * 16 / 160, 0), (-6 * 16 / 160, 0), share=0.5)

    made = compose.intermediate_frame(first, last, pan, HALF)

    error = np.abs(made.planes[0].astype(int) - truth.planes[0])
    assert error[:, 7:-7].max() <= 1
    assert error[:, :6].max() <= 1 and error[:, -6:].max() <= 1  # replicated borders would be off by tens
    swap = IntermediateMotion(0.5, pan.flow_to_last, pan.flow_to_first, pan.blend_weight)
    again = compose.intermediate_frame(last, first, swap, HALF)
    assert np.abs(again.planes[0].astype(int) - truth.planes[0])[:, -6:].max() <= 1


def test_the_border_rule_is_the_same_in_bands_and_in_one_piece():
    first, last, motion = noise("yuv420p", 131, 87, 1), noise("yuv420p", 131, 87, 2), wavy(33, 22, 3, amplitude=9)
    banded = compose.intermediate_frame(first, last, motion, HALF, shortcuts=compose.Shortcuts(band_px=131 * 10))
    once = compose.Shortcuts(band_px=1 << 30, regions=False)
    whole = compose.intermediate_frame(first, last, motion, HALF, shortcuts=once)
    for a, b in zip(banded.planes, whole.planes):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1  # float rounding only


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gbrp", "yuva444p", "gray16le"])
def test_opencvs_lookup_gives_the_pictures_of_grid_sample(name):
    first, last, motion = noise(name, 131, 87, 1), noise(name, 131, 87, 2), wavy(33, 22, 3, amplitude=9)
    layout = compose.layout_of(first)

    def made(opencv):
        sources = compose.to_tensors(first), compose.to_tensors(last)
        return compose.planes(*sources, [motion], layout, shortcuts=compose.Shortcuts(opencv=opencv))

    if not compose.remap_is_exact():
        pytest.skip("this OpenCV rounds positions: it is not used")
    for group, exact in zip(made(True), made(False)):
        assert (group - exact).abs().max() < 1e-4 * layout.format.peak


def test_a_batch_of_times_and_pairs_equals_one_by_one():
    frames = [noise("yuv422p", 70, 40, seed) for seed in range(4)]
    motions = [wavy(18, 10, seed) for seed in (7, 8)]
    layout = compose.layout_of(frames[0])

    def stack(ids):
        return [torch.cat(group) for group in zip(*(compose.to_tensors(frames[i]) for i in ids))]

    pairs = compose.planes(stack([0, 2]), stack([1, 3]), motions, layout)
    times = compose.planes(stack([0]), stack([1]), motions, layout)

    for row, (a, b) in enumerate(((0, 1), (2, 3))):
        alone = compose.intermediate_frame(frames[a], frames[b], motions[row], HALF)
        batched = compose.to_frame(pairs, layout, frames[0], HALF, row)
        assert all(np.array_equal(p, q) for p, q in zip(alone.planes, batched.planes))
    second = compose.intermediate_frame(frames[0], frames[1], motions[1], HALF)
    batched = compose.to_frame(times, layout, frames[0], HALF, 1)
    assert all(np.array_equal(p, q) for p, q in zip(second.planes, batched.planes))


@pytest.mark.parametrize("name", ["gbrap", "yuva420p", "yuva444p10le"])
def test_a_soft_edge_over_transparency_gets_no_dark_fringe(name):
    # A bright disc of one colour whose hidden surroundings are black: where the result is visible, it is that colour.
    fmt = pixel_format(name)
    bright = {"y": 0.8, "u": 0.3, "v": 0.7, "g": 0.8, "b": 0.9, "r": 0.7}
    dark = {"y": 0.06, "u": 0.5, "v": 0.5, "g": 0.0, "b": 0.0, "r": 0.0}

    def sprite(cx):
        def fill(kind, x, y):
            radius = np.hypot(x - cx, y - 40)
            # The colour reaches as far as anything is visible, and one chroma sample further.
            opacity = np.clip((24 - radius) / 6, 0, 1)
            if kind == "a":
                return np.round(opacity * fmt.peak)
            return np.round(np.where(radius < 24 + (3 if kind in "uv" else 0), bright[kind], dark[kind]) * fmt.peak)

        return picture(name, 96, 80, fill)

    motion = uniform((-3.3 * 16 / 96, 0.7 * 9 / 80), (3.4 * 16 / 96, 0.2), 0.5)
    made = compose.intermediate_frame(sprite(40), sprite(47), motion, HALF)

    alpha = made.planes[-1]
    assert ((alpha > 0) & (alpha < fmt.peak)).sum() > 100
    for plane, out in zip(fmt.planes[:-1], made.planes):
        seen = alpha[:: plane.sub_y, :: plane.sub_x] > 0.02 * fmt.peak
        assert np.abs(out[seen] - round(bright[plane.kind] * fmt.peak)).max() <= 0.012 * fmt.peak, plane


def test_opacity_itself_blends_like_any_plane():
    def alpha(level):
        return picture("gbrap", 32, 24, lambda kind, x, y: level if kind == "a" else 90)

    made = compose.intermediate_frame(alpha(40), alpha(200), CrossFade().at([0.25])[0], HALF)
    assert (made.planes[3] == 80).all() and (made.planes[0] == 90).all()


def test_frames_of_different_size_are_refused():
    with pytest.raises(ValueError, match="one format"):
        compose.intermediate_frame(noise("gray", 8, 8, 0), noise("gray", 9, 8, 0), uniform((0, 0), (0, 0), 0.5), HALF)


@pytest.mark.parametrize("name", ["yuv420p", "gbrp10le", "gray16le", "yuva444p"])
@pytest.mark.parametrize("moves", [True, False])
def test_without_confidence_in_the_motion_the_frames_are_mixed_as_they_are(name, moves):
    first, last = noise(name, 75, 50, 1), noise(name, 75, 50, 2)
    motion = wavy(20, 11, 5, amplitude=8 if moves else 0, t=0.25)
    still = torch.zeros_like(motion.flow_to_first)
    unmoved = compose.intermediate_frame(first, last, replace(motion, flow_to_first=still, flow_to_last=still), HALF)
    moved = compose.intermediate_frame(first, last, motion, HALF)

    def with_confidence(value):
        confident = replace(motion, confidence=torch.full_like(motion.blend_weight, value))
        return compose.intermediate_frame(first, last, confident, HALF)

    for made, expected in ((with_confidence(0.0), unmoved), (with_confidence(1.0), moved)):
        assert all(np.abs(p.astype(int) - q).max() <= 1 for p, q in zip(made.planes, expected.planes))
    if not first.format.has_alpha:  # alpha weighs the colours: there the mix is of premultiplied ones
        for half, p, q in zip(with_confidence(0.5).planes, unmoved.planes, moved.planes):
            assert np.abs(half - (p.astype(float) + q) / 2).max() <= 1.01


@pytest.mark.parametrize("name", ["gbrp16le", "yuv444p16le"])
def test_the_planes_are_those_of_the_differentiable_synthesis(name):
    """``geometry.synthesise`` is what training learns by, ``compose`` what films get: one rule, one result."""
    first, last = noise(name, 64, 48, 1), noise(name, 64, 48, 2)
    motion = replace(wavy(32, 24, 5, amplitude=9), confidence=wavy(32, 24, 6).blend_weight)
    made = compose.intermediate_frame(first, last, motion, HALF)

    pictures = [compose.to_tensors(frame)[0] for frame in (first, last)]
    parts = motion.flow_to_first, motion.flow_to_last, motion.blend_weight
    expected = synthesise(*pictures, *parts, motion.confidence).frame

    for plane, true in zip(made.planes, expected[0].numpy()):
        assert np.abs(plane - true).max() <= 1 + 65535 * 2e-4  # of 65535: rounding, and float32 positions
