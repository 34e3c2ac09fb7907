"""``model=flow``: the learned motion. The network runs once a pair; the ODE then gives every t."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, USAGE, UserError
from vfi_pipeline.geometry import folding, outside, pixel_grid, resize_flow, sample, warp
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.models.motion import ALONE, Context, Inbetween, MotionReport
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.models.search import Pair, Search
from vfi_pipeline.models.shipped import locate
from vfi_pipeline.models.start import (
    CELL,
    SHARE,
    Begin,
    pair_begin,
    pair_start,
    preset_at,
    searched_start,
    small_picture,
)
from vfi_pipeline.nets.flow import FlowNet, Velocities
from vfi_pipeline.ode import Counted, SampledVelocity, Solver, flow_map, flow_maps

log = logging.getLogger(__name__)

SOLVER = Solver("midpoint", steps=4)


@dataclass(frozen=True)
class Maps:
    """Displacements and share at one t per sample, on the network's grid; see ``models.motion.Inbetween``."""

    there: Tensor
    back: Tensor
    share: Tensor


def maps_at(found: Velocities, t: Tensor, solver: Solver = SOLVER) -> Maps:
    """The maps that make the frames at ``t`` (B,), each in [0, 1], one time for each sample of the batch.

    The fields are stationary, so following ``v`` for a time t is following ``t v`` for a unit time: samples with
    different t share one solve.
    """
    t = t.view(-1, 1, 1, 1)
    grid = pixel_grid(*found.first.shape[-2:], like=found.first).expand_as(found.first)
    there = flow_map(SampledVelocity(-t * found.first), grid, 0, 1, solver)
    back = flow_map(SampledVelocity((1 - t) * found.last), grid, 0, 1, solver)
    share, aside = carried(found, t, grid)
    return Maps(there + aside, back + aside, share)


