"""Pictures in, animation out: what a model gives that goes from one picture to another, however far apart they are.

A ``PairModel`` solves a pair once; its ``PairAnimation`` then gives the picture at any time, in any order, without
solving again. Every ``MotionModel`` (fit, flow, node, blend) becomes one by ``animator``; ``models.morph`` is one by
itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import outside, pixel_grid, resize_flow, warp
from vfi_pipeline.models.motion import Inbetween, MotionModel, MotionReport, PairMotion
from vfi_pipeline.ode import SampledVelocity, Solver, flow_map
from vfi_pipeline.ode.flow_map import ADAPTIVE, FIXED


class PairAnimation(Protocol):
    """A solved pair. Pictures are (1, C, H, W), float in [0, 1]; C is 1, 3 or 4 (RGB premultiplied by alpha, alpha)."""

    def frame(self, t: float) -> Tensor:
        """The picture at ``t``, of the size of the inputs; ``t = 0`` and ``t = 1`` are the inputs, bit for bit."""

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        """What the first picture alone makes of time ``t``, and the last one alone; ``frame`` mixes the two."""

    def maps(self, t: float) -> Inbetween:
        """The displacements to ``t``, in pixels of their own grid, and the weight of the first picture."""

    def velocity(self) -> Tensor:
        """(1, 2, h, w) how fast the content moves half-way, in pixels of this grid per unit t, (dx, dy)."""

    def shares(self) -> dict[str, float]:
        """Which share of the change each map carries (``warp``, ``mult``, ``add``...), adding up to 1; may be empty."""

    def state(self) -> dict[str, Tensor]:
        """All that the module's ``restore(state, first, last)`` needs to make this animation again, at any size."""


Progress = Callable[[float, PairAnimation], None]
"""Told now and then while a pair is solved: the share done in [0, 1], and the animation as it stands."""

Points = tuple[Tensor, Tensor]
"""Corresponding points: (N, 2) pixel coordinates (x, y) in the first picture, and the same N in the last one."""


class PairModel(Protocol):
    """Solves pairs of pictures, by whatever means."""

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> PairAnimation:
        """The animation from ``first`` to ``last``, both (1, C, H, W) of one size.

        Args:
            points: pairs of points that belong together: a wish, not a condition.
            progress: called at most a few times a second.
        """


def animator(model: Any) -> PairModel:
    """``model`` itself if it solves pairs, ``model=fit`` at full strength, else the adapter for a ``MotionModel``."""
    if getattr(model, "name", None) == "fit" and not hasattr(model, "solve"):
        from vfi_pipeline.models.far import picture_fit  # here: it imports this module

        return picture_fit(model)
    return model if hasattr(model, "solve") else MotionAnimator(model)


# ----------------------------------------------------------------------------------------- any motion model as one


class MotionAnimator:
    """A ``PairModel`` out of a ``MotionModel``: it sees RGB of its ``guide_span``; pictures move at their own size."""

    def __init__(self, model: MotionModel) -> None:
        self.model = model

    def solve(
        self, first: Tensor, last: Tensor, *, points: Points | None = None, progress: Progress | None = None
    ) -> MotionAnimation:
        """See ``PairModel``.

        Raises:
            UserError: if ``points`` are given: a motion model has no place for them.
        """
        if points is not None:
            raise UserError(f"model={self.model.name} takes no points.", "model=fit or model=morph, or no points=.")
        self.model.reset()
        motion = self.model.motion(*(looked_at(picture, self.model.guide_span) for picture in (first, last)))
        animation = MotionAnimation(motion, first, last)
        if progress is not None:
            progress(1.0, animation)
        return animation


