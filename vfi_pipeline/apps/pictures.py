"""Which pictures an animation goes through, of what size, and when: everything that is settled before the solving."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfi_pipeline.animation.protocol import Points
from vfi_pipeline.apps import canvas
from vfi_pipeline.apps.moments import Moments, schedule
from vfi_pipeline.apps.options import PictureOptions
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs import names
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import Plan, Segment, segments_of
from vfi_pipeline.jobs.sources import VIDEOS, Film, select
from vfi_pipeline.media import images
from vfi_pipeline.media.containers import stream_plan
from vfi_pipeline.media.encoders import choose_encoding, default_suffix
from vfi_pipeline.media.encoding import VideoSpec
from vfi_pipeline.media.frames import Colour, Frame, PixelFormat
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.profiles import EMBEDS, converted
from vfi_pipeline.media.stills import read_still


@dataclass(frozen=True)
class Pictures:
    """The pictures of an animation, read when asked for, on one canvas.

    Attributes:
        paths: the files, in order.
        size: (width, height) of the canvas.
        format, colour: of the canvas.
        fit_size: what happens to a picture of another size; None is the rule of ``apps.canvas``.
        loop: a gap leads from the last picture to the first.
    """

    paths: tuple[Path, ...]
    size: tuple[int, int]
    format: PixelFormat
    colour: Colour
    fit_size: str | None
    loop: bool
    max_pixels: int
    profile: bytes | None = None  # as in SourceInfo: the colour space that all are read in

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """The pairs of pictures that the animation leads between; (0, 0) for one picture alone."""
        if len(self) == 1:
            return ((0, 0),)
        ends = range(1, len(self) + (1 if self.loop else 0))
        return tuple((end - 1, end % len(self)) for end in ends)

    def placed(self, number: int) -> canvas.Placed:
        """Picture ``number`` on the canvas.

        Raises:
            UserError: if it cannot be read any more.
        """
        frame = read_still(self.paths[number], self.max_pixels)
        if self.profile is not None:
            frame = converted(frame, images.profile_of(self.paths[number]), self.profile)
        return canvas.placed(canvas.promoted(frame, self.format, self.colour), self.size, self.fit_size)


@dataclass(frozen=True)
class Series(Film):
    """Pictures to be animated, for the job runner of films."""

    @property
    def label(self) -> str:
        """``a.png to b.png``, or the folder's name."""
        listed = [path.name for path in self.images]
        if len(listed) > 2 and self.path.name:
            return f"{len(listed)} pictures of {self.path.name}"
        return " to ".join(listed if len(listed) < 3 else (listed[0], listed[-1]))


def film_of(inputs: Sequence[str], output: str | None = None) -> Series:
    """The one series of pictures that ``inputs`` name; ``output`` as in ``jobs.sources.select``.

    Raises:
        UserError: if there are films among them, several folders, or something that is no picture.
    """
    films = select(inputs, output).films
    for film in films:
        if not film.images:
            suffix = film.path.suffix.lower()
            if suffix in VIDEOS:
                raise UserError(
                    f"{film.label} is a film; these options animate pictures.",
                    "fps=60 or slowmo=4 for a film, at=12.48 for one frame of it, end=10 for its first seconds.",
                    BAD_INPUT,
                )  # fmt: skip
            raise UserError(
                f"{film.path} cannot be read as a picture.", "PNG, JPEG, TIFF, WebP or BMP; copy it again.", BAD_INPUT
            )
    if len(films) != 1:
        raise UserError("Several folders of pictures were given.", "one folder, or the pictures one by one.", BAD_INPUT)
    (film,) = films
    return Series(film.path, film.images, film.stem, film.home)


@dataclass(frozen=True)
class Head:
    """Facts of a picture, kept in place of it: pictures may be many and large."""

    width: int
    height: int
    format: PixelFormat
    colour: Colour


