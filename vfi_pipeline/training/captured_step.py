"""A training step as one CUDA graph: loss, backward, clipping and update, launched by the host as a single call.

A step of small kernels takes a GPU less time than it takes the host to launch them. A graph is recorded once for the
shapes of a batch and replayed: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer

from vfi_pipeline.data.batch import Triplet

log = logging.getLogger(__name__)

Figures = Mapping[str, Any]
"""Tensors and numbers of a step by name; ``total`` is the loss."""

WARM_UP = 3
"""Ordinary steps before a graph is recorded: libraries choose their kernels and the optimiser makes its state."""


Work = Callable[[], dict[str, Any]]
"""A step: its figures."""


class Recorder(Protocol):
    """Records a step's work on a device, to be launched as one."""

    def prepare(self, optimizer: Optimizer) -> None:
        """Makes the optimiser's state fit for recording."""

    def warm_up(self, work: Work) -> dict[str, Any]:
        """The figures of ``work``, run as an ordinary step before a recording."""

    def record(self, work: Work) -> tuple[dict[str, Any], Callable[[], None]]:
        """Tensors of figures, and a call that does ``work`` once more and fills them. Recording itself does no work.

        Raises:
            RuntimeError: if the work cannot be recorded.
        """


class CudaGraphs:
    """The ``Recorder`` of the current CUDA device."""

    def prepare(self, optimizer: Optimizer) -> None:
        set_capturable(optimizer, True)

    def warm_up(self, work: Work) -> dict[str, Any]:
        """On a stream of its own, as recording needs it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            figures = work()
        torch.cuda.current_stream().wait_stream(stream)
        return figures

    def record(self, work: Work) -> tuple[dict[str, Any], Callable[[], None]]:
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                figures = work()
        except RuntimeError:
            torch.cuda.synchronize()
            raise
        return figures, graph.replay


class CapturedStep:
    """Makes a training step of a batch, and returns its figures with ``grad_norm``, that before clipping.

    The first steps of each shape are ordinary ones; then the step is recorded, and replayed from there on. Without a
    recorder all are ordinary: the same operations, and the same numbers.

    Args:
        figures: batch -> the loss, and figures for the log. It may not wait for the device.
        optimizer: of the parameters that learn.
        clip: largest gradient norm; None does not clip.
        recorder: ``CudaGraphs()`` on CUDA; None records nothing.

    Attributes:
        records: whether steps are recorded; False after a recording has failed.
    """

    def __init__(
        self,
        figures: Callable[[Triplet], Figures],
        optimizer: Optimizer,
        clip: float | None,
        recorder: Recorder | None = None,
    ) -> None:
        self.figures, self.optimizer, self.clip = figures, optimizer, clip
        self._recorder = recorder
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._shapes: Any = None
        self._ordinary = 0
        self._replay: Callable[[], None] | None = None
        self._input: Triplet | None = None
        self._output: dict[str, Any] = {}
        if recorder is None:
            set_capturable(optimizer, False)
        else:
            recorder.prepare(optimizer)

    @property
    def records(self) -> bool:
        return self._recorder is not None

    def __call__(self, batch: Triplet) -> dict[str, Any]:
        """One step. Where steps are recorded, the next one overwrites the tensors that it returns."""
        if self._recorder is None:
            return self._work(batch)
        shapes = [None if part is None else part.shape for part in batch]
        if shapes != self._shapes:  # another stage: what was recorded does not fit any more
            self._shapes, self._ordinary, self._replay = shapes, 0, None
        if self._ordinary < WARM_UP:
            self._ordinary += 1
            return self._recorder.warm_up(lambda: self._work(batch))
        if self._replay is None:
            try:
                self._replay = self._recorded(batch, self._recorder)
            except RuntimeError as error:
                self._recorder = None
                log.warning("The step could not be captured (%s): it goes on kernel by kernel.", str(error)[:200])
                return self._work(batch)
        assert self._input is not None
        for held, part in zip(self._input, batch):
            if held is not None and part is not None:
                held.copy_(part)
        self._replay()
        return self._output

    def _work(self, batch: Triplet) -> dict[str, Any]:
        self.optimizer.zero_grad(set_to_none=True)  # a replay writes gradients, it does not add to them
        figures = dict(self.figures(batch))
        figures["total"].backward()
        limit = float("inf") if self.clip is None else self.clip
        figures["grad_norm"] = torch.nn.utils.clip_grad_norm_(self._parameters, limit)
        self.optimizer.step()
        return {name: value.detach() if isinstance(value, Tensor) else value for name, value in figures.items()}

    def _recorded(self, batch: Triplet, recorder: Recorder) -> Callable[[], None]:
        held = self._input = Triplet(*(None if part is None else part.clone() for part in batch))  # type: ignore[arg-type]
        self.optimizer.zero_grad(set_to_none=True)
        self._output, replay = recorder.record(lambda: self._work(held))
        return replay


class Arrival(Protocol):
    """The end of a copy, as ``torch.cuda.Event`` tells it."""

    def query(self) -> bool: ...

    def synchronize(self) -> None: ...


def to_host(values: Tensor) -> tuple[Tensor, Arrival | None]:
    """The values on the host once the copy has arrived; None: they are there."""
    if not values.is_cuda:
        return values, None
    copied = torch.empty(len(values), pin_memory=True).copy_(values, non_blocking=True)
    event = torch.cuda.Event()
    event.record()
    return copied, event


class LateFigures:
    """Figures on their way from the device: copied without waiting, handed out once they have arrived.

    Args:
        copy: starts the copy to the host.
    """

    def __init__(self, copy: Callable[[Tensor], tuple[Tensor, Arrival | None]] = to_host) -> None:
        self.copy = copy
        self._coming: list[tuple[int, list[str], Tensor, Arrival | None, dict[str, float]]] = []

    def ask(self, step: int, figures: Figures) -> None:
        """Begins to copy the figures of ``step``."""
        tensors = {name: value.detach().float() for name, value in figures.items() if isinstance(value, Tensor)}
        plain = {name: float(value) for name, value in figures.items() if name not in tensors}
        values, arrived = self.copy(torch.stack(list(tensors.values())))
        self._coming.append((step, list(tensors), values, arrived, plain))

    def arrived(self, wait: bool = False) -> Iterator[tuple[int, dict[str, float]]]:
        """(step, figures) in order, as far as they are there; ``wait``: all."""
        while self._coming:
            step, names, values, arrived, plain = self._coming[0]
            if arrived is not None and not (wait or arrived.query()):
                return
            if arrived is not None:
                arrived.synchronize()
            del self._coming[0]
            yield step, {**plain, **dict(zip(names, values.tolist()))}


def can_capture(optimizer: Optimizer) -> bool:
    """Whether the optimiser's step can be part of a graph."""
    return all("capturable" in group for group in optimizer.param_groups)


def set_capturable(optimizer: Optimizer, capturable: bool) -> None:
    """Has the optimiser keep its rate and its step count on the device, or take both from the host.

    A schedule fills the rate in place: a graph reads the one of the moment. A run may be resumed on another device.
    """
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if capturable:
            rate = float(group["lr"])
            group["lr"] = torch.tensor(rate, device=device)
        else:
            group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = capturable
        for parameter in group["params"]:
            step = optimizer.state.get(parameter, {}).get("step")
            if isinstance(step, Tensor):
                optimizer.state[parameter]["step"] = step.to(device if capturable else "cpu", torch.float32)
