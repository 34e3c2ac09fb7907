"""Folding of a set of maps, in the words the tables use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from vfi_pipeline.geometry import folding


@dataclass(frozen=True)
class Folds:
    """Smallest ``det(I + grad u)`` of all maps, and the share of cells with det <= 0, mean over the maps."""

    min_det: float
    share: float


def fold_statistics(flows: Iterable[Tensor]) -> Folds:
    """Folding of displacements (B, 2, H, W), each at least 2 x 2. A zero flow has ``min_det`` 1 and ``share`` 0.

    Raises:
        ValueError: if there is no flow.
    """
    smallest, shares = [], []
    for flow in flows:
        low, share = folding(flow)
        smallest += low.tolist()
        shares += share.tolist()
    if not smallest:
        raise ValueError("fold_statistics needs at least one flow.")
    return Folds(min(smallest), sum(shares) / len(shares))
