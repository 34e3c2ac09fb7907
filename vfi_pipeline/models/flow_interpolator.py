"""The trainable estimate of ``model=flow``: from two frames' features to the fields of ``flow_fields``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.estimation.acceleration import AccelerationSettings
from vfi_pipeline.estimation.flow import BidirectionalFlow, bidirectional_flow
from vfi_pipeline.estimation.lucas_kanade import LucasKanade, refine_velocities
from vfi_pipeline.geometry import Blended, constant, pixel_grid, resize_flow, sample, synthesise
from vfi_pipeline.models.flow_fields import SOLVER, Maps, MotionFields, maps_at
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.nets.flow import FlowNet, Velocities
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


class FlowInterpolator(nn.Module):
    """The trainable whole of ``model=flow``: two frames and times -> ``Motion``; see ``models.prediction``.

    Args:
        guide_span: longest side, px, of the working picture when films are interpolated.
        network_span: longest side, px, of the picture that the network sees then.
        enlargement: the network sees pictures that are not reduced to ``guide_span`` enlarged by up to this factor, and
            up to this factor beyond ``network_span``: small pictures cost little, and thin things are matched so.
        settings: of the estimate.
        refinement: of ``nets.refinement.Refinement``.
        **network: of ``nets.flow.FlowNet``.
    """

    channels = 3
    capturable = True
    """A CUDA graph can hold a training step: ``forward`` never waits for the device
    (tests/training/test_captured_step.py)."""

    def __init__(
        self,
        guide_span: int = 512,
        network_span: int = 448,
        enlargement: float = 1.25,
        settings: EstimateSettings = EstimateSettings(),
        refinement: Mapping[str, int] | None = None,
        **network: Any,
    ) -> None:
        super().__init__()
        self.net = FlowNet(**network)
        self.refinement = Refinement(self.net.settings["hidden"][0], **(refinement or {}))
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
        with torch.no_grad():
            a, b = (state + change).detach().chunk(2)
            v, w = refine_velocities(a[:, :2], -b[:, :2], first, last, settings.lucas_kanade)
            flow = bidirectional_flow(v, w, settings.solver)
            # Matching and Lucas-Kanade are closed forms: gradients bypass them and go to the network's state.
            correction = torch.cat((v, -w)) - state.detach()[:, :2]
        state = torch.cat((state[:, :2] + correction, state[:, 2:]), dim=1)
        refined = self.refinement(F.avg_pool2d(first, 2), F.avg_pool2d(last, 2), state, hidden, departed)
        acceleration = resize_flow(Velocities.of_state(state).acceleration, 2 * rows, 2 * columns)
        return PairEstimate(_fields(refined, acceleration), (v + w) / 2, flow)

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

    def forward(self, first: Tensor, last: Tensor | None, t: Tensor) -> Motion:
        """Frames (B, 3, H, W), H and W multiples of the network's stride, times (B, T) in [0, 1].

        Raises:
            ValueError: if ``last`` is missing or the size does not fit.
        """
        if last is None:
            raise ValueError("The flow model needs both frames; model=node takes one alone.")
        height, width = self._checked_size(first)
        features = self._encode_both(first, last)
        states, hidden = self.net(*features)
        size = (height / CELL, width / CELL)
        fields = self._estimate_from(states[0], hidden, features, (first, last), size).fields
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
        )


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
