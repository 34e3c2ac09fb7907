"""Pairs estimated as one batch, as on CUDA, forced here on the CPU: the same film, and halved where memory ends."""

import logging
from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.synthesis import stream
from vfi_pipeline.synthesis.schedule import in_batches, pairs_at_once

LENGTH = 9


@pytest.fixture(scope="module")
def model():
    return load_flow("flow")


@pytest.fixture(scope="module")
def film():
    """A texture that moves by 3 px a frame, with a part that goes the other way; grey, 96 x 64."""
    torch.manual_seed(2)
    ground = F.interpolate(torch.rand(1, 1, 12, 24), (64, 160), mode="bicubic").clamp(0, 1)[0, 0]
    part = F.interpolate(torch.rand(1, 1, 4, 4), (20, 20), mode="bicubic").clamp(0, 1)[0, 0]
    frames = []
    for k in range(LENGTH):
        picture = ground[:, 3 * k : 3 * k + 96].clone()
        picture[20:40, 50 - 3 * k : 70 - 3 * k] = part
        codes = (picture * 255).round().to(torch.uint8).numpy()
        frames.append(Frame((np.ascontiguousarray(codes),), pixel_format("gray"), 96, 64, Fraction(k, 24)))
    return frames


class Counting(FlowModel):
    """Writes down the batches; ``room``: more pairs than this do not fit the memory."""

    def __init__(self, model, room=99):
        super().__init__(model.model)
        self.batches, self.alone, self.room, self.alive = [], 0, room, []

    def prepare_pairs(self, pairs):
        if len(pairs) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.batches.append([(one.index, two.index) for one, two in pairs])
        super().prepare_pairs(pairs)

    def estimate(self, first, last):
        self.alone += 1
        return super().estimate(first, last)


def slots(rate, begin=0, end=LENGTH - 1):
    numbers = range(begin * rate, end * rate)
    return [Slot(n, Fraction(n, 24 * rate), n // rate, Fraction(n % rate, rate)) for n in numbers]


def made(film, model, asked, **options):
    chosen = stream.Options(scene=False, overlay=False, **options)
    return list(stream.interpolate(enumerate(film), asked, model, chosen))


def furthest(one, other):
    assert [(a.slot, a.made) for a in one] == [(b.slot, b.made) for b in other]
    return max(np.abs(a.frame.planes[0].astype(int) - b.frame.planes[0]).max() for a, b in zip(one, other))


@pytest.mark.parametrize("batch", [2, 3, 8, 20])
def test_a_film_in_batches_is_the_film_pair_by_pair(film, model, batch):
    alone = made(film, Counting(model), slots(3))
    counting = Counting(model)
    together = made(film, counting, slots(3), batch=batch)

    # One code: convolutions of another batch size add up in another order.
    assert sum(output.made for output in together) == 2 * (LENGTH - 1) and furthest(together, alone) <= 1
    assert counting.alone == 0
    fresh = list(dict.fromkeys(chain(*counting.batches)))
    assert fresh == [(k, k + 1) for k in range(LENGTH - 1)]
    assert max(map(len, counting.batches)) <= batch and len(counting.batches) <= -(-(LENGTH - 1) // batch) + 1


def test_estimates_of_a_batch_are_those_of_each_pair_alone(film, model):
    generator = torch.Generator().manual_seed(1)
    pictures = [torch.rand(1, 3, *size, generator=generator) for size in ((64, 96),) * 3 + ((50, 70),) * 2]
    seen, fresh = ([Observation.of(each, k) for k, each in enumerate(pictures)] for _ in range(2))
    pairs = [(0, 1), (1, 2), (3, 4)]
    model.prepare_pairs([(seen[a], seen[b]) for a, b in pairs])
    for a, b in pairs:
        one, two = (model.motion(Window(of[a], of[b])).at([0.3])[0] for of in (seen, fresh))
        for name in ("flow_to_first", "flow_to_last", "blend_weight", "confidence"):
            torch.testing.assert_close(getattr(one, name), getattr(two, name), atol=2e-3, rtol=1e-3)


def test_without_a_batch_asked_for_a_cpu_estimates_pair_by_pair(film, model):
    counting = Counting(model)
    made(film, counting, slots(2))
    assert counting.batches == [] and counting.alone == LENGTH - 1
    assert pairs_at_once("cpu", 1, 1 << 40) == 1


def test_room_on_the_device_and_for_the_frames_bounds_a_batch(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (5 << 28, 80 << 30))
    assert pairs_at_once("cuda", 1, 1 << 27) == 5
    assert pairs_at_once("cuda", 1 << 26, 1 << 27) == 2
    assert pairs_at_once("cuda:1", 1 << 28, 1 << 27) == 1
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda where: (0, 80 << 30))
    assert pairs_at_once("cuda", 1, 1 << 27) == 1


@pytest.mark.parametrize("room, said", [(3, [2]), (1, [2, 1])])
def test_a_batch_that_does_not_fit_is_halved_for_good_and_says_so(film, model, room, said, caplog):
    alone = made(film, Counting(model), slots(2))
    counting = Counting(model, room)
    with caplog.at_level(logging.WARNING):
        halved = made(film, counting, slots(2), batch=4)

    assert furthest(halved, alone) <= 1
    assert max(map(len, counting.batches)) <= room
    assert [line for line in caplog.messages if "pairs at once" in line] == [
        f"The device's memory does not hold {2 * n} pairs at once: {n} from now on." for n in said
    ]


def test_no_more_is_read_ahead_than_a_batch_and_what_is_around_it(film, model):
    read = []

    def frames():
        for index, frame in enumerate(film):
            read.append(index)
            yield index, frame

    options = stream.Options(scene=False, overlay=False, batch=3, prefetch=0)
    ahead = [
        read[-1] - output.slot.source for output in stream.interpolate(frames(), slots(2), Counting(model), options)
    ]
    assert 3 <= max(ahead) <= 3 + stream.CONTEXT_AFTER + 1


def test_one_pair_that_does_not_fit_is_the_jobs_to_make_smaller(film, model):
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        made(film, Counting(model, room=0), slots(2), batch=4)


def test_pairs_without_frames_to_be_made_are_not_estimated(film, model):
    counting = Counting(model)
    asked = [*slots(2, 0, 2), *(Slot(4 + k, Fraction(2 + k, 24), 2 + k, Fraction(0)) for k in range(4))]
    outputs = made(film, counting, asked, batch=3)
    assert [output.made for output in outputs] == [False, True, False, True, *[False] * 4]
    assert set(chain(*counting.batches)) <= {(0, 1), (1, 2), (2, 3)}  # the last as one that tells the acceleration


def test_what_was_drawn_before_a_failure_still_comes_and_no_more_is_drawn():
    drawn, prepared = [], []

    def items():
        for k in range(5):
            drawn.append(k)
            yield k
        raise OSError("broken")

    batches = in_batches(items(), lambda first: 3, prepared.append)
    assert next(batches) == 0 and drawn == [0, 1, 2]
    rest = []
    with pytest.raises(OSError, match="broken"):
        for item in batches:
            rest.append(item)
    assert rest == [1, 2, 3, 4] and prepared == [[0, 1, 2], [3, 4]]
