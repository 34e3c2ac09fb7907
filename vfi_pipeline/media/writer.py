"""Writes frames: one video-only file per segment, numbered images, or nothing at all, behind one protocol.

One film, from plan to file (``jobs.local`` does this, with a journal between the steps)::

    spec = VideoSpec.of(info.video, rate=Fraction(60))
    encoding = choose_encoding(spec, target, codec="auto")          # encoding.notes: what it loses
    streams = stream_plan(info, target, encoding)                   # streams.lines(): kept, converted, lost and why
    segments = []
    for number, part in enumerate(parts):                           # every ~20 s
        path = folder / segment_name(encoding, number)
        with open_writer(path, spec, encoding, first=part.first_index) as writer:
            for frame in frames_of(part):
                writer.write(frame)
        segments.append(Segment(path, writer.frames))               # the file appears under its name only when complete
    timing = Timing(rate=spec.rate, frames=total, first=first_source_time)
    output = OutputPlan(info, spec, encoding, streams, timing)
    assemble(segments, output, temporary)                           # beside the target, same suffix
    verify(temporary, expect(output))
    os.replace(temporary, target)
"""

from __future__ import annotations

import logging
import os
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.mark import mark
from vfi_pipeline.media.pixel_formats import shape
from vfi_pipeline.media.profiles import embed

log = logging.getLogger(__name__)

IMAGE_NAME = "%010d"  # inside a segment's folder: the output index, so that order survives any number of frames
# Every conversion that swscale makes for us: exact arithmetic, chroma interpolated both ways, rounding to
# fewer bits with ordered dither (error diffusion would flicker).
SCALE_FLAGS = "accurate_rnd+full_chroma_int+full_chroma_inp+bicubic+bitexact"


class FrameWriter(Protocol):
    """Takes frames in order. ``close`` finishes the file; leaving ``with`` by an exception leaves no file."""

    frames: int

    def write(self, frame: Frame) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> FrameWriter: ...

    def __exit__(self, kind: object, error: object, trace: object) -> None: ...


def segment_name(encoding: Encoding, number: int) -> str:
    """The name of segment ``number`` (from 0), as ``segment_00003.nut``; a folder's name for image sequences."""
    return f"segment_{number:05d}{encoding.suffix}"


def open_writer(path: Path, spec: VideoSpec, encoding: Encoding, first: int = 0) -> FrameWriter:
    """A writer for one segment. ``first`` is the output index of its first frame: image files are named after it."""
    if encoding.finish == "nothing":
        return NullWriter(spec)
    if encoding.finish == "images":
        return ImageWriter(path, spec, encoding, first)
    return VideoWriter(path, spec, encoding)


class NullWriter:
    """Takes frames and forgets them: ``benchmark=true``."""

    def __init__(self, spec: VideoSpec) -> None:
        self.frames = 0
        self._spec = spec

    def write(self, frame: Frame) -> None:
        _check(frame, self._spec)
        self.frames += 1

    def close(self) -> None:
        pass

    def __enter__(self) -> NullWriter:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass


class _Piped:
    """Feeds raw planes to one ffmpeg. Subclasses say where its output goes and what makes it final."""

    def __init__(self, path: Path, spec: VideoSpec, encoding: Encoding) -> None:
        self.path, self.frames = path, 0
        self._spec, self._encoding = spec, encoding
        self._part = path.with_name(path.name + ".part")
        self._fill = _neutral_chroma(spec, encoding)
        self._prepare()
        self._process = ffmpeg.open_process(
            self._command(), f"writing {path.name}", pipe_stdin=True,
            remedy="look at ffmpeg's message; another codec= or pix_fmt= may do.",
        )  # fmt: skip
        self._open = True

    @property
    def pid(self) -> int:
        """The process number of its ffmpeg."""
        return self._process.pid

    def write(self, frame: Frame) -> None:
        """Store ``frame``. UserError if ffmpeg has gone, with its last words."""
        _check(frame, self._spec)
        try:
            for plane in frame.planes:
                self._process.stdin.write(np.ascontiguousarray(plane).data.cast("B"))
            if self._fill is not None:
                self._process.stdin.write(self._fill)
        except (BrokenPipeError, OSError, ValueError) as error:
            self._open = False
            try:
                self._process.finish(60)
            finally:
                self._discard()
            raise UserError(
                f"ffmpeg stopped taking pictures ({self.path.name}, frame {self.frames}): {error}.",
                "run again.",
                ENVIRONMENT,
            ) from error
        self.frames += 1

    def close(self) -> None:
        """Finish the file, flush it to the disk and give it its name."""
        if not self._open:
            return
        self._open = False
        if self.frames == 0:
            self._process.kill()
            self._discard()
            raise UserError(f"No frame was written to {self.path.name}.", "report this: it is a bug.", ENVIRONMENT)
        try:
            self._process.finish()
            self._publish()
        except BaseException:
            self._process.kill()
            self._discard()
            raise

    def abort(self) -> None:
        """Stop at once and leave no file."""
        self._open = False
        self._process.kill()
        self._discard()

    def __enter__(self) -> _Piped:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _command(self) -> ffmpeg.Command:
        spec, encoding = self._spec, self._encoding
        raw = _raw_format(spec, encoding)
        rate = f"{spec.rate.numerator}/{spec.rate.denominator}"
        target, muxing = self._destination()
        options = {key: value for key, value in encoding.options if not key.startswith("finish:")}
        options |= {"map": "0:v:0", "vf": _filters(spec, encoding, raw), "map_metadata": "-1"}
        options |= {"c:v": encoding.encoder, "pix_fmt": encoding.pixel_format, **colour_options(encoding.colour)}
        source = ffmpeg.raw_input(raw, spec.width, spec.height, rate, **colour_options(spec.colour))
        return ffmpeg.Command([source], target, options | muxing)

    def _prepare(self) -> None:
        raise NotImplementedError

    def _destination(self) -> tuple[str, dict[str, str]]:
        """The target as ffmpeg takes it, and the muxer's options."""
        raise NotImplementedError

    def _publish(self) -> None:
        raise NotImplementedError

    def _discard(self) -> None:
        raise NotImplementedError


