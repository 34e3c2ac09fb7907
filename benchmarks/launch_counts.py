"""What one pair costs a device in launches, copies and waits, stage by stage, counted without a device.

    python -m benchmarks.gpu --count

Tensors on "cuda" are fake: PyTorch works out shapes and devices and computes nothing, and each operator that is no view
and no allocation counts as one launch. A convolution may be several kernels and a chain that a compiler fuses one, so
these are the host's calls, not a profile. The second column is counted in the same way, with stand-ins for CUDA graphs
and for Triton's kernel (where Triton is installed) that are one launch for each replay and each run.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import _lru_cache_wrapper
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.replay import Recorder, ReplaySettings
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import device_guide

ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "alias", "lift_fresh", "_unsafe_view")
"""Operators that launch nothing, beside views."""


Counted = tuple[str, int, "DeviceCounter"]
"""A stage, of how many pairs it is, and what was counted."""


@dataclass(frozen=True)
class StageCount:
    """One stage of a pair.

    Attributes:
        launches: operators on the device, where neither graphs nor the kernel work.
        as_run: what is launched where they do.
        copies: between host and device.
        waits: operators whose result the host reads.
    """

    stage: str
    launches: float
    as_run: float
    copies: float
    waits: float


class DeviceCounter(TorchDispatchMode):
    """Counts what a device is asked to do."""

    _counting: list[DeviceCounter] = []

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.copies = self.waits = 0

    def __enter__(self) -> DeviceCounter:
        self._counting.append(self)
        super().__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._counting.remove(self)
        super().__exit__(*failure)

    @classmethod
    def launch(cls) -> None:
        """Counts a launch that is no operator of PyTorch."""
        for counter in cls._counting:
            counter.launches += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        kinds = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)}
        if {"cpu", "cuda"} <= kinds:
            self.copies += 1
        elif "cuda" in kinds and not _is_free(func):
            self.launches += 1
        if reads_back(func, args):
            self.waits += 1
        return out


def _is_free(func: Any) -> bool:
    """Whether an operator launches nothing. Of ``prim``, fake tensors ask for their device, as real ones do not."""
    return func.is_view or func.namespace == "prim" or func.overloadpacket.__name__ in ALLOCATIONS


def record_counted(run: Callable[[], list[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
    """A ``models.replay.Recorder``: the graph that it makes computes nothing and is launched as one."""
    return DeviceCounter.launch, run()


@contextmanager
def kernel_counted() -> Iterator[None]:
    """Triton's kernel computes nothing and is one launch for each group of planes. Without Triton there is none."""
    try:
        from vfi_pipeline.synthesis import fused
    except ImportError:
        yield
        return
    kernel, has_kernel = fused._kernel, compose._has_kernel
    fused._kernel, compose._has_kernel = _CountedKernel(), lambda device: True  # type: ignore[assignment]
    try:
        yield
    finally:
        fused._kernel, compose._has_kernel = kernel, has_kernel


class _CountedKernel:
    """``kernel[grid](...)``, as Triton's are called."""

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        return lambda *arguments, **constants: DeviceCounter.launch()


def reads_back(func: Any, args: Any) -> bool:
    """Whether the operator's result, or its shape, depends on values that lie on the device."""
    if torch.Tag.data_dependent_output in func.tags:
        return True
    if func.name().startswith("aten::index"):  # of these, only masks do
        places = [leaf for leaf in tree_leaves(args[1:]) if isinstance(leaf, Tensor)]
        return any(place.dtype in (torch.bool, torch.uint8) for place in places)
    return torch.Tag.dynamic_output_shape in func.tags


class _OnDevice(FlowInterpolator):
    """Made where it stays: fake parameters cannot be moved."""

    def to(self, *_: Any, **__: Any) -> _OnDevice:
        return self


def count(frames: list[Frame], weights: str = "flow", batch: int = 8, times: int = 1) -> list[StageCount]:
    """The stages of one pair in the midst of a film: its share of a batch of ``batch`` pairs, and ``times`` frames.

    Args:
        frames: of one film, at least two.
    """
    config = load_flow(weights).model.config()
    plain, as_run = (_counted_stages(config, frames, batch, times, fast) for fast in (False, True))
    return [
        StageCount(name, one.launches / share, other.launches / share, one.copies / share, one.waits / share)
        for (name, share, one), (_, _, other) in zip(plain, as_run)
    ]


