"""Films from Python: ``vfi_pipeline.interpolate(path, fps=60)`` and ``vfi_pipeline.frames(path, fps=60)``.

Options have the names and meanings of the command line (docs/interpolate.md); failures that a caller can act on are
``vfi_pipeline.UserError``, with remedies in keyword arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vfi_pipeline.adapters.keywords import remedies_in_keywords
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import local, names
from vfi_pipeline.jobs.frame_maker import FrameMaker
from vfi_pipeline.jobs.plan import Segment
from vfi_pipeline.jobs.prepare import prepare, rehearsed
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.request import Value, film_request
from vfi_pipeline.jobs.style import StyleChoice
from vfi_pipeline.media import reader
from vfi_pipeline.media.frames import Frame, oriented
from vfi_pipeline.synthesis.context import CONTEXT_AFTER, CONTEXT_BEFORE

DTYPES = ("uint8", "uint16", "float32")
"""Of ``frames``: integers over their whole range, floats in [0, 1]."""


class DtypeError(UserError, ValueError):
    """``frames`` was asked for another dtype."""


class FilmFrame(NamedTuple):
    """A frame of the result: when it is shown, in seconds from the film's start, and its picture (height, width, 3)."""

    time: Fraction
    rgb: NDArray[Any]


def interpolate(path: str | PathLike[str], fps: Value = None, **options: Value) -> Path:
    """Writes the film with more frames, verified, and returns its path: ``python interpolate.py`` as a function.

    Stopped half-way, the same call goes on where it was.

    Args:
        path: a film, a folder of pictures or a pattern: one film.
        fps: frames per second of the result, as a number, a Fraction or text (``"60000/1001"``); or ``multi=2`` or
            ``slowmo=4`` in its place.
        options: any other option of films: ``output="out.mp4"``, ``overwrite=True``, ``model="blend"``, ``crf=16``;
            ``**{"model.guide_span": 400}`` sets one of the model's.

    Raises:
        UserError: with a problem and a remedy; nothing is left under the final name.
    """
    with remedies_in_keywords():
        request = film_request([path], {"fps": fps, **options})
        if request.options.status or request.options.dry_run or request.options.benchmark:
            raise UserError("status=, dry_run= and benchmark= write no film.", "the command line has them.")
        film = request.film
        plan = prepare(film, request.options, request.model_choice, film.files, many=False)
        if not (names.existing(plan.target) and not request.options.overwrite):
            plan = rehearsed(plan)
        local.work(plan, film, request.options, request.model_choice, request.command)
        return plan.target


OF_THE_FILE = frozenset(
    {"output", "name", "overwrite", "codec", "crf", "preset", "pix_fmt", "report", "audio", "subtitles"}
)
"""Options of ``interpolate`` that have no meaning where nothing is written."""


def frames(
    path: str | PathLike[str], fps: Value = None, *, dtype: DTypeLike = np.uint8, **options: Value
) -> Iterator[FilmFrame]:
    """The film's frames at another rate, one after another, as pictures; nothing is written.

    The film is read as the frames are asked for, a few dozen frames ahead, so memory does not grow with its length.
    Leaving the loop closes the file.

    Args:
        path, fps, options: as for ``interpolate``, but for those of the output's file; ``start=`` and ``end=`` in
            seconds. Colours are the film's own code values as RGB: HDR is not tone mapped.
        dtype: uint8, uint16 (0 to 65535) or float32 (0 to 1).

    Yields:
        ``(time, rgb)``: Fraction seconds from the film's start, and (height, width, 3), upright.

    Raises:
        UserError: for options that do not fit, at once; for a film that cannot be read, with the frame that cannot.
        DtypeError: for another dtype; a ``UserError`` and a ``ValueError``.
    """
    kind = _dtype(dtype)
    for name in OF_THE_FILE & options.keys():
        raise UserError(f"{name}= is about a file, and frames() writes none.", f"leave {name}= out, or interpolate().")
    with remedies_in_keywords():
        request = film_request([path], {"fps": fps, **options, "benchmark": True})
        if request.options.at is not None:
            raise UserError(
                "at= names single frames; these come one after another.", "start= and end=, or interpolate()."
            )
        style = request.options.style
        if isinstance(style, StyleChoice) and style.weights is None:
            raise UserError("A style that is optimised needs a folder to keep what it has painted.", "interpolate().")
        film = request.film
        plan = prepare(film, request.options, request.model_choice, film.files, many=False)
    return _frames(plan, request.options, request.model_choice, kind)


def _dtype(asked: DTypeLike) -> np.dtype[Any]:
    try:
        kind = np.dtype(asked)
        name = kind.name
    except TypeError:
        name = repr(asked)
    if name not in DTYPES:
        raise DtypeError(f"Frames come as {', '.join(DTYPES)}, not as {name}.", 'dtype="uint8", or one of the others.')
    return kind


def _frames(plan: Any, options: Any, model_choice: Any, kind: np.dtype[Any]) -> Iterator[FilmFrame]:
    from vfi_pipeline.synthesis import stream

    timeline, video = plan.timeline, plan.info.video
    model, settings = FrameMaker(plan, options, model_choice, Progress(plan.info.path.name, timeline.count)).tools
    whole = Segment(0, 0, timeline.count, *timeline.sources(0, timeline.count))
    part = whole.within(CONTEXT_BEFORE, CONTEXT_AFTER, *timeline.sources_shown)
    source_frames = reader.read_numbered(
        plan.info, part.first, part.last + 1, allow_damaged=options.allow_damaged, max_pixels=options.max_pixels,
        decode=options.decode,
    )  # fmt: skip
    with remedies_in_keywords(), source_frames as source:
        for output in stream.interpolate(source, timeline.slots(), model, settings, timeline.times):
            shown = oriented(output.frame, video.rotation, video.mirrored)
            yield FilmFrame(output.slot.time - plan.info.start, as_rgb(shown, kind))


def as_rgb(frame: Frame, kind: np.dtype[Any]) -> NDArray[Any]:
    """A frame as (height, width, 3), rounded."""
    from vfi_pipeline.synthesis.rgb import to_rgb

    rgb = to_rgb(frame)[0].permute(1, 2, 0).contiguous().numpy()
    if kind.kind == "f":
        return rgb.astype(kind)
    peak = np.iinfo(kind).max
    return np.floor(rgb.astype(np.float64) * peak + 0.5).astype(kind)
