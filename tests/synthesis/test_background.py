"""What the host does while a device is busy: detectors and the search for overlays have threads of their own."""

import threading
import time
from fractions import Fraction

import numpy as np
import pytest
import torch
from fake_device import fake_cuda
from films import panning
from threads_ended import threads_end

from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.timeline import Slot, SourceTimes
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import compose, overlay, render, windows
from vfi_pipeline.synthesis.options import Options
from vfi_pipeline.synthesis.schedule import in_background
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.stream import interpolate


def test_items_come_in_order_drawn_by_another_thread_and_no_further_ahead_than_asked():
    drawn, threads = [], set()

    def items():
        for k in range(20):
            drawn.append(k)
            threads.add(threading.get_ident())
            yield k

    coming = in_background(items(), 3)
    assert next(coming) == 0
    time.sleep(0.3)
    assert len(drawn) <= 1 + 3 + 1  # what was taken, what waits, and one in hand
    assert list(coming) == list(range(1, 20))
    assert threads and threading.get_ident() not in threads


def test_what_was_drawn_before_a_failure_still_comes():
    def items():
        yield from "ab"
        raise KeyboardInterrupt  # whatever it is

    coming = in_background(items(), 8)
    assert [next(coming), next(coming)] == ["a", "b"]
    with pytest.raises(KeyboardInterrupt):
        next(coming)


def test_when_nobody_wants_more_the_thread_ends():
    closed = []

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.append(threading.get_ident())

    coming = in_background(items(), 2)
    with threads_end():
        assert next(coming) == 1
        coming.close()


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("place", ["left", "frames", "prepare", "motion", "interrupt"])
@pytest.mark.parametrize("exposure", [None, Fraction(1, 50)])
def test_a_stream_that_fails_or_is_left_keeps_no_thread(monkeypatch, place, exposure):
    monkeypatch.setattr(compose, "Arriving", Given)
    monkeypatch.setattr(compose, "ArrivingNumber", NumberGiven)
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    grey = np.full((12, 16), 128, np.uint8)
    form, count = pixel_format("yuv420p"), 100  # more than are drawn ahead
    times = SourceTimes(range(count), Fraction(1, 25), Fraction(1, 25))
    frames = [
        (k, Frame((np.full((24, 32), 2 * k, np.uint8), grey, grey), form, 32, 24, times.time(k))) for k in range(count)
    ]
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(2 * count - 1)]
    options = Options(device="cuda", batch=2, exposure_s=exposure)
    given = frames[:9] if place == "frames" else frames
    failure = None
    with fake_cuda(), torch.device("cuda"), threads_end():
        coming = interpolate(iter(given), slots, Failing(place), options, times)
        if place == "left":
            next(coming)
            coming.close()
            return
        try:
            list(coming)
        except BaseException as error:
            failure = error  # and its traceback with it: what it refers to is not freed
    assert failure is not None and MESSAGES[place] in repr(failure)


MESSAGES = {
    "frames": "breaks off after frame 8",
    "prepare": "prepare",
    "motion": "motion",
    "interrupt": "KeyboardInterrupt",
}


