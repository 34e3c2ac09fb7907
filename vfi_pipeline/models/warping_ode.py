"""The Warping Neural ODE (Nazarovs et al. 2022): frames made by moving pixels along a learned velocity field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import compose, constant, folding, pixel_grid, warp
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.nets.fields import Conditioned, Field, field_from_config
from vfi_pipeline.ode import Counted, Solver, flow_maps_at

SIDES = ("first", "group", "both")


class WarpingODE(nn.Module):
    """Two frames (or one) and times -> ``Motion``; any t, all from one solve. Also a ``MotionModel`` for films.

    ``x_t = x_0 o phi_t`` with ``dphi/dt = v(t, phi)``, ``phi_0 = id``.

    Args:
        field: the velocity field; its conditioning says which frames it sees.
        sides: whose pixels make a frame.
            ``first``: the first frame's alone, the paper's way: one picture is animated.
            ``group``: both frames', moved along one field; the last one is pulled by ``phi_1^-1 o phi_t``.
            ``both``: both frames', each moved by the field that the network gives for it (the frames swapped), so
            that (first, last, t) and (last, first, 1 - t) make the same frame. Needs a field conditioned on both.
        solver: of the ODE.
        path_times: evenly spaced times in (0, 1] at which the penalties see the map.
        there_and_back: also solve the way back over [0, 1], as the round trip loss needs.
        guide_span: longest side, px, of the picture that is looked at when films are interpolated; as trained.
    """

    name = "node"

    def __init__(
        self,
        field: Field,
        sides: str = "first",
        solver: Solver = Solver(),
        path_times: int = 4,
        there_and_back: bool = False,
        guide_span: int | None = 256,
    ) -> None:
        super().__init__()
        if sides not in SIDES:
            raise ValueError(f"No sides {sides!r}. Use one of {', '.join(SIDES)}.")
        if sides == "both" and field.conditioning != "both":
            raise ValueError("sides=both moves each frame by its own field: it needs field.conditioning=both.")
        self.field, self.sides, self.solver = field, sides, solver
        self.path_times, self.there_and_back, self.guide_span = path_times, there_and_back, guide_span

    @property
    def channels(self) -> int:
        """Of the frames it was made for."""
        return self.field.channels

    def config(self) -> dict:
        """See ``TrainableModel``."""
        return {
            "kind": "warping_ode",
            "field": self.field.config(),
            "sides": self.sides,
            "solver": asdict(self.solver),
            "path_times": self.path_times,
            "there_and_back": self.there_and_back,
            "guide_span": self.guide_span,
        }

    @classmethod
    def from_config(cls, config: dict) -> WarpingODE:
        """The model that ``config`` described, with fresh weights."""
        options = {key: value for key, value in config.items() if key not in ("kind", "field", "solver")}
        return cls(field_from_config(config["field"]), solver=Solver(**config["solver"]), **options)

    def forward(self, first: Tensor, last: Tensor | None, t: Tensor) -> Motion:
        """Frames (B, C, H, W) in [0, 1] and times (B, T), any order, also outside [0, 1] -> the motion there.

        ``last`` may be None where nothing needs it: a field conditioned on the first frame, ``sides=first``.
        """
        batch, asked = t.shape
        even = torch.linspace(0, 1, self.path_times + 1, dtype=t.dtype, device=t.device)[1:].expand(batch, -1)
        forward = self._solved(first, last)
        maps = forward.maps(torch.cat((t, even), dim=1))
        flow, path, nfe = maps[:asked], maps[asked:], forward.nfe
        back = None
        if self.there_and_back:
            returning = forward.reversed()
            back = returning.maps(torch.ones_like(t[:, :1]))[0]
            nfe += returning.nfe
        from_first = _warped(first, flow)
        frame, auxiliary = from_first, {}
        if self.sides != "first":
            assert last is not None
            pulled, more, calls = self._from_last(first, last, t, even, forward, flow)
            from_last = _warped(last, pulled)
            share = (1 - t).view(batch, asked, 1, 1, 1)
            frame = share * from_first + (1 - share) * from_last
            auxiliary = {"one_sided/first": from_first, "one_sided/last": from_last}
            path, nfe = torch.cat((path, more)), nfe + calls
        return Motion(
            frame,
            flow.transpose(0, 1),
            path,
            nfe,
            forward.velocity.picture(0.0),
            path[self.path_times - 1],
            back,
            auxiliary,
        )

    def _solved(self, first: Tensor, last: Tensor | None) -> _Solved:
        return _Solved(self.field(first, last), first, self.solver)

    def _from_last(
        self, first: Tensor, last: Tensor, t: Tensor, even: Tensor, forward: _Solved, flow: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """(T, B, 2, H, W) maps that pull the last frame to t, maps for the penalties, NFE."""
        asked = t.shape[1]
        if self.sides == "both":
            backward = self._solved(last, first)
            maps = backward.maps(torch.cat((1 - t, even), dim=1))
            return maps[:asked], maps[asked:], backward.nfe
        backward = forward.reversed()
        if self.field.kind == "time":
            # Only a stationary field has phi_1^-1 o phi_t = phi_(t - 1).
            home = backward.maps(torch.ones_like(t[:, :1]))[0]
            return torch.stack([compose(home, u) for u in flow]), home[None], backward.nfe
        maps = backward.maps(torch.cat((1 - t, even), dim=1))
        return maps[:asked], maps[asked:], backward.nfe

    # ------------------------------------------------------------------------ films: models.motion.MotionModel

    def motion(self, window: Window) -> NodeMotion:
        """See ``MotionModel``."""
        first, last = (self._fitted(frame.guide(self.guide_span)) for frame in (window.first, window.last))
        return NodeMotion(self, first, last)

    def _fitted(self, image: Tensor) -> Tensor:
        """RGB as the channels that the model was trained on: luma, RGB, or RGB with an opaque alpha."""
        image = image.to(next(self.parameters()))
        if self.channels == 1 and image.shape[1] == 3:
            return (image * constant((0.299, 0.587, 0.114), image)).sum(dim=1, keepdim=True)
        if self.channels == 4 and image.shape[1] == 3:
            return F.pad(image, (0, 0, 0, 0, 0, 1), value=1.0)
        return image


def load_node(weights: str | None, guide_span: int | None = None, device: str = "cpu") -> WarpingODE:
    """The motion model in a file that ``train.py`` exported.

    Args:
        weights: the file, or the name of weights that ship with the program.
        guide_span: longest side, px, of the picture that the network sees; None takes what it was trained for.

    Raises:
        UserError: if the file is missing, damaged, or holds another kind of model.
    """
    if not weights:
        raise UserError(
            "model=node needs weights.", "weights=<run folder>/export/<name>.safetensors, made by train.py."
        )
    path, digest = locate(weights)
    model, _ = load_model(path, digest)
    if not isinstance(model, WarpingODE):
        raise UserError(f"{path} holds a {type(model).__name__}.", "leave model= out.", BAD_INPUT)
    model.guide_span = guide_span or model.guide_span
    return model.to(device)


class NodeMotion:
    """A pair's motion by a ``WarpingODE``; see ``models.motion.PairMotion``."""

    def __init__(self, model: WarpingODE, first: Tensor, last: Tensor) -> None:
        self.model, self.first, self.last = model, first, last
        self._nfe = 0
        self._folds: list[tuple[float, float]] = []

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """The motions; t outside [0, 1] goes on along the field, past the last frame or before the first."""
        if not times:
            return []
        model, height, width = self.model, *self.first.shape[-2:]
        # float64 times: a t of 1/3 shall be the same number on both sides of a pair.
        t = torch.tensor([list(times)], dtype=torch.float64, device=self.first.device)
        forward = model._solved(self.first, self.last)
        to_first = forward.maps(t)
        self._nfe += forward.nfe
        if model.sides == "first":
            # Only the first frame's pixels are shown: what the last would give is not asked for.
            to_last = torch.zeros_like(to_first)
        else:
            to_last, _, calls = model._from_last(self.first, self.last, t, t[:, :0], forward, to_first)
            self._nfe += calls
        motions = []
        for index, time in enumerate(times):
            low, share = folding(to_first[index])
            self._folds.append((float(low), float(share)))
            weight = 1.0 if model.sides == "first" else min(max(1.0 - time, 0.0), 1.0)
            shown = self.first.new_full((1, 1, height, width), weight)
            motions.append(IntermediateMotion(float(time), to_first[index], to_last[index], shown))
        return motions

    def report(self) -> MotionReport:
        """NFE, smallest determinant and folded share of what was asked so far."""
        if not self._folds:
            self.at([0.5])
        low, shares = zip(*self._folds)
        return MotionReport(self._nfe, min(low), sum(shares) / len(shares))


class _Solved:
    """A conditioned velocity, its grid, and how it is solved."""

    def __init__(self, velocity: Conditioned, like: Tensor, solver: Solver) -> None:
        self.velocity, self.like, self.solver = velocity, like, solver
        self.counted = Counted(velocity)

    @property
    def nfe(self) -> int:
        return self.counted.nfe

    def maps(self, times: Tensor) -> Tensor:
        """(T, B, 2, H, W) displacements from 0 to each sample's times (B, T)."""
        batch, _, height, width = self.like.shape
        grid = pixel_grid(height, width, like=self.like).expand(batch, -1, -1, -1)
        return flow_maps_at(self.counted, grid, times, 0.0, self.solver, self.velocity.tensors)

    def reversed(self) -> _Solved:
        return _Solved(self.velocity.reversed(), self.like, self.solver)


def _warped(image: Tensor, flows: Tensor) -> Tensor:
    """(T, B, 2, H, W) maps of one image each -> (B, T, C, H, W)."""
    times, batch = flows.shape[:2]
    if times == 0:
        return image[:, None][:, :0]
    images = image.expand(times, *image.shape).flatten(0, 1)
    return warp(images, flows.flatten(0, 1)).unflatten(0, (times, batch)).transpose(0, 1)
