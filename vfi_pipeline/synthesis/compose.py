"""From motion to a picture: warps and blends the planes of two frames, each at its own resolution.

The rule is that of ``geometry.blending``, in every plane of the file's own format. The motion is read where each
sample *is*: on luma pixels by interpolation from the motion's grid, on chroma samples at their place among the luma
pixels (the stream's chroma siting). The output is a convex combination of the sources' samples around those positions,
so no value lies outside them, a constant stays that constant, and nothing has to be clipped.

Two things are decided here and nowhere else:

- **Borders.** Where one source's position lies outside its frame and the other's does not, the other one is shown: what
  enters the picture comes from the frame that sees it, instead of being smeared from the border. The hand-over is
  smooth over one pixel; where both lie outside, the nearest border value is the best there is.
- **Alpha.** Colours are weighted by their opacity: ``sum(w * a * c) / sum(w * a)``, which is warping and blending
  premultiplied colours and dividing by the blended alpha. The ratio is unchanged by an offset of the colours, so it
  holds for Y, U and V (whose black is not 0) as for R, G and B. Where nothing is visible, plain colours are blended.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfi_pipeline.geometry import constant, inside, pixel_grid, sample, visible_weight
from vfi_pipeline.media.frames import Frame, PixelFormat, pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis.resize import low_passed, on_canvas, on_source, pulled, window_of

log = logging.getLogger(__name__)

# Where a chroma sample lies among the sub_x x sub_y luma pixels that it serves: 0 = on the first, 0.5 = in the middle,
# 1 = on the last; (x, y). Untagged video is 'left', as MPEG-2, H.264 and HEVC say and as ffmpeg assumes.
SITING = {
    "left": (0.0, 0.5),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.5, 0.0),
    "bottomleft": (0.0, 1.0),
    "bottom": (0.5, 1.0),
}


BAND = 240 * 1280
"""Luma pixels worked on at a time on a CPU, by each thread that composes: about 20 floats for each are held. Smaller
bands are no faster in a thread of one core."""


@dataclass(frozen=True)
class Group:
    """Planes of one size, handled as the channels of one tensor.

    Sample (row i, column j) lies at luma position ``(offset_x + sub_x * j, offset_y + sub_y * i)``.
    """

    planes: tuple[int, ...]
    sub: tuple[int, int]
    offset: tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """How a pixel format's planes are grouped. ``alpha`` is the alpha plane's channel in group 0, or None."""

    format: PixelFormat
    width: int
    height: int
    groups: tuple[Group, ...]
    alpha: int | None

    def plane_size(self, group: Group) -> tuple[int, int]:
        """(height, width) of the group's planes."""
        return self.format.plane_size(group.planes[0], self.width, self.height)


@lru_cache
def _layout(name: str, width: int, height: int, siting: str) -> Layout:
    fmt = pixel_format(name)
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, plane in enumerate(fmt.planes):
        sizes.setdefault((plane.sub_x, plane.sub_y), []).append(index)
    place = SITING.get(siting, SITING["left"])
    groups = tuple(
        Group(tuple(members), sub, (place[0] * (sub[0] - 1), place[1] * (sub[1] - 1))) for sub, members in sizes.items()
    )
    full = [fmt.planes[index].kind for index in groups[0].planes]
    return Layout(fmt, width, height, groups, full.index("a") if "a" in full else None)


def layout_of(frame: Frame, size: tuple[int, int] | None = None) -> Layout:
    """The layout of ``frame``'s format and chroma siting, of its own size or of another (width, height)."""
    width, height = size or (frame.width, frame.height)
    return _layout(frame.format.name, width, height, frame.colour.chroma_location or "left")


