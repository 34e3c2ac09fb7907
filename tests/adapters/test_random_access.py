"""Frames asked for in any order are those of the stream, cuts and all."""

from __future__ import annotations

import random
from fractions import Fraction

import numpy as np
import pytest
from films import panning

from vfi_pipeline.adapters.random_access import AFTER, BEFORE, RandomAccess
from vfi_pipeline.evaluation.rgb import rgb_frame
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.synthesis import stream

THIRDS = 3


def film() -> list:
    """Three shots that pan, a flash in the second."""
    shots = [panning(9, seed=1), panning(9, seed=2), panning(9, seed=3)]
    shots[1][4] = np.minimum(255, shots[1][4].astype(int) + 120)
    return [rgb_frame(picture) for shot in shots for picture in shot]


def around(frames: list, k: int) -> dict:
    return {index: frames[index] for index in range(k - BEFORE, k + AFTER + 1) if 0 <= index < len(frames)}


@pytest.mark.parametrize("at_cut", ["hold", "blend"])
@pytest.mark.parametrize("model", [Blend(), pytest.param(None, marks=pytest.mark.slow)])
def test_any_order_gives_the_frames_of_the_stream(model, at_cut):
    model = model or load_flow("flow", guide_span=96, network_span=64)
    frames = film()
    count = len(frames)
    options = stream.Options(at_cut=at_cut, overlay=False, max_gap_s=None)
    times = SourceTimes(range(count), Fraction(1), Fraction(1))
    slots = list(Timeline(times, Fraction(THIRDS), Fraction(1), None, None).slots())
    facts = stream.Statistics()
    whole = [o.frame for o in stream.interpolate(enumerate(frames), slots, model, options, times, facts)]
    assert facts.cuts == [9, 18]

    access = RandomAccess(model, options)
    asked = list(range(len(slots)))
    random.Random(0).shuffle(asked)
    for number in asked[:40]:
        slot = slots[number]
        made = access.frame(slot.source, slot.t, around(frames, slot.source))
        for plane, truth in zip(made.planes, whole[number].planes):
            np.testing.assert_array_equal(plane, truth, err_msg=f"frame {number}")


def test_source_frames_come_back_themselves():
    frames = film()[:4]
    access = RandomAccess(Blend(), stream.Options())

    assert access.frame(2, Fraction(0), around(frames, 2)) is frames[2]
    assert access.frame(3, Fraction(1, 2), around(frames, 3)) is frames[3]  # the clip ends
