"""``model=flow``: the learned motion of a pair.

    network, coarse to fine ─► matching of what it leaves unexplained ─► Lucas-Kanade ─► refinement at edges
    ─► acceleration from the pairs around ─► one ODE solve, from which every t is read

The network's picture and the working picture (Lucas-Kanade, refinement) have sizes of their own. Everything is tensors
with pairs as the batch, on any device.

The motion model is here; its fields are in ``flow_fields``, the trainable estimate in ``flow_interpolator``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.estimation.acceleration import Interval, estimate_acceleration, is_comparable
from vfi_pipeline.estimation.flow import BidirectionalFlow
from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.geometry import filled, resize_flow
from vfi_pipeline.models.checkpoint import config_of, load_model
from vfi_pipeline.models.flow_fields import FlowMotion, MotionFields, read_fields
from vfi_pipeline.models.flow_interpolator import CELL, PADDING, FlowInterpolator, PairEstimate
from vfi_pipeline.models.replay import Recorder, Replayed, ReplaySettings, record_graph
from vfi_pipeline.models.shipped import locate

Item = TypeVar("Item")

READING_GRAPHS = 8
"""How many graphs that read fields are kept: more than a film of any two constant rates needs (tests/models)."""


class FlowModel:
    """The learned motion model; see ``models.motion.MotionModel``.

    Three windows use a frame and a pair. Each frame is encoded once and each pair estimated once, because the window's
    observations keep both. Estimates run on padded pictures, so any size works.

    Args:
        model: with its weights, float32.
        guide_span, network_span, enlargement: see ``FlowInterpolator``; None: as trained.
        device: torch device of the estimate.
        dtype: of the convolutions; warps and the ODE always run in float32.
        record: records what is replayed on CUDA, see ``models.replay``.
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
        record: Recorder | None = record_graph,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.model = model.eval().to(self.device).to(memory_format=torch.channels_last)
        self.guide_span: int | None = guide_span or model.guide_span
        self.network_span = network_span or model.network_span
        self.enlargement = enlargement or model.enlargement
        self._key = object()
        self._encoder = Replayed(lambda pictures, _: self.model.net.encode(pictures[0]), record=record)
        self._estimator = Replayed(self._flat_estimate, record=record)
        self._accelerator = Replayed(self._flat_acceleration, record=record)
        # One for each number of times and of the solver's steps to them.
        self._reader = Replayed(read_fields, ReplaySettings(graphs=READING_GRAPHS), record)

    def motion(self, window: Window) -> FlowMotion:
        """See ``MotionModel``."""
        estimate = self._estimate_of(window.first, window.last)
        before = None if window.before is None else self._estimate_of(window.before, window.first)
        after = None if window.after is None else self._estimate_of(window.last, window.after)
        settings = self.model.settings
        spans = window.span_before, window.span_after
        neighbours = [
            neighbour.flow if neighbour is not None and is_comparable(span, settings.acceleration) else None
            for neighbour, span in zip((before, after), spans)
        ]
        fields = estimate.fields
        if any(neighbours):
            with torch.inference_mode():
                fields = replace(fields, acceleration=self._acceleration(estimate, neighbours, spans))
        height, width = window.first.guide(self.guide_span).shape[-2:]
        return FlowMotion(fields, (2 * height / CELL, 2 * width / CELL), settings.solver, read=self._reader)

    def _acceleration(
        self, estimate: PairEstimate, neighbours: Sequence[BidirectionalFlow | None], spans: tuple[float, float]
    ) -> Tensor:
        """The fields' acceleration with that from the neighbours' flows; on CUDA replayed as a graph."""
        present = tuple(flow is not None for flow in neighbours)
        intervals = [Interval.of(span if here else 1.0) for span, here in zip(spans, present)]
        numbers = tuple(float(number) for each in intervals for number in (each.span, each.rate))
        flows = [vars(flow).values() for flow in (estimate.flow, *neighbours) if flow is not None]
        tensors = [filled(numbers, estimate.velocity), estimate.fields.acceleration, estimate.velocity]
        return self._accelerator([*tensors, *(part for parts in flows for part in parts)], present)[0]

    def _flat_acceleration(self, tensors: Sequence[Tensor], present: tuple[bool, bool]) -> list[Tensor]:
        numbers, learned, velocity, *parts = tensors
        before_span, after_span = (Interval(*pair.unbind()) for pair in numbers.view(2, 2, 1, 1, 1, 1))
        flows = iter([BidirectionalFlow(*parts[start : start + 4]) for start in range(0, len(parts), 4)])
        pair = next(flows)
        before, after = (next(flows) if here else None for here in present)
        acceleration = estimate_acceleration(
            pair, before, after, (before_span, after_span), velocity, self.model.settings.acceleration
        )  # fmt: skip
        assert acceleration is not None
        return [learned + resize_flow(acceleration, *learned.shape[-2:])]

    def prepare(self, first: Observation, last: Observation) -> None:
        """Estimates a pair ahead of the windows that use it."""
        self._estimate_of(first, last)

    def prepare_pairs(self, pairs: Sequence[tuple[Observation, Observation]]) -> None:
        """Estimates pairs ahead of the windows that use them, all of one size as one batch; see ``prepare``.

        On a device, launching the network costs the same for one pair as for several.
        """
        missing = [pair for pair in pairs if not pair[0].knows((self._key, "pair", pair[1].index))]
        frames = {frame.index: frame for pair in missing for frame in pair}
        with torch.inference_mode(), self._autocast():
            fresh = [frame for frame in frames.values() if not frame.knows((self._key, "features"))]
            for group in _grouped_by_size(fresh, lambda frame: frame.guide(self.guide_span).shape):
                guides = torch.cat([frame.guide(self.guide_span).to(self.device) for frame in group])
                for frame, encoded in zip(group, self.encode(guides).frames()):
                    frame.recall((self._key, "features"), partial(_identity, encoded))
            for same_size in _grouped_by_size(missing, lambda pair: self.encoded(pair[0]).working.shape):
                firsts, lasts = (EncodedFrames.stacked([self.encoded(pair[k]) for pair in same_size]) for k in (0, 1))
                estimates = self._estimate(firsts, lasts)
                for row, (first, last) in enumerate(same_size):
                    first.recall((self._key, "pair", last.index), partial(_identity, _estimate_row(estimates, row)))

    def _autocast(self) -> torch.autocast:
        # Autocast may not cache the weights it converts: a graph would read those of the time it was recorded.
        return torch.autocast(
            self.device.type, self.dtype, self.dtype != torch.float32, cache_enabled=self.device.type != "cuda"
        )

    def estimate(self, first: Observation, last: Observation) -> PairEstimate:
        """The estimate of a pair without its neighbours. ``motion`` computes it once for each pair, by this call."""
        with torch.inference_mode(), self._autocast():
            return self._estimate(self.encoded(first), self.encoded(last))

    def _estimate_of(self, first: Observation, last: Observation) -> PairEstimate:
        """``estimate``, kept by the first observation."""
        return first.recall((self._key, "pair", last.index), lambda: self.estimate(first, last))

    def _estimate(self, first: EncodedFrames, last: EncodedFrames) -> PairEstimate:
        """``FlowInterpolator.estimate``; on CUDA replayed as a graph."""
        return _unflattened(self._estimator([first.working, last.working, *first.features, *last.features], first.size))

    def _flat_estimate(self, tensors: Sequence[Tensor], size: tuple[float, float]) -> list[Tensor]:
        levels = (len(tensors) - 2) // 2
        features = tensors[2 : 2 + levels], tensors[2 + levels :]
        return _flattened(self.model.estimate(features, (tensors[0], tensors[1]), size))

    def encoded(self, observation: Observation) -> EncodedFrames:
        """``encode`` of the observation's guide, kept by the observation."""
        return observation.recall((self._key, "features"), lambda: self.encode(observation.guide(self.guide_span)))

    def _network_scale(self, side: int) -> float:
        """Of the network's picture over a working picture with this longest side, px."""
        if self.guide_span is not None and side >= self.guide_span:
            return min(1.0, self.network_span / side)
        return min(self.enlargement, self.enlargement * self.network_span / side)

    def encode(self, guides: Tensor) -> EncodedFrames:
        """The features of guides (B, 3, h, w). ``motion`` computes them once for each frame, by this call."""
        guides = guides.to(self.device)
        height, width = guides.shape[-2:]
        working = _padded(guides, PADDING)
        network_picture = guides
        size = [max(1, round(n * self._network_scale(max(height, width)))) for n in (height, width)]
        if size[0] < height or size[1] < width:
            network_picture = F.interpolate(guides, size, mode="area")
        elif size != [height, width]:
            network_picture = F.interpolate(guides, size, mode="bilinear", align_corners=False)
        # The part of the network's grid that the working picture covers, its padding included.
        rows = working.shape[-2] * network_picture.shape[-2] / (CELL * height)
        columns = working.shape[-1] * network_picture.shape[-1] / (CELL * width)
        padded = _padded(network_picture, self.model.net.stride).contiguous(memory_format=torch.channels_last)
        return EncodedFrames(self._encoder([padded]), working, (rows, columns))


