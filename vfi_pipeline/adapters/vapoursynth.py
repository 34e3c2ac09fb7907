"""A VapourSynth function: ``vfi_pipeline.vapoursynth.interpolate(clip, multi=2)``.

VapourSynth hands a filter the frames that it has announced, so the clip is laid out beforehand in the order of the
output, once for each frame around a pair, and the frames between are made in ``std.ModifyFrame``.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from vfi_pipeline.adapters.keywords import remedies_in_keywords
from vfi_pipeline.adapters.random_access import AFTER, BEFORE, RandomAccess
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.request import Value, film_request
from vfi_pipeline.media.frames import Colour, Frame, pixel_format

try:
    import vapoursynth as vs
except ImportError as error:
    raise UserError(
        "VapourSynth is not installed.", "pip install vapoursynth, in the Python of this program."
    ) from error

MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc"}
"""VapourSynth's ``_Matrix`` (ITU-T H.273) -> the tag of ``media.frames.Colour``."""

SITES = ("left", "center", "topleft", "top", "bottomleft", "bottom")
"""By ``_ChromaLocation``."""


def interpolate(clip: vs.VideoNode, *, multi: Value = None, fps: Value = None, **options: Value) -> vs.VideoNode:
    """The clip at a higher (or lower) frame rate, of the same duration.

    Args:
        clip: of constant format and rate; YUV, grey or RGB of 8 to 16 bit integers.
        multi: so many times the clip's rate, 2 where neither it nor ``fps`` is given; a fraction works too.
        fps: frames per second of the result.
        options: ``model``, ``device``, ``scale``, ``scene``, ``scene_threshold``, ``cut``, ``weights`` and others of
            docs/interpolate.md, ``**{"model.KEY": value}``.

    Raises:
        UserError: for a clip or an option that does not fit.
    """
    if clip.format is None or not clip.fps_num or not clip.width:
        raise UserError(
            "The clip's format, size or rate varies.", "core.resize and core.std.AssumeFPS make it constant."
        )
    name = format_name(clip.format)
    with remedies_in_keywords():
        request = film_request(
            ["clip"], {"multi": 2 if multi is None and fps is None else multi, "fps": fps, **options}
        )
    asked = request.options
    source_rate = Fraction(clip.fps_num, clip.fps_den)
    rate = asked.fps or source_rate * (asked.multi or 1)
    if asked.slowmo is not None or asked.at is not None:
        raise UserError("A clip takes fps= or multi=.", "std.AssumeFPS after multi=4 is slow motion.")
    step = source_rate / rate  # source frames per output frame
    count = math.ceil(clip.num_frames / step)
    maker = RandomAccess.of(request)
    cycle, frames = 2 * step.numerator, 2 * step.denominator  # SelectEvery refuses a cycle of one frame
    padded = clip[0] * BEFORE + clip + clip[-1] * (AFTER + cycle)
    offsets = [math.floor(i * step) for i in range(frames)]
    core = vs.core

    def laid_out(shift: int) -> vs.VideoNode:
        """Source frame ``floor(n * step) + shift`` as frame ``n``."""
        moved = padded[BEFORE + shift :]
        return core.std.SelectEvery(moved, cycle=cycle, offsets=offsets, modify_duration=False)[:count]

    def frame(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
        position = n * step
        k, t = math.floor(position), position % 1
        here = f[BEFORE]
        if not t or k + 1 >= clip.num_frames:
            return here
        near = {k + shift: f[BEFORE + shift] for shift in range(-BEFORE, AFTER + 1)}
        around = {index: frame_of(shown, name) for index, shown in near.items() if 0 <= index < clip.num_frames}
        result = maker.frame(k, t, around)
        if result is around[k]:
            return here
        out = here.copy()
        for plane, samples in zip(planes_of(name), result.planes):
            np.copyto(np.asarray(out[plane]), samples)
        return out

    shown = [laid_out(shift) for shift in range(-BEFORE, AFTER + 1)]
    result = core.std.ModifyFrame(shown[BEFORE], clips=shown, selector=frame)
    return core.std.AssumeFPS(result, fpsnum=rate.numerator, fpsden=rate.denominator)


def format_name(form: Any) -> str:
    """The name of ``media.frames.pixel_format``.

    Raises:
        UserError: for formats that hold no integers of 8 to 16 bit.
    """
    deep = "" if form.bits_per_sample == 8 else f"{form.bits_per_sample}le"
    if form.sample_type == vs.INTEGER and form.color_family in (vs.YUV, vs.GRAY, vs.RGB):
        chroma = {(0, 0): "444", (1, 0): "422", (1, 1): "420", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
        sub = chroma.get((form.subsampling_w, form.subsampling_h), "")
        name = {vs.YUV: f"yuv{sub}p", vs.GRAY: "gray", vs.RGB: "gbrp"}[form.color_family] + deep
        try:
            return pixel_format(name).name
        except ValueError:
            pass
    raise UserError(f"Clips of {form.name} cannot be worked on.", "core.resize.Bicubic(clip, format=vs.YUV420P16).")


def planes_of(name: str) -> tuple[int, ...]:
    """The numbers of VapourSynth's planes in the order of ours: RGB is G, B, R."""
    form = pixel_format(name)
    return (1, 2, 0) if form.is_rgb else tuple(range(len(form.planes)))


def frame_of(shown: Any, name: str) -> Frame:
    """A frame as the pipeline has it; shares VapourSynth's memory."""
    form = pixel_format(name)
    props = shown.props
    limited = props.get("_Range", None) == 0 if "_Range" in props else props.get("_ColorRange", None) == 1
    stated = "_Range" in props or "_ColorRange" in props
    colour = Colour(
        matrix="gbr" if form.is_rgb else MATRICES.get(props.get("_Matrix", 2)),
        range="pc" if form.is_rgb else ("tv" if limited else "pc") if stated else None,
        chroma_location=SITES[site] if 0 <= (site := props.get("_ChromaLocation", -1)) < len(SITES) else None,
    )
    planes = tuple(np.asarray(shown[plane]).astype(form.dtype, copy=False) for plane in planes_of(name))
    return Frame(planes, form, shown.width, shown.height, colour=colour)