def _counted_stages(config: dict[str, Any], frames: list[Frame], batch: int, times: int, fast: bool) -> list[Counted]:
    """The stages, ``fast``: with the stand-ins."""
    with device_with_graphs(config) if fast else _device(config, None) as model, torch.inference_mode():
        for _ in range(1 + (ReplaySettings().calls_before_recording if fast else 0)):
            _stages(model, frames, batch, times)  # what is made once for a size
        return _stages(model, frames, batch, times)


@contextmanager
def device_with_graphs(config: dict[str, Any]) -> Iterator[FlowModel]:
    """A fake device on which graphs are replayed and the kernel runs, and a model of this configuration on it."""
    with kernel_counted(), _device(config, record_counted) as model:
        yield model


@contextmanager
def _device(config: dict[str, Any], record: Recorder | None) -> Iterator[FlowModel]:
    with fake_tensors(), torch.device("cuda"):
        yield FlowModel(_OnDevice.from_config(config), device="cuda", dtype=torch.float16, record=record)


@contextmanager
def fake_tensors() -> Iterator[None]:
    """Tensors have shapes, types and devices and no values, on any machine. Constants that the package keeps for each
    device are made anew, and not kept."""
    _forget_constants()
    try:
        with FakeTensorMode():
            yield
    finally:
        _forget_constants()


def _forget_constants() -> None:
    """Tensors that the package keeps for each device: those of the fake one are not for others, nor the other way."""
    for kept in gc.get_objects():
        if type(kept) is _lru_cache_wrapper and str(kept.__module__).startswith("vfi_pipeline."):
            kept.cache_clear()


def _stages(model: FlowModel, frames: list[Frame], batch: int, times: int) -> list[Counted]:
    """Each stage, of how many pairs it is, and what was counted."""
    counts: list[Counted] = []

    def counted(stage: str, work: Callable[[], Any], share: int = 1) -> Any:
        with DeviceCounter() as counter:
            result = work()
        counts.append((stage, share, counter))
        return result

    layout, span = compose.layout_of(frames[0]), model.guide_span or 512
    pictures = [frames[k % len(frames)] for k in range(batch + 3)]
    first_codes = counted("planes to the device", lambda: compose.to_codes(pictures[0], "cuda"))
    codes = [first_codes, *(compose.to_codes(frame, "cuda") for frame in pictures[1:])]

    def guide_of(k: int) -> Tensor:
        return device_guide(pictures[k], [compose.as_values(group) for group in codes[k]], span)

    guides = [counted("guide", lambda: guide_of(0)), *(guide_of(k) for k in range(1, batch + 3))]
    observed = [Observation.of(each, k) for k, each in enumerate(guides)]
    model.prepare_pairs([(observed[0], observed[1])])
    pairs = [(observed[k], observed[k + 1]) for k in range(1, batch + 1)]
    counted(f"network and estimate (of {batch} pairs at once)", lambda: model.prepare_pairs(pairs), batch)
    window = Window(observed[2], observed[3], observed[1], observed[4])
    motion = counted("acceleration", lambda: model.motion(window))
    moments = [(k + 1) / (times + 1) for k in range(times)]
    moves = counted(f"ODE and maps ({times} times)", lambda: motion.at(moments))
    counted("what is read of a frame", lambda: compose.sources(codes[1], layout))
    first, last = (compose.sources(codes[k], layout) for k in (2, 3))
    counted(
        f"composition ({times} frames)",
        lambda: [compose.composed(first, last, [move], layout) for move in moves],
    )
    stored = DeviceCounter()
    stored.copies = times * len(layout.groups)
    counts.append((f"store ({times} frames)", 1, stored))
    counted("facts of the pair", motion.report)
    return counts


def table(counts: list[StageCount]) -> str:
    """The counts as a table of Markdown, with their sum."""
    lines = ["| stage, of one pair | operators | launched | copies | waits |", "|--|--:|--:|--:|--:|"]
    total = StageCount("all", *(sum(values) for values in zip(*(_numbers(each) for each in counts))))
    for each in (*counts, total):
        lines.append(f"| {each.stage} | " + " | ".join(f"{value:.4g}" for value in _numbers(each)) + " |")
    return "\n".join(lines)


def _numbers(each: StageCount) -> tuple[float, float, float, float]:
    return each.launches, each.as_run, each.copies, each.waits