class Cheap:
    """A model for batches, whose motion costs nothing."""

    name, guide_span = "cheap", 32

    def prepare_pairs(self, pairs):
        pass

    def motion(self, window):
        return self

    def at(self, times):
        flow = torch.full((1, 2, 6, 8), 0.4)
        return [IntermediateMotion(t, flow, -flow, torch.full((1, 1, 6, 8), 1 - t)) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


class Failing(Cheap):
    """A model that fails at its fourth batch, or its seventh pair."""

    def __init__(self, place):
        self.place, self.batches, self.pairs = place, 0, 0

    def prepare_pairs(self, pairs):
        self.batches += 1
        if self.batches == 4 and self.place in ("prepare", "interrupt"):
            raise KeyboardInterrupt if self.place == "interrupt" else RuntimeError("prepare")

    def motion(self, window):
        self.pairs += 1
        if self.pairs == 7 and self.place == "motion":
            raise RuntimeError("motion")
        return self


class NumberGiven:
    """Stands in for ``compose.ArrivingNumber``."""

    def __init__(self, number):
        pass

    def value(self):
        return 0.8


class Given:
    """Stands in for ``compose.Arriving``."""

    def __init__(self, groups, layout, like, time, finish=None):
        self.like = like

    def frame(self):
        return self.like


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("exposure", [None, Fraction(1, 50)])
def test_overlays_and_cuts_are_looked_for_beside_the_thread_that_launches(monkeypatch, exposure):
    luma = panning(20, speed=3, height=120, width=160)[..., 1]
    grey = np.full((60, 80), 128, np.uint8)
    frames = []
    for k in range(20):
        plane = luma[k].copy()
        plane[80:96:4, 20:100] = 235  # what stays
        plane[80:96, 20:100:6] = 16
        frames.append((k, Frame((plane, grey, grey), pixel_format("yuv420p"), 160, 120, Fraction(k, 25), Colour())))
    where = {"masks": set(), "signature": set()}
    begun, needed = [], []
    asked = []

    class Asked(render._PairOverlays):
        def __init__(self, *arguments):
            asked.append(1)
            super().__init__(*arguments)

    masks, signature, cover = overlay.Overlays.masks, windows.cuts.signature, compose.composed

    def noted(self, shot, pair):
        where["masks"].add(threading.get_ident())
        begun.append(pair[0])
        time.sleep(0.02)  # as large frames take
        return masks(self, shot, pair)

    def seen(frame):
        where["signature"].add(threading.get_ident())
        return signature(frame)

    monkeypatch.setattr(overlay.Overlays, "masks", noted)
    monkeypatch.setattr(render, "_PairOverlays", Asked)
    monkeypatch.setattr(windows.cuts, "signature", seen)
    monkeypatch.setattr(compose, "composed", lambda *a: needed.append(len(asked)) or cover(*a))
    monkeypatch.setattr(compose, "Arriving", Given)
    monkeypatch.setattr(compose, "ArrivingNumber", lambda number: type("Number", (), {"value": lambda self: 3.0})())
    monkeypatch.setattr(Statistics, "settle", lambda self: None)
    slots = [Slot(n, Fraction(n, 50), n // 2, Fraction(n % 2, 2)) for n in range(39)]
    if exposure:
        slots = [Slot(n, Fraction(n, 25), n, Fraction(0)) for n in range(19)]
    options = Options(device="cuda", batch=4, prefetch=2, overlay=True, exposure_s=exposure)
    times = SourceTimes(range(20), Fraction(1, 25), Fraction(1, 25))

    with fake_cuda() as watch, watch, torch.device("cuda"):
        made = list(interpolate(iter(frames), slots, Cheap(), options, times))

    assert len(made) == len(slots) and any(output.made for output in made)
    assert len(where["signature"]) == 1 and threading.get_ident() not in where["signature"]
    assert len(where["masks"]) >= 2  # several pairs at once
    assert sorted(set(begun)) == sorted(begun)  # each pair once
    assert needed[0] >= 8 and needed[len(needed) // 2] >= len(asked) // 2 + 4  # a batch ahead
    assert len(asked) == len(begun) == 19
    assert [fault for fault in watch.faults if "reads" in fault] == []


@pytest.mark.parametrize("plane", [0, 1, 2])
@pytest.mark.parametrize("place", [(0, 0), (5, 7), (-1, -1)])
def test_pictures_that_differ_in_one_sample_are_not_the_same(plane, place):
    random = np.random.default_rng(1)
    sizes = [(48, 64), (24, 32), (24, 32)]
    planes = [random.integers(0, 256, size, np.uint8) for size in sizes]
    other = [each.copy() for each in planes]
    other[plane][place] ^= 1
    keys = [
        windows.KeyFrame(k, Frame(tuple(each), pixel_format("yuv420p"), 64, 48), False, Fraction(k))
        for k, each in enumerate((planes, [each.copy() for each in planes], other))
    ]
    assert windows.same_picture(keys[0], keys[1]) and not windows.same_picture(keys[0], keys[2])
