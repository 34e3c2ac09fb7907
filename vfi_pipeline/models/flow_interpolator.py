"""The trainable estimate of ``model=flow``: from two frames' features to the fields of ``flow_fields``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.estimation.acceleration import AccelerationSettings, estimate_acceleration
from vfi_pipeline.estimation.flow import BidirectionalFlow, bidirectional_flow
from vfi_pipeline.estimation.lucas_kanade import LucasKanade, refine_velocities
from vfi_pipeline.geometry import Blended, constant, pixel_grid, resize_flow, sample, synthesise
from vfi_pipeline.models.flow_fields import SOLVER, Maps, MotionFields, maps_at
from vfi_pipeline.models.prediction import Motion, Neighbours
from vfi_pipeline.nets.flow import FlowNet, SwapConv, Velocities
from vfi_pipeline.nets.matching import Matching, match_unexplained
from vfi_pipeline.nets.refinement import Refined, Refinement
from vfi_pipeline.ode import Solver, stationary_flow, stationary_nfe

COARSE = Solver("midpoint", steps=2)
"""At coarse levels displacements are a fraction of those at the finest, in their own pixels."""

CELL = 4
"""Pixels a side of a cell of the network's finest grid. Refined fields have cells of half that."""

PADDING = 16
"""The working picture's sides are padded to multiples of this, so that its halves and quarters have even sides."""


@dataclass(frozen=True)
class EstimateSettings:
    """How a pair is estimated, beside the weights; see each part."""

    matching: Matching = Matching()
    lucas_kanade: LucasKanade = LucasKanade()
    acceleration: AccelerationSettings = AccelerationSettings()
    solver: Solver = SOLVER


class PairEstimate(NamedTuple):
    """The estimate of a batch of pairs, each without its neighbours.

    Attributes:
        fields: on the refined grid (cells of 2 working pixels); the acceleration is that of the network alone.
        velocity: (B, 2, h, w) mean of both velocities on the coarse grid (cells of 4), cells per unit t.
        flow: in both directions, on the coarse grid.
    """

    fields: MotionFields
    velocity: Tensor
    flow: BidirectionalFlow


class _Polished(NamedTuple):
    """The estimate on the coarse grid, after matching and Lucas-Kanade steps.

    Attributes:
        state: (2 * B, STATE, h, w), by which gradients reach the network.
        hidden, departed: what ``Refinement`` takes beside it.
        velocity, flow: see ``PairEstimate``; without gradients.
    """

    state: Tensor
    hidden: Tensor
    departed: Tensor
    velocity: Tensor
    flow: BidirectionalFlow


