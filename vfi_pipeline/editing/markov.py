"""Labels on a grid by a Markov random field: min-sum belief propagation, and ICM, its baseline.

    E(l) = sum over nodes D(p, l_p)  +  sum over neighbours (p, q) V(p, q, l_p, l_q)

Data costs are (H, W, K). Pairwise costs are two tensors: ``across`` (H, W - 1, K, K), between a node and the one to the
right, and ``down`` (H - 1, W, K, K). Labels are (H, W), int64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def total_energy(labels: Tensor, data: Tensor, across: Tensor, down: Tensor) -> float:
    """``E(labels)``."""
    total = data.gather(2, labels[..., None]).sum()
    total = total + _between(across, labels[:, :-1], labels[:, 1:]).sum()
    return float(total + _between(down, labels[:-1], labels[1:]).sum())


def best_single(data: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """The labels of the cheapest solution with the same label everywhere, which stands for a single exemplar."""
    height, width, count = data.shape
    costs = [total_energy(torch.full((height, width), k, device=data.device), data, across, down) for k in range(count)]
    return torch.full((height, width), costs.index(min(costs)), dtype=torch.int64, device=data.device)


def iterated_conditional_modes(
    data: Tensor, across: Tensor, down: Tensor, start: Tensor | None = None, sweeps: int = 50
) -> Tensor:
    """Iterated conditional modes (Besag 1986): each node in turn takes the cheapest label given its neighbours'.

    All nodes of one colour of a chessboard change at once.

    Args:
        start: labels; None starts from ``best_single``, so that the result never costs more than that.
    """
    labels = (best_single(data, across, down) if start is None else start).clone()
    height, width, _ = data.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    odd = ((x + y) % 2).bool().to(data.device)
    for _ in range(sweeps):
        before = labels.clone()
        for field in (~odd, odd):
            labels = torch.where(field, _conditional(labels, data, across, down).argmin(dim=2), labels)
        if torch.equal(before, labels):
            break
    return labels


def belief_propagation(
    data: Tensor, across: Tensor, down: Tensor, iterations: int = 40, damping: float = 0.3
) -> Tensor:
    """Loopy min-sum belief propagation: the cheapest labels of all iterations, refined by ICM.

    On a chain or a tree the result is exact after enough iterations for messages to pass through it. On a grid the
    iterations need not converge, so the cheapest labels so far are kept, those of ICM among them: the result never
    costs more than ICM's.

    Args:
        damping: share of the old message in the new one.
    """
    height, width, count = data.shape
    zeros = data.new_zeros
    # To a node, from its neighbour to the left, right, above and below.
    left, right, above, below = (zeros(height, width, count) for _ in range(4))
    plain = iterated_conditional_modes(data, across, down)
    best, least_energy = plain, total_energy(plain, data, across, down)
    for _ in range(iterations):
        belief = data + left + right + above + below
        labels = belief.argmin(dim=2)
        cost = total_energy(labels, data, across, down)
        if cost < least_energy:
            best, least_energy = labels, cost
        new = (
            _message((belief - right)[:, :-1], across, 2),
            _message((belief - left)[:, 1:], across.transpose(2, 3), 2),
            _message((belief - below)[:-1], down, 2),
            _message((belief - above)[1:], down.transpose(2, 3), 2),
        )
        change = 0.0
        for message, part, place in zip(
            (left, right, above, below), new,
            (
                (slice(None), slice(1, None)), (slice(None), slice(None, -1)),
                (slice(1, None), slice(None)), (slice(None, -1), slice(None)),
            ),
        ):  # fmt: skip
            if not part.numel():
                continue
            mixed = damping * message[place] + (1 - damping) * part
            change = max(change, float((mixed - message[place]).abs().max()))
            message[place] = mixed
        if change < 1e-7:
            break
    belief = data + left + right + above + below
    for candidate in (belief.argmin(dim=2), best):
        refined = iterated_conditional_modes(data, across, down, candidate)
        cost = total_energy(refined, data, across, down)
        if cost < least_energy:
            best, least_energy = refined, cost
    return best


def _between(costs: Tensor, labels: Tensor, neighbours: Tensor) -> Tensor:
    """The pairwise costs of the labels of neighbours."""
    picked = costs.gather(2, labels[..., None, None].expand(*labels.shape, 1, costs.shape[3]))[:, :, 0]
    return picked.gather(2, neighbours[..., None])


def _conditional(labels: Tensor, data: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """(H, W, K): the cost of each label of a node, given its neighbours' labels."""
    cost = data.clone()

    def towards(costs: Tensor, fixed: Tensor, axis: int) -> Tensor:
        index = fixed[..., None, None]
        shape = [*fixed.shape, costs.shape[2], costs.shape[3]]
        shape[axis] = 1
        return costs.gather(axis, index.expand(shape)).squeeze(axis)

    if across.numel():
        cost[:, :-1] += towards(across, labels[:, 1:], 3)
        cost[:, 1:] += towards(across, labels[:, :-1], 2)
    if down.numel():
        cost[:-1] += towards(down, labels[1:], 3)
        cost[1:] += towards(down, labels[:-1], 2)
    return cost


def _message(belief: Tensor, costs: Tensor, axis: int) -> Tensor:
    """The message ``min over l of belief(l) + V(l, .)``, shifted so that its minimum is 0."""
    if not costs.numel():
        return costs.new_zeros(*costs.shape[:2], costs.shape[3])
    message = (belief[..., None] + costs).min(dim=axis).values
    return message - message.min(dim=2, keepdim=True).values