def to_codes(frame: Frame, device: str | torch.device = "cpu") -> list[Tensor]:
    """The frame's planes as they are, one (1, C, h, w) tensor per group of its layout: uint8, or int16 that holds the
    bits of the unsigned 16."""
    where, loaded = torch.device(device), []
    for group in layout_of(frame).groups:
        planes = np.stack([frame.planes[index] for index in group.planes])[None]
        codes = torch.from_numpy(planes if planes.itemsize == 1 else planes.view(np.int16))
        if where.type == "cuda" and torch.cuda.is_available():
            codes = codes.pin_memory()  # only from there is a copy made while the host goes on
        loaded.append(codes.to(where, non_blocking=True))
    return loaded


def as_values(codes: Tensor) -> Tensor:
    """``to_codes``' samples as float32."""
    return codes.float() if codes.dtype == torch.uint8 else (codes.to(torch.int32) & 0xFFFF).float()


def to_tensors(frame: Frame, device: str | torch.device = "cpu") -> list[Tensor]:
    """The frame's planes as code values in float32, one (1, C, h, w) tensor per group of its layout."""
    if torch.device(device).type != "cpu":
        return [as_values(codes) for codes in to_codes(frame, device)]
    loaded = []
    for group in layout_of(frame).groups:
        height, width = frame.planes[group.planes[0]].shape
        out = torch.empty(1, len(group.planes), height, width)
        for channel, index in enumerate(group.planes):
            plane = frame.planes[index]
            # torch warns of read-only memory; decoders may hand some out. It is only read here.
            out[0, channel] = torch.from_numpy(plane if plane.flags.writeable else plane.copy())
        loaded.append(out)
    return loaded


def to_frame(groups: list[Tensor], layout: Layout, like: Frame, time: Fraction, row: int = 0) -> Frame:
    """Sample ``row`` of the batch, ``rounded``, as a frame with ``like``'s colour tags, at ``time``."""
    return Arriving(rounded([tensor[row : row + 1] for tensor in groups], layout), layout, like, time).frame()


class Arriving:
    """A frame on its way from the device. The copy runs beside what the device computes next.

    Args:
        groups: per group of ``layout`` (1, C, h, w), see ``rounded``.
        like, time: whose colour tags the frame takes, and when it is shown.
    """

    def __init__(self, groups: Sequence[Tensor], layout: Layout, like: Frame, time: Fraction) -> None:
        self._layout, self._like, self._time = layout, like, time
        self._copied: torch.cuda.Event | None = None
        if groups[0].is_cuda and torch.cuda.is_available():
            stream = _copy_stream(groups[0].device)
            stream.wait_stream(torch.cuda.current_stream(groups[0].device))
            with torch.cuda.stream(stream):
                self._groups = [
                    torch.empty(codes.shape, dtype=codes.dtype, pin_memory=True).copy_(codes, non_blocking=True)
                    for codes in groups
                ]
                self._copied = torch.cuda.Event()
                self._copied.record(stream)
            for codes in groups:
                codes.record_stream(stream)  # not to be given away before it is copied
        else:
            self._groups = list(groups)

    def frame(self) -> Frame:
        """The frame, waited for."""
        if self._copied is not None:
            self._copied.synchronize()
        layout = self._layout
        planes: list[np.ndarray] = [np.empty(0)] * len(layout.format.planes)
        for group, codes in zip(layout.groups, self._groups):
            samples = codes[0].cpu().numpy().view(layout.format.dtype)
            for channel, index in enumerate(group.planes):
                planes[index] = samples[channel]
        return Frame(tuple(planes), layout.format, layout.width, layout.height, self._time, self._like.colour)


@lru_cache(maxsize=8)
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def composed(
    first: Sequence[Tensor], last: Sequence[Tensor], motions: Sequence[IntermediateMotion], layout: Layout
) -> list[Tensor]:
    """The rounded planes of frames in their own size, without overlays; in one pass where the device has the kernel.

    Args:
        first, last: ``to_codes``.

    Returns:
        See ``rounded``.
    """
    if is_fused(first[0].device, layout):
        from vfi_pipeline.synthesis import fused

        field, luma = motion_field(motions, first[0].device), (layout.height, layout.width)
        return [
            fused.composed(a, b, field, luma, group.sub, group.offset)
            for a, b, group in zip(first, last, layout.groups)
        ]
    one, other = ([as_values(codes) for codes in groups] for groups in (first, last))
    return rounded(planes(one, other, motions, layout), layout)


