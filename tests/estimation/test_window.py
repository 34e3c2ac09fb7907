"""Observations compute a thing once, in whichever thread; windows name the frames around a pair."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vfi_pipeline.estimation.window import Observation, Window


def test_a_guide_is_made_once_for_each_span():
    spans = []

    def look(span):
        spans.append(span)
        return torch.full((1, 3, 2, 2), float(span))

    seen = Observation(7, look)
    assert seen.guide(4) is seen.guide(4) and float(seen.guide(5).mean()) == 5
    assert spans == [4, 5]


def test_threads_that_ask_at_once_share_one_computation():
    begun, release, calls = threading.Event(), threading.Event(), []

    def slow():
        calls.append(1)
        begun.set()
        assert release.wait(10)
        return object()

    seen = Observation(0, lambda span: torch.zeros(1))
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(seen.recall, "key", slow)]
        assert begun.wait(10)
        futures += [pool.submit(seen.recall, "key", slow) for _ in range(2)]
        release.set()
        values = [future.result(10) for future in futures]
    assert len(calls) == 1 and values[0] is values[1] is values[2]


def test_a_failure_is_raised_and_the_next_one_tries_again():
    seen, results = Observation(0, lambda span: torch.zeros(1)), iter([ValueError("no"), 5])

    def make():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    with pytest.raises(ValueError, match="no"):
        seen.recall("key", make)
    assert seen.recall("key", make) == 5


def test_the_pairs_of_a_window_come_in_order():
    frames = [torch.full((1, 3, 2, 2), float(k)) for k in range(4)]
    whole = Window.of(frames[1], frames[2], frames[0], frames[3], 2.0, 0.5)
    assert [(a.index, b.index) for a, b in whole.pairs()] == [(-1, 0), (0, 1), (1, 2)]
    assert (whole.span_before, whole.span_after) == (2.0, 0.5)
    assert [float(a.guide(None).mean()) for a, _ in whole.pairs()] == [0, 1, 2]
    assert [(a.index, b.index) for a, b in Window.of(*frames[:2]).pairs()] == [(0, 1)]