def gather(film: Film, asked: PictureOptions, max_pixels: int) -> Pictures:
    """Looks at every picture and settles on one size and format.

    Raises:
        UserError: if one cannot be read, or is of a size that no rule fits.
    """
    heads = []
    for path in film.images:
        frame = read_still(path, max_pixels)
        heads.append(Head(frame.width, frame.height, frame.format, frame.colour))
    sizes = [(head.width, head.height) for head in heads]
    size = canvas.canvas_size(asked.size, sizes)
    if size[0] * size[1] > max_pixels:
        raise UserError(f"size={asked.size} is beyond the limit of {max_pixels} pixels.", "a smaller size=.")
    for path, own in zip(film.images, sizes):
        canvas.check_overlap(path.name, own, size, asked.fit_size)
    form = canvas.common_format(heads)
    colour = canvas.common_colour(heads, form)
    return Pictures(film.images, size, form, colour, asked.fit_size, asked.loop, max_pixels)


def prepare(film: Film, pictures: Pictures, options: Options, asked: PictureOptions, model: str) -> tuple[Plan, tuple]:
    """The plan of the animation, and which picture each key frame of its timeline shows.

    Raises:
        UserError: for everything that can be known to fail before the start.
    """
    rate = options.fps or Fraction(30)
    timeline, keys = schedule(len(pictures), rate, asked)
    width, height = pictures.size
    video = VideoInfo(
        0, "picture", width, height, pictures.format.name, pictures.format.name, 1 / rate, rate, colour=pictures.colour,
        duration=timeline.count / rate, frames=len(pictures),
    )  # fmt: skip
    info = SourceInfo(film.path, "image2", video, duration=video.duration, images=pictures.paths)
    spec = VideoSpec.of(video, rate)
    suffix = ".png" if asked.places is not None else default_suffix(spec, ".png", options.codec or "auto")
    target = names.target_of(film, options, rate, Fraction(1), model, suffix, many=False)
    names.refuse_input_as_output(target, pictures.paths)
    encoding = choose_encoding(
        spec, target, options.codec or "auto", options.crf, options.preset, options.pix_fmt, options.benchmark
    )
    embeds = encoding.finish == "images" and Path(encoding.pattern).suffix.lower() in EMBEDS
    info = images.managed(info, embeds, options.max_pixels)
    encoding = replace(encoding, profile=info.profile or b"")
    if encoding.finish == "images" and "%" not in encoding.pattern and timeline.count != 1:
        numbered = target.with_name(f"{target.stem}_%04d{target.suffix}")
        remedy = f"output={shlex.quote(str(numbered))}"
        raise UserError(f"{timeline.count} pictures cannot all be called {target.name}.", remedy)
    if isinstance(timeline, Moments):
        segments: tuple[Segment, ...] = (Segment(0, 0, timeline.count, 0, len(keys) - 1),)
    else:
        segments = segments_of(timeline, options.segment, width * height)
    output = OutputPlan(info, spec, encoding, stream_plan(info, target, encoding), Timing(rate, timeline.count))
    plan = Plan(output=output, timeline=timeline, target=target, segments=segments, cuts=(), notes=info.notes)
    return plan, keys


def default_name(paths: Sequence[Path], asked: PictureOptions, edited: str | None = None) -> str:
    """The template of the output's name where the user gives none; ``edited`` by which model, if it is."""
    if edited is not None:
        several = asked.places is not None and len(asked.places) > 1
        return f"{{stem}}_{edited}{'_%04d' if several else ''}.{{ext}}"
    stems = [path.stem for path in paths]
    name = f"{stems[0]}_to_{stems[-1]}" if len(stems) == 2 else "{stem}_animated"
    if any(mark in stem for stem in stems for mark in "{}%") or len(os.fsencode(name)) > 150:
        name = "{stem}_animated"
    if asked.places is not None:
        name += f"_t{float(asked.places[0]):g}" if len(asked.places) == 1 else "_%04d"
    return name + ".{ext}"


