"""Motion blur: what an exposure shows, against box filters worked out by hand."""

from dataclasses import replace
from fractions import Fraction as F

import numpy as np
import pytest
import torch

from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.info import VideoInfo
from vfi_pipeline.media.scaling import scaling_of
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import exposure, stream
from vfi_pipeline.synthesis.windows import KeyFrame, KeyWindow

WIDTH, HEIGHT, SPEED, BAR = 96, 8, 8, 10
PLAIN = stream.Options(scene=False, overlay=False)


def bar(left, name="gray", level=200):
    """A bar of ``BAR`` px on black; its left edge at ``left`` (a fraction of a pixel is a shade)."""
    x = np.arange(WIDTH)
    row = np.clip(np.minimum(x + 1, left + BAR) - np.maximum(x, left), 0, 1) * level
    form = pixel_format(name)
    plane = np.round(row[None].repeat(HEIGHT, 0)).astype(form.dtype)
    planes = tuple(np.full_like(plane, form.peak) if p.kind == "a" else plane for p in form.planes)
    return Frame(planes, form, WIDTH, HEIGHT)


def smeared(left, width, level=200):
    """The bar averaged from ``left - width / 2`` to ``left + width / 2``: a box filter of ``width`` px."""
    ways = left + (np.arange(2000) + 0.5) / 2000 * width - width / 2
    x = np.arange(WIDTH)[:, None]
    return (np.clip(np.minimum(x + 1, ways + BAR) - np.maximum(x, ways), 0, 1) * level).mean(axis=1)