class VideoWriter(_Piped):
    """One video-only file from a fresh encoder; it grows as ``NAME.part`` and is renamed when it is complete."""

    def _prepare(self) -> None:
        make_folder(self.path.parent)
        self._part.unlink(missing_ok=True)  # an orphan of a killed run may still hold it: it keeps its own inode

    def _destination(self) -> tuple[str, dict[str, str]]:
        return ffmpeg.file_url(self._part), {"f": self._encoding.muxer}

    def _publish(self) -> None:
        _sync(self._part)
        os.replace(self._part, self.path)
        _sync(self.path.parent)

    def _discard(self) -> None:
        try:
            self._part.unlink(missing_ok=True)
        except OSError as error:
            log.debug("%s stays behind: %s", self._part, error)


class ImageWriter(_Piped):
    """A folder of images named by their output index; ``assemble`` gives them the names that the user asked for."""

    def __init__(self, path: Path, spec: VideoSpec, encoding: Encoding, first: int = 0) -> None:
        self._first = first
        super().__init__(path, spec, encoding)

    def _prepare(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True)
        make_folder(self._part)

    def _destination(self) -> tuple[str, dict[str, str]]:
        pattern = f"{IMAGE_NAME}.{self._encoding.codec}"
        return ffmpeg.pattern_url(self._part, pattern), {"f": "image2", "start_number": str(self._first)}

    def _publish(self) -> None:
        count = sum(1 for _ in self._part.iterdir())
        if count != self.frames:
            raise UserError(
                f"{count} of {self.frames} images were written to {self.path.name}.",
                "free some space, run again.",
                ENVIRONMENT,
            )
        for image in self._part.iterdir():
            if self._encoding.profile:
                embed(image, self._encoding.profile)
            mark(image)
        if self.path.exists():
            shutil.rmtree(self.path)
        os.replace(self._part, self.path)
        _sync(self.path.parent)

    def _discard(self) -> None:
        shutil.rmtree(self._part, ignore_errors=True)


# ------------------------------------------------------------------------------------------------- ffmpeg's arguments


def colour_options(colour: Colour) -> dict[str, str]:
    """``colorspace`` and the other tags, as ffmpeg names them; what is untagged stays untagged."""
    transfer = {"bt470m": "gamma22", "bt470bg": "gamma28"}.get(colour.transfer or "", colour.transfer)
    tags = {
        "colorspace": "rgb" if colour.matrix == "gbr" else colour.matrix,
        "color_primaries": colour.primaries,
        "color_trc": transfer,
        "color_range": colour.range,
        "chroma_sample_location": colour.chroma_location,
    }
    return {name: value for name, value in tags.items() if value is not None}


def assumed_matrix(spec: VideoSpec) -> str:
    """The YUV matrix of untagged pictures, as players guess it: BT.709 from 720 lines or 1280 columns, else BT.601."""
    if spec.colour.matrix not in (None, "unknown", "gbr"):
        return str(spec.colour.matrix)
    return "bt709" if spec.height >= 720 or spec.width >= 1280 else "smpte170m"


