"""Maps that versions up to 0.6 saved, translated to the present kinds and names.

Such a file names the Python module that read it, and its tensors by that module's names (``far.velocity``,
``flow.drift``, ``sampled.there``). The tables give the present names. ``fit``, whose model no longer exists, becomes
maps sampled over t.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
"""(module, first part of the tensors' names) -> (kind, present name of the rest where it differs)."""

MODULES = frozenset(module for module, _ in TABLE)


def translated(module: str, state: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """The present kind and tensors, see ``maps``.

    Args:
        module: the reader that the file names.
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


@dataclass(frozen=True)
class FitWeights:
    """The visibility weights of version 0.6's ``fit``, whose files these constants reproduce.

    Attributes:
        miss_scale: squared distance, px^2, between a pulled pixel and the place to which its own flow takes it, at
            which its weight falls to 1/e.
        hidden: weight, beside 1, of a pixel that the other frame does not show.
        elsewhere: weight, beside 1, of a pixel whose own flow takes it elsewhere.
        times: even times in [0, 1] at which the maps are sampled.
        solver: of the displacements.
    """

    miss_scale: float = 0.5
    hidden: float = 0.3
    elsewhere: float = 0.1
    times: int = 17
    solver: Solver = Solver("midpoint", steps=16)


FIT = FitWeights()


def _sampled_fit(old: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Maps of films' ``fit`` (two stationary fields, and the flow of both directions) at even times.

    ``flow_to_first = exp(-t v) - id``, ``flow_to_last = exp((1 - t) w) - id``. A frame's weight is high where its own
    flow brings the pulled pixel here and the other frame shows the pixel as well.
    """
    try:
        v, w = old["fields"].float().split(1)
        flows = [old[name].float() for name in ("forward", "backward")]
        confidences = [old[name].float() for name in ("sure_first", "sure_last")]
    except (KeyError, ValueError) as error:
        raise ValueError(f"the maps do not fit their kind, fit ({error})") from error
    times = [k / (FIT.times - 1) for k in range(FIT.times)]
    to_first = stationary_flows(-v, times, FIT.solver)
    to_last = stationary_flows(w, [1 - t for t in times], FIT.solver)
    weights = []
    for t, first, last in zip(times, to_first, to_last):
        weight_first = (1 - t) * _fit_visibility(flows[0], confidences[0], first, t)
        weight_last = t * _fit_visibility(flows[1], confidences[1], last, 1 - t)
        weights.append(weight_first / (weight_first + weight_last))
    span = torch.tensor([0.0, 1.0], dtype=torch.float64)
    return {
        "flow_to_first": torch.cat(to_first), "flow_to_last": torch.cat(to_last), "blend_weight": torch.cat(weights),
        "span": span,
    }  # fmt: skip


def _fit_visibility(flow: Tensor, confidence: Tensor, displacement: Tensor, duration: float) -> Tensor:
    """The visibility weight of a frame from which ``displacement`` pulls; ``duration * flow`` should lead back here."""
    pulled = warp(torch.cat((flow, confidence), dim=1), displacement)
    miss = (displacement + duration * pulled[:, :2]).square().sum(dim=1, keepdim=True)
    return torch.exp(-miss / FIT.miss_scale) * (pulled[:, 2:] + FIT.hidden) + FIT.elsewhere