class Pan(Blend):
    """The bar's true motion, everywhere."""

    guide_span = 16

    def __init__(self, speed=SPEED):
        self.speed, self.asked = speed, []

    def motion(self, window):
        return self

    def at(self, times):
        self.asked += list(times)
        way = torch.tensor([-float(self.speed), 0.0]).view(1, 2, 1, 1).expand(1, 2, HEIGHT, WIDTH)
        weight = torch.ones(1, 1, HEIGHT, WIDTH)
        return [IntermediateMotion(t, t * way, (t - 1) * way, (1 - t) * weight) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


def blurred(frames, target, angle, rate=24, options=PLAIN, model=None, part=(0, None), context=None, statistics=None):
    times = SourceTimes(range(len(frames)), F(1, rate), F(1, rate))
    line = Timeline(times, F(target))
    options = replace(options, exposure_s=F(angle, 360) / target)
    given = enumerate(frames) if context is None else ((k, frames[k]) for k in range(*context))
    return list(stream.interpolate(given, line.slots(*part), model or Pan(), options, times, statistics))


@pytest.mark.parametrize("target, angle", [(24, 180), (24, 360), (48, 180), (48, 360), (12, 180), (12, 360), (8, 270)])
def test_a_moving_bar_is_smeared_by_the_way_it_goes_while_the_shutter_is_open(target, angle):
    frames = [bar(4 + SPEED * k) for k in range(10)]
    outputs = blurred(frames, target, angle)
    assert len(outputs) == 10 * target // 24 + (10 * target % 24 > 0)
    checked = 0
    for output in outputs:
        moment = F(output.slot.index * 24, target)
        reach = F(angle, 720) * 24 / target
        if moment - reach < 0 or moment + reach > 9:
            continue  # half of it lies beyond the film
        right = smeared(float(4 + SPEED * moment), float(2 * reach * SPEED))
        assert np.abs(output.frame.planes[0][3] - right).max() < 2.5  # of 200; linear sampling between pixels
        assert output.made and output.frame.time == output.slot.time
        checked += 1
    assert checked >= 2


def test_light_is_neither_lost_nor_made():
    for output in blurred([bar(4 + SPEED * k) for k in range(10)], 24, 180)[1:-1]:
        assert abs(int(output.frame.planes[0][0].sum()) - 200 * BAR) < BAR * 5


def test_at_the_ends_only_the_film_is_seen():
    outputs = blurred([bar(4 + SPEED * k) for k in range(4)], 24, 360)
    assert np.abs(outputs[0].frame.planes[0][0] - smeared(4 + SPEED / 4, SPEED / 2)).max() < 2.5
    half = (smeared(4 + 3 * SPEED - SPEED / 4, SPEED / 2) + bar(4 + 3 * SPEED).planes[0][0]) / 2  # the last one stays
    assert np.abs(outputs[3].frame.planes[0][0] - half).max() < 2.5


def test_an_exposure_ends_at_a_cut_on_either_side():
    frames = [bar(4 + SPEED * k) for k in range(4)] + [bar(60, level=90)] * 3
    outputs = blurred(frames, 24, 360, options=replace(PLAIN, cuts=(4,)))
    assert (outputs[4].frame.planes[0] == frames[4].planes[0]).all()  # nothing of the shot before
    last = (smeared(4 + 3 * SPEED - SPEED / 4, SPEED / 2) + frames[3].planes[0][0]) / 2  # held until the cut
    assert np.abs(outputs[3].frame.planes[0][0] - last).max() < 2.5


def test_still_pictures_are_copied_bit_for_bit():
    facts = stream.Statistics()
    frames = [bar(30)] * 5
    outputs = blurred(frames, 24, 180, statistics=facts)
    assert all(np.array_equal(o.frame.planes[0], frames[0].planes[0]) for o in outputs)


@pytest.mark.parametrize("speed, count", [(0, 1), (0.5, 1), (3, 2), (8, 4), (200, 32)])
def test_so_many_moments_are_averaged_as_the_longest_move_has_pixels(speed, count):
    model = Pan(speed)
    part = exposure.Part(F(0), F(1, 2), F(1, 2))
    times = part.times(model.at([0.5])[0], WIDTH, HEIGHT)
    assert len(times) == count  # half of MOST where half of the exposure lies in the pair
    assert times[0] == pytest.approx(0.25 / count) and times[-1] == pytest.approx(0.5 - 0.25 / count)


def test_no_more_than_the_bound_is_averaged_however_much_moves():
    frames = [bar(4 + k) for k in range(60)]
    model = Pan(500)
    blurred(frames, 2, 360, rate=24, model=model)
    assert len(model.asked) <= 5 * (exposure.MOST + 3 * 26)  # a moment for the way, and rounding up, in every pair


def test_a_segment_with_context_equals_the_whole_film():
    frames = [bar(4 + SPEED * k % 70) for k in range(40)]
    whole = blurred(frames, 12, 360)
    for part, context in (((0, 7), (0, 40)), ((7, 14), (0, 40)), ((14, 20), (9, 40))):
        for output in blurred(frames, 12, 360, part=part, context=context):
            assert np.array_equal(output.frame.planes[0], whole[output.slot.index].frame.planes[0])


def test_threads_change_nothing():
    frames = [bar(4 + SPEED * k) for k in range(8)]
    one, many = (blurred(frames, 48, 180, options=replace(PLAIN, prefetch=n)) for n in (0, 8))
    assert all(np.array_equal(a.frame.planes[0], b.frame.planes[0]) for a, b in zip(one, many))


def test_colours_count_by_their_opacity():
    form = pixel_format("gbrap")
    frames = []
    for k in range(5):
        alpha = bar(4 + SPEED * k, level=255).planes[0]
        green = np.where(alpha, 40, 250).astype(np.uint8)  # what is invisible is bright
        frames.append(Frame((green, green, green, alpha), form, WIDTH, HEIGHT))
    made = blurred(frames, 24, 360)[2].frame
    seen = made.planes[3] > 12
    assert seen.sum() > HEIGHT * (BAR + 4) and np.abs(made.planes[0][seen].astype(int) - 40).max() <= 1
    assert np.abs(made.planes[3][0] - smeared(4 + 2 * SPEED, SPEED, 255)).max() < 3


def test_another_size_is_blurred_too():
    video = VideoInfo(0, "ffv1", WIDTH, HEIGHT, "gray", "gray", F(1, 24), F(24))
    options = replace(PLAIN, scaling=scaling_of(F(2), None, video))
    made = blurred([bar(4 + SPEED * k) for k in range(6)], 24, 180, options=options)[3].frame
    assert (made.width, made.height) == (2 * WIDTH, 2 * HEIGHT)
    pairs = made.planes[0][6].astype(float).reshape(-1, 2).mean(axis=1)
    assert np.abs(pairs - smeared(4 + 3 * SPEED, SPEED / 2)).max() < 8  # the cubic kernel overshoots a little


def test_the_parts_of_an_exposure_are_all_of_it():
    key = [KeyFrame(k, bar(0), False, F(k, 10)) for k in range(4)]
    one = next(exposure.exposures([stream_slot(1, F(1, 2))], SourceTimes(range(4), F(1, 10), F(1, 10)), F(1, 5)))
    assert (one.moment, one.begin, one.end) == (F(3, 20), F(1, 20), F(1, 4))
    parts = [exposure.part_in(KeyWindow(None, a, b, None), one) for a, b in zip(key, key[1:])]
    assert [(p.begin, p.end, p.share) for p in parts] == [
        (F(1, 2), 1, F(1, 4)), (0, 1, F(1, 2)), (0, F(1, 2), F(1, 4)),
    ]  # fmt: skip


def stream_slot(source, t):
    from vfi_pipeline.media.timeline import Slot

    return Slot(0, F(0), source, t)
