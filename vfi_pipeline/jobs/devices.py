"""Whether this machine can have a GPU at all, without loading torch: it takes longer than all else before the work."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

NODES = {
    "cuda": ("nvidia[0-9]*", "nvidiactl", "nvhost-*", "nvmap", "dxg"),  # desktop and server, Jetson, Windows' Linux
    "hip": ("kfd", "dxg"),
    "xpu": ("dri", "dxg"),
}
"""Kind of a build of torch -> what lies in /dev of a Linux whose kernel has such a device."""


def no_device(dev: Path = Path("/dev")) -> bool:
    """True if torch, once loaded, could see no device beside the CPU: its build knows none, or the kernel has none.

    False where that cannot be told: on another system, of an unknown build, or where torch is loaded and can be asked.
    """
    if "torch" in sys.modules or sys.platform != "linux":
        return False
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return False
    try:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
    except OSError:
        return False
    kinds = kinds_of(text)
    return kinds is not None and not any(any(dev.glob(node)) for kind in kinds for node in NODES[kind])


def kinds_of(version: str) -> list[str] | None:
    """The kinds of device that torch was built for, of its version.py; None if that is written in another way."""
    values = dict(re.findall(r"^(cuda|hip|xpu)\b[^=\n]*=\s*(.+?)\s*$", version, re.MULTILINE))
    if values.keys() != NODES.keys():
        return None
    return [kind for kind in NODES if values[kind] != "None"]