class MotionAnimation:
    """A pair that is moved and blended: ``share * first(x + there) + (1 - share) * last(x + back)``."""

    def __init__(self, motion: PairMotion, first: Tensor, last: Tensor) -> None:
        self.motion, self.first, self.last = motion, first, last
        self._ahead: dict[float, Inbetween] = {}
        self._latest: Inbetween | None = None  # a frame's maps are asked for again once it is made

    @torch.no_grad()
    def expect(self, times: Sequence[float]) -> None:
        """Solves for ``times`` at once, because they will be asked for: one solve instead of many."""
        wanted = sorted({self._at(float(t)) for t in times})
        self._ahead = dict(zip(wanted, self.motion.at(wanted))) if wanted else {}

    def _at(self, t: float) -> float:
        """The motion's own time."""
        return t

    def _moved(self, t: float) -> Inbetween:
        t = self._at(float(t))
        if t in self._ahead:
            return self._ahead[t]
        if self._latest is None or self._latest.t != t:
            (self._latest,) = self.motion.at([t])
        return self._latest

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        if t in (0, 1):
            return self.first if t == 0 else self.last
        return blended(self.first, self.last, self.maps(t))

    @torch.no_grad()
    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        maps = self.maps(t)
        return pulled(self.first, maps.there), pulled(self.last, maps.back)

    @torch.no_grad()
    def maps(self, t: float) -> Inbetween:
        maps = self._moved(t)
        if 0 <= t <= 1:
            return maps
        # Beyond an end only the picture at that end is shown: the other one's weight would be negative.
        return Inbetween(maps.t, maps.there, maps.back, torch.full_like(maps.share, float(t < 0)))

    @torch.no_grad()
    def velocity(self) -> Tensor:
        (half,) = self.motion.at([0.5])
        # The first picture is pulled by ``there``, so what it shows has moved by minus that in half the time.
        return (half.back - half.there).expand(1, 2, *half.there.shape[-2:])

    def shares(self) -> dict[str, float]:
        return {}

    def report(self) -> MotionReport:
        """Velocity calls, smallest determinant and folded share of what was asked so far."""
        return self.motion.report()

    def state(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().contiguous() for name, value in _state(self.motion).items()}


def restore(state: Mapping[str, Tensor], first: Tensor, last: Tensor) -> MotionAnimation:
    """The animation whose ``state`` this is, for pictures of any one size.

    Raises:
        ValueError: if the state is not one that ``MotionAnimation.state`` gives.
    """
    return MotionAnimation(_motion(state), first, last)


def looked_at(picture: Tensor, span: int | None) -> Tensor:
    """``picture`` (1, C, H, W) as a motion model sees it: RGB, its longest side at most ``span``, over mid grey."""
    if span is None:
        return picture.new_zeros(1, 3, 1, 1)
    height, width = picture.shape[-2:]
    longest = max(height, width)
    if longest > span:
        size = [max(1, round(side * span / longest)) for side in (height, width)]
        picture = F.interpolate(picture, size, mode="bilinear", align_corners=False, antialias=True)
    if picture.shape[1] == 4:
        return picture[:, :3] + 0.5 * (1 - picture[:, 3:])
    return picture.expand(-1, 3, -1, -1).contiguous()


def pulled(picture: Tensor, displacement: Tensor) -> Tensor:
    """``picture`` moved by a displacement that may live on a smaller grid."""
    return warp(picture, resize_flow(displacement.to(picture), *picture.shape[-2:]))


def blended(first: Tensor, last: Tensor, maps: Inbetween) -> Tensor:
    """The in-between that ``maps`` describe, at the pictures' size; an ``Inbetween`` on any grid.

    Where one picture is pulled from outside its frame and the other is not, the other one is shown, as in
    ``synthesis.compose``.
    """
    size = first.shape[-2:]
    there, back = (resize_flow(u.to(first), *size) for u in (maps.there, maps.back))
    share = maps.share.to(first)
    if share.shape[-2:] != size:
        share = F.interpolate(share, size, mode="bilinear", align_corners=False)
    in_first, in_last = (1 - outside(u).amax(dim=1, keepdim=True).clamp(max=1) for u in (there, back))
    only_first, only_last = in_first * (1 - in_last), in_last * (1 - in_first)
    held = (share == 0) | (share == 1)  # the model shows one picture only: it stays so
    share = torch.where(held, share, share + only_first - share * (only_first + only_last))
    return torch.lerp(warp(last, back), warp(first, there), share)


# ------------------------------------------------------------------------------------------------ one picture alone


class FieldMotion:
    """The motion of stationary fields; see ``models.motion.PairMotion``.

    ``there = exp(t v) - id`` and ``back = exp((1 - t) w) - id``; without ``w`` only the first picture is shown.
    """

    def __init__(self, v: Tensor, w: Tensor | None, solver: Solver) -> None:
        self.v, self.w, self.solver = v, w, solver

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[Inbetween]:
        return [self._at(float(t)) for t in times]

    def _at(self, t: float) -> Inbetween:
        there = self._followed(self.v, t)
        back = torch.zeros_like(there) if self.w is None else self._followed(self.w, 1 - t)
        share = 1.0 if self.w is None else 1 - t
        return Inbetween(t, there, back, there.new_full((1, 1, *there.shape[-2:]), share))

    def _followed(self, field: Tensor, duration: float) -> Tensor:
        grid = pixel_grid(*field.shape[-2:], like=field)
        return flow_map(SampledVelocity(field), grid, 0.0, duration, self.solver)

    def report(self) -> MotionReport:
        return MotionReport(0, 1.0, 0.0)


