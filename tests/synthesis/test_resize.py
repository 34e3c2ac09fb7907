"""Frames in another size: the right place of every sample, one reading, and copies that agree with made frames."""

from dataclasses import replace
from fractions import Fraction as F

import numpy as np
import pytest
import torch
import torch.nn.functional as functional

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.info import VideoInfo
from vfi_pipeline.media.scaling import scaling_of
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import compose, stream
from vfi_pipeline.synthesis.mask import Mask

WIDTH, HEIGHT = 48, 36


def to(canvas, fit=None, form="yuv420p", **more):
    size = (WIDTH, HEIGHT)
    return scaling_of(canvas, fit, VideoInfo(0, "h264", *size, form, form, F(1, 24), F(24), **more))


def ramp(shift=0.0, name="yuv444p16le", size=(WIDTH, HEIGHT), siting="left", slope=(600, 300)):
    """A frame whose luma and chroma are ``slope_x * x + slope_y * y`` at their own places, moved right by ``shift``."""
    form = pixel_format(name)
    planes = []
    scale = 2.0 ** (form.depth - 16)
    for k, plane in enumerate(form.planes):
        h, w = form.plane_size(k, *size)
        place = compose.SITING[siting] if plane.kind in "uv" else (0, 0)
        x = np.arange(w) * plane.sub_x + place[0] * (plane.sub_x - 1) - shift
        y = np.arange(h) * plane.sub_y + place[1] * (plane.sub_y - 1)
        values = (8000 + slope[0] * x + slope[1] * y[:, None]) * scale
        planes.append(np.round(np.clip(values, 0, form.peak)).astype(form.dtype))
    return Frame(tuple(planes), form, *size, colour=Colour(chroma_location=siting))


def expected(scaling, frame, shift=0.0, slope=(600, 300)):
    """Luma of ``ramp`` on the placed picture."""
    _, _, w, h = scaling.place
    x0, y0, width, height = (float(v) for v in scaling.window)
    x = (np.arange(w) + 0.5) * width / w - 0.5 + x0 - shift
    y = (np.arange(h) + 0.5) * height / h - 0.5 + y0
    return (8000 + slope[0] * x + slope[1] * y[:, None]) * 2.0 ** (frame.format.depth - 16)


def motion(shift, t=0.5):
    flow = torch.tensor([float(shift), 0.0]).view(1, 2, 1, 1).expand(1, 2, 9, 12)
    return IntermediateMotion(t, -t * flow / 4, (1 - t) * flow / 4, torch.full((1, 1, 9, 12), 1 - t))  # cells of 4 px


def between(first, last, moved, scaling):
    layout = compose.layout_of(first, scaling.place[2:])
    groups = [compose.readable(compose.to_tensors(f), compose.layout_of(f), scaling) for f in (first, last)]
    return compose.to_frame(compose.planes(*groups, [moved], layout, scaling=scaling), layout, first, F(0))


@pytest.mark.parametrize("canvas, fit", [((96, 72), None), ((72, 54), None), ((24, 18), None), ((60, 60), "crop"),
                                         ((96, 24), "stretch"), ((30, 60), "stretch"), ((36, 36), "crop")])  # fmt: skip
