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
  premultiplied colours and dividing by the blended alpha (``synthesis.opacity``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vfi_pipeline.geometry import constant, inside, sample, visible_weight
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis.opacity import (
    is_opaque,
    unweighted,
    unweighted_by_opacity,
    weighted,
    weighted_by_opacity,
)
from vfi_pipeline.synthesis.planes import (
    SITING,
    Arriving,
    ArrivingNumber,
    Group,
    Layout,
    as_values,
    layout_of,
    layout_of_format,
    rounded,
    to_codes,
    to_frame,
    to_tensors,
)
from vfi_pipeline.synthesis.reading import (
    SHORTCUTS,
    WEIGHT,
    Shortcuts,
    at_samples,
    pixels,
    pull,
    remap_is_exact,
    scratch,
    upsample,
)
from vfi_pipeline.synthesis.regions import Region, beside_cover, everything, leaving_frame
from vfi_pipeline.synthesis.resize import low_passed, on_canvas, on_source, shrinks, window_of

if TYPE_CHECKING:
    from vfi_pipeline.synthesis import fused

__all__ = [
    "SHORTCUTS", "SITING", "Arriving", "ArrivingNumber", "Group", "Layout", "Shortcuts", "as_values", "composed",
    "intermediate_frame",
    "is_fused", "layout_of", "layout_of_format", "motion_field", "no_motion", "planes", "readable",
    "remap_is_exact", "resized", "rounded", "sources", "to_codes", "to_frame", "to_tensors", "unweighted_by_opacity",
    "weighted_by_opacity",
]  # fmt: skip

log = logging.getLogger(__name__)

Covered = tuple[Tensor, Tensor]
"""How much of each pixel of the first and the last frame an overlay covers, (1 or B, 1, height, width) in [0, 1]."""

SURE = 1 - 1 / 1024
"""A confidence that is nowhere below this is taken for 1: the difference is less than a quarter of an 8-bit code."""

COVERS = 1 / 256
"""A sample of which less is covered counts as seen: below half an 8-bit code."""


# ------------------------------------------------------------------------------------------------------- on a device


def sources(codes: Sequence[Tensor], layout: Layout, scaling: Scaling | None = None) -> list[Tensor]:
    """What ``composed`` reads of a source frame, made once for all frames beside it.

    Args:
        codes: ``to_codes`` of the frame.
        layout: of the frame.

    Returns:
        The codes themselves where the kernel reads them; otherwise float32, low-passed where the picture will shrink,
        and of frames with alpha, for the kernel, weighted by their opacity.
    """
    if not is_fused(codes[0].device):
        return readable([as_values(group) for group in codes], layout, scaling)
    if layout.alpha is not None:
        values = weighted([as_values(group) for group in codes], layout)
        return values if scaling is None else low_passed(values, scaling)
    if scaling is None or not shrinks(scaling):
        return list(codes)
    return low_passed([as_values(group) for group in codes], scaling)


def composed(
    first: Sequence[Tensor],
    last: Sequence[Tensor],
    motions: Sequence[IntermediateMotion],
    layout: Layout,
    covered: Covered | None = None,
    scaling: Scaling | None = None,
) -> list[Tensor]:
    """The rounded planes of frames; in one pass where the device has the kernel.

    Args:
        first, last: ``sources`` of the two frames.
        motions, layout, covered, scaling: as in ``planes``.

    Returns:
        See ``rounded``.
    """
    if not is_fused(first[0].device):
        one, other = ([as_values(group) for group in groups] for groups in (first, last))
        return rounded(planes(one, other, motions, layout, covered, scaling), layout)
    from vfi_pipeline.synthesis import fused

    field, source = motion_field(motions, first[0].device, covered is not None, scaling), source_of(scaling)
    return [
        fused.composed(a, b, field, kernel_plane(group, layout), covered, source)
        for a, b, group in zip(first, last, layout.groups)
    ]


def kernel_plane(group: Group, layout: Layout) -> fused.Plane:
    """A group of planes as the kernel wants to know it."""
    from vfi_pipeline.synthesis import fused

    return fused.Plane(
        (layout.height, layout.width), group.sub, group.offset, layout.plane_size(group), layout.format.depth > 8,
        layout.format.peak, layout.alpha is not None, layout.alpha if group is layout.groups[0] else None,
    )  # fmt: skip


def source_of(scaling: Scaling | None) -> fused.Source | None:
    """Where the made picture lies on sources of another size, as the kernel wants to know it."""
    from vfi_pipeline.synthesis import fused

    if scaling is None:
        return None
    (across, left), (down, top) = scaling.to_source
    return fused.Source(scaling.source[::-1], (across, down), (left, top))


def is_fused(device: torch.device) -> bool:
    """Whether ``composed`` takes the kernel of ``fused``: on CUDA."""
    return device.type == "cuda" and _has_kernel(device)


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


def motion_field(
    motions: Sequence[IntermediateMotion], device: torch.device, unsure: bool = False, scaling: Scaling | None = None
) -> Tensor:
    """The motions as one tensor: (B, 5 or 6, h, w), float32: displacements in cells, blend weight, confidence.

    Args:
        unsure: with a confidence in any case.
        scaling: the field is that of the part of the source that is shown, and the cells are that part's.
    """
    names = ["flow_to_first", "flow_to_last", "blend_weight"]
    confident = all(motion.confidence is not None for motion in motions)
    rows = []
    for motion in motions:
        parts = [getattr(motion, name) for name in names]
        if confident:
            parts.append(motion.confidence)
        elif unsure:
            parts.append(torch.ones_like(motion.blend_weight))
        rows.append(torch.cat([part.to(device, torch.float32) for part in parts], dim=1))
    field = rows[0] if len(rows) == 1 else torch.cat(rows)
    if scaling is None:
        return field
    grows = scaling.source[0] / float(scaling.window[2]), scaling.source[1] / float(scaling.window[3])
    if grows != (1.0, 1.0):
        field[:, :WEIGHT] *= constant(grows * 2, field)
    return window_of(field, scaling).contiguous()


# --------------------------------------------------------------------------------------------- the plain expression


def intermediate_frame(
    first: Frame,
    last: Frame,
    motion: IntermediateMotion,
    time: Fraction,
    device: str | torch.device = "cpu",
    shortcuts: Shortcuts = SHORTCUTS,
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
        groups = planes(to_tensors(first, device), to_tensors(last, device), [motion], layout, shortcuts=shortcuts)
        return to_frame(groups, layout, first, time)


def planes(
    first: list[Tensor],
    last: list[Tensor],
    motions: Sequence[IntermediateMotion],
    layout: Layout,
    covered: Covered | None = None,
    scaling: Scaling | None = None,
    shortcuts: Shortcuts = SHORTCUTS,
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
    on_cpu = device.type == "cpu"
    # A device would wait for the answer; opaque planes come out the same either way.
    clear = layout.alpha is not None and not (on_cpu and is_opaque(first, layout) and is_opaque(last, layout))
    if clear:
        first, last = weighted(first, layout), weighted(last, layout)
    if scaling is not None and layout.alpha is not None:
        first, last = low_passed(first, scaling), low_passed(last, scaling)
    field = _luma_field(motions, layout, device, covered is not None, scaling)
    # Motions without an estimate (a cross-fade) are made on the host.
    still = scaling is None and all(_is_zero(flow) for m in motions for flow in (m.flow_to_first, m.flow_to_last))
    coarse, weight = (field[:, WEIGHT:], 0) if still else (field, WEIGHT)
    leaving: list[Region] = []
    hiding: list[Region] = []
    if not still:
        picks = on_cpu and scaling is None and shortcuts.regions
        leaving = leaving_frame(coarse, layout) if picks else everything(layout)
        if covered is not None:
            cell = shortcuts.cover_cell_px
            hiding = beside_cover(coarse, covered, layout, cell) if picks else everything(layout)

    made = [
        coarse.new_empty(len(coarse), a.shape[1] // 2 if clear else a.shape[1], *layout.plane_size(group))
        for a, group in zip(first, layout.groups)
    ]
    for rows in _bands(coarse, layout, shortcuts):
        band = upsample(coarse, rows, layout)
        sure = band.shape[1] == weight + 1
        plain = band[:, weight : weight + 1]  # no border corrects the unmoved frames' weight
        if (leaving or hiding) and not sure:
            plain = scratch("plain", plain.shape).copy_(plain) if on_cpu else plain.clone()
        for region in leaving:
            _hand_over(band, rows, region, layout, scaling)
        for region in hiding:
            assert covered is not None
            _uncover(band, plain, rows, region, covered, layout, scaling)
        for out, group, a, b in zip(made, layout.groups, first, last):
            here = at_samples(band, group)
            top = rows.start // group.sub[1]
            at = slice(top, top + here.shape[-2])
            part = out[:, :, at]
            from_first, from_last = (
                (a[..., at, :], b[..., at, :]) if still else pull(a, b, here, group, scaling, shortcuts)
            )
            target = None if clear else part
            mixed = torch.lerp(from_last, from_first, here[:, weight : weight + 1], out=target)
            if not sure:
                here_a, here_b = a[..., at, :], b[..., at, :]
                if scaling is not None:
                    stays = torch.zeros_like(here[:, :WEIGHT])
                    stays[:, 1::2] = rows.start
                    here_a, here_b = pull(a, b, stays, group, scaling, shortcuts)
                unmoved = torch.lerp(here_b, here_a, at_samples(plain, group))
                mixed = torch.lerp(unmoved, mixed, here[:, weight + 1 :], out=target)
            if clear:
                part.copy_(unweighted(mixed, group, layout))
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
    made = planes(groups, groups, [no_motion(groups[0].device)], layout, scaling=scaling)
    return on_canvas(to_frame(made, layout, like, like.time), scaling)


@lru_cache(maxsize=8)
def no_motion(device: torch.device) -> IntermediateMotion:
    """That of a frame that stays."""
    with torch.inference_mode(False):
        flow = torch.zeros(1, 2, 1, 1, device=device)
        return IntermediateMotion(0.0, flow, flow, torch.ones(1, 1, 1, 1, device=device))


def _luma_field(
    motions: Sequence[IntermediateMotion], layout: Layout, device: torch.device, unsure: bool, scaling: Scaling | None
) -> Tensor:
    """``motion_field`` with displacements in luma pixels; on a CPU without a confidence that is 1 everywhere."""
    if device.type == "cpu" and not unsure and all(motion.confidence is not None for motion in motions):
        confidence = torch.cat([motion.confidence for motion in motions if motion.confidence is not None])
        if not bool((confidence < SURE).any()):
            motions = [replace(motion, confidence=None) for motion in motions]
    field = motion_field(motions, device, unsure, scaling)
    h, w = field.shape[-2:]
    field[:, :WEIGHT] *= constant((layout.width / w, layout.height / h) * 2, field)
    return field


def _bands(coarse: Tensor, layout: Layout, shortcuts: Shortcuts) -> list[slice]:
    """Luma rows worked on at a time: on a CPU few enough that large frames take little memory beside themselves."""
    if coarse.device.type != "cpu":
        return [slice(0, layout.height)]
    block = max(group.sub[1] for group in layout.groups)
    rows = max(shortcuts.band_px // layout.width // block, 1) * block
    return [slice(top, min(top + rows, layout.height)) for top in range(0, layout.height, rows)]


def _hand_over(field: Tensor, rows: slice, region: Region, layout: Layout, scaling: Scaling | None) -> None:
    """Corrects the blend weight in the part of ``region`` in ``rows``: a side that leaves the frame yields to the other
    (``geometry.visible_weight``)."""
    top, bottom = max(region[0].start, rows.start), min(region[0].stop, rows.stop)
    if top >= bottom:
        return
    part = field[:, :, top - rows.start : bottom - rows.start, region[1]]
    where = pixels(layout.height, layout.width, field.device)[:, :, top - rows.start : bottom - rows.start, region[1]]
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
    region: Region,
    covered: Covered,
    layout: Layout,
    scaling: Scaling | None,
) -> None:
    """Corrects blend weight and confidence in the part of ``region`` in ``rows``: a side that pulls from under an
    overlay yields to the other, and where both do, to the unmoved frames; of those, whose weight is ``plain``, a side
    that is covered itself yields too."""
    top, bottom = max(region[0].start, rows.start), min(region[0].stop, rows.stop)
    if top >= bottom:
        return
    part = field[:, :, top - rows.start : bottom - rows.start, region[1]]
    where = pixels(layout.height, layout.width, field.device)[:, :, top - rows.start : bottom - rows.start, region[1]]
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
    unmoved = plain[:, :, top - rows.start : bottom - rows.start, region[1]]
    unmoved.copy_(visible_weight(unmoved, *bare))


def _is_zero(flow: Tensor) -> bool:
    # On a device the look would wait for it. Motions without an estimate (a cross-fade) are made on the host.
    return flow.device.type == "cpu" and not float(flow[0, 0, 0, 0]) and not bool(flow.any())