class EncodedFrames(NamedTuple):
    """Frames of one size as ``FlowInterpolator.estimate`` takes them.

    Attributes:
        features: one (B, C, h, w) for each level of the network.
        working: (B, 3, H, W) working pictures, padded.
        size: (height, width) of the part of the network's finest grid that covers the working picture, in cells.
    """

    features: list[Tensor]
    working: Tensor
    size: tuple[float, float]

    @classmethod
    def stacked(cls, encoded: Sequence[EncodedFrames]) -> EncodedFrames:
        """Several of one size as one batch."""
        features = [torch.cat(level) for level in zip(*(frames.features for frames in encoded))]
        return cls(features, torch.cat([frames.working for frames in encoded]), encoded[0].size)

    def frames(self) -> list[EncodedFrames]:
        """Each frame of the batch alone."""
        return [
            EncodedFrames([level[k : k + 1] for level in self.features], self.working[k : k + 1], self.size)
            for k in range(len(self.working))
        ]


def _flattened(estimate: PairEstimate) -> list[Tensor]:
    parts = [*vars(estimate.fields).values(), estimate.velocity, *vars(estimate.flow).values()]
    return [part for part in parts if part is not None]


def _unflattened(parts: Sequence[Tensor]) -> PairEstimate:
    """The estimate, with its confidence, that ``_flattened`` took apart."""
    *fields, velocity = parts[: len(MotionFields.__dataclass_fields__) + 1]
    return PairEstimate(MotionFields(*fields), velocity, BidirectionalFlow(*parts[len(fields) + 1 :]))