class FlowInterpolator(nn.Module):
    """The trainable whole of ``model=flow``: two frames and times -> ``Motion``; see ``models.prediction``.

    Args:
        guide_span: longest side, px, of the working picture when films are interpolated.
        network_span: longest side, px, of the picture that the network sees then.
        enlargement: the network sees pictures that are not reduced to ``guide_span`` enlarged by up to this factor, and
            up to this factor beyond ``network_span``: small pictures cost little, and thin things are matched so.
        settings: of the estimate.
        refinement: of ``nets.refinement.Refinement``.
        gate: a learned gate in (0, 1), one for each cell, multiplies the change of the Lucas-Kanade steps.
        **network: of ``nets.flow.FlowNet``.
    """

    channels = 3
    capturable = True
    """A CUDA graph can hold a training step: ``forward`` never waits for the device
    (tests/training/test_captured_step.py)."""

    uses_neighbours = True
    """``forward`` takes the frames around the pair."""

    def __init__(
        self,
        guide_span: int = 512,
        network_span: int = 448,
        enlargement: float = 1.25,
        settings: EstimateSettings = EstimateSettings(),
        refinement: Mapping[str, int] | None = None,
        gate: bool | None = None,
        **network: Any,
    ) -> None:
        super().__init__()
        self.net = FlowNet(**network)
        self.refinement = Refinement(self.net.settings["hidden"][0], **(refinement or {}))
        self.gate = _nearly_open(SwapConv(self.net.settings["hidden"][0], 1, kernel=1)) if gate else None
        self.guide_span, self.network_span, self.enlargement = guide_span, network_span, enlargement
        self.settings = settings

    def config(self) -> dict:
        """See ``TrainableModel``."""
        return {
            "kind": "flow",
            "guide_span": self.guide_span,
            "network_span": self.network_span,
            "enlargement": self.enlargement,
            "settings": asdict(self.settings),
            "refinement": self.refinement.settings,
            **({"gate": True} if self.gate is not None else {}),
            **self.net.settings,
        }

    @classmethod
    def from_config(cls, config: dict) -> FlowInterpolator:
        """The model that ``config`` describes, with fresh weights.

        Raises:
            ValueError: if the configuration is of version 0.6.0 or older, whose network corrected a search.
        """
        if "settings" not in config:
            raise ValueError("its network corrects a search that ended with version 0.6.0: train it anew")
        options = {key: value for key, value in config.items() if key not in ("kind", "settings")}
        return cls(settings=_settings_from(config["settings"]), **options)

    def estimate(
        self,
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        working: tuple[Tensor, Tensor],
        size: tuple[float, float],
    ) -> PairEstimate:
        """The estimate of a batch of pairs.

        Args:
            features: of both frames, see ``FlowNet.encode``.
            working: both working pictures (B, 3, H, W), H and W multiples of ``PADDING``.
            size: (height, width) of the part of the network's finest grid that covers the working pictures, in cells.
        """
        states, hidden = self.net(*features)
        return self._estimate_from(states[0], hidden, features, working, size)

    def _estimate_from(
        self,
        state: Tensor,
        hidden: Tensor,
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        working: tuple[Tensor, Tensor],
        size: tuple[float, float],
    ) -> PairEstimate:
        """The estimate from the network's finest ``state`` and ``hidden`` channels: matching, Lucas-Kanade, edges."""
        polished = self._polished(state, hidden, features, working, size)
        first, last = (F.avg_pool2d(picture.float(), 2) for picture in working)
        refined = self.refinement(first, last, polished.state, polished.hidden, polished.departed)
        height, width = first.shape[-2:]
        acceleration = resize_flow(Velocities.of_state(polished.state).acceleration, height, width)
        return PairEstimate(_fields(refined, acceleration), polished.velocity, polished.flow)

    def _polished(
        self,
        state: Tensor,
        hidden: Tensor,
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        working: tuple[Tensor, Tensor],
        size: tuple[float, float],
    ) -> _Polished:
        settings = self.settings
        first, last = (picture.float() for picture in working)
        rows, columns = (n // CELL for n in first.shape[-2:])
        with torch.no_grad():
            detached = state.detach().float()
            matched = match_unexplained(
                (features[0][0].detach(), features[1][0].detach()),
                _averaged_on_grid(working, size, detached),
                detached,
                settings.matching,
            )
            change = _regridded(matched.state - detached, size, rows, columns, vectors=(0, 2, 4))
            departed = _regridded(matched.departed, size, rows, columns)
        state = _regridded(state.float(), size, rows, columns, vectors=(0, 2, 4))
        hidden = _regridded(hidden.float(), size, rows, columns)
        gate = None if self.gate is None else torch.sigmoid(torch.add(*self.gate(hidden).float().chunk(2)))
        with torch.no_grad():
            a, b = (state + change).detach().chunk(2)
            v, w = refine_velocities(a[:, :2], -b[:, :2], first, last, settings.lucas_kanade)
            step = v - a[:, :2]  # of both velocities alike
            if gate is not None:
                v, w = a[:, :2] + gate * step, gate * step - b[:, :2]
            flow = bidirectional_flow(v, w, settings.solver)
            # Matching and Lucas-Kanade are closed forms: gradients bypass them and go to the network's state.
            correction = torch.cat((v, -w)) - state.detach()[:, :2]
        velocities = state[:, :2] + correction
        if gate is not None and gate.requires_grad:
            # Adds nothing but the gate's gradient.
            velocities = velocities + (gate - gate.detach()).repeat(2, 1, 1, 1) * torch.cat((step, -step))
        return _Polished(torch.cat((velocities, state[:, 2:]), dim=1), hidden, departed, (v + w) / 2, flow)

    @torch.no_grad()
    def _acceleration_from(
        self,
        neighbours: Neighbours,
        pair: PairEstimate,
        frames: tuple[Tensor, Tensor],
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        size: tuple[float, float],
    ) -> Tensor:
        """What films take from the pairs around a pair (``estimation.acceleration``), for a batch: (B, 2, h, w) on the
        grid of ``pair.fields``. Both neighbouring pairs are estimated as one batch; nothing of it has a gradient."""
        before, after = neighbours.frames.unbind(1)
        outer = [level.chunk(2) for level in self.net.encode(torch.cat((before, after)))]
        earlier = [torch.cat((of_before, last)) for (of_before, _), last in zip(outer, features[1])]
        later = [torch.cat((first, of_after)) for first, (_, of_after) in zip(features[0], outer)]
        working = torch.cat((before, frames[1])), torch.cat((frames[0], after))
        states, hidden = self.net(earlier, later)
        flow = self._polished(states[0], hidden, (earlier, later), working, size).flow
        of_before, of_after = (
            BidirectionalFlow(*halves) for halves in zip(*(part.chunk(2) for part in vars(flow).values()))
        )
        spans = neighbours.spans.view(-1, 2, 1, 1, 1)
        acceleration = estimate_acceleration(
            pair.flow, of_before, of_after, (spans[:, 0], spans[:, 1]), pair.velocity, self.settings.acceleration
        )
        assert acceleration is not None
        return resize_flow(acceleration, *pair.fields.first.shape[-2:])

    def _encode_both(self, first: Tensor, last: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The features of both frames, encoded as one batch; see ``FlowNet.encode``."""
        levels = [level.chunk(2) for level in self.net.encode(torch.cat((first, last)))]
        return [of_first for of_first, _ in levels], [of_last for _, of_last in levels]

    def _checked_size(self, frame: Tensor) -> tuple[int, int]:
        """(height, width) of a training frame. ValueError if the network cannot take it."""
        height, width = frame.shape[-2:]
        if height % self.net.stride or width % self.net.stride:
            raise ValueError(
                f"Training frames are {width}x{height}; the network needs multiples of {self.net.stride}. "
                "Choose such a crop."
            )
        return height, width

    @torch.no_grad()
    def flows(self, first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """(forward, backward) flow of pairs (B, 3, H, W), H and W multiples of the network's stride: (B, 2, H, W), px.

        Forward leads from the first frame's grid to the last frame, backward from the last's to the first.

        Raises:
            ValueError: if the size does not fit.
        """
        height, width = self._checked_size(first)
        features = self._encode_both(first, last)
        fields = self.estimate(features, (first, last), (height / CELL, width / CELL)).fields
        flows = stationary_flow(torch.cat((fields.last, -fields.first)), 1.0, self.settings.solver)
        forward, backward = resize_flow(flows, height, width).chunk(2)
        return forward, backward

    def forward(self, first: Tensor, last: Tensor | None, t: Tensor, neighbours: Neighbours | None = None) -> Motion:
        """Frames (B, 3, H, W), H and W multiples of the network's stride, times (B, T) in [0, 1].

        With ``neighbours`` the acceleration is taken from the pairs around, as for films.

        Raises:
            ValueError: if ``last`` is missing or the size does not fit.
        """
        if last is None:
            raise ValueError("The flow model needs both frames; model=node takes one alone.")
        height, width = self._checked_size(first)
        features = self._encode_both(first, last)
        states, hidden = self.net(*features)
        size = (height / CELL, width / CELL)
        estimate = self._estimate_from(states[0], hidden, features, (first, last), size)
        fields = estimate.fields
        if neighbours is not None:
            acceleration = self._acceleration_from(neighbours, estimate, (first, last), features, size)
            fields = replace(fields, acceleration=fields.acceleration + acceleration)
        shape, count = t.shape, t.shape[1]
        times = t.flatten()
        firsts, lasts = first.repeat_interleave(count, 0), last.repeat_interleave(count, 0)
        maps = maps_at(_repeated(fields, count), times, self.settings.solver)
        frame, from_first, from_last = _frame(firsts, lasts, maps)
        auxiliary = {"one_sided/first": from_first, "one_sided/last": from_last}
        for index, state in enumerate(states[:-1]):
            coarse = _repeated(MotionFields(**vars(Velocities.of_state(state.float()))), count)
            rows, columns = coarse.first.shape[-2:]
            small_firsts, small_lasts = (F.interpolate(x, (rows, columns), mode="area") for x in (firsts, lasts))
            coarse_frame, *sides = _frame(small_firsts, small_lasts, maps_at(coarse, times, COARSE))
            auxiliary[f"coarse/{index}"] = coarse_frame
            auxiliary[f"coarse_sided/{index}/first"], auxiliary[f"coarse_sided/{index}/last"] = sides
        path = torch.stack((maps.flow_to_first, maps.flow_to_last)).unflatten(1, shape).transpose(1, 2).flatten(0, 1)
        return Motion(
            frame.unflatten(0, shape),
            maps.flow_to_first.unflatten(0, shape),
            path,
            2 * stationary_nfe([1.0], self.settings.solver),
            velocity=-0.5 * (fields.first + fields.last),
            auxiliary={name: frames.unflatten(0, shape) for name, frames in auxiliary.items()},
            flow_to_last=maps.flow_to_last.unflatten(0, shape),
            blend_weight=maps.blend_weight.unflatten(0, shape),
        )


def _nearly_open(gate: SwapConv) -> SwapConv:
    """The gate, at 0.95 everywhere: training begins with what it has without one."""
    assert gate.same.bias is not None
    for parameter, value in ((gate.same.weight, 0.0), (gate.other.weight, 0.0), (gate.same.bias, 1.5)):
        nn.init.constant_(parameter, value)  # both halves are added: sigmoid(3)
    return gate


def _settings_from(config: Mapping[str, Any]) -> EstimateSettings:
    lucas_kanade = dict(config["lucas_kanade"])
    lucas_kanade["steps"] = tuple((int(shrink), int(count)) for shrink, count in lucas_kanade["steps"])
    lucas_kanade["solver"] = Solver(**lucas_kanade["solver"])
    matching = dict(config["matching"])
    for name, value in matching.items():
        if isinstance(value, list):
            matching[name] = tuple(value)
    return EstimateSettings(
        Matching(**matching), LucasKanade(**lucas_kanade), AccelerationSettings(**config["acceleration"]),
        Solver(**config["solver"]),
    )  # fmt: skip


def _fields(refined: Refined, acceleration: Tensor) -> MotionFields:
    return MotionFields(
        refined.first, refined.last, refined.visibility, refined.visibility_rate, acceleration, refined.confidence
    )


def _frame(first: Tensor, last: Tensor, maps: Maps) -> Blended:
    return synthesise(first, last, maps.flow_to_first, maps.flow_to_last, maps.blend_weight, maps.confidence)


def _repeated(fields: MotionFields, times: int) -> MotionFields:
    if times == 1:
        return fields
    parts: dict[str, Any] = {
        name: None if x is None else x.repeat_interleave(times, 0) for name, x in vars(fields).items()
    }
    return MotionFields(**parts)


def _averaged_on_grid(working: tuple[Tensor, Tensor], size: tuple[float, float], like: Tensor) -> tuple[Tensor, Tensor]:
    """Both working pictures averaged over the cells of the network's grid, of which they cover ``size``."""
    rows, columns = like.shape[-2:]
    height, width = max(1, round(size[0])), max(1, round(size[1]))
    below, right = max(0, rows - height), max(0, columns - width)

    def averaged(picture: Tensor) -> Tensor:
        small = F.interpolate(picture.float(), (height, width), mode="area")
        return F.pad(small, (0, right, 0, below), mode="replicate")[..., :rows, :columns]

    return averaged(working[0]), averaged(working[1])


def _regridded(
    field: Tensor, size: tuple[float, float], rows: int, columns: int, vectors: tuple[int, ...] = ()
) -> Tensor:
    """A field on a grid of ``rows`` x ``columns`` that covers the first ``size`` cells of its own grid.

    ``vectors`` names the first channel of each displacement; displacements are rescaled to the new cells.
    """
    if size == (rows, columns):
        return field[..., :rows, :columns]
    scale = (size[1] / columns, size[0] / rows)
    positions = (pixel_grid(rows, columns, like=field) + 0.5) * constant(scale, field) - 0.5
    regridded = sample(field, positions.expand(len(field), -1, -1, -1))
    if not vectors:
        return regridded
    units = [1.0] * field.shape[1]
    for channel in vectors:
        units[channel], units[channel + 1] = 1 / scale[0], 1 / scale[1]
    return regridded * constant(tuple(units), regridded)
