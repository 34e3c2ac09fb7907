"""What one pair costs a device in launches, copies and waits, stage by stage, counted without a device.

    python -m benchmarks.gpu --count

Tensors on "cuda" are fake: PyTorch works out shapes and devices and computes nothing, and each operator that is no view
and no allocation counts as one launch. A convolution may be several kernels and a chain that a compiler fuses one, so
these are the host's calls, not a profile. Where the stream replays a stage as a CUDA graph, or Triton makes it in one
kernel for each group of planes, the second column has what is launched then.
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
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import device_guide

ALLOCATIONS = ("empty", "new_empty", "empty_like", "empty_strided", "detach", "alias", "lift_fresh", "_unsafe_view")
"""Operators that launch nothing, beside views."""


@dataclass(frozen=True)
class StageCount:
    """One stage of a pair.

    Attributes:
        launches: operators on the device.
        as_run: of these, what the stream launches where graphs and the kernel work; a graph counts as one, and the
            copies of its inputs and outputs as one each.
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

    def __init__(self) -> None:
        super().__init__()
        self.launches = self.copies = self.waits = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        kinds = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)}
        if {"cpu", "cuda"} <= kinds:
            self.copies += 1
        elif "cuda" in kinds and not func.is_view and func.overloadpacket.__name__ not in ALLOCATIONS:
            self.launches += 1
        if reads_back(func, args):
            self.waits += 1
        return out


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
    with fake_tensors(), torch.device("cuda"):
        model = FlowModel(_OnDevice.from_config(config), device="cuda", dtype=torch.float16)
        with torch.inference_mode():
            _stages(model, frames, batch, times)  # what is made once for a size
            return _stages(model, frames, batch, times)


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


def _stages(model: FlowModel, frames: list[Frame], batch: int, times: int) -> list[StageCount]:
    counts: list[StageCount] = []

    def counted(stage: str, work: Callable[[], Any], share: int = 1, as_run: float | None = None) -> Any:
        with DeviceCounter() as counter:
            result = work()
        launched = counter.launches / share
        counts.append(
            StageCount(stage, launched, launched if as_run is None else as_run, counter.copies / share, counter.waits)
        )
        return result

    layout, span = compose.layout_of(frames[0]), model.guide_span or 512
    shown = [frames[k % len(frames)] for k in range(batch + 3)]
    first_codes = counted("planes to the device", lambda: compose.to_codes(shown[0], "cuda"))
    codes = [first_codes, *(compose.to_codes(frame, "cuda") for frame in shown[1:])]

    def look(k: int) -> Tensor:
        looked = device_guide(shown[k], [compose.as_values(group) for group in codes[k]], span)
        assert looked is not None
        return looked

    guides = [counted("guide", lambda: look(0)), *(look(k) for k in range(1, batch + 3))]
    seen = [Observation.of(each, k) for k, each in enumerate(guides)]
    model.prepare_pairs([(seen[0], seen[1])])
    pairs = [(seen[k], seen[k + 1]) for k in range(1, batch + 1)]
    # As graphs: of network and estimate one launch each, their inputs copied in and their results out.
    features = len(model.encoded(seen[0]).features)
    graphs = (1 + 1 + features + 1 + 2 + 2 * features + 8) / batch
    counted(f"network and estimate (of {batch} pairs at once)", lambda: model.prepare_pairs(pairs), batch, graphs)
    window = Window(seen[2], seen[3], seen[1], seen[4])
    motion = counted("acceleration", lambda: model.motion(window))
    moments = [(k + 1) / (times + 1) for k in range(times)]
    moves = counted(f"ODE and maps ({times} times)", lambda: motion.at(moments))
    first, last = ([compose.as_values(group) for group in codes[k]] for k in (2, 3))
    with DeviceCounter() as prepared:
        compose.motion_field(moves[:1], torch.device("cuda"))
    counted(
        f"composition ({times} frames)",
        lambda: [compose.rounded(compose.planes(first, last, [move], layout), layout) for move in moves],
        as_run=times * (prepared.launches + len(layout.groups)),
    )
    counts.append(StageCount(f"store ({times} frames)", 0, 0, times * len(layout.groups), 0))
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