def _filters(spec: VideoSpec, encoding: Encoding, raw: str) -> str:
    """Sample aspect; and, where RGB becomes YUV or the reverse, one conversion with the right matrix and range."""
    steps = [] if raw == encoding.pixel_format else [conversion(spec, encoding.pixel_format)]
    # setsar comes after scale, which adjusts the aspect, and before transpose, which turns it over.
    aspect = spec.sample_aspect if spec.sample_aspect > 0 else Fraction(1)
    steps.append(f"setsar={aspect.numerator}/{aspect.denominator}:max=2147483647")
    if encoding.turned and encoding.finish in ("copy", "images"):
        steps += turning(spec)
    return ",".join(steps)


def turning(spec: VideoSpec) -> list[str]:
    """Filters that show the picture as a player would, for outputs that cannot say it."""
    turns = {90: ["transpose=clock"], 180: ["hflip", "vflip"], 270: ["transpose=cclock"]}.get(spec.rotation % 360, [])
    return (["hflip"] if spec.mirrored else []) + turns


def conversion(spec: VideoSpec, stored_format: str) -> str:
    """The filters that turn working planes into ``stored_format``, rounding once and naming matrix and range."""
    source, stored = shape(spec.pixel_format), shape(stored_format)
    options = [f"flags={SCALE_FLAGS}"]
    if stored.depth < source.depth:
        options.append("sws_dither=bayer")
    if stored_format.startswith("yuvj"):  # JPEG files are BT.601, full range, whatever they are told
        if source.family != "rgb":
            assumed = "tv" if source.family == "yuv" else "pc"
            options += [
                f"in_color_matrix={_sws_matrix(assumed_matrix(spec))}",
                f"in_range={spec.colour.range or assumed}",
            ]
        options += ["out_color_matrix=bt601", "out_range=pc"]
    elif source.family == "rgb" and stored.family == "yuv":
        options += ["in_range=pc", "out_range=tv", "out_color_matrix=bt709"]
    elif source.family == "yuv" and stored.family == "rgb":
        options += [
            f"in_color_matrix={_sws_matrix(assumed_matrix(spec))}",
            f"in_range={spec.colour.range or 'tv'}",
            "out_range=pc",
        ]  # fmt: skip
    else:
        same = spec.colour.range or ("pc" if source.family != "yuv" else "tv")
        options += [f"in_range={same}", f"out_range={same}"]
    return f"scale={':'.join(options)},format={stored_format}"


def _sws_matrix(name: str) -> str:
    """ffmpeg's ``scale`` knows fewer names than its tags do."""
    spaces = {"bt709": "bt709", "fcc": "fcc", "bt470bg": "bt601", "smpte170m": "bt601", "smpte240m": "smpte240m",
             "bt2020nc": "bt2020", "bt2020c": "bt2020"}  # fmt: skip
    return spaces.get(name, "bt601")


def _raw_format(spec: VideoSpec, encoding: Encoding) -> str:
    """What goes through the pipe: the frame's own planes, and grey completed to YUV where YUV is stored."""
    grey = shape(spec.pixel_format).family == "gray"
    stored = shape(encoding.pixel_format)
    if grey and stored.family == "yuv":
        sub = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440"}[stored.sub]
        depth = spec.format.depth
        return f"yuv{sub}p{depth}le" if depth > 8 else f"yuv{sub}p"
    return spec.pixel_format


def _neutral_chroma(spec: VideoSpec, encoding: Encoding) -> bytes | None:
    """The chroma planes that make grey into YUV without touching a sample of it (swscale would change its range)."""
    raw = _raw_format(spec, encoding)
    if raw == spec.pixel_format:
        return None
    form = pixel_format(raw)
    sizes = [form.plane_size(index, spec.width, spec.height) for index in (1, 2)]
    return b"".join(np.full(size, 1 << (form.depth - 1), form.dtype).tobytes() for size in sizes)


# -------------------------------------------------------------------------------------------------------------- files


def _check(frame: Frame, spec: VideoSpec) -> None:
    if (frame.format.name, frame.width, frame.height) != (spec.pixel_format, spec.width, spec.height):
        raise UserError(
            f"The picture changed from {spec.width}x{spec.height} {spec.pixel_format} to "
            f"{frame.width}x{frame.height} {frame.format.name} within the film.",
            "cut the film there (start=, end=), or convert it to one size first.",
            ENVIRONMENT,
        )


def make_folder(path: Path) -> None:
    """Makes ``path`` and what leads to it; UserError if the system refuses."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{path} cannot be made: {error.strerror}.", "an output in a folder you may write to.", ENVIRONMENT
        ) from error


def _sync(path: Path) -> None:
    """Flush a file or folder to the disk; a file system that cannot is no reason to fail."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as error:
        log.debug("fsync of %s: %s", path, error)
    finally:
        os.close(handle)