class SampledMotion:
    """A motion read at even times and interpolated between them (Catmull-Rom in t)."""

    TIMES = 17
    """Per unit t, both ends counted."""

    def __init__(self, there: Tensor, back: Tensor, share: Tensor, span: tuple[float, float] = (0.0, 1.0)) -> None:
        """(T, 2, h, w), (T, 2, h, w), (T, 1, h, w), T evenly spaced times over ``span``."""
        self.there, self.back, self.share, self.span = there, back, share, span

    def at(self, times: Sequence[float]) -> list[Inbetween]:
        """Raises:
        ValueError: for a time outside of the span.
        """
        low, high = self.span
        if not all(low <= t <= high for t in times):
            raise ValueError(f"these maps hold t from {low:g} to {high:g}")
        return [
            Inbetween(t, self._read(self.there, t), self._read(self.back, t), self._read(self.share, t).clamp(0, 1))
            for t in times
        ]

    def _read(self, stack: Tensor, t: float) -> Tensor:
        last = len(stack) - 1
        at = (t - self.span[0]) / (self.span[1] - self.span[0]) * last
        k = min(int(at), last - 1)
        s = at - k
        p0, p1, p2, p3 = (stack[min(max(k + step, 0), last)][None].float() for step in (-1, 0, 1, 2))
        p0 = 2 * p1 - p2 if k == 0 else p0  # straight on beyond the ends
        p3 = 2 * p2 - p1 if k == last - 1 else p3
        a, b, c = 2 * p0 - 5 * p1 + 4 * p2 - p3, p2 - p0, 3 * (p1 - p2) + p3 - p0
        return p1 + 0.5 * s * (b + s * (a + s * c))

    def report(self) -> MotionReport:
        return MotionReport(0, 1.0, 0.0)


class PictureAnimation(MotionAnimation):
    """One picture carried along a field that was learned: ``t = 0`` is the picture; any t, also below 0 and above 1.

    ``backward`` runs the other way: the picture is taken for the last one of what the weights learned.
    """

    def __init__(self, motion: PairMotion, picture: Tensor, backward: bool = False) -> None:
        super().__init__(motion, picture, picture)
        self.backward = backward

    def _at(self, t: float) -> float:
        return -t if self.backward else t

    @torch.no_grad()
    def frame(self, t: float) -> Tensor:
        return self.first if t == 0 else pulled(self.first, self.maps(t).there)

    def sides(self, t: float) -> tuple[Tensor, Tensor]:
        made = self.frame(t)
        return made, made

    @torch.no_grad()
    def maps(self, t: float) -> Inbetween:
        maps = self._moved(t)
        return Inbetween(float(t), maps.there, torch.zeros_like(maps.there), torch.ones_like(maps.share))

    @torch.no_grad()
    def velocity(self) -> Tensor:
        return -2 * self.maps(0.5).there


def animate_one(model: Any, picture: Tensor, backward: bool = False) -> PictureAnimation:
    """``picture`` (1, C, H, W) animated by a Warping ODE that was trained on first frames alone.

    Raises:
        UserError: if the model is no such thing.
    """
    field = getattr(model, "field", None)
    if field is None or not hasattr(model, "sides"):
        raise UserError(
            f"model={getattr(model, 'name', 'this')} needs two pictures: one alone does not say where it goes.",
            "input=[a.png,b.png], or weights= of a Warping ODE that train.py made, which animates one.",
        )
    if field.conditioning != "first":
        raise UserError(
            "These weights look at both pictures (field.conditioning=both); there is only one.",
            "a second picture, or weights trained with field.conditioning=first net.sides=first.",
        )
    seen = looked_at(picture, model.guide_span)
    return PictureAnimation(model.motion(seen, seen), picture, backward)


# --------------------------------------------------------------------------------------------------- state and file

RESTORERS = ("vfi_pipeline.models.animation", "vfi_pipeline.models.far", "vfi_pipeline.models.morph")
"""Modules whose ``restore`` a maps file may ask for: a file can name only these."""


def home_of(animation: PairAnimation) -> str:
    """The module that ``restore``s this animation, to be written beside its state."""
    home = type(animation).__module__
    return home if home in RESTORERS else __name__


def restored(home: str, state: Mapping[str, Tensor], first: Tensor, last: Tensor) -> PairAnimation:
    """The animation of a state that came with ``home``.

    Raises:
        ValueError: if the home is none of ``RESTORERS``, or the state does not fit it.
    """
    if home not in RESTORERS:
        raise ValueError(f"there is no kind of maps called {home!r}")
    try:
        return importlib.import_module(home).restore(dict(state), first, last)
    except (KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"the maps do not fit their kind ({error})") from error


