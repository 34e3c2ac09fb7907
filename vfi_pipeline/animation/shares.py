"""Shares of the maps (warp, multiply, add) in the change between two pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations

from torch import Tensor


def shapley_shares(names: Sequence[str], render: Callable[[frozenset[str]], Tensor], last: Tensor) -> dict[str, float]:
    """The share of the squared difference to ``last`` that each map removes, and the rest as ``fade``; the sum is 1.

    A map's share is its mean reduction over all orders in which the maps can be switched on (Shapley 1953): two maps
    may each increase the difference alone and reduce it together.

    Args:
        names: of the maps.
        render: the first picture at t = 1 with only the given maps switched on.
        last: the last picture.
    """
    remaining = {
        on: float((render(on) - last).square().mean())
        for size in range(len(names) + 1)
        for on in map(frozenset, combinations(names, size))
    }
    before = remaining[frozenset()]
    shares = dict.fromkeys(names, 0.0)
    if not before:
        return {**shares, "fade": 0.0}
    orders = list(permutations(names))
    for order in orders:
        on: frozenset[str] = frozenset()
        for name in order:
            shares[name] += (remaining[on] - remaining[on | {name}]) / before / len(orders)
            on = on | {name}
    return {**shares, "fade": remaining[frozenset(names)] / before}