def is_fused(device: torch.device, layout: Layout) -> bool:
    """Whether ``composed`` takes the kernel of ``fused``: on CUDA, for planes without alpha."""
    return device.type == "cuda" and layout.alpha is None and _has_kernel(device)


@lru_cache(maxsize=8)
def _has_kernel(device: torch.device) -> bool:
    try:
        from vfi_pipeline.synthesis import fused
    except ImportError:
        log.info("Triton is not installed: frames are composed without its kernel.")
        return False
    if not torch.cuda.is_available() or not fused.works_on(device):
        log.info("Triton's kernel does not run on %s: frames are composed without it.", device)
        return False
    return True


def rounded(groups: Sequence[Tensor], layout: Layout) -> list[Tensor]:
    """Code values rounded, halves upwards, where they lie: the bytes of the format's own samples, no more of them.

    Returns:
        Per group (B, C, h, w), uint8 up to 8 bit, else int16 that holds the bits of the unsigned 16.
    """
    if layout.format.depth <= 8:
        return [(tensor + 0.5).to(torch.uint8) for tensor in groups]
    return [(tensor + 0.5).to(torch.int32).to(torch.int16) for tensor in groups]


def intermediate_frame(
    first: Frame, last: Frame, motion: IntermediateMotion, time: Fraction, device: str | torch.device = "cpu"
) -> Frame:
    """The frame that ``motion`` shows between ``first`` and ``last``, in their format, presented at ``time``.

    For several times of one pair, load the planes once: ``to_tensors``, ``planes``, ``to_frame``.

    Raises:
        ValueError: if the frames differ in format or size.
    """
    layout = layout_of(first)
    if (last.format, last.width, last.height) != (first.format, first.width, first.height):
        raise ValueError(
            f"Cannot blend {first.format.name} {first.width}x{first.height} with "
            f"{last.format.name} {last.width}x{last.height}: the frames of a film have one format."
        )
    with torch.inference_mode():
        groups = planes(to_tensors(first, device), to_tensors(last, device), [motion], layout)
        return to_frame(groups, layout, first, time)


