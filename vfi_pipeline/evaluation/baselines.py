"""Methods that rebuild dropped frames: ours, through the product's own path, and the baselines.

Every method takes the kept frames and returns the ones between, as RGB bytes, and unrounded where a published
convention needs that. The measured time is that of the interpolation, without decoding and conversion to RGB.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.evaluation.dis import dis_flow
from vfi_pipeline.evaluation.rgb import from_bytes, plane_bytes, raw_rgb, tagged, unrounded_rgb
from vfi_pipeline.evaluation.rgb import to_rgb as to_rgb  # the other programs of this folder take it from here
from vfi_pipeline.evaluation.splat import splat
from vfi_pipeline.geometry import compose as joined
from vfi_pipeline.geometry import warp
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.models.motion import MotionModel, MotionReport, settled
from vfi_pipeline.models.shipped import animates_single_picture
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import looked_at


@dataclass(frozen=True)
class Gaps:
    """The kept frames of a clip, and the times of the missing ones.

    Attributes:
        frames: the kept frames, K of them, in the file's own planes.
        rgb: the same as (K, H, W, 3) uint8.
        times: of the missing frames between two kept ones, in (0, 1), e.g. (0.5,) at 2x.
        unrounded: the same as (K, H, W, 3) float32 in codes 0..255, if unrounded frames are to be returned too. The
            frames then have 16 bits (``rgb.rgb_frame``), so that the product's path does not round to 8.
        chroma: how subsampled chroma becomes RGB, see ``rgb``.
    """

    frames: Sequence[Frame]
    rgb: np.ndarray
    times: tuple[float, ...]
    unrounded: np.ndarray | None = None
    chroma: str = "nearest"


@dataclass
class RebuiltFrames:
    """The frames between the kept ones, by one method.

    Attributes:
        rgb: ((K - 1) * len(times), H, W, 3) uint8, in order.
        seconds: wall time.
        reports: one for each pair; empty for methods without a motion model.
        unrounded: the same frames as float32 in codes 0..255; None if not requested, or if the method rounds.
    """

    rgb: np.ndarray
    seconds: float
    reports: list[MotionReport] = field(default_factory=list)
    unrounded: np.ndarray | None = None


Method = Callable[[Gaps], RebuiltFrames]


# ------------------------------------------------------------------------------------------------------------- ours


def by_model(model: MotionModel) -> Method:
    """The product's path: motion estimated on a small RGB picture, planes warped and blended, rounded.

    Without cut detection: the clips have no cuts.

    Raises:
        UserError: if the model looks at the first frame only.
    """
    config = getattr(model, "config", None)
    if config is not None and animates_single_picture(config()):
        raise UserError(
            f"model={model.name} with these weights looks at the first picture only: there is no film to rebuild.",
            "weights trained with field.conditioning=both.",
        )

    def make(gaps: Gaps) -> RebuiltFrames:
        frames_between, reports = [], []
        start = time.perf_counter()
        frames = [Observation(k, partial(looked_at, frame)) for k, frame in enumerate(gaps.frames)]
        context = [None, *frames, None]
        for index, (first, last) in enumerate(zip(gaps.frames, gaps.frames[1:])):
            motion = model.motion(Window(frames[index], frames[index + 1], context[index], context[index + 3]))
            for between in motion.at(gaps.times):
                step = (last.time - first.time) * Fraction(between.t).limit_denominator(1000)
                frames_between.append(compose.intermediate_frame(first, last, between, first.time + step))
            reports.append(settled(motion.report()))
        seconds = time.perf_counter() - start
        unrounded = None if gaps.unrounded is None else unrounded_rgb(frames_between)
        return RebuiltFrames(to_rgb(frames_between, gaps.chroma), seconds, reports, unrounded)

    return make


# ---------------------------------------------------------------------------------------------------------- baselines


def by_pair(rebuild: Callable[[Tensor, Tensor, tuple[float, ...]], list[Tensor]]) -> Method:
    """A method from a function of a single pair: two pictures (1, 3, H, W) in [0, 255] and times to such pictures."""

    def make(gaps: Gaps) -> RebuiltFrames:
        rounded, unrounded = [], []
        start = time.perf_counter()
        pictures = gaps.rgb if gaps.unrounded is None else gaps.unrounded
        with torch.inference_mode():
            for a, b in zip(pictures, pictures[1:]):
                for picture in rebuild(_tensor(a), _tensor(b), gaps.times):
                    picture = picture[0].permute(1, 2, 0).clamp(0, 255)
                    rounded.append(picture.round().byte().numpy())
                    if gaps.unrounded is not None:
                        unrounded.append(picture.numpy())
        seconds = time.perf_counter() - start
        return RebuiltFrames(np.stack(rounded), seconds, unrounded=np.stack(unrounded) if unrounded else None)

    return make


def hold(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """The nearer frame; half way, the first."""
    return [first if t <= 0.5 else last for t in times]


def blend(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """Cross-fade."""
    return [(1 - t) * first + t * last for t in times]


def dis_fast(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """DIS flow (fast) in both directions, intermediate flows linear in it (Jiang et al. 2018, eq. 4), backward warp.

    Each side's weight falls with the round-trip error of its flow: ``exp(-0.5 |f + g|)``.
    """
    forward, backward = _flows(first, last, "fast")
    miss = [joined(g, f).norm(dim=1, keepdim=True) for f, g in ((forward, backward), (backward, forward))]
    frames = []
    for t in times:
        to_first = -(1 - t) * t * forward + t * t * backward
        to_last = (1 - t) ** 2 * forward - t * (1 - t) * backward
        w0 = (1 - t) * (torch.exp(-0.5 * warp(miss[0], to_first)) + FLOOR)
        w1 = t * (torch.exp(-0.5 * warp(miss[1], to_last)) + FLOOR)
        frames.append((w0 * warp(first, to_first) + w1 * warp(last, to_last)) / (w0 + w1))
    return frames


FLOOR = 1e-5
"""Added to both weights, of 1: where both round trips fail, the sides are mixed by time alone."""


def dis_splat(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """DIS flow (medium) in both directions, both frames splatted forward (Niklaus and Liu 2020), holes cross-faded."""
    forward, backward = _flows(first, last, "medium")
    w0 = torch.exp(-0.1 * (first - warp(last, forward)).abs().mean(dim=1, keepdim=True)) + 1e-6
    w1 = torch.exp(-0.1 * (last - warp(first, backward)).abs().mean(dim=1, keepdim=True)) + 1e-6
    frames = []
    for t in times:
        sum0, total0 = splat(first, t * forward, w0)
        sum1, total1 = splat(last, (1 - t) * backward, w1)
        total = (1 - t) * total0 + t * total1
        picture = ((1 - t) * sum0 + t * sum1) / total.clamp(min=1e-9)
        frames.append(torch.where(total < 1e-3, (1 - t) * first + t * last, picture))
    return frames


def minterpolate(rgb_input: bool = False) -> Method:
    """ffmpeg's motion-compensated filter at its best settings, scene detection off.

    Args:
        rgb_input: give the filter RGB, which it converts to YUV and back, as in our reference figures. Otherwise it
            gets the file's own planes, as a user's command does, with slightly better results. RGB of 16 bits is always
            given as RGB of 8 bits, because the filter works in 8.
    """

    def make(gaps: Gaps) -> RebuiltFrames:
        frames, factor = gaps.frames, len(gaps.times) + 1
        as_rgb = rgb_input or (frames[0].format.is_rgb and frames[0].format.depth > 8)
        # The filter delays its output by two frames: repeats of the last frame flush it.
        if as_rgb:
            name, data = "rgb24", np.concatenate((gaps.rgb, gaps.rgb[-1:], gaps.rgb[-1:])).tobytes()
        else:
            name, data = frames[0].format.name, plane_bytes([*frames, frames[-1], frames[-1]])
        size = frames[0].width, frames[0].height
        source = ffmpeg.raw_input(name, *size, 25).video
        if not as_rgb:
            source = tagged(source, frames[0].colour)
        filtered = source.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
        spec = raw_rgb(filtered, frames[0].colour, gaps.chroma)
        start = time.perf_counter()
        pictures = from_bytes(ffmpeg.run(spec, "running minterpolate", stdin=data).stdout, size)
        seconds = time.perf_counter() - start
        between = [i for i in range(factor * (len(frames) - 1)) if i % factor]
        if len(pictures) <= between[-1]:
            raise UserError(
                f"ffmpeg's minterpolate gave {len(pictures)} of {between[-1] + 1} frames.",
                "leave it out: methods=[blend].",
            )
        return RebuiltFrames(pictures[between], seconds)

    return make


def minterpolate_filter(frames: Sequence[Frame], factor: int, filtered: bool = True) -> None:
    """Runs ffmpeg on the frames, with the filter or without, and discards the result; for the caller to time."""
    first = frames[0]
    stream = ffmpeg.raw_input(first.format.name, first.width, first.height, 25).video
    if filtered:
        stream = stream.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
    data = plane_bytes([*frames, frames[-1], frames[-1]])  # flushes the filter's delay
    ffmpeg.run(stream.output("-", f="null"), "running minterpolate", stdin=data)


MINTERPOLATE = {"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bidir", "vsbmc": 1, "scd": "none"}
"""The filter's best settings; its own cut detection is off because it repeats frames where motion is large."""

BASELINES: dict[str, Callable[[], Method]] = {
    "blend": lambda: by_pair(blend),
    "hold": lambda: by_pair(hold),
    "minterpolate": minterpolate,
    "minterpolate-rgb": lambda: minterpolate(rgb_input=True),
    "dis-fast": lambda: by_pair(dis_fast),
    "dis-splat": lambda: by_pair(dis_splat),
}


def baseline(name: str) -> Method:
    """The baseline ``name`` of ``BASELINES``. UserError if there is none."""
    if name not in BASELINES:
        raise UserError(f"No baseline is called {name!r}.", f"choose from {', '.join(BASELINES)}.", USAGE)
    return BASELINES[name]()


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()


def _flows(first: Tensor, last: Tensor, preset: str) -> tuple[Tensor, Tensor]:
    return dis_flow(first / 255, last / 255, preset), dis_flow(last / 255, first / 255, preset)
