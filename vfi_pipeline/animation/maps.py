"""A solved animation as tensors, and the animation again from them, for pictures of any size.

The tensors are of a kind, a word of ``KINDS``. A file holds no code and names none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from vfi_pipeline.animation.morph import MorphAnimation
from vfi_pipeline.animation.motion_animation import MotionAnimation
from vfi_pipeline.animation.original_morph import OriginalMorph, Strengths
from vfi_pipeline.animation.picture_fit import FieldAnimation
from vfi_pipeline.animation.protocol import PairAnimation
from vfi_pipeline.animation.saved_motion import SampledMotion, StationaryMotion
from vfi_pipeline.models.flow_fields import FlowMotion, MotionFields
from vfi_pipeline.models.motion import PairMotion
from vfi_pipeline.models.warping_ode import NodeMotion
from vfi_pipeline.ode import ADAPTIVE, FIXED, Solver

State = Mapping[str, Tensor]

_DIRECTIONS = ("first_to_last", "last_to_first")
_MOTION_FIELDS = ("first", "last", "visibility", "visibility_rate", "acceleration")


def state_of(animation: PairAnimation) -> tuple[str, dict[str, Tensor]]:
    """The kind of an animation, one of ``KINDS``, and the tensors that ``animation_of`` needs, on the CPU.

    Raises:
        ValueError: if it is of no kind.
    """
    kind, state = _state_of(animation)
    return kind, {name: value.detach().cpu().contiguous() for name, value in state.items()}


def animation_of(kind: str, state: State, first: Tensor, last: Tensor) -> PairAnimation:
    """The animation that ``state`` describes, for pictures (1, C, H, W) of any one size.

    Raises:
        ValueError: if there is no such kind, or the state does not fit it or the pictures.
    """
    if kind not in KINDS:
        raise ValueError(f"there are no maps of the kind {kind!r}; known: {', '.join(KINDS)}")
    try:
        return KINDS[kind](state, first, last)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"the maps do not fit their kind, {kind} ({error})") from error


# ---------------------------------------------------------------------------------------------------------- to tensors


def _state_of(animation: PairAnimation) -> tuple[str, dict[str, Tensor]]:
    if isinstance(animation, MorphAnimation):
        mult, add = animation.colour_change.chunk(2, dim=1)
        return "morph", {"velocity": animation.velocity(), "mult": mult, "add": add}
    if isinstance(animation, FieldAnimation):
        return "picture_fit", {"velocity": animation.velocity()}
    if isinstance(animation, OriginalMorph):
        return "original_morph", _drawn_state(animation)
    if isinstance(animation, MotionAnimation):
        return _motion_state(animation.motion)
    raise ValueError(f"animations of the type {type(animation).__name__} cannot be kept in a file")


def _drawn_state(animation: OriginalMorph) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for direction, maps in zip(_DIRECTIONS, animation.drawn.split(1)):
        mult, add = maps[:, :-2].chunk(2, dim=1)
        parts = {"mult": mult, "add": add, "warp": maps[:, -2:]}
        state |= {f"{direction}.{name}": part for name, part in parts.items()}
    strengths = animation.strengths
    numbers = [strengths.mult, strengths.add, strengths.warp, float(strengths.add_first)]
    return {**state, "strengths": torch.tensor(numbers, dtype=torch.float64)}


def _motion_state(motion: PairMotion) -> tuple[str, dict[str, Tensor]]:
    if isinstance(motion, FlowMotion):
        fields = {name: value for name, value in vars(motion.fields).items() if value is not None}
        size = torch.tensor(motion.size, dtype=torch.float64)
        return "flow", {**fields, "size": size, "solver": _solver_numbers(motion.solver)}
    if isinstance(motion, NodeMotion) and motion.model.field.kind == "svf":
        motion = _stationary(motion)
    if isinstance(motion, StationaryMotion):
        w = {} if motion.w is None else {"w": motion.w}
        return "stationary", {"v": motion.v, **w, "solver": _solver_numbers(motion.solver)}
    if not isinstance(motion, SampledMotion):
        # A single picture may be animated backward, and beyond t = 1.
        one_sided = isinstance(motion, NodeMotion) and motion.model.sides == "first"
        motion = SampledMotion.of(motion, (-1, 2) if one_sided else (0, 1))
    state = {name: getattr(motion, name) for name in ("flow_to_first", "flow_to_last", "blend_weight")}
    if motion.confidence is not None:
        state["confidence"] = motion.confidence
    return "sampled", {**state, "span": torch.tensor(motion.span, dtype=torch.float64)}


@torch.no_grad()
def _stationary(motion: NodeMotion) -> StationaryMotion:
    """The motion of a Warping ODE whose field does not depend on t, as that field alone."""
    model, first, last = motion.model, motion.first, motion.last
    v = model.field(first, last).picture(0.0)
    w = {"first": lambda: None, "group": lambda: -v, "both": lambda: model.field(last, first).picture(0.0)}
    return StationaryMotion(v, w[model.sides](), model.solver)


def _solver_numbers(solver: Solver) -> Tensor:
    """A solver as numbers, for files that hold only tensors."""
    method = (*FIXED, *ADAPTIVE).index(solver.method)
    return torch.tensor([method, solver.steps, solver.rtol, solver.atol], dtype=torch.float64)


# -------------------------------------------------------------------------------------------------------- from tensors


def _picture_fit(state: State, first: Tensor, last: Tensor) -> FieldAnimation:
    return FieldAnimation(_field(state["velocity"], first), first, last)


def _morph(state: State, first: Tensor, last: Tensor) -> MorphAnimation:
    change = torch.cat((state["mult"], state["add"]), dim=1).to(first)
    _check_channels(change.shape[1] // 2, first)
    return MorphAnimation(_field(state["velocity"], first), change, first, last)


def _original_morph(state: State, first: Tensor, last: Tensor) -> OriginalMorph:
    drawn = [torch.cat([state[f"{d}.{name}"] for name in ("mult", "add", "warp")], dim=1) for d in _DIRECTIONS]
    _check_channels(drawn[0].shape[1] // 2 - 1, first)
    mult, add, warp, add_first = state["strengths"].tolist()
    return OriginalMorph(torch.cat(drawn).to(first), Strengths(mult, add, warp, bool(add_first)), first, last)


def _flow(state: State, first: Tensor, last: Tensor) -> MotionAnimation:
    parts = {name: state[name].to(first) for name in _MOTION_FIELDS}
    confidence = state["confidence"].to(first) if "confidence" in state else None
    height, width = state["size"].tolist()
    motion = FlowMotion(MotionFields(**parts, confidence=confidence), (height, width), _solver(state["solver"]))
    return MotionAnimation(motion, first, last)


def _stationary_fields(state: State, first: Tensor, last: Tensor) -> MotionAnimation:
    w = _field(state["w"], first) if "w" in state else None
    return MotionAnimation(StationaryMotion(_field(state["v"], first), w, _solver(state["solver"])), first, last)


def _sampled(state: State, first: Tensor, last: Tensor) -> MotionAnimation:
    low, high = state["span"].tolist()
    confidence = state["confidence"].to(first) if "confidence" in state else None
    to_first, to_last, weight = (state[name].to(first) for name in ("flow_to_first", "flow_to_last", "blend_weight"))
    if not len(to_first) == len(to_last) == len(weight) > 1:
        raise ValueError("the maps do not fit their kind, sampled (their counts of times differ)")
    return MotionAnimation(SampledMotion(to_first, to_last, weight, confidence, (low, high)), first, last)


KINDS: dict[str, Callable[[State, Tensor, Tensor], Any]] = {
    "picture_fit": _picture_fit,
    "morph": _morph,
    "original_morph": _original_morph,
    "flow": _flow,
    "stationary": _stationary_fields,
    "sampled": _sampled,
}
"""From tensors and both pictures to the animation, for each kind."""


def _field(value: Tensor, like: Tensor) -> Tensor:
    if value.ndim != 4 or value.shape[1] != 2:
        raise ValueError(f"the maps do not fit their kind (a field has the shape {tuple(value.shape)})")
    return value.to(like)


def _check_channels(channels: int, picture: Tensor) -> None:
    if channels != picture.shape[1]:
        raise ValueError(f"the maps are for pictures of {channels} channels, not {picture.shape[1]}")


def _solver(numbers: Tensor) -> Solver:
    method, steps, rtol, atol = numbers.tolist()
    return Solver((*FIXED, *ADAPTIVE)[int(method)], int(steps), rtol, atol)
