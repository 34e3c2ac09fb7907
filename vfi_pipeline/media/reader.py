"""Frames of a film, exactly those of its index, in the file's own planes: ``with read_frames(info) as frames: ...``"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from fractions import Fraction

import av
import av.error
import av.filter

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import hardware, images
from vfi_pipeline.media.decoding import decode_packets, decoder_for
from vfi_pipeline.media.fields import View, pulled
from vfi_pipeline.media.frames import Frame, PixelFormat, pixel_format
from vfi_pipeline.media.index import SourceIndex, index
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.layout import Layout, layout
from vfi_pipeline.media.opening import MAX_PIXELS, open_media
from vfi_pipeline.media.timeline import SourceTimes

log = logging.getLogger(__name__)


@contextmanager
def read_frames(
    info: SourceInfo,
    start: Fraction | None = None,
    stop: Fraction | None = None,
    deinterlace: bool = False,
    *,
    allow_damaged: bool = False,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    decode: str = hardware.OFF,
) -> Iterator[Iterator[Frame]]:
    """The frames with ``start <= time < stop`` (seconds on the source's clock), in order; else as ``read_numbered``.

    ::

        with read_frames(info, start=Fraction(10)) as frames:
            for frame in frames: ...
    """
    times = picture_times(info, max_pixels)
    first = 0 if start is None else times.starting_at(Fraction(start))
    end = len(times) if stop is None else times.starting_at(Fraction(stop))
    with read_numbered(
        info, first, end, deinterlace, allow_damaged=allow_damaged, threads=threads, max_pixels=max_pixels,
        decode=decode,
    ) as numbered:  # fmt: skip
        yield (frame for _, frame in numbered)


@contextmanager
def read_numbered(
    info: SourceInfo,
    first: int = 0,
    stop: int | None = None,
    deinterlace: bool = False,
    *,
    allow_damaged: bool = False,
    threads: int | None = None,
    max_pixels: int = MAX_PIXELS,
    decode: str = hardware.OFF,
) -> Iterator[Iterator[tuple[int, Frame]]]:
    """``(k, frame)`` for the frames ``first .. stop - 1`` of ``picture_times(info)``: each once, in order.

    Reading starts at the keyframe before ``first``; memory is that of the decoder. Frames carry ``info.video``'s colour
    tags and ``times.time(k)``. The file is closed when the ``with`` block ends.

    Args:
        deinterlace: one progressive frame per frame (bwdif), where ``info.view`` says nothing else.
        allow_damaged: show the frame before in place of one that cannot be decoded; otherwise that is a UserError
            that names the time.
        threads: of the decoder; by default as many as there are processors, 8 at most.
        decode: one of ``ffmpeg.HWACCELS``: a device decodes, as long as it does so as software does.

    Raises:
        UserError: also if the picture's size or format changes on the way.
    """
    source_index = index(info, max_pixels)
    view = info.view or (View("frames") if deinterlace else None)
    times = source_index.times if view is None else view.times(source_index.times)
    stop = len(times) if stop is None else min(stop, len(times))
    first = max(0, first)
    if info.images:
        yield ((first + k, frame) for k, frame in enumerate(images.read_images(info, first, stop, max_pixels)))
        return
    reader = _FilmReader(info, source_index, allow_damaged, threads or min(8, os.cpu_count() or 1), max_pixels, decode)
    try:
        frames = reader.frames(first, stop) if view is None else reader.viewed(view, times, first, stop)
        yield _plain(frames, info, "deinterlaced" if view is not None else "decoded")
    finally:
        reader.close()


def picture_times(info: SourceInfo, max_pixels: int = MAX_PIXELS) -> SourceTimes:
    """When each picture that is read is shown: each frame, or what ``info.view`` takes out of them."""
    times = index(info, max_pixels).times
    return times if info.view is None else info.view.times(times)


SEEK_BACK_S = (0, 1, 4, 16, 64, None)
"""How far before a frame a seek aims, one after another until it comes out before the frame; None: the beginning."""


class _FilmReader:
    """Decodes one stretch of a film and matches what comes out against the index."""

    def __init__(
        self,
        info: SourceInfo,
        source_index: SourceIndex,
        allow_damaged: bool,
        threads: int,
        max_pixels: int,
        decode: str = hardware.OFF,
    ) -> None:
        self.info, self.index, self.allow_damaged = info, source_index, allow_damaged
        self.threads, self.max_pixels, self.decode = threads, max_pixels, decode
        self.format: PixelFormat = pixel_format(info.video.working_format)
        self._container: av.container.InputContainer | None = None
        self._device = ExitStack()

    def close(self) -> None:
        self._device.close()
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, first: int, stop: int) -> Iterator[tuple[int, Frame]]:
        if first >= stop:
            return
        k, before = first, None
        for number, picture in self._numbered_from(first):
            if number < k:
                continue
            if number >= stop and k >= stop:
                break
            while k < min(number, stop):  # the decoder has left some out
                before = self._missing(k, before)
                yield k, before
                k += 1
            if k >= stop:
                break
            before = self._frame(picture, k, self.index.times)
            yield k, before
            k += 1
            if k >= stop:
                break
        while k < stop:
            before = self._missing(k, before)
            yield k, before
            k += 1

    def viewed(self, view: View, times: SourceTimes, first: int, stop: int) -> Iterator[tuple[int, Frame]]:
        """What ``view`` takes out of the frames; ``times`` are those of its pictures."""
        if first >= stop:
            return
        if self.decode != hardware.OFF:
            why = "fields are taken apart, and a device's pictures do not say which comes first"
            hardware.say_software(self.decode, self.info, why)
        low, high, number = view.frames(first, stop)
        graph: av.filter.Graph | None = None
        for k, picture in self._complete(low, min(high, len(self.index.times))):
            self._check(picture, k, self.index.times)
            graph = graph or view.graph(picture)
            # Numbers in place of times: filters that go by these would stumble over wrong ones.
            picture.pts, picture.time_base = k - low, Fraction(1)
            graph.push(picture)
            for output in pulled(graph):
                if first <= number < stop:
                    yield number, self._frame(output, number, times)
                number += 1
        if graph is not None:
            graph.push(None)
            for output in pulled(graph):
                if first <= number < stop:
                    yield number, self._frame(output, number, times)
                number += 1

    def _complete(self, first: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decoded pictures ``first .. stop - 1``, each once; a neighbour in place of one that cannot be decoded."""
        k, before = first, None
        for number, picture in self._numbered(self._decoded_from(first), first):
            if number < k:
                continue
            while k < min(number, stop):
                self._refuse_missing(k)
                yield k, before or picture
                k += 1
            if k >= stop:
                return
            yield k, picture
            k, before = k + 1, picture
            if k >= stop:
                return
        while k < stop:
            self._refuse_missing(k)
            if before is None:
                raise self._damaged(k)
            yield k, before
            k += 1

    def _numbered_from(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Numbered pictures from ``first`` on, as ``_numbered``: by the device if one is asked for, and from the first
        that it leaves out, or that is not what the film holds, by software."""
        k = first
        if self.decode != hardware.OFF and hardware.is_usable(self.decode, self.info, self.index, self.max_pixels):
            for number, picture in self._on_device(first):
                if number < k:
                    continue
                if number > k or not self._fits(picture):
                    break
                yield number, picture
                k += 1
            self._device.close()
            if k == len(self.index.times):
                return
            lost = f"it loses the frame at {self._at_s(self.index.times.time(k)):.3f} s"
            hardware.say_software(self.decode, self.info, lost)
        yield from self._numbered(self._decoded_from(k), k)

    def _on_device(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """What the device decodes of the film from frame ``first`` on; it ends early where the device fails.

        As with software, a seek that comes out too late is repeated from further back.
        """
        times, started = self.index.times, False
        for back in SEEK_BACK_S if first else (None,):
            start = None if back is None or times.time(first) - back <= times.time(0) else times.time(first) - back
            self._device.close()
            try:
                pictures = self._device.enter_context(
                    hardware.device_pictures(self.decode, self.info, times.time_base, start, self.max_pixels)
                )
                for number, picture in self._numbered(pictures, first):
                    if number > first and not started:
                        break
                    started = True
                    yield number, picture
            except (UserError, av.error.FFmpegError) as error:
                log.debug("%s: decode=%s: %s", self.info.path, self.decode, error)
            if started or start is None:
                return

    def _fits(self, picture: av.VideoFrame) -> bool:
        """Whether a picture has the film's size and format."""
        try:
            form = layout(picture.format.name)
        except ValueError:
            return False
        video = self.info.video
        return (picture.width, picture.height) == (video.width, video.height) and form.working == self.format

    def _numbered(self, decoded: Iterator[av.VideoFrame], lead: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """The number of each decoded picture in the index; those that are not in it are left out."""
        if self.index.counted:
            yield from enumerate(decoded)
            return
        pts, base = self.index.times.pts, self.index.times.time_base
        k = lead
        for picture in decoded:
            if picture.pts is None:
                continue
            time_base = picture.time_base or base
            ticks = picture.pts if time_base == base else picture.pts * time_base / base
            while k < len(pts) and pts[k] < ticks:
                k += 1
            if k == len(pts):
                return
            if pts[k] == ticks:
                yield k, picture

    def _missing(self, k: int, before: Frame | None) -> Frame:
        time = self.index.times.time(k)
        if self.allow_damaged:
            if before is None and k > 0:
                before = self._nearest_before(k)
            if before is not None:
                log.warning("%s: the frame at %.3f s cannot be decoded; the one before stays", self.info.path, time)
                return replace(before, time=time)
        raise self._damaged(k)

    def _refuse_missing(self, k: int) -> None:
        if not self.allow_damaged:
            raise self._damaged(k)
        time = float(self.index.times.time(k))
        log.warning("%s: the frame at %.3f s cannot be decoded; the one before stays", self.info.path, time)

    def _damaged(self, k: int) -> UserError:
        return UserError(
            f"{self.info.path} is damaged at {self._at_s(self.index.times.time(k)):.3f} s: a frame cannot be decoded.",
            "allow_damaged=true to hold the frame before, or a sound copy of the file.",
            BAD_INPUT,
        )

    def _nearest_before(self, k: int) -> Frame | None:
        """The last frame before ``k`` that can be decoded, read anew from the beginning of its stretch."""
        for back in range(k - 1, max(-1, k - 500), -1):
            other = _FilmReader(self.info, self.index, False, self.threads, self.max_pixels)
            try:
                for _, frame in other.frames(back, back + 1):
                    return frame
            except UserError:
                continue
            finally:
                other.close()
        return None

    def _frame(self, picture: av.VideoFrame, k: int, times: SourceTimes) -> Frame:
        form = self._check(picture, k, times)
        return Frame(
            form.planes(picture), form.working, picture.width, picture.height, times.time(k), self.info.video.colour
        )

    def _check(self, picture: av.VideoFrame, k: int, times: SourceTimes) -> Layout:
        """The layout of a picture of the right size and format; UserError for another."""
        video, time, name = self.info.video, times.time(k), picture.format.name
        form = None
        if (picture.width, picture.height) == (video.width, video.height):
            try:
                form = layout(name, self.format.has_alpha if name == "pal8" else False)
            except ValueError:
                form = None
        if form is None or form.working != self.format:
            # In-betweens lean on the frame behind them: the last that can be shown begins the part's last moment.
            before = times.time(max(0, k - 1))
            raise UserError(
                f"{self.info.path}: at {self._at_s(time):.3f} s the picture changes from {video.width}x{video.height} "
                f"{video.pixel_format} to {picture.width}x{picture.height} {name}.",
                f"end={self._at_s(before):.3f} for the part before, or convert the file to one size first.",
                BAD_INPUT,
            )
        return form

    def _at_s(self, time: Fraction) -> float:
        """``time`` as users count, from the film's start; cut to thousandths, so that it is not past the frame."""
        return math.floor((time - self.info.start) * 1000) / 1000

    # ------------------------------------------------------------------------------------------------- seeking

    def _decoded_from(self, first: int) -> Iterator[av.VideoFrame]:
        """Decoded pictures, from the keyframe at or before frame ``first``; the caller drops what comes too early.

        A seek is good only if the first keyframe that comes out is not later than the frame wanted: pictures before
        it may lean on what was skipped. Otherwise the seek is repeated from further back, at last from the beginning.
        """
        times = self.index.times
        if first > 0 and not self.index.counted:
            for back in SEEK_BACK_S[:-1]:
                target = times.pts[first] - round(back / times.time_base)
                if target <= times.pts[0]:
                    break
                pictures = self._sought(target, times.pts[first])
                if pictures is not None:
                    return pictures
        self._open()
        return self._pictures()

    def _sought(self, target: int, wanted: int) -> Iterator[av.VideoFrame] | None:
        container, stream = self._open()
        try:
            container.seek(target, stream=stream, backward=True)
        except av.error.FFmpegError:
            return None
        pictures = self._pictures()
        try:
            for picture in pictures:
                if picture.pts is not None and picture.key_frame:
                    return _chain(picture, pictures) if picture.pts <= wanted else None
                if picture.pts is not None and picture.pts > wanted:
                    return None
        except UserError:
            pass
        return None

    def _open(self) -> tuple[av.container.InputContainer, av.stream.Stream]:
        self.close()
        self._container = open_media(self.info.path, self.max_pixels)
        streams = self._container.streams
        at = self.info.video.index
        if at >= len(streams) or streams[at].type != "video":
            raise UserError(f"{self.info.path} has changed: stream {at} is no video any more.", "run again.", BAD_INPUT)
        return self._container, streams[at]

    def _pictures(self) -> Iterator[av.VideoFrame]:
        assert self._container is not None
        stream = self._container.streams[self.info.video.index]
        decode = decoder_for(stream, self.threads, self.max_pixels)
        last = None
        try:
            on_error = _note if self.allow_damaged or self.index.damage else None
            for picture in decode_packets(self._container, stream, decode, on_error):
                last = picture.pts if picture.pts is not None else last
                yield picture
        except av.error.FFmpegError as error:
            base = stream.time_base or Fraction(0)
            where = f"after {self._at_s(last * base):.3f} s" if last is not None else "at its beginning"
            raise UserError(
                f"{self.info.path} is damaged {where}: {error.strerror}.",
                "allow_damaged=true to hold the frame before, or a sound copy of the file.",
                BAD_INPUT,
            ) from error


def _note(what: str, ticks: int | None) -> None:
    log.debug("at tick %s: %s", ticks, what)


def _chain(first: av.VideoFrame, rest: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    yield first
    yield from rest


def _plain(frames: Iterator[tuple[int, Frame]], info: SourceInfo, doing: str) -> Iterator[tuple[int, Frame]]:
    """``frames``, and what ffmpeg's libraries raise as an error that names the file; lack of memory stays that."""
    try:
        yield from frames
    except av.error.FFmpegError as error:
        if isinstance(error, MemoryError):
            raise MemoryError(str(error)) from error
        raise UserError(
            f"{info.path} cannot be {doing}: {error.strerror or error}.",
            "convert it to another format first.",
            BAD_INPUT,
        ) from error
