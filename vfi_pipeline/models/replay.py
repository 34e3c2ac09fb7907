"""A function of tensors as a CUDA graph: hundreds of small kernels, launched by the host as one.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

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
    """The ``Recorder`` of CUDA graphs, on the current device.

    Raises:
        RuntimeError: for an operator that cannot be recorded, or too little memory.
    """
    torch.cuda.synchronize()
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    # Other threads may go on: the encoder's gives page-locked memory back meanwhile.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        outputs = run()
    return graph.replay, outputs


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Makes it CUDA's current device meanwhile: graphs, new streams and Triton's kernels take that one, not the one
    where their tensors lie. Nothing where there is no CUDA."""
    return torch.cuda.device(device) if device.type == "cuda" and torch.cuda.is_available() else nullcontext()


class _Graph(NamedTuple):
    """A recorded run: ``repeat`` reads ``inputs``, writes ``outputs``, and reads the memory of ``constants``."""

    repeat: Callable[[], None]
    inputs: list[Tensor]
    outputs: list[Tensor]
    constants: list[Tensor]


class Replayed:
    """``function`` of tensors and a hashable value, recorded once for each combination of shapes and value.

    The function may not wait for the device, and its operations may not depend on the tensors' values. Results are
    copies of the graph's memory, which later calls do not overwrite. Threads take turns.

    Args:
        record: None records nothing: the function is called.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Tensor], Any], list[Tensor]],
        settings: ReplaySettings = ReplaySettings(),
        record: Recorder | None = record_graph,
    ) -> None:
        self.function, self.settings, self.record, self.recordable = function, settings, record, record is not None
        self._calls: dict[Hashable, int] = {}
        self._graphs: OrderedDict[Hashable, _Graph] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many graphs are kept."""
        return len(self._graphs)

    def __call__(self, tensors: Sequence[Tensor], value: Hashable = None) -> list[Tensor]:
        if not self.recordable or tensors[0].device.type != "cuda":
            return self.function(tensors, value)
        key = (tuple((tuple(x.shape), x.dtype) for x in tensors), value)
        with self._lock, torch.inference_mode():
            if key not in self._graphs:
                self._calls[key] = self._calls.get(key, 0) + 1
                early = self._calls[key] <= self.settings.calls_before_recording
                if early or not self._record(key, tensors, value):
                    return self.function(tensors, value)
            self._graphs.move_to_end(key)
            graph = self._graphs[key]
            _copy_together(graph.inputs, tensors)
            graph.repeat()
            results = [torch.empty_like(out) for out in graph.outputs]
            _copy_together(results, graph.outputs)
            return results

    def _record(self, key: Hashable, tensors: Sequence[Tensor], value: Hashable) -> bool:
        assert self.record is not None
        try:
            inputs = [x.clone() for x in tensors]
            with on_device(tensors[0].device), _Constants() as constants:
                repeat, outputs = self.record(lambda: self.function(inputs, value))
        except RuntimeError as error:
            self.recordable = False
            self._graphs.clear()
            log.warning("The estimate is launched kernel by kernel: %s", str(error).splitlines()[0][:200])
            return False
        self._graphs[key] = _Graph(repeat, inputs, outputs, constants.tensors())
        while len(self._graphs) > self.settings.graphs:
            forgotten, _ = self._graphs.popitem(last=False)
            del self._calls[forgotten]  # recording costs a wait: not again for what comes seldom
        return True


class _Constants(TorchDispatchMode):
    """Keeps what a run reads and does not make. A graph knows only addresses: were a cached grid freed meanwhile, it
    would read whatever lies there then."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[int, Tensor] = {}
        self._made: set[int] = set()

    def tensors(self) -> list[Tensor]:
        return list(self._read.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor) and (place := _memory_of(tensor)) not in self._made:
                self._read[place] = tensor
        out = func(*args, **(kwargs or {}))
        self._made |= {_memory_of(x) for x in tree_leaves(out) if isinstance(x, Tensor)} - self._read.keys()
        return out


def _memory_of(tensor: Tensor) -> int:
    """Identifies the memory that views share."""
    return tensor.untyped_storage()._cdata


def _copy_together(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copies each source into its target, those of one type in one launch."""
    for dtype in {target.dtype: None for target in targets}:
        pairs = [(a, b) for a, b in zip(targets, sources) if a.dtype == dtype]
        torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])
