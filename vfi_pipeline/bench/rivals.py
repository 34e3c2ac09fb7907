"""Ways to rebuild dropped frames: ours, through the product's own path, and the rivals that it is measured against.

Every method gets the frames that were kept and gives the ones between, as RGB bytes. Only the making is timed; decoding
and the conversion to RGB are not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.geometry import compose as joined
from vfi_pipeline.geometry import warp
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Colour, Frame
from vfi_pipeline.models.dis import dis_flow
from vfi_pipeline.models.motion import Context, MotionModel, MotionReport
from vfi_pipeline.models.shipped import animates_one
from vfi_pipeline.models.splat import splat
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import looked_at


@dataclass(frozen=True)
class Gaps:
    """Frames kept of a clip, and how many are missing between neighbours.

    Attributes:
        frames: the kept frames, K of them, in the file's own planes.
        rgb: the same as (K, H, W, 3) uint8.
        times: where the missing ones lie between two kept ones, e.g. (0.5,) at 2x.
    """

    frames: Sequence[Frame]
    rgb: np.ndarray
    times: tuple[float, ...]


@dataclass
class Made:
    """What a method made: ((K - 1) * len(times), H, W, 3) uint8 in order, seconds of wall time, one report per pair."""

    rgb: np.ndarray
    seconds: float
    reports: list[MotionReport] = field(default_factory=list)


Method = Callable[[Gaps], Made]


# ------------------------------------------------------------------------------------------------------------- ours


def by_model(model: MotionModel) -> Method:
    """The product's path: motion estimated on a small RGB picture, planes warped and blended, rounded.

    No cut is looked for: the clips have none.

    Raises:
        UserError: if the model looks at the first frame only.
    """
    config = getattr(model, "config", None)
    if config is not None and animates_one(config()):
        raise UserError(
            f"model={model.name} with these weights looks at the first picture only: there is no film to rebuild.",
            "weights trained with field.conditioning=both.",
        )

    def make(gaps: Gaps) -> Made:
        made, reports = [], []
        model.reset()
        begin = time.perf_counter()
        guides: dict[int, Tensor] = {}
        for index, (first, last) in enumerate(zip(gaps.frames, gaps.frames[1:])):
            near = range(max(index - 1, 0), min(index + 4, len(gaps.frames)))
            guides = {k: guides[k] if k in guides else looked_at(gaps.frames[k], model.guide_span) for k in near}
            around = Context(guides.get(index - 1), guides.get(index + 2), further=guides.get(index + 3))
            motion = model.motion(guides[index], guides[index + 1], around)
            for between in motion.at(gaps.times):
                step = (last.time - first.time) * Fraction(between.t).limit_denominator(1000)
                made.append(compose.inbetween(first, last, between, first.time + step))
            reports.append(motion.report())
        seconds = time.perf_counter() - begin
        return Made(to_rgb(made), seconds, reports)

    return make


# ----------------------------------------------------------------------------------------------------------- rivals


def by_pair(rebuild: Callable[[Tensor, Tensor, tuple[float, ...]], list[Tensor]]) -> Method:
    """A method that looks at one pair at a time: two (1, 3, H, W) pictures in [0, 255] and times to such pictures."""

    def make(gaps: Gaps) -> Made:
        made = []
        begin = time.perf_counter()
        with torch.inference_mode():
            for a, b in zip(gaps.rgb, gaps.rgb[1:]):
                for picture in rebuild(_tensor(a), _tensor(b), gaps.times):
                    made.append(picture[0].permute(1, 2, 0).round().clamp(0, 255).byte().numpy())
        return Made(np.stack(made), time.perf_counter() - begin)

    return make


def hold(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """The nearer frame; half way, the first."""
    return [first if t <= 0.5 else last for t in times]


def blend(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """Cross-fade."""
    return [(1 - t) * first + t * last for t in times]


def dis_fast(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """DIS flow (fast) both ways, intermediate flows linear in it (Jiang et al. 2018, eq. 4), backward warp.

    Each side's weight falls with the round-trip error of its flow: ``exp(-0.5 |f + g|)``.
    """
    forward, backward = _flows(first, last, "fast")
    miss = [joined(g, f).norm(dim=1, keepdim=True) for f, g in ((forward, backward), (backward, forward))]
    made = []
    for t in times:
        there = -(1 - t) * t * forward + t * t * backward
        back = (1 - t) ** 2 * forward - t * (1 - t) * backward
        w0 = (1 - t) * (torch.exp(-0.5 * warp(miss[0], there)) + FLOOR)
        w1 = t * (torch.exp(-0.5 * warp(miss[1], back)) + FLOOR)
        made.append((w0 * warp(first, there) + w1 * warp(last, back)) / (w0 + w1))
    return made


FLOOR = 1e-5  # where both sides miss by far, they count alike


def dis_splat(first: Tensor, last: Tensor, times: tuple[float, ...]) -> list[Tensor]:
    """DIS flow (medium) both ways, both frames splatted forward (Niklaus and Liu 2020), holes cross-faded."""
    forward, backward = _flows(first, last, "medium")
    w0 = torch.exp(-0.1 * (first - warp(last, forward)).abs().mean(dim=1, keepdim=True)) + 1e-6
    w1 = torch.exp(-0.1 * (last - warp(first, backward)).abs().mean(dim=1, keepdim=True)) + 1e-6
    made = []
    for t in times:
        sum0, total0 = splat(first, t * forward, w0)
        sum1, total1 = splat(last, (1 - t) * backward, w1)
        total = (1 - t) * total0 + t * total1
        picture = ((1 - t) * sum0 + t * sum1) / total.clamp(min=1e-9)
        made.append(torch.where(total < 1e-3, (1 - t) * first + t * last, picture))
    return made


def minterpolate(rgb_input: bool = False) -> Method:
    """ffmpeg's motion-compensated filter at its best settings, scene detection off.

    Args:
        rgb_input: hand it RGB, which it converts to YUV and back (as our reference figures were made), in place of the
            file's own planes, which is what a user gets and a little better.
    """

    def make(gaps: Gaps) -> Made:
        frames, factor = gaps.frames, len(gaps.times) + 1
        # It holds back two frames: repeats of the last one push them out.
        if rgb_input:
            name, data = "rgb24", np.concatenate((gaps.rgb, gaps.rgb[-1:], gaps.rgb[-1:])).tobytes()
        else:
            name, data = frames[0].format.name, _bytes([*frames, frames[-1], frames[-1]])
        size = frames[0].width, frames[0].height
        source = ffmpeg.raw_input(name, *size, 25).video
        if not rgb_input:
            source = _tagged(source, frames[0].colour)
        made = source.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
        spec = made.output("pipe:1", f="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
        begin = time.perf_counter()
        pictures = _pictures(ffmpeg.run(spec, "running minterpolate", stdin=data).stdout, size)
        seconds = time.perf_counter() - begin
        wanted = [i for i in range(factor * (len(frames) - 1)) if i % factor]
        if len(pictures) <= wanted[-1]:
            raise UserError(
                f"ffmpeg's minterpolate gave {len(pictures)} of {wanted[-1] + 1} frames.",
                "leave it out: methods=[fit,blend].",
            )
        return Made(pictures[wanted], seconds)

    return make


def minterpolate_filter(frames: Sequence[Frame], factor: int, filtered: bool = True) -> None:
    """ffmpeg reads the frames, filters them (or not), and forgets them: to be timed by the caller."""
    first = frames[0]
    stream = ffmpeg.raw_input(first.format.name, first.width, first.height, 25).video
    if filtered:
        stream = stream.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
    data = _bytes([*frames, frames[-1], frames[-1]])  # it holds back two frames
    ffmpeg.run(stream.output("-", f="null"), "running minterpolate", stdin=data)


MINTERPOLATE = {"mi_mode": "mci", "mc_mode": "aobmc", "me_mode": "bidir", "vsbmc": 1, "scd": "none"}
"""Its best settings; with its own detection of cuts it repeats frames where motion is large."""

RIVALS: dict[str, Callable[[], Method]] = {
    "blend": lambda: by_pair(blend),
    "hold": lambda: by_pair(hold),
    "minterpolate": minterpolate,
    "minterpolate-rgb": lambda: minterpolate(rgb_input=True),
    "dis-fast": lambda: by_pair(dis_fast),
    "dis-splat": lambda: by_pair(dis_splat),
}


def rival(name: str) -> Method:
    """The rival called ``name``; UserError if there is none."""
    if name not in RIVALS:
        raise UserError(f"No rival is called {name!r}.", f"choose from {', '.join(RIVALS)}.", USAGE)
    return RIVALS[name]()


# ---------------------------------------------------------------------------------------------------------- pictures


INTERPOLATED = "bicubic+accurate_rnd+full_chroma_int"
"""Flags of ffmpeg's scaler with which chroma is interpolated; without them each sample counts for its whole block."""