def carried(found: Velocities, t: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """What is known at t = 1/2 and moves with the pixels, at ``t`` (B, 1, 1, 1): share and what bends the paths.

    The share is the weight of the first frame's pixel: ``1 - t`` tilted by the visibility. The bend is what both
    displacements gain by the acceleration (``models.acceleration``). Both are read where the pixel is at t = 1/2, one
    Euler step along the mean of both velocities.
    """
    middle = grid + (0.5 - t) * 0.5 * (found.first + found.last)
    known = torch.cat((found.visibility + (t - 0.5) * found.drift, found.acceleration), dim=1)
    logit, acceleration = sample(known, middle).split((1, 2), dim=1)
    first, last = (1 - t) * torch.sigmoid(logit), t * torch.sigmoid(-logit)
    return first / (first + last), t * (1 - t) / 2 * acceleration


class FlowMotion:
    """A pair's velocities; see ``models.motion.PairMotion``. ``size`` is the part of the grid that covers the frame."""

    def __init__(self, found: Velocities, size: tuple[float, float], solver: Solver = SOLVER) -> None:
        self.found, self.size, self.solver = found, size, solver
        self._nfe = 0
        self._worst: list[tuple[float, float]] = []

    def at(self, times: Sequence[float]) -> list[Inbetween]:
        first, last = Counted(SampledVelocity(-self.found.first)), Counted(SampledVelocity(self.found.last))
        grid = pixel_grid(*self.found.first.shape[-2:], like=self.found.first)
        there = self._maps(first, grid, times)
        back = self._maps(last, grid, [1 - t for t in times])
        self._nfe += first.nfe + last.nfe
        made = []
        for t in times:
            share, aside = carried(self.found, grid.new_tensor(t).view(1, 1, 1, 1), grid)
            maps = [there[t] + aside, back[1 - t] + aside, share]
            for lowest, folded in map(folding, maps[:2]):
                self._worst.append((float(lowest), float(folded)))
            made.append(Inbetween(t, *self._cover(maps)))
        return made

    def _maps(self, velocity: Counted, grid: Tensor, durations: Sequence[float]) -> dict[float, Tensor]:
        """The displacement after each duration, all from one solve. Keys are the durations as given."""
        ordered = sorted(set(durations))
        return dict(zip(ordered, flow_maps(velocity, grid, 0.0, ordered, self.solver)))

    def _cover(self, maps: list[Tensor]) -> list[Tensor]:
        """The maps on a grid that covers the frame exactly: the network's grid may reach past the frame's edge."""
        height, width = self.size
        rows, columns = max(1, round(height)), max(1, round(width))
        if (rows, columns) == (height, width):
            return [u[..., :rows, :columns] for u in maps]
        grid = pixel_grid(rows, columns, like=maps[0])
        scale = grid.new_tensor([width / columns, height / rows]).view(1, 2, 1, 1)
        at = (grid + 0.5) * scale - 0.5
        there, back, share = (sample(u, at) for u in maps)
        return [there / scale, back / scale, share]

    def report(self) -> MotionReport:
        if not self._worst:
            self.at([0.5])
        least, folded = zip(*self._worst)
        return MotionReport(self._nfe, min(least), sum(folded) / len(folded))


class FlowModel:
    """The learned motion model; see ``models.motion.MotionModel``.

    A frame that ends one pair and begins the next is encoded once: its features are kept. The
    estimate runs on a padded picture, so any size works. A GPU that runs out of memory gets the picture at half the
    size from then on, and says so.

    Args:
        net: the network, float32.
        guide_span: longest side, px, of the picture that the network sees.
        device: torch device of the estimate.
        dtype: of the convolutions; warps and the ODE always run in float32.
        start: whether the network corrects what a search on the CPU found (``models.start``), or begins from nothing.
        search: what part of the picture's size the search sees, 1/4 to 1.
    """

    name = "flow"

    def __init__(
        self,
        net: FlowNet,
        guide_span: int | None = 640,
        solver: Solver = SOLVER,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        start: bool = False,
        search: float = SHARE,
    ) -> None:
        if not 0.25 <= search <= 1:
            raise UserError(
                f"model.search={search} is no share of the guide's size.", f"{SHARE} (usual) to 1 (finer).", USAGE
            )
        self.device, self.dtype, self.solver, self.guide_span = torch.device(device), dtype, solver, guide_span
        self.net = net.eval().to(device=self.device, memory_format=torch.channels_last)
        self.start, self.search = start, search
        self._seen: list[_Seen] = []
        self._search = Search(warm_start=False, cells=CELL * search, preset=preset_at(search), far=True)
        # The pair after the next is searched on one core while the network and the composition keep the others busy.
        self._pool = ThreadPoolExecutor(1, "search", initializer=torch.set_num_threads, initargs=(1,))
        self._shrink = 1  # the network sees the guide at 1/shrink of its size

    def motion(self, first: Tensor, last: Tensor, context: Context = ALONE) -> FlowMotion:
        while True:
            try:
                return self._motion(first, last, context)
            except torch.OutOfMemoryError as error:
                height, width = (n // (2 * self._shrink) for n in first.shape[-2:])
                if min(height, width) < self.net.stride:
                    raise UserError(
                        f"The device lacks the memory even to look at {width}x{height} px.", "device=cpu.", ENVIRONMENT
                    ) from error
                self._shrink *= 2
                self.reset()
                log.warning("Out of memory: the motion is estimated at %dx%d from here on.", width, height)

    def _motion(self, first: Tensor, last: Tensor, context: Context) -> FlowMotion:
        height, width = first.shape[-2:]
        half = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
        with torch.inference_mode(), half, _core_left_free(self.start and self.device.type == "cpu"):
            one, two = self._look(first), self._look(last)
            start = self._begin(one, two, context) if self.start else None
            found = self.net(self._features(one), self._features(two), start)[0]
        return FlowMotion(found.each(Tensor.float), (height / self._shrink / 4, width / self._shrink / 4), self.solver)

    def _begin(self, one: _Seen, two: _Seen, context: Context) -> Tensor:
        """The network's first guess, from this pair and those around it; the search of the next ones goes on."""
        before, after, further = (
            None if image is None else self._look(image) for image in (context.before, context.after, context.further)
        )
        around = replace(context, before=before and before.small, after=after and after.small)
        if after is not None:  # at the start of a shot, two pairs are searched side by side
            self._search.ahead(two.small, after.small, self._pool)
        pairs = self._search.around(one.small, two.small, around)
        if after is not None and further is not None:
            searched = self._search.ahead(after.small, further.small, self._pool)
            if searched is not None:
                after.begin = further.small, self._pool.submit(_begin_of, searched)
        if self.device.type == "cpu" and after is not None and after.features is None:
            after.features = self._pool.submit(self._encode, after.padded)
        begin = one.begin[1].result() if one.begin is not None and one.begin[0] is two.small else None
        start = pair_start(pairs[1], pairs[0], pairs[2], (context.span_before, context.span_after), begin)
        return start.to(self.device)

    def reset(self) -> None:
        self._seen.clear()
        self._search.reset()

    def _look(self, image: Tensor) -> _Seen:
        for known in self._seen:
            if known.image is image:
                return known
        stride = self.net.stride
        height, width = (n / self._shrink for n in image.shape[-2:])
        padded = image.to(self.device)
        if self._shrink > 1:
            padded = F.interpolate(padded, (round(height), round(width)), mode="area")
        height, width = padded.shape[-2:]
        padded = F.pad(padded, (0, -width % stride, 0, -height % stride), mode="replicate")
        seen = _Seen(image, padded.contiguous(memory_format=torch.channels_last), small_picture(padded, self.search))
        self._seen = [*self._seen[-4:], seen]
        return seen

    def _features(self, seen: _Seen) -> list[Tensor]:
        if isinstance(seen.features, Future):
            seen.features = seen.features.result()
        elif seen.features is None:
            seen.features = self._encode(seen.padded)
        return seen.features

    def _encode(self, padded: Tensor) -> list[Tensor]:
        with torch.inference_mode(), torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.net.encode(padded)


@contextmanager
def _core_left_free(wanted: bool) -> Iterator[None]:
    """One thread fewer for torch: with as many as cores, beside the search, each operation waits for the last one."""
    threads = torch.get_num_threads()
    if not wanted or threads == 1:
        yield
        return
    torch.set_num_threads(threads - 1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass
class _Seen:
    """A frame that was looked at: kept as long as it can be part of a pair or of its context."""

    image: Tensor
    padded: Tensor
    small: Tensor
    features: list[Tensor] | Future[list[Tensor]] | None = None
    begin: tuple[Tensor, Future[Begin]] | None = None
    """Of the pair of this frame and the one with that small picture."""


def _begin_of(searched: Future[Pair]) -> Begin:
    """In the same pool of one thread as the search, so that has ended."""
    return pair_begin(searched.result())


class FlowInterpolator(nn.Module):
    """The trainable whole of ``model=flow``: two frames and times -> ``Motion``; see ``models.prediction``.

    Args:
        guide_span: longest side, px, of the picture that is looked at when films are interpolated.
        channels: 3; the network sees RGB.
        start: whether the network corrects what a search found (``models.start``), or begins from nothing.
        **network: of ``FlowNet``.
    """

    channels = 3

    def __init__(self, guide_span: int = 640, solver: Solver = SOLVER, start: bool = False, **network: Any) -> None:
        super().__init__()
        self.net = FlowNet(**network)
        self.guide_span, self.solver, self.start = guide_span, solver, start

    def config(self) -> dict:
        """See ``TrainableModel``."""
        solver = asdict(self.solver)
        return {
            "kind": "flow",
            "guide_span": self.guide_span,
            "solver": solver,
            "start": self.start,
            **self.net.settings,
        }

    @classmethod
    def from_config(cls, config: dict) -> FlowInterpolator:
        """The model that ``config`` described, with fresh weights."""
        options = {key: value for key, value in config.items() if key not in ("kind", "solver")}
        return cls(solver=Solver(**config["solver"]), **options)

    def forward(self, first: Tensor, last: Tensor | None, t: Tensor, searched: Tensor | None = None) -> Motion:
        """Frames (B, 3, H, W), H and W multiples of the network's stride, times (B, T) in [0, 1].

        ``searched``: (B, 3, 4, H/4, W/4), what a search of whole frames has found (``data.batch.Triplet``); None
        searches these frames, if the model starts from a search at all.

        Raises:
            ValueError: if ``last`` is missing or the size does not fit.
        """
        if last is None:
            raise ValueError("The flow model looks at both frames; one alone is for model=node.")
        height, width = first.shape[-2:]
        if height % self.net.stride or width % self.net.stride:
            raise ValueError(
                f"Training frames are {width}x{height}; the network needs multiples of {self.net.stride}. "
                "Choose such a crop."
            )
        features = [level.chunk(2) for level in self.net.encode(torch.cat((first, last)))]
        start = searched_start(first, last, searched) if self.start else None
        levels = self.net([a for a, _ in features], [b for _, b in features], start)
        batch, asked = t.shape
        times = t.flatten()
        finest = maps_at(_repeated(levels[0], asked), times, self.solver)
        one, two = first.repeat_interleave(asked, 0), last.repeat_interleave(asked, 0)
        frame, from_first, from_last = synthesise(one, two, finest)
        extras = {"one_sided/first": from_first, "one_sided/last": from_last}
        for index, level in enumerate(levels[1:-1], start=1):
            small = _repeated(level, asked)
            maps = maps_at(small, times, COARSE)
            size = small.first.shape[-2:]
            made, *sides = synthesise(_shrunk(one, size), _shrunk(two, size), maps)
            extras[f"coarse/{index}"] = made
            extras[f"coarse_sided/{index}/first"], extras[f"coarse_sided/{index}/last"] = sides
        shape = (batch, asked)
        return Motion(
            frame.unflatten(0, shape),
            finest.there.unflatten(0, shape),
            torch.stack((finest.there, finest.back)).unflatten(1, shape).transpose(1, 2).flatten(0, 1),
            2 * 2 * self.solver.steps,
            velocity=-0.5 * (levels[0].first + levels[0].last),
            extras={name: frames.unflatten(0, shape) for name, frames in extras.items()},
        )


def flow_interpolator(begin_with: str | None = None, **settings: Any) -> FlowInterpolator:
    """The trainable model, fresh or from weights by name or file, to go on with or to fine-tune on one's own films.

    Heads that learned to correct another start are set to zero, so that training begins at the new start itself.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind or size.
    """
    model = FlowInterpolator(**settings)
    if begin_with is None:
        return model
    path, digest = locate(begin_with)
    known, _ = load_model(path, digest)
    # Weights of any ``quiet`` fit: it only says how their corrections are used.
    if not isinstance(known, FlowInterpolator) or known.net.settings | {"quiet": 0} != model.net.settings | {
        "quiet": 0
    }:
        raise UserError(
            f"{path} holds another network than the one to be trained.",
            "Choose its net=, or train from scratch.",
            USAGE,
        )
    model.load_state_dict(known.state_dict())
    if known.start != model.start:
        for name, parameter in model.net.named_parameters():
            if ".head." in name:
                nn.init.zeros_(parameter)
    return model


COARSE = Solver("midpoint", steps=2)
"""At coarse levels displacements are a fraction of those at the finest, in their own pixels."""


def synthesise(first: Tensor, last: Tensor, maps: Maps) -> tuple[Tensor, Tensor, Tensor]:
    """The frame in RGB, differentiable, as ``synthesis.compose`` makes it in planes: (blend, from first, from last).

    A position outside one frame hands its weight to the other frame, smoothly over one pixel.
    """
    height, width = first.shape[-2:]
    there, back = (resize_flow(u, height, width) for u in (maps.there, maps.back))
    share = F.interpolate(maps.share, (height, width), mode="bilinear", align_corners=False)
    # The 1e-4 keeps the model's own weights where both frames are left.
    a = share * (_inside(there) + 1e-4)
    b = (1 - share) * (_inside(back) + 1e-4)
    from_first, from_last = warp(first, there), warp(last, back)
    return from_last + a / (a + b) * (from_first - from_last), from_first, from_last


def _inside(flow: Tensor) -> Tensor:
    return (1 - outside(flow).amax(dim=1, keepdim=True)).clamp(min=0)


def _shrunk(image: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(image, tuple(size), mode="area")


def _repeated(found: Velocities, times: int) -> Velocities:
    if times == 1:
        return found
    return found.each(lambda part: part.repeat_interleave(times, 0))


def load_flow(
    weights: str,
    guide_span: int | None = None,
    precision: str = "auto",
    device: str = "cpu",
    search: float = SHARE,
) -> FlowModel:
    """The motion model with weights by name (``flow``) or from a file that ``train.py`` exported.

    Args:
        weights: a name of ``models.shipped`` or a path.
        guide_span: longest side, px, of the picture that the network sees; None takes what it was trained for.
        precision: of the network: ``fp32``, ``bf16``, ``fp16``; ``auto`` is fp32 on a CPU and fp16 on a GPU.
        search: see ``FlowModel``.

    Raises:
        UserError: if the weights are missing, damaged, or of another kind of model.
    """
    path, digest = locate(weights)
    model, _ = load_model(path, digest)
    if not isinstance(model, FlowInterpolator):
        raise UserError(f"{path} holds a {model.config()['kind']} model.", "model=node with these weights.", BAD_INPUT)
    half = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    automatic = torch.float16 if torch.device(device).type == "cuda" else torch.float32
    dtype = half.get(precision, automatic)
    return FlowModel(model.net, guide_span or model.guide_span, model.solver, device, dtype, model.start, search)
