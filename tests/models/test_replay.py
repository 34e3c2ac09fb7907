"""Functions as graphs: when they are recorded, what is kept, and what comes of a graph that cannot be made."""

from contextlib import contextmanager

import pytest
import torch

from vfi_pipeline.models import replay
from vfi_pipeline.models.replay import MOST, ORDINARY, Replayed


class OnDevice(torch.Tensor):
    """A tensor of the host that says it lies on a device."""

    @property
    def device(self):
        return torch.device("cuda")


def on_device(*shape):
    return torch.rand(shape).as_subclass(OnDevice)


@pytest.fixture
def graphs(monkeypatch):
    """Stands in for CUDA graphs: a replay does what was recorded with the tensors that were there."""
    made = []

    class Graph:
        def __init__(self):
            self.replays = 0
            made.append(self)

        def replay(self):
            self.replays += 1
            for out, value in zip(self.outputs(), self.again()):
                out.copy_(value)

    @contextmanager
    def record(graph):
        yield

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return made


def replayed(graphs, function):
    made = Replayed(function)
    real = made._record

    def record(key, tensors, value):
        done = real(key, tensors, value)
        if done:
            graph, inputs, outputs = made._graphs[key]
            graph.again = lambda: function(inputs, value)
            graph.outputs = lambda: outputs
        return done

    made._record = record
    return made


def test_off_cuda_the_function_is_called():
    calls = []
    function = Replayed(lambda tensors, value: calls.append(value) or [tensors[0] * value])
    x = torch.rand(3)
    for _ in range(2 * ORDINARY):
        assert torch.equal(function([x], 3)[0], 3 * x)
    assert calls == [3] * 2 * ORDINARY


def test_a_replay_gives_what_the_function_gives_and_its_results_can_be_kept(graphs):
    function = replayed(graphs, lambda tensors, value: [tensors[0] * value + tensors[1], tensors[1] - 1])
    inputs = [(on_device(2, 3), on_device(2, 3)) for _ in range(ORDINARY + 4)]

    made = [function(pair, 2) for pair in inputs]

    for (a, b), (one, two) in zip(inputs, made):
        assert torch.equal(one, a * 2 + b) and torch.equal(two, b - 1)
    assert len(graphs) == 1 and graphs[0].replays == 4


def test_each_shape_and_value_has_a_graph_and_few_are_kept(graphs):
    function = replayed(graphs, lambda tensors, value: [tensors[0] + value])
    for size in range(1, MOST + 3):
        for _ in range(ORDINARY + 1):
            function([on_device(size)], 1)
    function([on_device(2)], 5)

    assert len(graphs) == MOST + 2 and len(function._graphs) == MOST


def test_shapes_that_come_seldom_are_not_recorded(graphs):
    function = replayed(graphs, lambda tensors, value: [tensors[0]])
    for size in range(1, 40):
        function([on_device(size)])
    assert graphs == []


def test_what_cannot_be_recorded_goes_on_as_it_is_and_says_so_once(graphs, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: (_ for _ in ()).throw(RuntimeError("not permitted\nhint")))
    function = Replayed(lambda tensors, value: [tensors[0] * 2])
    for _ in range(3 * ORDINARY):
        x = on_device(4)
        assert torch.equal(function([x])[0], x * 2)
    assert caplog.text.count("kernel by kernel") == 1 and "hint" not in caplog.text
    assert replay.log.name.endswith("replay")