def _state(motion: PairMotion) -> dict[str, Tensor]:
    from vfi_pipeline.models.fit import FitMotion  # here: fit may itself import this module
    from vfi_pipeline.models.flow import FlowMotion
    from vfi_pipeline.models.warping_ode import NodeMotion

    if isinstance(motion, FitMotion):
        pair = motion.pair
        found = {"fields": motion.fields, "forward": pair.forward, "backward": pair.backward}
        found |= {"sure_first": pair.sure_first, "sure_last": pair.sure_last, "solver": _solver_code(motion.solver)}
        return {f"fit.{name}": value for name, value in found.items()}
    if isinstance(motion, FlowMotion):
        named = {part.name: getattr(motion.found, part.name) for part in fields(motion.found)}
        named |= {"size": torch.tensor(motion.size, dtype=torch.float64), "solver": _solver_code(motion.solver)}
        return {f"flow.{name}": value for name, value in named.items()}
    if isinstance(motion, NodeMotion) and motion.model.field.kind == "svf":
        motion = _fields_of(motion)
    if isinstance(motion, FieldMotion):
        both = {"field.v": motion.v, "field.solver": _solver_code(motion.solver)}
        return both | ({} if motion.w is None else {"field.w": motion.w})
    if isinstance(motion, SampledMotion):
        stacks = {"sampled.there": motion.there, "sampled.back": motion.back, "sampled.share": motion.share}
        return {**stacks, "sampled.span": torch.tensor(motion.span).double()}
    # One picture may be animated backward, and beyond what was learned.
    low, high = (-1, 2) if isinstance(motion, NodeMotion) and motion.model.sides == "first" else (0, 1)
    count = (high - low) * (SampledMotion.TIMES - 1)
    maps = [motion.at([low + (high - low) * k / count])[0] for k in range(count + 1)]
    found = {f"sampled.{name}": torch.cat([getattr(m, name) for m in maps]) for name in ("there", "back", "share")}
    return {**found, "sampled.span": torch.tensor([low, high]).double()}


@torch.no_grad()
def _fields_of(motion: Any) -> FieldMotion:
    """A Warping ODE's motion whose field does not change along the way, as that field alone."""
    model, first, last = motion.model, motion.first, motion.last
    v = model.field(first, last).picture(0.0)
    w = {"first": lambda: None, "group": lambda: -v, "both": lambda: model.field(last, first).picture(0.0)}
    return FieldMotion(v, w[model.sides](), model.solver)


def _motion(state: Mapping[str, Tensor]) -> PairMotion:
    from vfi_pipeline.models.fit import FitMotion, Pair
    from vfi_pipeline.models.flow import FlowMotion
    from vfi_pipeline.nets.flow import Velocities

    kind = next(iter(state), "").partition(".")[0]
    found = {name.partition(".")[2]: value for name, value in state.items()}
    if kind == "fit":
        flows = [found[name].float() for name in ("forward", "backward", "sure_first", "sure_last")]
        nothing = torch.zeros(1, 3, *flows[0].shape[-2:])  # the pictures themselves are not looked at again
        return FitMotion(Pair(nothing, nothing, *flows), found["fields"].float(), _solver(found["solver"]))
    if kind == "flow":
        found.setdefault("acceleration", torch.zeros_like(found["first"]))  # files before version 0.3 hold none
        velocities = Velocities(**{part.name: found[part.name].float() for part in fields(Velocities)})
        height, width = found["size"].tolist()
        return FlowMotion(velocities, (height, width), _solver(found["solver"]))
    if kind == "field":
        return FieldMotion(found["v"].float(), found["w"].float() if "w" in found else None, _solver(found["solver"]))
    if kind == "sampled":
        low, high = found["span"].tolist()
        return SampledMotion(found["there"], found["back"], found["share"], (low, high))
    raise ValueError(f"there are no maps of the kind {kind!r}")


def _solver_code(solver: Solver) -> Tensor:
    """A solver as numbers, for a file that holds only those."""
    return torch.tensor([(*FIXED, *ADAPTIVE).index(solver.method), solver.steps, solver.rtol, solver.atol]).double()


def _solver(code: Tensor) -> Solver:
    method, steps, rtol, atol = code.tolist()
    return Solver((*FIXED, *ADAPTIVE)[int(method)], int(steps), rtol, atol)
