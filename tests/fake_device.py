"""A CUDA device that computes nothing but shapes and types, and a watch that names what would make a real one wait.

``with fake_cuda() as watch``: tensors made under ``torch.device("cuda")`` are fake, on any machine. ``watch.faults``
names every operator that reads a value back, that has tensors of the host and of the device among its arguments and
results, or that fails.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.launch_counts import fake_tensors, reads_back

PACKAGE = str(Path(__file__).resolve().parent.parent / "vfi_pipeline")


class Watch(TorchDispatchMode):
    """Sees every operator; where one would wait, ``faults`` has the operator, the reason and the line."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.operators = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators += 1
        if reads_back(func, args):
            self._note(func, "reads a value back")
            raise DataDependentOutputException(func)
        try:
            out = func(*args, **(kwargs or {}))
        except Exception:
            self._note(func, "fails")
            raise
        devices = {leaf.device.type for leaf in tree_leaves((args, kwargs, out)) if isinstance(leaf, Tensor)}
        if len(devices) > 1:
            self._note(func, "mixes " + " and ".join(sorted(devices)))
        return out

    def _note(self, func, what: str) -> None:
        own = [frame for frame in traceback.extract_stack() if frame.filename.startswith(PACKAGE)]
        place = f"{Path(own[-1].filename).name}:{own[-1].lineno}: {own[-1].line}" if own else "outside of the package"
        self.faults.append(f"{func.name()} {what}, {place}")


@contextmanager
def fake_cuda() -> Iterator[Watch]:
    """Everything on "cuda" is fake, and watched."""
    with fake_tensors():
        yield Watch()
