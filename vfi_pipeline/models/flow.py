"""``model=flow``: the learned motion of a pair.

    network, coarse to fine ─► matching of what it leaves unexplained ─► Lucas-Kanade ─► refinement at edges
    ─► acceleration from the pairs around ─► one ODE solve, from which every t is read

The network's picture and the working picture (Lucas-Kanade, refinement) have sizes of their own. Everything is tensors
with pairs as the batch, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.estimation.acceleration import AccelerationSettings, estimate_acceleration
from vfi_pipeline.estimation.flow import BidirectionalFlow, bidirectional_flow
from vfi_pipeline.estimation.lucas_kanade import LucasKanade, refine_velocities
from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.geometry import Blended, constant, folding, pixel_grid, resize_flow, sample, synthesise
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport, PendingReport
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.models.replay import Replayed
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.nets.flow import FlowNet, Velocities
from vfi_pipeline.nets.matching import Matching, match_unexplained
from vfi_pipeline.nets.refinement import Refined, Refinement
from vfi_pipeline.ode import Solver, stationary_flow, stationary_flows, stationary_nfe

Item = TypeVar("Item")

SOLVER = Solver("midpoint", steps=4)

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


@dataclass(frozen=True)
class MotionFields:
    """A pair's motion as fields at t = 1/2, (B, C, h, w) on one grid: what the frame at any t is read from.

    Attributes:
        first, last: velocities of both frames' pixels, cells of this grid per unit t, both forward in time.
        visibility, visibility_rate: logit that only the first frame shows the point, and its change per unit t.
        acceleration: of the pixels that are here at t = 1/2, cells per unit t squared.
        confidence: logit of the confidence in the motion; None where the model has none.
    """

    first: Tensor
    last: Tensor
    visibility: Tensor
    visibility_rate: Tensor
    acceleration: Tensor
    confidence: Tensor | None = None


class Maps(NamedTuple):
    """Displacements (cells of the grid), blend weight and confidence at one t per sample; see ``geometry.blending``."""

    flow_to_first: Tensor
    flow_to_last: Tensor
    blend_weight: Tensor
    confidence: Tensor | None


def maps_at(fields: MotionFields, t: Tensor, solver: Solver = SOLVER) -> Maps:
    """The maps that make the frames at ``t`` (B,), each in [0, 1], one time for each sample of the batch.

    The fields are stationary, so following ``v`` for a time t is following ``t v`` for a unit time: samples with
    different t share one solve.
    """
    t = t.view(-1, 1, 1, 1)
    flows = stationary_flow(torch.cat((-t * fields.first, (1 - t) * fields.last)), 1.0, solver)
    return Maps(*_advected(fields, t, *flows.chunk(2)))


def _advected(
    fields: MotionFields, t: Tensor, flow_to_first: Tensor, flow_to_last: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What is known at t = 1/2 and moves with the pixels, at ``t`` (B, 1, 1, 1), and the flows with the acceleration.

    All of it is read where the pixel is at t = 1/2, one Euler step along the mean of both velocities. The blend weight
    is ``1 - t`` tilted by the visibility; both displacements gain what the acceleration bends the paths by
    (``estimation.acceleration``).
    """
    middle = pixel_grid(*fields.first.shape[-2:], like=fields.first) + (0.5 - t) * 0.5 * (fields.first + fields.last)
    logit = fields.visibility + (t - 0.5) * fields.visibility_rate
    known = [logit, fields.acceleration, *([] if fields.confidence is None else [fields.confidence])]
    advected = sample(torch.cat([x.expand(len(logit), -1, -1, -1) for x in known], dim=1), middle)
    first, last = (1 - t) * torch.sigmoid(advected[:, :1]), t * torch.sigmoid(-advected[:, :1])
    offset = t * (1 - t) / 2 * advected[:, 1:3]
    confidence = None if fields.confidence is None else torch.sigmoid(advected[:, 3:])
    return flow_to_first + offset, flow_to_last + offset, first / (first + last), confidence


