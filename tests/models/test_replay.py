"""Functions as graphs: when they are recorded, what is kept, and what comes of a graph that cannot be made."""

import gc
import weakref
from contextlib import contextmanager
from functools import lru_cache

import torch
from fake_graphs import Graphs

from vfi_pipeline.models import replay
from vfi_pipeline.models.replay import Replayed, ReplaySettings

BEFORE, GRAPHS = ReplaySettings().calls_before_recording, ReplaySettings().graphs


class OnDevice(torch.Tensor):
    """A tensor of the host that says it lies on a device."""

    @property
    def device(self):
        return torch.device("cuda")


def on_device(*shape):
    return torch.rand(shape).as_subclass(OnDevice)


def test_off_cuda_the_function_is_called():
    calls = []
    function = Replayed(lambda tensors, value: calls.append(value) or [tensors[0] * value])
    x = torch.rand(3)
    for _ in range(2 * BEFORE):
        assert torch.equal(function([x], 3)[0], 3 * x)
    assert calls == [3] * 2 * BEFORE


def test_a_replay_gives_what_the_function_gives_and_its_results_can_be_kept():
    graphs = Graphs()
    function = Replayed(lambda tensors, value: [tensors[0] * value + tensors[1], tensors[1] - 1], record=graphs.record)
    inputs = [(on_device(2, 3), on_device(2, 3)) for _ in range(BEFORE + 4)]

    results = [function(pair, 2) for pair in inputs]

    for (a, b), (combination, difference) in zip(inputs, results):
        assert torch.equal(combination, a * 2 + b) and torch.equal(difference, b - 1)
    assert graphs.replays == [4]


def test_each_shape_and_value_has_a_graph_and_few_are_kept():
    graphs = Graphs()
    function = Replayed(lambda tensors, value: [tensors[0] + value], record=graphs.record)
    for size in range(1, GRAPHS + 3):
        for _ in range(BEFORE + 1):
            function([on_device(size)], 1)
    function([on_device(2)], 5)

    assert len(graphs.replays) == GRAPHS + 2 and len(function) == GRAPHS


def test_shapes_that_come_seldom_are_not_recorded():
    graphs = Graphs()
    function = Replayed(lambda tensors, value: [tensors[0]], record=graphs.record)
    for size in range(1, 40):
        function([on_device(size)])
    assert graphs.replays == []


def test_what_falls_out_has_to_come_often_again_before_it_is_recorded_again():
    graphs = Graphs()
    function = Replayed(lambda tensors, value: [tensors[0]], record=graphs.record)
    for _ in range(3):  # one shape more than graphs are kept, in turns
        for size in range(1, GRAPHS + 2):
            for _ in range(2):
                function([on_device(size)])
    assert len(graphs.replays) <= GRAPHS + 1 + 1


def test_a_graph_keeps_what_it_reads_beside_its_inputs():
    @lru_cache
    def grid():
        return torch.arange(4.0)

    graphs, known = Graphs(), weakref.ref(grid())
    function = Replayed(lambda tensors, _: [tensors[0] + grid().view(1, 4) * 2], record=graphs.record)
    for _ in range(BEFORE + 1):
        function([on_device(1, 4)])

    grid.cache_clear()
    gc.collect()

    assert known() is not None
    del function
    gc.collect()
    assert known() is None


def test_results_may_be_of_several_types_and_layouts():
    graphs = Graphs()
    function = Replayed(
        lambda tensors, _: [tensors[0].half(), tensors[1].t()[1:], tensors[0] + 1], record=graphs.record
    )
    for _ in range(BEFORE + 2):
        inputs = on_device(2, 3), on_device(4, 3)
        half, part, more = function(inputs)
        assert half.dtype == torch.float16 and torch.equal(half, inputs[0].half())
        assert torch.equal(part, inputs[1].t()[1:]) and torch.equal(more, inputs[0] + 1)
    assert graphs.replays == [2]


def test_a_graph_is_recorded_on_the_device_of_its_tensors(monkeypatch):
    """With ``devices=all`` that is not the process's current one."""

    class OnSecond(OnDevice):
        @property
        def device(self):
            return torch.device("cuda", 1)

    current, recorded_on, graphs = ["cuda:0"], [], Graphs()

    @contextmanager
    def device(which):
        current.append(str(which))
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device", device)
    function = Replayed(
        lambda tensors, _: [tensors[0] + 1], record=lambda run: recorded_on.append(current[-1]) or graphs.record(run)
    )
    for _ in range(BEFORE + 1):
        function([torch.rand(2).as_subclass(OnSecond)])
    assert recorded_on == ["cuda:1"] and current == ["cuda:0"]


def test_without_a_recorder_the_function_is_called():
    calls = []
    function = Replayed(lambda tensors, value: calls.append(value) or [tensors[0]], record=None)
    for _ in range(2 * BEFORE):
        function([on_device(2)], 1)
    assert calls == [1] * 2 * BEFORE and len(function) == 0


def test_what_cannot_be_recorded_goes_on_as_it_is_and_says_so_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: (_ for _ in ()).throw(RuntimeError("not permitted\nhint")))
    function = Replayed(lambda tensors, value: [tensors[0] * 2])
    for _ in range(3 * BEFORE):
        x = on_device(4)
        assert torch.equal(function([x])[0], x * 2)
    assert caplog.text.count("kernel by kernel") == 1 and "hint" not in caplog.text
    assert replay.log.name.endswith("replay")