def to_rgb(frames: Sequence[Frame], flags: str | None = None) -> np.ndarray:
    """Frames of one format as (N, H, W, 3) uint8, converted by ffmpeg as a player would; alpha is dropped.

    Args:
        flags: of ffmpeg's scaler; None is its default, nearest chroma.
    """
    if not frames:
        return np.empty((0, 0, 0, 3), np.uint8)
    first = frames[0]
    source = _tagged(ffmpeg.raw_input(first.format.name, first.width, first.height, 25).video, first.colour)
    source = source.filter("scale", flags=flags) if flags else source
    spec = source.output("pipe:1", f="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    # In portions, so that the bytes handed over do not double a long clip's memory.
    portions = [
        _pictures(
            ffmpeg.run(spec, "converting frames to RGB", stdin=_bytes(frames[k : k + PORTION])).stdout,
            (first.width, first.height),
        )
        for k in range(0, len(frames), PORTION)
    ]
    return np.concatenate(portions)


PORTION = 64


def _tagged(stream: Any, colour: Colour) -> Any:
    """Raw frames carry no tags: without these, every matrix would be taken for BT.601 and every range for limited."""
    tags = {"colorspace": colour.matrix, "range": colour.range}
    tags = {key: value for key, value in tags.items() if value}
    return stream.filter("setparams", **tags) if tags else stream


def _bytes(frames: Sequence[Frame]) -> bytes:
    return b"".join(plane.tobytes() for frame in frames for plane in frame.planes)


def _pictures(data: bytes, size: tuple[int, int]) -> np.ndarray:
    return np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()


def _flows(first: Tensor, last: Tensor, preset: str) -> tuple[Tensor, Tensor]:
    return dis_flow(first / 255, last / 255, preset), dis_flow(last / 255, first / 255, preset)
