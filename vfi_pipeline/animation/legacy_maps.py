"""Maps that versions up to 0.6 saved, in the words of today.

Such a file names the Python module that read it, and its tensors by that module's names (``far.velocity``,
``flow.drift``, ``sampled.there``). The tables say what each is called now; ``fit``, whose model is gone, becomes maps
sampled over t.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vfi_pipeline.geometry import warp
from vfi_pipeline.ode import Solver, stationary_flows

TABLE: dict[tuple[str, str], tuple[str, dict[str, str]]] = {
    ("vfi_pipeline.models.far", "far"): ("picture_fit", {}),
    ("vfi_pipeline.models.morph", "flow"): ("morph", {}),
    ("vfi_pipeline.models.morph", "original"): (
        "original_morph",
        {
            f"{old}.{part}": f"{new}.{part}"
            for old, new in (("there", "first_to_last"), ("back", "last_to_first"))
            for part in ("mult", "add", "warp")
        },
    ),
    ("vfi_pipeline.models.animation", "flow"): ("flow", {"drift": "visibility_rate"}),
    ("vfi_pipeline.models.animation", "field"): ("stationary", {}),
    ("vfi_pipeline.models.animation", "sampled"): (
        "sampled",
        {"there": "flow_to_first", "back": "flow_to_last", "share": "blend_weight"},
    ),
}
"""(module, first part of the tensors' names) -> (kind, what the rest is called now where that differs)."""

MODULES = frozenset(module for module, _ in TABLE)


def translated(module: str, state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The kind and the tensors of today, see ``maps``.

    Args:
        module: what the file names as its reader.
        state: the tensors by their old names.

    Raises:
        ValueError: if no version saved such maps.
    """
    prefix = next(iter(state), "").partition(".")[0]
    old = {name.partition(".")[2]: value for name, value in state.items()}
    if (module, prefix) == ("vfi_pipeline.models.animation", "fit"):
        return "sampled", _sampled_fit(old)
    if (module, prefix) not in TABLE:
        raise ValueError(f"there is no kind of maps called {module!r} {prefix!r}")
    kind, names = TABLE[module, prefix]
    if kind == "flow" and "first" in old:
        old.setdefault("acceleration", torch.zeros_like(old["first"]))  # files before version 0.3 hold none
    return kind, {names.get(name, name): value for name, value in old.items()}


FIT_REACH = 0.5
"""How ``fit`` believed a frame: less by the squared distance, px^2, by which a pulled pixel misses the place that its
own flow takes it to."""

FIT_HIDDEN, FIT_ELSEWHERE = 0.3, 0.1
"""... and its weight where it is not found in the other frame, and where its own flow takes it elsewhere, beside 1."""

FIT_TIMES = 17
"""Times in [0, 1] that its maps are sampled at."""

FIT_SOLVER = Solver("midpoint", steps=16)


def _sampled_fit(old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Maps of films' ``fit`` (two stationary fields, and the flow of both directions) at even times.

    ``flow_to_first = exp(-t v) - id``, ``flow_to_last = exp((1 - t) w) - id``; the weight follows from which frame
    really sees the point: its own flow brings the pulled pixel here, and the other frame shows it as well.
    """
    try:
        v, w = old["fields"].float().split(1)
        flows = [old[name].float() for name in ("forward", "backward")]
        found = [old[name].float() for name in ("sure_first", "sure_last")]
    except (KeyError, ValueError) as error:
        raise ValueError(f"the maps do not fit their kind, fit ({error})") from error
    times = [k / (FIT_TIMES - 1) for k in range(FIT_TIMES)]
    to_first = stationary_flows(-v, times, FIT_SOLVER)
    to_last = stationary_flows(w, [1 - t for t in times], FIT_SOLVER)
    weights = []
    for t, first, last in zip(times, to_first, to_last):
        seen_first = (1 - t) * _fit_visibility(flows[0], found[0], first, t)
        seen_last = t * _fit_visibility(flows[1], found[1], last, 1 - t)
        weights.append(seen_first / (seen_first + seen_last))
    span = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return {
        "flow_to_first": torch.cat(to_first), "flow_to_last": torch.cat(to_last), "blend_weight": torch.cat(weights),
        "span": span,
    }  # fmt: skip


def _fit_visibility(flow: Tensor, found: Tensor, pull: Tensor, part: float) -> Tensor:
    """How well a frame shows the point that is pulled from it; ``part`` of its own ``flow`` should lead here."""
    pulled = warp(torch.cat((flow, found), dim=1), pull)
    miss = (pull + part * pulled[:, :2]).square().sum(dim=1, keepdim=True)
    return torch.exp(-miss / FIT_REACH) * (pulled[:, 2:] + FIT_HIDDEN) + FIT_ELSEWHERE