def _estimate_row(estimate: PairEstimate, row: int) -> PairEstimate:
    """One pair of a batch."""
    return _unflattened([part[row : row + 1] for part in _flattened(estimate)])


def _grouped_by_size(items: Iterable[Item], size: Callable[[Item], tuple[int, ...]]) -> list[list[Item]]:
    groups: dict[tuple[int, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(size(item), []).append(item)
    return list(groups.values())


def _identity(value: Item) -> Item:
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
    trained, _ = load_model(path, digest)
    if not isinstance(trained, FlowInterpolator) or not _continues(model, trained):
        raise UserError(
            f"{path} holds another network than the one to be trained.",
            "Choose its net=, or train from scratch.",
            USAGE,
        )
    model.load_state_dict({**model.state_dict(), **trained.state_dict()})  # a new gate begins as a new one
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
        kind = config_of(model)["kind"]
        remedy = f"style={weights} for a film in this style." if kind == "style" else "model=node with these weights."
        raise UserError(f"{path} holds a {kind} model.", remedy, BAD_INPUT)
    half = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    automatic = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    return FlowModel(model, guide_span, network_span, enlargement, device, half.get(precision, automatic))


def _continues(model: FlowInterpolator, trained: FlowInterpolator) -> bool:
    """Whether the model can go on from these weights: of the same network, with a gate or without."""
    same = (model.net.settings, model.refinement.settings) == (trained.net.settings, trained.refinement.settings)
    return same and (model.gate is not None or trained.gate is None)


def _padded(image: Tensor, stride: int) -> Tensor:
    height, width = image.shape[-2:]
    if not (height % stride or width % stride):
        return image
    return F.pad(image, (0, -width % stride, 0, -height % stride), mode="replicate")
