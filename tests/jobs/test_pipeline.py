"""Decode, compute, encode: order, overlap, bounds, and failures in each of the three threads."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from threads_ended import threads_end

from vfi_pipeline.jobs.interrupts import Interrupted
from vfi_pipeline.jobs.pipeline import Pipeline
from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.media.frames import Frame, pixel_format

GRAY = pixel_format("gray")


def picture(k):
    return Frame((np.full((4, 6), k % 256, np.uint8),), GRAY, 6, 4)


class Rig:
    """A pipeline over numbered frames that copies the frames of each segment; everything is recorded."""

    def __init__(self, length=100):
        self.length, self.opened, self.alive, self.most_alive = length, [], 0, 0
        self.written, self.done, self.failing = {}, [], {}
        self.lock = threading.Lock()

    @contextmanager
    def open_frames(self, start):
        self.opened.append(start)

        def frames():
            for k in range(start, self.length):
                if self.failing.get("decode") == k:
                    raise OSError("decode")
                with self.lock:
                    self.alive += 1
                    self.most_alive = max(self.most_alive, self.alive)
                yield k, picture(k)

        yield frames()

    def compute(self, segment, frames):
        for k, frame in frames:
            if self.failing.get("compute") == k:
                raise self.failing["error"]
            if k >= segment.first + self.context[0] * (segment.first > 0) and len(self.seen(segment)) < segment.frames:
                self.seen(segment).append(k)
                yield frame, True

    context = (0, 0)

    def seen(self, segment):
        return self.__dict__.setdefault("_seen", {}).setdefault(segment.number, [])

    @contextmanager
    def open_writer(self, segment):
        rig = self

        class Writer:
            frames = 0

            def write(self, frame):
                if rig.failing.get("encode") == segment.number:
                    raise OSError("encode")
                if rig.failing.get("slow"):
                    time.sleep(0.002)
                self.frames += 1
                rig.written.setdefault(segment.number, []).append(int(frame.planes[0][0, 0]))
                with rig.lock:
                    rig.alive -= 1

        yield Writer()

    def run(self, segments):
        Pipeline(
            self.open_frames, self.compute, lambda s: f"note {s.number}", self.open_writer,
            lambda s, frames, note: self.done.append((s.number, frames, note)), lambda made: None,
        ).run(segments)  # fmt: skip


def parts(*bounds):
    return [Segment(n, a, b, a, b - 1) for n, (a, b) in enumerate(zip(bounds, bounds[1:]))]


def test_segments_come_out_in_order_read_in_one_go():
    rig = Rig()
    rig.run(parts(0, 30, 31, 100))
    assert rig.written == {0: list(range(30)), 1: [30], 2: list(range(31, 100))}
    assert rig.done == [(0, 30, "note 0"), (1, 1, "note 1"), (2, 69, "note 2")]
    assert rig.opened == [0]


def test_overlapping_context_is_not_decoded_twice():
    rig = Rig()
    segments = [part.within(6, 3, 0, 99) for part in parts(0, 30, 60, 100)]
    rig.context = (6, 3)
    rig.run(segments)
    assert rig.opened == [0]
    assert rig.written == {0: list(range(30)), 1: list(range(30, 60)), 2: list(range(60, 100))}


def test_a_gap_of_finished_segments_is_skipped_by_seeking():
    rig = Rig()
    rig.context = (6, 3)
    rig.run([part.within(6, 3, 0, 99) for part in parts(0, 30, 60, 100) if part.number != 1])
    assert rig.opened == [0, 54]
    assert rig.written == {0: list(range(30)), 2: list(range(60, 100))}


def test_few_frames_are_alive_at_once():
    rig = Rig(length=400)
    rig.failing["slow"] = True
    rig.run(parts(0, 400))
    assert rig.most_alive <= 2 * 16 + 4


@pytest.mark.parametrize("place", ["decode", "compute", "encode"])
def test_a_failure_anywhere_ends_everything_and_keeps_what_was_finished(place):
    rig = Rig()
    rig.failing = {place: 1 if place == "encode" else 40, "error": OSError("compute")}
    with threads_end(), pytest.raises(OSError, match=place):
        rig.run(parts(0, 30, 60, 100))
    assert [number for number, *_ in rig.done] == [0]


def test_an_interrupt_ends_everything():
    rig = Rig()
    rig.failing = {"compute": 40, "error": Interrupted("SIGINT")}
    with threads_end(), pytest.raises(Interrupted):
        rig.run(parts(0, 30, 60, 100))


def test_a_segment_that_lacks_frames_is_not_called_finished():
    rig = Rig(length=50)
    with pytest.raises(RuntimeError, match="20 of 30"):
        rig.run(parts(0, 30, 60))
    assert [number for number, *_ in rig.done] == [0]
