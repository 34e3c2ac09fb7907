"""Ways to rebuild dropped frames: ours, through the product's own path, and the rivals that it is measured against.

Every method gets the frames that were kept and gives the ones between, as RGB bytes, and unrounded where a published
convention asks for that. Only the making is timed; decoding and the conversion to RGB are not.
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
    """Frames kept of a clip, and how many are missing between neighbours.

    Attributes:
        frames: the kept frames, K of them, in the file's own planes.
        rgb: the same as (K, H, W, 3) uint8.
        times: where the missing ones lie between two kept ones, e.g. (0.5,) at 2x.
        unrounded: the same as (K, H, W, 3) float32 in codes 0..255, if the made frames are wanted unrounded too. The
            frames are then of 16 bits (``rgb.rgb_frame``), so that the product's path does not round to 8.
        chroma: how subsampled chroma becomes RGB, see ``rgb``.
    """

    frames: Sequence[Frame]
    rgb: np.ndarray
    times: tuple[float, ...]
    unrounded: np.ndarray | None = None
    chroma: str = "nearest"


@dataclass
class Made:
    """What a method made: ((K - 1) * len(times), H, W, 3) uint8 in order, seconds of wall time, one report per pair.

    ``unrounded`` is the same as float32 in codes 0..255 where it was asked for and the method can; None: it rounds.
    """

    rgb: np.ndarray
    seconds: float
    reports: list[MotionReport] = field(default_factory=list)
    unrounded: np.ndarray | None = None


Method = Callable[[Gaps], Made]


# ------------------------------------------------------------------------------------------------------------- ours


def by_model(model: MotionModel) -> Method:
    """The product's path: motion estimated on a small RGB picture, planes warped and blended, rounded.

    No cut is looked for: the clips have none.

    Raises:
        UserError: if the model looks at the first frame only.
    """
    config = getattr(model, "config", None)
    if config is not None and animates_single_picture(config()):
        raise UserError(
            f"model={model.name} with these weights looks at the first picture only: there is no film to rebuild.",
            "weights trained with field.conditioning=both.",
        )

    def make(gaps: Gaps) -> Made:
        made, reports = [], []
        begin = time.perf_counter()
        frames = [Observation(k, partial(looked_at, frame)) for k, frame in enumerate(gaps.frames)]
        around = [None, *frames, None]
        for index, (first, last) in enumerate(zip(gaps.frames, gaps.frames[1:])):
            motion = model.motion(Window(frames[index], frames[index + 1], around[index], around[index + 3]))
            for between in motion.at(gaps.times):
                step = (last.time - first.time) * Fraction(between.t).limit_denominator(1000)
                made.append(compose.intermediate_frame(first, last, between, first.time + step))
            reports.append(settled(motion.report()))
        seconds = time.perf_counter() - begin
        unrounded = None if gaps.unrounded is None else unrounded_rgb(made)
        return Made(to_rgb(made, gaps.chroma), seconds, reports, unrounded)

    return make


# ----------------------------------------------------------------------------------------------------------- rivals


def by_pair(rebuild: Callable[[Tensor, Tensor, tuple[float, ...]], list[Tensor]]) -> Method:
    """A method that looks at one pair at a time: two (1, 3, H, W) pictures in [0, 255] and times to such pictures."""

    def make(gaps: Gaps) -> Made:
        made, unrounded = [], []
        begin = time.perf_counter()
        kept = gaps.rgb if gaps.unrounded is None else gaps.unrounded
        with torch.inference_mode():
            for a, b in zip(kept, kept[1:]):
                for picture in rebuild(_tensor(a), _tensor(b), gaps.times):
                    picture = picture[0].permute(1, 2, 0).clamp(0, 255)
                    made.append(picture.round().byte().numpy())
                    if gaps.unrounded is not None:
                        unrounded.append(picture.numpy())
        seconds = time.perf_counter() - begin
        return Made(np.stack(made), seconds, unrounded=np.stack(unrounded) if unrounded else None)

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
            file's own planes, which is what a user gets and a little better. RGB of 16 bits is handed over so, too: the
            filter works in 8.
    """

    def make(gaps: Gaps) -> Made:
        frames, factor = gaps.frames, len(gaps.times) + 1
        as_rgb = rgb_input or (frames[0].format.is_rgb and frames[0].format.depth > 8)
        # It holds back two frames: repeats of the last one push them out.
        if as_rgb:
            name, data = "rgb24", np.concatenate((gaps.rgb, gaps.rgb[-1:], gaps.rgb[-1:])).tobytes()
        else:
            name, data = frames[0].format.name, plane_bytes([*frames, frames[-1], frames[-1]])
        size = frames[0].width, frames[0].height
        source = ffmpeg.raw_input(name, *size, 25).video
        if not as_rgb:
            source = tagged(source, frames[0].colour)
        made = source.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
        spec = raw_rgb(made, frames[0].colour, gaps.chroma)
        begin = time.perf_counter()
        pictures = from_bytes(ffmpeg.run(spec, "running minterpolate", stdin=data).stdout, size)
        seconds = time.perf_counter() - begin
        wanted = [i for i in range(factor * (len(frames) - 1)) if i % factor]
        if len(pictures) <= wanted[-1]:
            raise UserError(
                f"ffmpeg's minterpolate gave {len(pictures)} of {wanted[-1] + 1} frames.",
                "leave it out: methods=[blend].",
            )
        return Made(pictures[wanted], seconds)

    return make


def minterpolate_filter(frames: Sequence[Frame], factor: int, filtered: bool = True) -> None:
    """ffmpeg reads the frames, filters them (or not), and forgets them: to be timed by the caller."""
    first = frames[0]
    stream = ffmpeg.raw_input(first.format.name, first.width, first.height, 25).video
    if filtered:
        stream = stream.filter("minterpolate", fps=25 * factor, **MINTERPOLATE)
    data = plane_bytes([*frames, frames[-1], frames[-1]])  # it holds back two frames
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


def _tensor(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()


def _flows(first: Tensor, last: Tensor, preset: str) -> tuple[Tensor, Tensor]:
    return dis_flow(first / 255, last / 255, preset), dis_flow(last / 255, first / 255, preset)
