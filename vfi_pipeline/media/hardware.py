"""Decoding on a device (NVDEC, VAAPI, Quick Sync...) by the ffmpeg program, asked for by name: ``decode=cuda``.

PyAV's libraries know two or three of these at most; the user's ffmpeg knows what the machine has. It decodes and copies
the pictures back, and hands them over by a pipe, uncompressed in NUT, which keeps their time stamps and formats. The
reader then matches them against the film's index as it does with its own.

A device is believed only after it has shown the film's first frames exactly as software does: the standards of H.264,
HEVC, VP9 and AV1 define every sample. Where it does not, or cannot decode the film at all, software decodes it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from pathlib import Path

import av
import av.error
import numpy as np

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.decoding import decode_head
from vfi_pipeline.media.index import SourceIndex
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.layout import layout

log = logging.getLogger(__name__)

OFF = "off"

COMPARED_FRAMES = 8
"""Frames at the film's beginning that a device has to decode as software does: predicted ones are among them."""

TRIAL_S = 60.0
"""Seconds that those may take: a driver that hangs is given up."""


def check_listed(method: str) -> None:
    """UserError unless ``method`` is off, or this ffmpeg was built with it; whether a device is there shows later."""
    if method == OFF or method in ffmpeg.hwaccels():
        return
    present = [name for name in ffmpeg.HWACCELS if name in ffmpeg.hwaccels()]
    known = f"decode={' or decode='.join(present)}, which this ffmpeg knows; " if present else ""
    raise UserError(
        f"decode={method}: this ffmpeg ({ffmpeg.typed()}) was built without it.",
        f"{known}decode=off, or an ffmpeg with {method} on PATH (ffmpeg -hwaccels lists).",
        ENVIRONMENT,
    )


@dataclass(frozen=True)
class _Film:
    """A film as it lies in a file, to be told apart from what is put in its place later."""

    method: str
    path: Path
    stream: int
    changed_ns: int


_usable: dict[_Film, bool] = {}
_MOST_KNOWN = 64
"""Films whose trial is remembered by a process."""


def is_usable(method: str, info: SourceInfo, index: SourceIndex, max_pixels: int) -> bool:
    """Whether the device decodes this film as software does, tried once; if not, one line of the log says why."""
    try:
        film = _Film(method, info.path, info.video.index, os.stat(info.path).st_mtime_ns)
    except OSError:
        return False  # software says what is wrong
    if film not in _usable:
        why = _unfit(info, index) or _difference(method, info, index.times.time_base, max_pixels)
        if why is not None:
            say_software(method, info, why)
        while len(_usable) >= _MOST_KNOWN:
            del _usable[next(iter(_usable))]
        _usable[film] = why is None
    return _usable[film]


def forget() -> None:
    """Films are tried anew."""
    _usable.clear()


def say_software(method: str, info: SourceInfo, why: str) -> None:
    log.warning("%s: decode=%s: %s; software decodes it.", info.path.name, method, why)


def _unfit(info: SourceInfo, index: SourceIndex) -> str | None:
    """Why a film is not even tried on a device; None if it is."""
    if index.counted:
        return "the film's frames have no time stamps to be told by"
    if index.damage:
        return "the film is damaged"
    if info.video.working_format.startswith("yuva"):
        return "devices do not decode alpha"
    return None


def _difference(method: str, info: SourceInfo, time_base: Fraction, max_pixels: int) -> str | None:
    """What keeps the device from being believed: how its first frames differ from software's; None if in nothing."""
    expected = decode_head(info.path, info.video.index, max_pixels, COMPARED_FRAMES)
    try:
        with device_pictures(method, info, time_base, None, max_pixels, COMPARED_FRAMES, TRIAL_S) as pictures:
            decoded = list(pictures)
    except (UserError, av.error.FFmpegError) as error:
        return _cause(error)
    if len(decoded) < len(expected):
        return f"the device decodes {len(decoded)} of the first {len(expected)} frames"
    for ours, theirs in zip(expected, decoded):
        if not _is_same(ours, theirs):
            return "the device decodes another picture than software"
    return None


def _cause(error: Exception) -> str:
    """What went wrong, in a line: of ffmpeg's message what stands before the brackets that say what it was doing."""
    said = str(error.args[0]) if isinstance(error, UserError) else str(error)
    return said.splitlines()[0].removesuffix(".").removesuffix(f" ({DOING})")


DOING = "decoding on a device"


def _is_same(ours: av.VideoFrame, theirs: av.VideoFrame) -> bool:
    if (ours.width, ours.height) != (theirs.width, theirs.height) or _time(ours) != _time(theirs):
        return False
    try:
        mine, other = layout(ours.format.name), layout(theirs.format.name)
    except ValueError:
        return False
    return mine.working == other.working and all(
        np.array_equal(a, b) for a, b in zip(mine.planes(ours), other.planes(theirs))
    )


def _time(picture: av.VideoFrame) -> Fraction | None:
    return None if picture.pts is None or picture.time_base is None else picture.pts * picture.time_base


@contextmanager
def device_pictures(
    method: str,
    info: SourceInfo,
    time_base: Fraction,
    start: Fraction | None,
    max_pixels: int,
    count: int | None = None,
    timeout_s: float | None = None,
) -> Iterator[Iterator[av.VideoFrame]]:
    """Pictures that a device decodes, with the film's own time stamps, from a keyframe at or before ``start`` seconds.

    Args:
        time_base: of the film's time stamps.
        start: None from the beginning.
        count: so many of them; None all.
        timeout_s: end ffmpeg after so many seconds.

    Raises:
        UserError: if ffmpeg fails, at the latest at the end of the ``with`` block.
        av.error.FFmpegError: while pictures are taken, if what ffmpeg writes breaks off.
    """
    spec = command(method, info, time_base, start, max_pixels, count)
    with ffmpeg.open_process(spec, DOING, pipe_stdout=True) as process, _ended_after(process, timeout_s):
        try:
            pipe = av.open(process.stdout, "r", format="nut")
        except (av.error.FFmpegError, OSError, ValueError):
            process.finish(TRIAL_S)  # says why nothing came
            raise
        with pipe:
            # Pictures in memory that is freed with them, as many as the decoder's threads would hold.
            yield pipe.decode(video=0)
        process.kill() if process.poll() is None else process.finish()


@contextmanager
def _ended_after(process: ffmpeg.Process, seconds: float | None) -> Iterator[None]:
    if seconds is None:
        yield
        return
    alarm = threading.Timer(seconds, process.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    finally:
        alarm.cancel()


def command(
    method: str,
    info: SourceInfo,
    time_base: Fraction,
    start: Fraction | None = None,
    max_pixels: int | None = None,
    count: int | None = None,
) -> ffmpeg.Command:
    """What ffmpeg is told; see ``device_pictures``."""
    seek: dict[str, object] = {}
    if start is not None:
        # Rounded down: a keyframe at that very moment is not to be passed over.
        seek = {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{floor(start * 10**6) / 10**6:.6f}"}
    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    source = ffmpeg.media_input(info.path, hwaccel=method, copyts=None, noautorotate=None, **seek, **limit)
    end = {} if count is None else {"frames:v": count}
    return ffmpeg.Command(
        [source],
        "pipe:1",
        {
            "map": f"0:{info.video.index}", "c:v": "rawvideo", "f": "nut", "fps_mode": "passthrough",
            "noautoscale": None, "enc_time_base": f"{time_base.numerator}/{time_base.denominator}",
            "avoid_negative_ts": "disabled", **end,
        },
    )  # fmt: skip
