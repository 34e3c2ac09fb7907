"""A function of tensors as a CUDA graph: hundreds of small kernels, launched by the host as one.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger(__name__)

ORDINARY = 3
"""Calls with the same shapes before they are recorded: libraries choose their kernels in the first ones, and the last
batch of a film, which comes once, is not worth a graph."""

MOST = 4
"""Graphs that are kept, the ones used last: each holds the memory of its intermediate tensors."""


class Replayed:
    """``function`` of tensors and of one value that can be hashed; recorded for each combination of shapes and value.

    The function may not wait for the device, nor depend on the tensors' values otherwise. Its results are copied out of
    the graph's memory: they may be kept.
    """

    def __init__(self, function: Callable[[Sequence[Tensor], Any], list[Tensor]]) -> None:
        self.function, self.works = function, True
        self._seen: dict[Hashable, int] = {}
        self._graphs: OrderedDict[Hashable, tuple[Any, list[Tensor], list[Tensor]]] = OrderedDict()

    def __call__(self, tensors: Sequence[Tensor], value: Hashable = None) -> list[Tensor]:
        if not self.works or tensors[0].device.type != "cuda":
            return self.function(tensors, value)
        key = (tuple((tuple(x.shape), x.dtype) for x in tensors), value)
        if key not in self._graphs:
            self._seen[key] = self._seen.get(key, 0) + 1
            if self._seen[key] <= ORDINARY or not self._record(key, tensors, value):
                return self.function(tensors, value)
        self._graphs.move_to_end(key)
        graph, inputs, outputs = self._graphs[key]
        for held, given in zip(inputs, tensors):
            held.copy_(given)
        graph.replay()
        return [out.clone() for out in outputs]

    def _record(self, key: Hashable, tensors: Sequence[Tensor], value: Hashable) -> bool:
        try:
            inputs = [x.clone() for x in tensors]
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = self.function(inputs, value)
        except RuntimeError as error:  # an operator that cannot be recorded, or too little memory for the graph's own
            self.works = False
            self._graphs.clear()
            log.warning("The estimate is launched kernel by kernel: %s", str(error).splitlines()[0][:200])
            return False
        self._graphs[key] = graph, inputs, outputs
        while len(self._graphs) > MOST:
            self._graphs.popitem(last=False)
        return True
