"""A function of tensors as a CUDA graph: hundreds of small kernels, launched by the host as one.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReplaySettings:
    """When graphs are recorded and how many are kept. No measurement of the values is recorded.

    Attributes:
        calls_before_recording: calls with the same shapes before one is recorded: libraries choose their kernels in the
            first ones, and a film's last batch, which comes once, is not worth a graph.
        graphs: how many are kept, those used last: each holds the memory of its intermediate tensors.
    """

    calls_before_recording: int = 3
    graphs: int = 4


Recorder = Callable[[Callable[[], list[Tensor]]], tuple[Callable[[], None], list[Tensor]]]
"""Records one run: returns a call that repeats it on the same memory, and the run's outputs, which it overwrites."""


def record_graph(run: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
    """The ``Recorder`` of CUDA graphs. RuntimeError for an operator that cannot be recorded, or too little memory."""
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = run()
    return graph.replay, outputs


class Replayed:
    """``function`` of tensors and a hashable value, recorded once for each combination of shapes and value.

    The function may not wait for the device, and its operations may not depend on the tensors' values. Results are
    copies of the graph's memory, which later calls do not overwrite.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Tensor], Any], list[Tensor]],
        settings: ReplaySettings = ReplaySettings(),
        record: Recorder = record_graph,
    ) -> None:
        self.function, self.settings, self.record, self.recordable = function, settings, record, True
        self._calls: dict[Hashable, int] = {}
        self._graphs: OrderedDict[Hashable, tuple[Callable[[], None], list[Tensor], list[Tensor]]] = OrderedDict()

    def __len__(self) -> int:
        """How many graphs are kept."""
        return len(self._graphs)

    def __call__(self, tensors: Sequence[Tensor], value: Hashable = None) -> list[Tensor]:
        if not self.recordable or tensors[0].device.type != "cuda":
            return self.function(tensors, value)
        key = (tuple((tuple(x.shape), x.dtype) for x in tensors), value)
        if key not in self._graphs:
            self._calls[key] = self._calls.get(key, 0) + 1
            early = self._calls[key] <= self.settings.calls_before_recording
            if early or not self._record(key, tensors, value):
                return self.function(tensors, value)
        self._graphs.move_to_end(key)
        repeat, inputs, outputs = self._graphs[key]
        for recorded, tensor in zip(inputs, tensors):
            recorded.copy_(tensor)
        repeat()
        return [out.clone() for out in outputs]

    def _record(self, key: Hashable, tensors: Sequence[Tensor], value: Hashable) -> bool:
        try:
            inputs = [x.clone() for x in tensors]
            repeat, outputs = self.record(lambda: self.function(inputs, value))
        except RuntimeError as error:
            self.recordable = False
            self._graphs.clear()
            log.warning("The estimate is launched kernel by kernel: %s", str(error).splitlines()[0][:200])
            return False
        self._graphs[key] = repeat, inputs, outputs
        while len(self._graphs) > self.settings.graphs:
            self._graphs.popitem(last=False)
        return True