def test_a_moved_ramp_lies_where_it_should_in_every_size(canvas, fit):
    first, last = ramp(0.0), ramp(6.0)
    scaling = to(canvas, fit, "yuv444p16le")
    made = between(first, last, motion(6.0), scaling)
    right = expected(scaling, first, 3.0)
    w, h = scaling.place[2:]
    inner = (slice(h // 4, -(h // 4)), slice(w // 4, -(w // 4)))  # away from the border and its filter
    assert (
        np.abs(made.planes[0][inner] - right[inner]).max() < 60
    )  # of 65535; a pixel is 600, the kernel ripples by 0.07
    assert np.abs(made.planes[1][inner] - right[inner]).max() < 60


@pytest.mark.parametrize("siting", ["left", "center", "topleft"])
@pytest.mark.parametrize("canvas", [(96, 72), (24, 18), (60, 45)])
def test_chroma_stays_at_its_place_among_luma(siting, canvas):
    frame = ramp(name="yuv420p10le", siting=siting)
    scaling = to(canvas, "stretch", "yuv420p10le")
    made = compose.resized(
        compose.readable(compose.to_tensors(frame), compose.layout_of(frame), scaling), frame, scaling
    )
    place = compose.SITING[siting]
    luma = expected(scaling, frame)
    across, down = WIDTH / canvas[0], HEIGHT / canvas[1]
    h, w = made.planes[1].shape
    x = (2 * np.arange(w) + place[0] + 0.5) * across - 0.5
    y = (2 * np.arange(h) + place[1] + 0.5) * down - 0.5
    right = (8000 + 600 * x + 300 * y[:, None]) / 64
    inner = slice(h // 4, -(h // 4)), slice(w // 4, -(w // 4))
    assert np.abs(made.planes[1][inner] - right[inner]).max() < 2.2  # half a luma pixel is 4.7
    wide = slice(h // 2, -(h // 2)), slice(w // 2, -(w // 2))
    assert np.abs(made.planes[0][wide] - luma[wide]).max() < 2.2  # half a luma pixel is 4.7


def test_enlarging_is_the_bicubic_that_everybody_has():
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    frame = Frame((plane,), pixel_format("gray"), WIDTH, HEIGHT)
    made = compose.resized(compose.to_tensors(frame), frame, to(F(5, 2), None, "gray"))
    source = torch.from_numpy(plane).float()[None, None]
    right = functional.interpolate(source, (90, 120), mode="bicubic", align_corners=False).clamp(0, 255)[0, 0]
    inner = slice(6, -6), slice(6, -6)
    assert np.abs(made.planes[0].astype(float)[inner] - right.numpy()[inner]).max() < 0.6


def test_shrinking_lets_no_stripes_through_that_the_result_cannot_hold():
    plane = np.where(np.arange(WIDTH) % 2, 255, 0)[None].repeat(HEIGHT, 0).astype(np.uint8)
    frame = Frame((plane,), pixel_format("gray"), WIDTH, HEIGHT)
    for canvas in ((24, 18), (20, 15), (16, 12)):
        scaling = to(canvas, "stretch", "gray")
        made = between(frame, frame, motion(1.0), scaling).planes[0][3:-3, 4:-4]
        assert np.abs(made.astype(float) - 127.5).max() < 8


def test_colours_of_what_is_invisible_do_not_come_through():
    form = pixel_format("gbrap")
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, 20:] = 255
    green = np.where(alpha, 40, 255).astype(np.uint8)
    frame = Frame((green, green, green, alpha), form, WIDTH, HEIGHT)
    for canvas in ((96, 72), (24, 18), (72, 54)):
        scaling = to(canvas, None, "gbrap")
        made = compose.resized(
            compose.readable(compose.to_tensors(frame), compose.layout_of(frame), scaling), frame, scaling
        )
        seen = made.planes[3] > 20
        assert np.abs(made.planes[0][seen].astype(int) - 40).max() <= 4 and seen.any()


@pytest.mark.parametrize("name, black", [("yuv420p", (16, 128, 128)), ("yuv422p10le", (64, 512, 512)),
                                         ("gbrp", (0, 0, 0)), ("yuva444p", (16, 128, 128, 0))])  # fmt: skip
def test_bars_are_black(name, black):
    frame = ramp(name=name)
    scaling = to((96, 36), "pad", name)
    made = compose.resized(
        compose.readable(compose.to_tensors(frame), compose.layout_of(frame), scaling), frame, scaling
    )
    assert (made.width, made.height) == (96, 36)
    for plane, value in zip(made.planes, black):
        side = plane.shape[1] // 4
        assert (plane[:, :side] == value).all() and (plane[:, -side:] == value).all()
    assert np.array_equal(made.planes[0][:, 24:72], frame.planes[0])  # 48x36 fits as it is


def test_a_padded_picture_of_its_own_size_is_bit_for_bit_the_sources():
    rng = np.random.default_rng(1)
    form = pixel_format("yuv420p")
    planes = tuple(rng.integers(0, 256, form.plane_size(k, WIDTH, HEIGHT), dtype=np.uint8) for k in range(3))
    frame = Frame(planes, form, WIDTH, HEIGHT)
    made = compose.resized(compose.to_tensors(frame), frame, to((96, 36), "pad"))
    assert all(np.array_equal(a[:, s : -s or None], b) for a, b, s in zip(made.planes, planes, (24, 12, 12)))


class Still(Blend):
    """Looks, finds no motion, and is not sure of it."""

    guide_span = 16

    def motion(self, window):
        return self

    def at(self, times):
        return [replace(motion(0.0, t), confidence=torch.full((1, 1, 9, 12), 0.5)) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


@pytest.mark.parametrize("canvas, fit", [((96, 72), None), ((20, 15), None), ((36, 36), "crop"), ((96, 36), "pad")])
def test_made_frames_of_a_still_picture_are_the_resized_ones(canvas, fit):
    rng = np.random.default_rng(2)
    form = pixel_format("yuv420p")
    still = tuple(rng.integers(0, 256, form.plane_size(k, WIDTH, HEIGHT), dtype=np.uint8) for k in range(3))
    frames = []
    for k in range(3):
        planes = [plane.copy() for plane in still]
        planes[0][0, 0] = k  # not quite the same, so that frames are made
        frames.append(Frame(tuple(planes), form, WIDTH, HEIGHT, F(k, 24)))
    times = SourceTimes(range(3), F(1, 24), F(1, 24))
    options = stream.Options(scene=False, scaling=to(canvas, fit))
    outputs = list(stream.interpolate(enumerate(frames), Timeline(times, F(48)).slots(), Still(), options, times))
    assert [o.made for o in outputs] == [False, True, False, True, False, False]
    for output in outputs:
        assert (output.frame.width, output.frame.height) == canvas and output.frame.time == output.slot.time
        for a, b in zip(output.frame.planes, outputs[0].frame.planes):
            assert np.abs(a.astype(int) - b)[4:, 4:].max() <= 1


def test_a_mask_covers_the_same_part_of_a_resized_picture():
    form = pixel_format("gray")
    frames = [
        Frame((np.full((HEIGHT, WIDTH), v, np.uint8),), form, WIDTH, HEIGHT, F(k, 24)) for k, v in enumerate((0, 200))
    ]
    values = np.zeros((HEIGHT, WIDTH), np.float32)
    values[:, :24] = 1
    options = stream.Options(scene=False, mask=Mask(values), scaling=to((96, 36), "pad", "gray"))
    times = SourceTimes(range(2), F(1, 24), F(1, 24))
    made = list(stream.interpolate(enumerate(frames), Timeline(times, F(96)).slots(), Blend(), options, times))[1].frame
    row = made.planes[0][10]
    assert (row[:24] == 0).all() and (row[72:] == 0).all()  # bars
    assert (row[26:46] == 0).all() and (row[50:70] == 50).all()
