"""The Warping Neural ODE (Nazarovs et al. 2022): pixels of the given frames move along a learned velocity field."""

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
    """Two frames (or one) and times -> ``Motion``, at any t from one solve. Also a ``MotionModel`` for films.

    ``x_t = x_0 o phi_t`` with ``dphi/dt = v(t, phi)``, ``phi_0 = id``.

    Args:
        field: the velocity field; its conditioning says which frames it sees.
        sides: the source of a frame's pixels.
            ``first``: the first frame alone, as in the paper; such a model animates a single picture.
            ``group``: both frames, moved along one field; ``phi_1^-1 o phi_t`` pulls the last one.
            ``both``: both frames, each along the field that the network gives for it (the frames swapped), so
            that (first, last, t) and (last, first, 1 - t) make the same frame. Needs a field conditioned on both.
        solver: of the ODE.
        path_times: number of even times in (0, 1] at which the penalties are computed.
        there_and_back: also solve backward over [0, 1], as the round trip loss needs.
        guide_span: longest side, px, of the guides when films are interpolated; as in training.
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
        """Channels of the frames."""
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
        """The motion of frames (B, C, H, W) in [0, 1] at times (B, T) in any order, also outside [0, 1].

        ``last`` may be None for a field conditioned on the first frame with ``sides=first``.
        """
        batch, count = t.shape
        even = torch.linspace(0, 1, self.path_times + 1, dtype=t.dtype, device=t.device)[1:].expand(batch, -1)
        forward = self._trajectories(first, last)
        maps = forward.maps(torch.cat((t, even), dim=1))
        flow, path, nfe = maps[:count], maps[count:], forward.nfe
        backward = None
        if self.there_and_back:
            returning = forward.reversed()
            backward = returning.maps(torch.ones_like(t[:, :1]))[0]
            nfe += returning.nfe
        from_first = _warped(first, flow)
        frame, auxiliary = from_first, {}
        if self.sides != "first":
            assert last is not None
            pulled, path_from_last, calls = self._from_last(first, last, t, even, forward, flow)
            from_last = _warped(last, pulled)
            weight = (1 - t).view(batch, count, 1, 1, 1)
            frame = weight * from_first + (1 - weight) * from_last
            auxiliary = {"one_sided/first": from_first, "one_sided/last": from_last}
            path, nfe = torch.cat((path, path_from_last)), nfe + calls
        return Motion(
            frame,
            flow.transpose(0, 1),
            path,
            nfe,
            forward.velocity.picture(0.0),
            path[self.path_times - 1],
            backward,
            auxiliary,
        )

    def _trajectories(self, first: Tensor, last: Tensor | None) -> _Trajectories:
        return _Trajectories(self.field(first, last), first, self.solver)

    def _from_last(
        self, first: Tensor, last: Tensor, t: Tensor, even: Tensor, forward: _Trajectories, flow: Tensor
    ) -> tuple[Tensor, Tensor, int]:
        """(T, B, 2, H, W) maps that pull the last frame to t, maps for the penalties, NFE."""
        count = t.shape[1]
        if self.sides == "both":
            backward = self._trajectories(last, first)
            maps = backward.maps(torch.cat((1 - t, even), dim=1))
            return maps[:count], maps[count:], backward.nfe
        backward = forward.reversed()
        if self.field.kind == "time":
            # Only a stationary field has phi_1^-1 o phi_t = phi_(t - 1).
            to_start = backward.maps(torch.ones_like(t[:, :1]))[0]
            return torch.stack([compose(to_start, u) for u in flow]), to_start[None], backward.nfe
        maps = backward.maps(torch.cat((1 - t, even), dim=1))
        return maps[:count], maps[count:], backward.nfe

    # ------------------------------------------------------------------------ films: models.motion.MotionModel

    def motion(self, window: Window) -> NodeMotion:
        """See ``MotionModel``."""
        first, last = (self._fitted(frame.guide(self.guide_span)) for frame in (window.first, window.last))
        return NodeMotion(self, first, last)

    def _fitted(self, image: Tensor) -> Tensor:
        """An RGB image with the model's channels: luma, RGB, or RGB with an opaque alpha."""
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
        guide_span: longest side, px, of the picture that the network sees; None: as in training.

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
        """The motions; for t outside [0, 1] the paths continue before the first frame and after the last."""
        if not times:
            return []
        model, height, width = self.model, *self.first.shape[-2:]
        # float64 times, so that a t of 1/3 is the same number on both sides of a pair.
        t = torch.tensor([list(times)], dtype=torch.float64, device=self.first.device)
        forward = model._trajectories(self.first, self.last)
        to_first = forward.maps(t)
        self._nfe += forward.nfe
        if model.sides == "first":
            # The last frame has no weight.
            to_last = torch.zeros_like(to_first)
        else:
            to_last, _, calls = model._from_last(self.first, self.last, t, t[:, :0], forward, to_first)
            self._nfe += calls
        motions = []
        for index, time in enumerate(times):
            min_det, folded = folding(to_first[index])
            self._folds.append((float(min_det), float(folded)))
            weight = 1.0 if model.sides == "first" else min(max(1.0 - time, 0.0), 1.0)
            blend_weight = self.first.new_full((1, 1, height, width), weight)
            motions.append(IntermediateMotion(float(time), to_first[index], to_last[index], blend_weight))
        return motions

    def report(self) -> MotionReport:
        """See ``PairMotion``."""
        if not self._folds:
            self.at([0.5])
        determinants, shares = zip(*self._folds)
        return MotionReport(self._nfe, min(determinants), sum(shares) / len(shares))


class _Trajectories:
    """The paths of a grid's pixels along a conditioned velocity, and the solver's velocity calls so far."""

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

    def reversed(self) -> _Trajectories:
        return _Trajectories(self.velocity.reversed(), self.like, self.solver)


def _warped(image: Tensor, flows: Tensor) -> Tensor:
    """(T, B, 2, H, W) maps of one image each -> (B, T, C, H, W)."""
    times, batch = flows.shape[:2]
    if times == 0:
        return image[:, None][:, :0]
    images = image.expand(times, *image.shape).flatten(0, 1)
    return warp(images, flows.flatten(0, 1)).unflatten(0, (times, batch)).transpose(0, 1)