def planes(
    first: list[Tensor],
    last: list[Tensor],
    motions: Sequence[IntermediateMotion],
    layout: Layout,
    covered: tuple[Tensor, Tensor] | None = None,
    scaling: Scaling | None = None,
) -> list[Tensor]:
    """Warps and blends a batch: several times of one pair (sources of batch 1), or several pairs, or both.

    Args:
        first, last: per group of ``layout`` (1 or B, C, h, w) code values, float32; see ``to_tensors``.
        motions: one for each sample of the batch, on grids of one size.
        covered: how much of each pixel of the first and the last frame an overlay covers, (1 or B, 1, height, width) in
            [0, 1]. What would be pulled from under it comes from the other frame; if that is covered too, from the
            unmoved frames.
        scaling: ``layout`` is that of another size, on which the sources are read as it says; they are ``readable``.

    Returns:
        Per group (B, C, h, w) code values, not yet rounded; see ``to_frame``.
    """
    device = first[0].device
    # A device would wait for the answer; opaque planes come out the same either way.
    asks = device.type == "cpu"
    clear = layout.alpha is not None and not (asks and _is_opaque(first, layout) and _is_opaque(last, layout))
    if clear:
        first, last = _weighted(first, layout), _weighted(last, layout)
    if scaling is not None and layout.alpha is not None:
        first, last = low_passed(first, scaling), low_passed(last, scaling)
    field = _motion_field(motions, layout, device, covered is not None)
    if scaling is not None:
        # The field covers the whole source, the layout a window of it.
        grows = scaling.source[0] / float(scaling.window[2]), scaling.source[1] / float(scaling.window[3])
        field[:, :WEIGHT] *= constant(grows, field).repeat(1, 2, 1, 1)
        field = window_of(field, scaling)
    still = scaling is None and all(_is_zero(flow) for m in motions for flow in (m.flow_to_first, m.flow_to_last))
    coarse, weight = (field[:, WEIGHT:], 0) if still else (field, WEIGHT)
    everything = [(slice(0, layout.height), slice(0, layout.width))]
    edges = [] if still else _edges(coarse, layout) if scaling is None else everything
    beside = [] if still or covered is None else _beside(coarse, covered, layout) if scaling is None else everything

    made = [
        coarse.new_empty(len(coarse), a.shape[1] // 2 if clear else a.shape[1], *layout.plane_size(group))
        for a, group in zip(first, layout.groups)
    ]
    for rows in _bands(coarse, layout):
        band = _upsample(coarse, rows, layout)
        sure = band.shape[1] == weight + 1
        plain = band[:, weight : weight + 1]  # no border corrects the unmoved frames' weight
        if (edges or beside) and not sure:
            plain = _scratch("plain", plain.shape).copy_(plain) if asks else plain.clone()
        for edge in edges:
            _hand_over(band, rows, edge, layout, scaling)
        for box in beside:
            assert covered is not None
            _uncover(band, plain, rows, box, covered, layout, scaling)
        for out, group, a, b in zip(made, layout.groups, first, last):
            here = _read(band, group)
            top = rows.start // group.sub[1]
            at = slice(top, top + here.shape[-2])
            part = out[:, :, at]
            one, other = (a[..., at, :], b[..., at, :]) if still else _pull(a, b, here, group, scaling)
            target = None if clear else part
            mixed = torch.lerp(other, one, here[:, weight : weight + 1], out=target)
            if not sure:
                here_a, here_b = a[..., at, :], b[..., at, :]
                if scaling is not None:
                    stays = torch.zeros_like(here[:, :WEIGHT])
                    stays[:, 1::2] = rows.start
                    here_a, here_b = _pull(a, b, stays, group, scaling)
                unmoved = torch.lerp(here_b, here_a, _read(plain, group))
                mixed = torch.lerp(unmoved, mixed, here[:, weight + 1 :], out=target)
            if clear:
                part.copy_(_unweighted(mixed, group, layout))
            if scaling is not None:
                part.clamp_(0, layout.format.peak)  # cubic weights overshoot
    return made


def readable(groups: list[Tensor], layout: Layout, scaling: Scaling | None) -> list[Tensor]:
    """A source frame's planes as ``planes`` wants them: low-passed where they will shrink. Films with alpha are left as
    they are: only with their opacity known can colours be filtered."""
    return groups if scaling is None or layout.alpha is not None else low_passed(groups, scaling)


def resized(groups: list[Tensor], like: Frame, scaling: Scaling) -> Frame:
    """A source frame, loaded and ``readable``, in another size: a made frame that does not move."""
    layout = layout_of(like, scaling.place[2:])
    flow = torch.zeros(1, 2, 1, 1, device=groups[0].device)
    still = IntermediateMotion(0.0, flow, flow, torch.ones_like(flow[:, :1]))
    made = planes(groups, groups, [still], layout, scaling=scaling)
    return on_canvas(to_frame(made, layout, like, like.time), scaling)


WEIGHT = 4
"""Channel of the moved frames' blend weight in the motion field: behind two displacements in luma pixels. Where there
is a confidence, it follows."""

SURE = 1 - 1 / 1024
"""A confidence that is nowhere below this is taken for 1: the difference is less than a quarter of an 8-bit code."""


def _motion_field(motions: Sequence[IntermediateMotion], layout: Layout, device: torch.device, unsure: bool) -> Tensor:
    """(B, 5 or 6, h, w), float32 on the device; see ``WEIGHT``. ``unsure``: with a confidence in any case."""

    def stacked(name: str) -> Tensor:
        return torch.cat([getattr(motion, name) for motion in motions]).to(device, torch.float32)

    flows = stacked("flow_to_first"), stacked("flow_to_last")
    h, w = flows[0].shape[-2:]
    scale = constant((layout.width / w, layout.height / h), flows[0])
    parts = [flow * scale for flow in flows] + [stacked("blend_weight")]
    if all(motion.confidence is not None for motion in motions):
        confidence = stacked("confidence")
        if device.type != "cpu" or unsure or bool((confidence < SURE).any()):
            parts.append(confidence)
    elif unsure:
        parts.append(torch.ones_like(parts[-1]))
    return torch.cat(parts, dim=1)


def motion_field(motions: Sequence[IntermediateMotion], device: torch.device) -> Tensor:
    """What ``fused.composed`` reads: (B, 5 or 6, h, w), float32: displacements in cells, blend weight, confidence."""
    names = ["flow_to_first", "flow_to_last", "blend_weight"]
    if all(motion.confidence is not None for motion in motions):
        names.append("confidence")
    parts = [torch.cat([getattr(motion, name) for motion in motions]) for name in names]
    return torch.cat([part.to(device, torch.float32) for part in parts], dim=1).contiguous()


def _bands(coarse: Tensor, layout: Layout) -> list[slice]:
    """Luma rows worked on at a time: on a CPU few enough that large frames take little memory beside themselves."""
    if coarse.device.type != "cpu":
        return [slice(0, layout.height)]
    block = max(group.sub[1] for group in layout.groups)
    rows = max(BAND // layout.width // block, 1) * block
    return [slice(top, min(top + rows, layout.height)) for top in range(0, layout.height, rows)]


def _pull(first: Tensor, last: Tensor, field: Tensor, group: Group, scaling: Scaling | None) -> tuple[Tensor, Tensor]:
    """Both sources where the field's channels 0, 1 and 2, 3 say: luma pixels, from the sample at the same place in the
    field. The field may have fewer rows than the sources, see ``_upsample``."""
    if scaling is not None:
        one, other = (pulled(source, field[:, k : k + 2], group.sub, group.offset, scaling)
                      for source, k in ((first, 0), (last, 2)))  # fmt: skip
        return one, other
    moves = field[:, :4].unflatten(1, (2, 2))
    if group.sub != (1, 1):
        moves = moves * constant((1 / group.sub[0], 1 / group.sub[1]), moves).view(1, 1, 2, 1, 1)
    if field.device.type == "cpu" and _remap_fits(*first.shape[-2:]):
        return _remapped(first, moves[:, 0], 0), _remapped(last, moves[:, 1], 1)
    position = _grid(*field.shape[-2:], field.device)[:, None] + moves
    return sample(first, position[:, 0]), sample(last, position[:, 1])


def _remapped(source: Tensor, move: Tensor, place: int) -> Tensor:
    """``geometry.sample`` at a move from each pixel, on a CPU, by OpenCV, without a pass to add up positions.

    The result lives in the scratch memory of that ``place``.
    """
    batch, channels = len(move), source.shape[1]
    out = _scratch(f"pulled {place}", (batch, channels, *move.shape[-2:]))
    for k in range(batch):
        x, y = move[k].numpy()
        for plane, made in zip(source[k if len(source) > 1 else 0].numpy(), out[k].numpy()):
            cv2.remap(plane, x, y, cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP, dst=made, borderMode=cv2.BORDER_REPLICATE)
    return out


_kept = threading.local()


def _scratch(what: str, shape: tuple[int, ...]) -> Tensor:
    """Memory for one band, kept from call to call in each thread: what is freed goes back to the system, and to get it
    again page by page took longer than the work. Its content is whatever it was."""
    kept: dict[str, Tensor] = _kept.__dict__
    size = math.prod(shape)
    if what not in kept or len(kept[what]) < size:
        with torch.inference_mode(False):
            kept[what] = torch.empty(size)
    return kept[what][:size].view(shape)


def _remap_fits(height: int, width: int) -> bool:
    return max(height, width) <= REMAP_SIDE and _remap_is_exact()


REMAP_SIDE = 32767
"""OpenCV counts pixels of a picture to be remapped in 16 bits."""


@lru_cache(maxsize=1)
def _remap_is_exact() -> bool:
    """Whether this OpenCV interpolates where it is told: before 5.0, positions were rounded to 1/32 px."""
    ramp = np.tile(np.arange(64, dtype=np.float32), (64, 1))
    x = ramp[:, :32] + np.float32(0.51)
    made = cv2.remap(ramp, x, np.ascontiguousarray(ramp.T[:, :32]), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return bool(np.abs(made - x).max() < 1e-4)


def _is_opaque(groups: list[Tensor], layout: Layout) -> bool:
    assert layout.alpha is not None
    return bool((groups[0][:, layout.alpha] == layout.format.peak).all())


def _weighted(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """Per group the channels (a * c, a, c): premultiplied colours, opacity in [0, 1], plain colours."""
    assert layout.alpha is not None
    opacity = groups[0][:, layout.alpha : layout.alpha + 1] / layout.format.peak
    weighted = []
    for colour, group in zip(groups, layout.groups):
        weight = opacity
        if group.sub != (1, 1):
            weight = F.avg_pool2d(opacity, group.sub[::-1], ceil_mode=True, count_include_pad=False)
        weighted.append(torch.cat((colour * weight, weight, colour), dim=1))
    return weighted


def weighted_by_opacity(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """What may be averaged: planes as they are, or, where one is not opaque, with their opacities beside them."""
    return groups if layout.alpha is None else _weighted(groups, layout)


def unweighted_by_opacity(groups: list[Tensor], layout: Layout) -> list[Tensor]:
    """The planes back from what ``weighted_by_opacity`` gave."""
    if layout.alpha is None:
        return groups
    return [_unweighted(both, group, layout) for both, group in zip(groups, layout.groups)]


def _unweighted(both: Tensor, group: Group, layout: Layout) -> Tensor:
    """Colours back from (a * c, a, c); where the alpha will be rounded to nothing, the plain colours."""
    channels, peak = both.shape[1] // 2, layout.format.peak
    weighted, weight, plain = both[:, :channels], both[:, channels : channels + 1], both[:, channels + 1 :]
    colour = torch.where(weight * peak >= 0.5, weighted / weight.clamp(min=0.5 / peak), plain)
    if group.sub == (1, 1) and layout.alpha is not None:
        colour[:, layout.alpha] = plain[:, layout.alpha]  # alpha itself blends as it is
    return colour


def _hand_over(field: Tensor, rows: slice, edge: tuple[slice, slice], layout: Layout, scaling: Scaling | None) -> None:
    """Corrects the blend weight in the part of ``edge`` in ``rows``: a side that leaves the frame yields to the other
    (``geometry.visible_weight``)."""
    top, bottom = max(edge[0].start, rows.start), min(edge[0].stop, rows.stop)
    if top >= bottom:
        return
    part = field[:, :, top - rows.start : bottom - rows.start, edge[1]]
    where = _grid(layout.height, layout.width, field.device)[:, :, top - rows.start : bottom - rows.start, edge[1]]
    width, height = (layout.width, layout.height) if scaling is None else scaling.source
    at = [where + part[:, k : k + 2] for k in (0, 2)]
    if scaling is not None:
        at = [on_source(position, scaling) for position in at]
    in_first, in_last = (inside(position, height, width) for position in at)
    part[:, WEIGHT : WEIGHT + 1] = visible_weight(part[:, WEIGHT : WEIGHT + 1], in_first, in_last)


def _uncover(
    field: Tensor,
    plain: Tensor,
    rows: slice,
    box: tuple[slice, slice],
    covered: tuple[Tensor, Tensor],
    layout: Layout,
    scaling: Scaling | None,
) -> None:
    """Corrects blend weight and confidence in the part of ``box`` in ``rows``: a side that pulls from under an overlay
    yields to the other, and where both do, to the unmoved frames; of those, whose weight is ``plain``, a side that
    is covered itself yields too."""
    top, bottom = max(box[0].start, rows.start), min(box[0].stop, rows.stop)
    if top >= bottom:
        return
    part = field[:, :, top - rows.start : bottom - rows.start, box[1]]
    where = _grid(layout.height, layout.width, field.device)[:, :, top - rows.start : bottom - rows.start, box[1]]
    # Whatever is mixed with a covered pixel shows some of it.
    at = [where + part[:, 2 * k : 2 * k + 2] for k in (0, 1)]
    if scaling is not None:
        at = [on_source(position, scaling) for position in at]
    seen = [(sample(mask, position) < COVERS).float() for mask, position in zip(covered, at)]
    part[:, WEIGHT : WEIGHT + 1] = visible_weight(part[:, WEIGHT : WEIGHT + 1], *seen)
    part[:, WEIGHT + 1 :] *= torch.maximum(*seen)
    if field.shape[1] == WEIGHT + 1:  # nothing is taken unmoved
        return
    here = where if scaling is None else on_source(where, scaling)
    bare = [(sample(mask, here) < COVERS).float() for mask in covered]
    unmoved = plain[:, :, top - rows.start : bottom - rows.start, box[1]]
    unmoved.copy_(visible_weight(unmoved, *bare))


COVERS = 1 / 256
"""A sample of which less is covered counts as seen: below half an 8-bit code."""

COVER_CELL = 16
"""Luma pixels across the cells in which it is noted what lies near an overlay."""


def _beside(coarse: Tensor, covered: tuple[Tensor, Tensor], layout: Layout) -> list[tuple[slice, slice]]:
    """Disjoint (rows, columns) of luma pixels; no position outside of them lies under an overlay."""
    if coarse.device.type != "cpu":
        return [(slice(0, layout.height), slice(0, layout.width))]
    either = torch.maximum(covered[0].amax(dim=0), covered[1].amax(dim=0))
    cells = F.max_pool2d(either, COVER_CELL, ceil_mode=True)[0].numpy()
    farthest = float(coarse[:, :WEIGHT].abs().max())
    grow = ceil((farthest + 1) / COVER_CELL)
    near = cv2.dilate((cells > 0).astype(np.uint8), np.ones((2 * grow + 1, 2 * grow + 1), np.uint8))
    count, _, found, _ = cv2.connectedComponentsWithStats(near)
    boxes = [tuple(int(v) for v in found[k, :4]) for k in range(1, count)]
    if any(_overlap(a, b) for k, a in enumerate(boxes) for b in boxes[:k]):
        x, y, w, h = cv2.boundingRect(near)
        boxes = [(x, y, w, h)]

    def luma(begin: int, count: int, size: int) -> slice:
        return slice(begin * COVER_CELL, min((begin + count) * COVER_CELL, size))

    return [(luma(y, h, layout.height), luma(x, w, layout.width)) for x, y, w, h in boxes]


def _overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _edges(coarse: Tensor, layout: Layout) -> list[tuple[slice, slice]]:
    """Disjoint (rows, columns) of luma pixels; no position outside of them leaves the frame.

    Found on the motion's grid: between cells whose positions lie inside by a cell, all positions lie inside.
    """
    everything = [(slice(0, layout.height), slice(0, layout.width))]
    if coarse.device.type != "cpu":
        return everything  # reading the bounds back would stall the device for longer than the work takes
    h, w = coarse.shape[-2:]
    cell_x, cell_y = layout.width / w, layout.height / h
    at_x = (torch.arange(w) + 0.5) * cell_x - 0.5 + coarse[:, 0:4:2]
    at_y = ((torch.arange(h) + 0.5) * cell_y - 0.5)[:, None] + coarse[:, 1:4:2]

    def deepest(leaves: Tensor) -> int:
        """How many cells lie before the last that leaves, itself included. ``leaves``: one value per row or column."""
        hit = leaves.nonzero()
        return int(hit.max()) + 1 if len(hit) else 0

    (left, right), (top, bottom) = (
        (at.amin(dim=(0, 1, across)), at.amax(dim=(0, 1, across)).flip(0)) for at, across in ((at_x, 2), (at_y, 3))
    )
    x0 = ceil((deepest(left < cell_x) + 1) * cell_x)
    x1 = layout.width - ceil((deepest(right > layout.width - 1 - cell_x) + 1) * cell_x)
    y0 = ceil((deepest(top < cell_y) + 1) * cell_y)
    y1 = layout.height - ceil((deepest(bottom > layout.height - 1 - cell_y) + 1) * cell_y)
    if x0 >= x1 or y0 >= y1:
        return everything
    across, between = slice(0, layout.width), slice(y0, y1)
    return [
        (slice(0, y0), across),
        (slice(y1, layout.height), across),
        (between, slice(0, x0)),
        (between, slice(x1, layout.width)),
    ]


def _upsample(field: Tensor, rows: slice, layout: Layout) -> Tensor:
    """``field`` on the luma pixels of ``rows``, to be written to. Its grid and the frame cover the same area.

    Moves are from the band's own pixels: the y parts (channels 1 and 3) have ``rows.start`` added to them. Bilinear
    with half-pixel centres, first down the columns, while the rows are still short, then along the rows.
    """
    batch, channels, h, w = field.shape
    if h != layout.height:
        low, high, share = _row_weights(h, layout.height, field.device)
        field = torch.lerp(field.index_select(2, low[rows]), field.index_select(2, high[rows]), share[rows])
    else:
        field = field[:, :, rows].clone()
    if rows.start and channels >= WEIGHT:
        field[:, 1:4:2] += rows.start
    if w == layout.width:
        return field
    count = rows.stop - rows.start
    if w == 1:
        return field.repeat(1, 1, 1, layout.width)
    if field.device.type == "cpu":
        wide = _scratch("field", (batch, channels, count, layout.width))
        short, size = field.reshape(-1, w).numpy(), (layout.width, batch * channels * count)
        cv2.resize(short, size, dst=wide.view(size[::-1]).numpy(), interpolation=cv2.INTER_LINEAR)  # half-pixel centres
        return wide
    lines = field.reshape(1, -1, w)
    return F.interpolate(lines, layout.width, mode="linear", align_corners=False).view(batch, channels, count, -1)


@lru_cache(maxsize=8)
def _row_weights(cells: int, pixels: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For every pixel row: the cell row above its centre, the one below, and the share of the latter."""
    with torch.inference_mode(False):
        # On the host: Apple's devices have no float64.
        centres = torch.arange(pixels, dtype=torch.float64) + 0.5
        at = (centres * (cells / pixels) - 0.5).clamp(0, cells - 1)
        low = at.floor().long()
        weights = low, (low + 1).clamp(max=cells - 1), (at - low).float()[:, None]
        above, below, share = (each.to(device) for each in weights)
        return above, below, share


def _read(field: Tensor, group: Group) -> Tensor:
    """The luma field at the group's samples: between two luma pixels, their mean; beyond the last, the last."""
    for dim, sub, offset in ((2, group.sub[1], group.offset[1]), (3, group.sub[0], group.offset[0])):
        if sub == 1:
            continue
        count, size = -(-field.shape[dim] // sub), field.shape[dim]
        low, share = int(offset), offset - int(offset)
        missing = count * sub - size
        if missing:
            field = torch.cat((field, *[field.narrow(dim, size - 1, 1)] * missing), dim)
        every = [slice(None)] * 4
        every[dim] = slice(low, None, sub)
        at = field[tuple(every)]
        if share:
            every[dim] = slice(low + 1, None, sub)
            at = torch.lerp(at, field[tuple(every)], share)
        field = at
    return field


@lru_cache(maxsize=8)
def _grid(height: int, width: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return pixel_grid(height, width, like=torch.empty(0, device=device))


def _is_zero(flow: Tensor) -> bool:
    # On a device the look would wait for it. Motions without an estimate (a cross-fade) are made on the host.
    return flow.device.type == "cpu" and not float(flow[0, 0, 0, 0]) and not bool(flow.any())