def read_points(path: Path, pictures: Pictures) -> tuple[Points | None, ...]:
    """For each gap the corresponding points, on the canvas; None where the file has none for it.

    The file is JSON: a list of pairs ``[[x, y], [x, y]]`` (first picture, last picture; pixels of the upright files,
    0 is the middle of the left or top pixel), or ``{"gaps": [list, list, null]}`` with such a list for each gap.
    Nothing in it is executed.

    Raises:
        UserError: naming what is wrong with the file.
    """
    gaps = _point_lists(path, len(pictures.gaps))
    points_of_gaps: list[Points | None] = []
    for (first, last), pairs in zip(pictures.gaps, gaps):
        if not pairs:
            points_of_gaps.append(None)
            continue
        ends = []
        for number, side in ((first, 0), (last, 1)):
            points = torch.tensor([pair[side] for pair in pairs], dtype=torch.float32)
            frame = read_still(pictures.paths[number], pictures.max_pixels)
            _check_inside(path, points, frame, pictures.paths[number].name)
            moved = canvas.placed(
                canvas.promoted(frame, pictures.format, pictures.colour), pictures.size, pictures.fit_size
            )
            ends.append(moved.moved(points))
        points_of_gaps.append((ends[0], ends[1]))
    return tuple(points_of_gaps)


_EXAMPLE = "write [[[12, 30], [14, 33]], [[80, 31], [84, 30]]]: pairs of x, y in the first and the last picture."


def _point_lists(path: Path, gaps: int) -> list[list[list[list[float]]]]:
    try:
        if path.stat().st_size > 10_000_000:
            raise UserError(f"points={path} is larger than any list of points.", _EXAMPLE, BAD_INPUT)
        document: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"points={path} cannot be read ({error.strerror}).", "check the name.", BAD_INPUT) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"points={path} is not JSON ({error}).", _EXAMPLE, BAD_INPUT) from error
    lists = document.get("gaps", document.get("points")) if isinstance(document, dict) else [document]
    if isinstance(document, dict) and "gaps" not in document:
        lists = [lists]
    if not isinstance(lists, list) or len(lists) > gaps or not any(lists):
        raise UserError(f"points={path} holds no list of points for {gaps} gaps at most.", _EXAMPLE, BAD_INPUT)
    if len(lists) < gaps and not (isinstance(document, dict) and "gaps" in document):
        raise UserError(
            f"points={path} has one list, and there are {gaps} gaps between the pictures.",
            '{"gaps": [[...], [...]]}, one list for each gap, null for none.', BAD_INPUT,
        )  # fmt: skip
    lists = [*lists, *[None] * (gaps - len(lists))]
    return [[_pair(path, number, pair) for number, pair in enumerate(_entries(path, part))] for part in lists]


def _entries(path: Path, part: Any) -> list[Any]:
    if part is None:
        return []
    if not isinstance(part, list) or len(part) > 10_000:
        raise UserError(f"points={path}: {str(part)[:40]} is no list of pairs.", _EXAMPLE, BAD_INPUT)
    return part


def _pair(path: Path, number: int, entry: Any) -> list[list[float]]:
    if isinstance(entry, dict):
        entry = [entry.get("first"), entry.get("last")]
    good = isinstance(entry, list) and len(entry) == 2 and all(_is_point(point) for point in entry)
    if not good:
        raise UserError(f"points={path}: entry {number} ({str(entry)[:60]}) is no pair of points.", _EXAMPLE, BAD_INPUT)
    return [[float(value) for value in point] for point in entry]


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) < 1e6
        for value in point
    )  # fmt: skip


def _check_inside(path: Path, points: Tensor, frame: Frame, name: str) -> None:
    limit = points.new_tensor([frame.width - 0.5, frame.height - 0.5])
    wrong = ((points < -0.5) | (points > limit)).any(dim=1).nonzero()
    if len(wrong):
        x, y = points[int(wrong[0])].tolist()
        raise UserError(
            f"points={path}: the point {x:g}, {y:g} lies outside of {name} ({frame.width}x{frame.height}).",
            "pixels of the picture as it is seen, x to the right, y down, from 0.", BAD_INPUT,
        )  # fmt: skip


def digest(pictures: Pictures) -> str:
    """Names and sizes of the pictures, for people: ``a.jpg, b.png at 640x480``."""
    listed = ", ".join(path.name for path in pictures.paths[:4])
    more = f" and {len(pictures) - 4} more" if len(pictures) > 4 else ""
    return f"{listed}{more} at {pictures.size[0]}x{pictures.size[1]} {pictures.format.name}"