class FlowMotion:
    """A pair's fields; see ``models.motion.PairMotion``. ``size`` is the part of the grid that covers the frame."""

    def __init__(self, fields: MotionFields, size: tuple[float, float], solver: Solver = SOLVER) -> None:
        self.fields, self.size, self.solver = fields, size, solver
        self._nfe = 0
        self._folds: list[Tensor] = []  # least determinant and folded share, of each direction and time
        self._confidence: Tensor | None = None

    @torch.no_grad()
    def at(self, times: Sequence[float]) -> list[IntermediateMotion]:
        """See ``PairMotion``. Both sides and all times come from one solve."""
        fields = self.fields
        times = [float(t) for t in times]
        durations = sorted({*times, *(1 - t for t in times)})
        flows = dict(zip(durations, stationary_flows(torch.cat((-fields.first, fields.last)), durations, self.solver)))
        self._nfe += stationary_nfe(durations, self.solver)
        # On a device a launch costs what the work of several times does; on a CPU one time's maps stay in its caches.
        some = 1 if fields.first.device.type == "cpu" else len(times)
        motions = []
        for begin in range(0, len(times), some):
            motions += self._read_off(times[begin : begin + some], flows)
        return motions

    def _read_off(self, times: list[float], flows: Mapping[float, Tensor]) -> list[IntermediateMotion]:
        """The motions to ``times`` as one batch, from the flows of all durations."""
        # Filled there, not copied from the host: that would wait, and times may be others in each pair.
        moments = torch.cat([self.fields.first.new_full((1, 1, 1, 1), t) for t in times])
        to_first, to_last = torch.cat([flows[t][:1] for t in times]), torch.cat([flows[1 - t][1:] for t in times])
        maps = _advected(self.fields, moments, to_first, to_last)
        lowest, folded = folding(torch.stack(maps[:2], dim=1).flatten(0, 1))  # both sides of a time, then the next
        self._folds.append(torch.stack((lowest, folded), dim=1))
        covering = self._covering(maps)
        return [
            IntermediateMotion(t, *(None if x is None else x[row : row + 1] for x in covering))
            for row, t in enumerate(times)
        ]

    def _covering(self, maps: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The maps on a grid that covers the frame exactly: the estimate's grid may reach past the frame's edge."""
        height, width = self.size
        rows, columns = max(1, round(height)), max(1, round(width))
        if (rows, columns) == (height, width):
            return [None if x is None else x[..., :rows, :columns] for x in maps]
        like = self.fields.first
        scale = constant((width / columns, height / rows), like)
        at = ((pixel_grid(rows, columns, like=like) + 0.5) * scale - 0.5).expand(len(maps[0]), -1, -1, -1)
        to_first, to_last, *weights = (None if x is None else sample(x, at) for x in maps)
        assert to_first is not None and to_last is not None
        return [to_first / scale, to_last / scale, *weights]

    @torch.no_grad()
    def report(self) -> MotionReport | PendingReport:
        """See ``PairMotion``."""
        if not self._folds:
            self.at([0.5])
        if self._confidence is None:
            confidence = self.fields.confidence
            ones = self.fields.first.new_ones(())
            self._confidence = ones if confidence is None else torch.sigmoid(confidence).mean()
        pending = PendingReport(self._nfe, torch.cat(self._folds), self._confidence)
        return PendingReport.read([pending])[0] if pending.folds.device.type == "cpu" else pending


class PairEstimate(NamedTuple):
    """What is estimated of pairs without their neighbours.

    Attributes:
        fields: on the refined grid (cells of 2 working pixels), the acceleration being the network's own.
        velocity: (B, 2, h, w) mean of both velocities on the coarse grid (cells of 4), cells per unit t.
        flow: both ways, on the coarse grid.
    """

    fields: MotionFields
    velocity: Tensor
    flow: BidirectionalFlow


class FlowInterpolator(nn.Module):
    """The trainable whole of ``model=flow``: two frames and times -> ``Motion``; see ``models.prediction``.

    Args:
        guide_span: longest side, px, of the working picture when films are interpolated.
        network_span: longest side, px, of the picture that the network sees then.
        enlargement: pictures that are not reduced to ``guide_span`` are shown to the network enlarged by up to this,
            and up to as much beyond ``network_span``: small pictures cost little, and thin things are found that way.
        settings: of the estimate.
        refinement: of ``nets.refinement.Refinement``.
        **network: of ``nets.flow.FlowNet``.
    """

    channels = 3
    capturable = True
    """Its forward never asks the host (tests/training/test_captured_step.py): a CUDA graph can hold a training step."""

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
        """The model that ``config`` described, with fresh weights.

        Raises:
            ValueError: if it is of a version that corrected the result of a search.
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
        return self._finished(states[0], hidden, features, working, size)

    def _finished(
        self,
        state: Tensor,
        hidden: Tensor,
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        working: tuple[Tensor, Tensor],
        size: tuple[float, float],
    ) -> PairEstimate:
        settings = self.settings
        first, last = (picture.float() for picture in working)
        rows, columns = (n // CELL for n in first.shape[-2:])
        with torch.no_grad():
            found = state.detach().float()
            matched = match_unexplained(
                (features[0][0].detach(), features[1][0].detach()),
                _seen(working, size, found),
                found,
                settings.matching,
            )
            change = _regridded(matched.state - found, size, rows, columns, vectors=(0, 2, 4))
            departed = _regridded(matched.departed, size, rows, columns)
        state = _regridded(state.float(), size, rows, columns, vectors=(0, 2, 4))
        hidden = _regridded(hidden.float(), size, rows, columns)
        with torch.no_grad():
            a, b = (state + change).detach().chunk(2)
            v, w = refine_velocities(a[:, :2], -b[:, :2], first, last, settings.lucas_kanade)
            flow = bidirectional_flow(v, w, settings.solver)
            # Closed forms: gradients pass by them, to the network's own state.
            polished = torch.cat((v, -w)) - state.detach()[:, :2]
        state = torch.cat((state[:, :2] + polished, state[:, 2:]), dim=1)
        refined = self.refinement(F.avg_pool2d(first, 2), F.avg_pool2d(last, 2), state, hidden, departed)
        own = resize_flow(Velocities.of_state(state).acceleration, 2 * rows, 2 * columns)
        return PairEstimate(_fields(refined, own), (v + w) / 2, flow)

    def _checked_size(self, frame: Tensor) -> tuple[int, int]:
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
        encoded = [level.chunk(2) for level in self.net.encode(torch.cat((first, last)))]
        features = [a for a, _ in encoded], [b for _, b in encoded]
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
            raise ValueError("The flow model looks at both frames; one alone is for model=node.")
        height, width = self._checked_size(first)
        encoded = [level.chunk(2) for level in self.net.encode(torch.cat((first, last)))]
        features = [a for a, _ in encoded], [b for _, b in encoded]
        states, hidden = self.net(*features)
        size = (height / CELL, width / CELL)
        fields = self._finished(states[0], hidden, features, (first, last), size).fields
        batch, asked = t.shape
        times = t.flatten()
        one, two = first.repeat_interleave(asked, 0), last.repeat_interleave(asked, 0)
        maps = maps_at(_repeated(fields, asked), times, self.settings.solver)
        frame, from_first, from_last = _frame(one, two, maps)
        auxiliary = {"one_sided/first": from_first, "one_sided/last": from_last}
        for index, state in enumerate(states[:-1]):
            small = _repeated(MotionFields(**vars(Velocities.of_state(state.float()))), asked)
            rows, columns = small.first.shape[-2:]
            a, b = (F.interpolate(image, (rows, columns), mode="area") for image in (one, two))
            made, *sides = _frame(a, b, maps_at(small, times, COARSE))
            auxiliary[f"coarse/{index}"] = made
            auxiliary[f"coarse_sided/{index}/first"], auxiliary[f"coarse_sided/{index}/last"] = sides
        shape = (batch, asked)
        path = torch.stack((maps.flow_to_first, maps.flow_to_last)).unflatten(1, shape).transpose(1, 2).flatten(0, 1)
        return Motion(
            frame.unflatten(0, shape),
            maps.flow_to_first.unflatten(0, shape),
            path,
            2 * stationary_nfe([1.0], self.settings.solver),
            velocity=-0.5 * (fields.first + fields.last),
            auxiliary={name: frames.unflatten(0, shape) for name, frames in auxiliary.items()},
        )


class FlowModel:
    """The learned motion model; see ``models.motion.MotionModel``.

    A frame is encoded once and a pair estimated once, though three windows use it: the window's observations keep both.
    Estimates run on padded pictures, so any size works.

    Args:
        model: with its weights, float32.
        guide_span, network_span, enlargement: see ``FlowInterpolator``; None: as trained.
        device: torch device of the estimate.
        dtype: of the convolutions; warps and the ODE always run in float32.
    """

    name = "flow"

    def __init__(
        self,
        model: FlowInterpolator,
        guide_span: int | None = None,
        network_span: int | None = None,
        enlargement: float | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.model = model.eval().to(device=self.device, memory_format=torch.channels_last)
        self.guide_span: int | None = guide_span or model.guide_span
        self.network_span = network_span or model.network_span
        self.enlargement = enlargement or model.enlargement
        self._key = object()
        self._encoder = Replayed(lambda pictures, _: self.model.net.encode(pictures[0]))
        self._estimator = Replayed(self._flat_estimate)

    def motion(self, window: Window) -> FlowMotion:
        """See ``MotionModel``."""
        estimate = self._pair(window.first, window.last)
        before = None if window.before is None else self._pair(window.before, window.first)
        after = None if window.after is None else self._pair(window.last, window.after)
        fields, settings = estimate.fields, self.model.settings
        with torch.inference_mode():
            acceleration = estimate_acceleration(
                estimate.flow, before and before.flow, after and after.flow,
                (window.span_before, window.span_after), estimate.velocity, settings.acceleration,
            )  # fmt: skip
            if acceleration is not None:
                finer = resize_flow(acceleration, *fields.first.shape[-2:])
                fields = MotionFields(**{**vars(fields), "acceleration": fields.acceleration + finer})
        height, width = window.first.guide(self.guide_span).shape[-2:]
        return FlowMotion(fields, (2 * height / CELL, 2 * width / CELL), settings.solver)

    def prepare(self, first: Observation, last: Observation) -> None:
        """Estimates a pair ahead of the windows that use it."""
        self._pair(first, last)

    def prepare_pairs(self, pairs: Sequence[tuple[Observation, Observation]]) -> None:
        """Estimates pairs ahead of the windows that use them, all of one size as one batch; see ``prepare``.

        On a device, launching the network costs the same for one pair as for several.
        """
        missing = [pair for pair in pairs if not pair[0].knows((self._key, "pair", pair[1].index))]
        frames = {frame.index: frame for pair in missing for frame in pair}
        with torch.inference_mode(), self._autocast():
            fresh = [frame for frame in frames.values() if not frame.knows((self._key, "features"))]
            for group in _of_one_size(fresh, lambda frame: frame.guide(self.guide_span).shape):
                whole = self._encode(torch.cat([frame.guide(self.guide_span).to(self.device) for frame in group]))
                for row, frame in enumerate(group):
                    part = _Encoded(
                        [level[row : row + 1] for level in whole.features], whole.working[row : row + 1], whole.size
                    )
                    frame.recall((self._key, "features"), partial(_itself, part))
            for pairs_alike in _of_one_size(missing, lambda pair: self._encoded(pair[0]).working.shape):
                one, two = ([self._encoded(pair[k]) for pair in pairs_alike] for k in (0, 1))
                both = self._estimated(
                    (_stacked(one), _stacked(two)),
                    (torch.cat([each.working for each in one]), torch.cat([each.working for each in two])),
                    one[0].size,
                )
                for row, (first, last) in enumerate(pairs_alike):
                    first.recall((self._key, "pair", last.index), partial(_itself, _row(both, row)))

    def _autocast(self) -> torch.autocast:
        # Weights in half precision are not kept: a graph would read those that were made while it was recorded.
        return torch.autocast(
            self.device.type, self.dtype, self.dtype != torch.float32, cache_enabled=self.device.type != "cuda"
        )

    def _pair(self, first: Observation, last: Observation) -> PairEstimate:
        return first.recall((self._key, "pair", last.index), lambda: self._estimate(first, last))

    def _estimate(self, first: Observation, last: Observation) -> PairEstimate:
        with torch.inference_mode(), self._autocast():
            one, two = (self._encoded(observation) for observation in (first, last))
            return self._estimated((one.features, two.features), (one.working, two.working), one.size)

    def _estimated(
        self,
        features: tuple[Sequence[Tensor], Sequence[Tensor]],
        working: tuple[Tensor, Tensor],
        size: tuple[float, float],
    ) -> PairEstimate:
        """``FlowInterpolator.estimate``; on CUDA replayed as a graph."""
        return _rebuilt(self._estimator([*working, *features[0], *features[1]], size))

    def _flat_estimate(self, tensors: Sequence[Tensor], size: tuple[float, float]) -> list[Tensor]:
        levels = (len(tensors) - 2) // 2
        features = tensors[2 : 2 + levels], tensors[2 + levels :]
        return _flattened(self.model.estimate(features, (tensors[0], tensors[1]), size))

    def _encoded(self, observation: Observation) -> _Encoded:
        return observation.recall((self._key, "features"), lambda: self._encode(observation.guide(self.guide_span)))

    def _network_scale(self, side: int) -> float:
        """Of the network's picture over a working picture with this longest side, px."""
        if self.guide_span is not None and side >= self.guide_span:
            return min(1.0, self.network_span / side)
        return min(self.enlargement, self.enlargement * self.network_span / side)

    def _encode(self, guide: Tensor) -> _Encoded:
        guide = guide.to(self.device)
        height, width = guide.shape[-2:]
        working = _padded(guide, PADDING)
        seen = guide
        size = [max(1, round(n * self._network_scale(max(height, width)))) for n in (height, width)]
        if size[0] < height or size[1] < width:
            seen = F.interpolate(guide, size, mode="area")
        elif size != [height, width]:
            seen = F.interpolate(guide, size, mode="bilinear", align_corners=False)
        # What of the network's grid the working picture covers, its padding included.
        rows = working.shape[-2] * seen.shape[-2] / (CELL * height)
        columns = working.shape[-1] * seen.shape[-1] / (CELL * width)
        padded = _padded(seen, self.model.net.stride).contiguous(memory_format=torch.channels_last)
        return _Encoded(self._encoder([padded]), working, (rows, columns))


class _Encoded(NamedTuple):
    """A frame's features, its working picture, and ``size`` of ``FlowInterpolator.estimate``."""

    features: list[Tensor]
    working: Tensor
    size: tuple[float, float]


def _stacked(encoded: Sequence[_Encoded]) -> list[Tensor]:
    return [torch.cat(level) for level in zip(*(each.features for each in encoded))]


def _flattened(estimate: PairEstimate) -> list[Tensor]:
    parts = [*vars(estimate.fields).values(), estimate.velocity, *vars(estimate.flow).values()]
    return [part for part in parts if part is not None]


def _rebuilt(parts: Sequence[Tensor]) -> PairEstimate:
    """The estimate, with its confidence, that ``_flattened`` took apart."""
    *fields, velocity = parts[: len(MotionFields.__dataclass_fields__) + 1]
    return PairEstimate(MotionFields(*fields), velocity, BidirectionalFlow(*parts[len(fields) + 1 :]))


def _row(estimate: PairEstimate, row: int) -> PairEstimate:
    """One pair of a batch."""
    return _rebuilt([part[row : row + 1] for part in _flattened(estimate)])


def _of_one_size(items: Iterable[Item], size: Callable[[Item], tuple[int, ...]]) -> list[list[Item]]:
    groups: dict[tuple[int, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(size(item), []).append(item)
    return list(groups.values())


def _itself(value: Item) -> Item:
    return value


def flow_interpolator(init_from: str | None = None, **settings: Any) -> FlowInterpolator:
    """The trainable model, fresh or from weights by name or file, to go on with or to fine-tune on one's own films.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind or size.
    """
    model = FlowInterpolator(**settings)
    if init_from is None:
        return model
    path, digest = locate(init_from)
    known, _ = load_model(path, digest)
    if not isinstance(known, FlowInterpolator) or _shape(known) != _shape(model):
        raise UserError(
            f"{path} holds another network than the one to be trained.",
            "Choose its net=, or train from scratch.",
            USAGE,
        )
    model.load_state_dict(known.state_dict())
    return model


def load_flow(
    weights: str,
    guide_span: int | None = None,
    network_span: int | None = None,
    enlargement: float | None = None,
    precision: str = "auto",
    device: str = "cpu",
) -> FlowModel:
    """The motion model with weights by name (``flow``) or from a file that ``train.py`` exported.

    Args:
        weights: a name of ``models.shipped`` or a path.
        guide_span, network_span, enlargement: see ``FlowInterpolator``; None: as trained.
        precision: of the network: ``fp32``, ``bf16``, ``fp16``; ``auto`` is fp32 on a CPU and fp16 on a GPU.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind of model.
    """
    path, digest = locate(weights)
    model, _ = load_model(path, digest)
    if not isinstance(model, FlowInterpolator):
        kind = model.config()["kind"]
        remedy = f"style={weights} for a film in this style." if kind == "style" else "model=node with these weights."
        raise UserError(f"{path} holds a {kind} model.", remedy, BAD_INPUT)
    half = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    automatic = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    return FlowModel(model, guide_span, network_span, enlargement, device, half.get(precision, automatic))


def _shape(model: FlowInterpolator) -> tuple[dict, dict]:
    return model.net.settings, model.refinement.settings


def _settings_from(config: Mapping[str, Any]) -> EstimateSettings:
    kutta = dict(config["lucas_kanade"])
    kutta["steps"] = tuple((int(shrink), int(count)) for shrink, count in kutta["steps"])
    kutta["solver"] = Solver(**kutta["solver"])
    matching = dict(config["matching"])
    for name, value in matching.items():
        if isinstance(value, list):
            matching[name] = tuple(value)
    return EstimateSettings(
        Matching(**matching), LucasKanade(**kutta), AccelerationSettings(**config["acceleration"]),
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
    parts = {name: None if x is None else x.repeat_interleave(times, 0) for name, x in vars(fields).items()}
    return MotionFields(**parts)


def _padded(image: Tensor, stride: int) -> Tensor:
    height, width = image.shape[-2:]
    if not (height % stride or width % stride):
        return image
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")


def _seen(working: tuple[Tensor, Tensor], size: tuple[float, float], like: Tensor) -> tuple[Tensor, Tensor]:
    """Both working pictures averaged over the cells of the network's grid, of which they cover ``size``."""
    rows, columns = like.shape[-2:]
    height, width = max(1, round(size[0])), max(1, round(size[1]))
    below, right = max(0, rows - height), max(0, columns - width)
    small = (F.interpolate(picture.float(), (height, width), mode="area") for picture in working)
    one, two = (F.pad(picture, (0, right, 0, below), mode="replicate")[..., :rows, :columns] for picture in small)
    return one, two


def _regridded(
    field: Tensor, size: tuple[float, float], rows: int, columns: int, vectors: tuple[int, ...] = ()
) -> Tensor:
    """A field on another grid over the same area, of which it covers ``size`` cells.

    ``vectors`` are the first channels of displacements, which are rescaled to the new cells.
    """
    if size == (rows, columns):
        return field[..., :rows, :columns]
    scale = (size[1] / columns, size[0] / rows)
    at = (pixel_grid(rows, columns, like=field) + 0.5) * constant(scale, field) - 0.5
    moved = sample(field, at.expand(len(field), -1, -1, -1))
    if not vectors:
        return moved
    units = [1.0] * field.shape[1]
    for channel in vectors:
        units[channel], units[channel + 1] = 1 / scale[0], 1 / scale[1]
    return moved * constant(tuple(units), moved)
