"""The end, tried before the work: two pictures and a second of every stream through the real encoder and the real join.

What a container or an encoder refuses shows here. It is converted, with fewer channels if need be, or left out, and
told; what is planned after that can be finished. Remedies that name another container are tried as well.
"""

from __future__ import annotations

import atexit
import logging
import re
import shutil
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import av.error
import numpy as np

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import assemble as joining
from vfi_pipeline.media.containers import LANGUAGES, StreamFate, StreamPlan, fallbacks, stream_plan
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.info import SourceInfo
from vfi_pipeline.media.inventory import Item, inventory, lost
from vfi_pipeline.media.languages import is_named, one_code, other_code
from vfi_pipeline.media.opening import open_media
from vfi_pipeline.media.output_plan import OutputPlan, Timing
from vfi_pipeline.media.tracks import Track, jumps_back, tracks
from vfi_pipeline.media.writer import open_writer, segment_name

log = logging.getLogger(__name__)

_MACHINE = ("ffmpeg was killed", "disk is full", "annot allocate memory", "could not be started")
"""Signs that an attempt has failed for another reason than what was to be written."""

FRAMES = 2
"""Pictures that are encoded: so many that there is a second one."""


def rehearse(output: OutputPlan) -> OutputPlan:
    """The plan with its streams as they can be written: empty tracks lost, refused ones converted or lost, each with
    the reason.

    Raises:
        UserError: if pictures cannot be encoded or joined, whatever is done with the other streams.
    """
    return output if output.encoding.finish == "nothing" else replace(output, streams=_rehearsed(output))


def _rehearsed(output: OutputPlan) -> StreamPlan:
    info, encoding, streams, timing = output.info, output.encoding, output.streams, output.timing
    trial = _Trial(output)
    if encoding.finish != "copy" or info.images:
        trial.join(streams)
        return _without_losses(streams, trial)
    held = _held(info, streams, timing)
    trial.begins = {index: track.first for index, track in held.items() if track is not None}
    streams = replace(
        streams,
        fates=tuple(_if_empty(fate, held, timing) for fate in streams.fates),
        remarks=tuple(_pauses(info, streams, held, timing)),
    )
    if trial.failure(streams) is not None:
        if (error := trial.failure(replace(streams, fates=(), chapters=0))) is not None:
            raise error  # the pictures themselves
        streams = replace(streams, fates=tuple(_possible(fate, streams, info, trial) for fate in streams.fates))
        if (error := trial.failure(streams)) is not None:
            raise error
    streams = _with_languages(streams, trial)
    tried: dict[tuple[str, str, str], bool] = {}
    streams = replace(streams, fates=tuple(_true_remedy(fate, trial, tried) for fate in streams.fates))
    return _without_losses(streams, trial)


def _held(info: SourceInfo, streams: StreamPlan, timing: Timing) -> dict[int, Track | None]:
    """Where the packets of sound and subtitles lie, of those that the cut keeps; see ``media.tracks``."""
    wanted = [fate.index for fate in streams.kept if fate.index >= 0 and fate.kind in ("audio", "subtitle")]
    low = None if timing.start is None else timing.start - Fraction(1, 2000)
    return tracks(info.path, wanted, low, timing.end)


LONG_S = 10
"""A pause of sound that is longer than this, and than the pictures last, is named."""


def _pauses(info: SourceInfo, streams: StreamPlan, held: dict[int, Track | None], timing: Timing) -> list[str]:
    """A line for each track whose time stamps jump back, or leave a pause that no film of this length has."""
    span = timing.duration / timing.stretch
    lines = []
    for fate in streams.kept:
        track = held.get(fate.index)
        if fate.kind == "audio" and fate.index in held and track is None:
            back = jumps_back(info.path, [fate.index])
            if back is not None:
                lines.append(
                    f"{fate.label}: its time stamps jump back after {float(back - info.start):.3f} s, and are copied "
                    "as they are. Try: audio=drop to leave it out"
                )
        if fate.kind == "audio" and track is not None and track.silent > max(Fraction(LONG_S), span):
            lines.append(
                f"{fate.label}: its time stamps leave a pause of {float(track.silent):.1f} s, and the pictures last "
                f"{float(span):.1f} s: one of them may be wrong. Try: audio=drop to leave it out"
            )
    return lines


def _if_empty(fate: StreamFate, held: dict[int, Track | None], timing: Timing) -> StreamFate:
    if fate.action == "lost" or fate.index < 0 or fate.kind not in ("audio", "subtitle") or fate.index in held:
        return fate
    cut = timing.start is not None or timing.end is not None
    why = "nothing of it lies between start= and end=" if cut else "it is announced, but the file holds none of it"
    return replace(fate, action="lost", codec="", why=why, remedy="")


def _possible(fate: StreamFate, streams: StreamPlan, info: SourceInfo, trial: _Trial) -> StreamFate:
    """``fate``, or the first of what may stand in for it that can be written; lost at last."""
    if fate.action == "lost":
        return fate
    error = trial.failure(replace(streams, fates=(fate,), chapters=0))
    if error is None:
        return fate
    message = str(error.args[0]).partition(" (")[0].rstrip(".")
    for other in fallbacks(fate, info, streams.suffix, message):
        if other.action == "lost" or trial.failure(replace(streams, fates=(other,), chapters=0)) is None:
            return other
    raise AssertionError("the last way out is to lose the stream")


def _with_languages(streams: StreamPlan, trial: _Trial) -> StreamPlan:
    """``streams`` with the languages that arrive: by the language's other code where the container knows only that one
    (QuickTime's list), else lost and told."""
    if streams.suffix not in LANGUAGES:
        return streams
    asked = streams
    if any(other_code(fate.language or "") for fate in _unnamed(streams, trial)):
        unnamed = {fate.index for fate in _unnamed(streams, trial)}
        asked = replace(
            streams,
            fates=tuple(
                replace(fate, language=other_code(fate.language or "") or fate.language)
                if fate.index in unnamed else fate
                for fate in streams.fates
            ),
        )  # fmt: skip
        if trial.failure(asked) is not None:
            asked = streams
            trial.join(streams)
    without = {fate.index: fate.language for fate in _unnamed(asked, trial)}
    own = {fate.index: fate.language for fate in streams.fates}
    remarks = tuple(
        f"{fate.label}: the language tag {own[fate.index]} is LOST ({streams.suffix} does not know it). "
        f"Try: an output that ends in {'.mp4' if streams.suffix == '.mov' else '.mkv'}"
        for fate in asked.fates
        if fate.index in without
    )
    fates = tuple(replace(fate, language=None) if fate.index in without else fate for fate in asked.fates)
    return replace(asked, fates=fates, remarks=(*asked.remarks, *remarks))


def _unnamed(streams: StreamPlan, trial: _Trial) -> list[StreamFate]:
    """The streams of sound and subtitles whose language the trial's last result does not name."""
    planned = [fate for fate in _tagged(streams) if fate.kind in ("audio", "subtitle")]
    return [
        fate
        for fate, language in zip(planned, trial.languages)
        if is_named(fate.language) and one_code(language or "") != one_code(fate.language or "")
    ]


def held_by_source(info: SourceInfo, streams: StreamPlan) -> frozenset[Item] | None:
    """What the source holds beside packets, of the streams that are kept."""
    if info.images:
        held = inventory(info.images[0], 0, ())
        if held is None or info.profile is None:
            return held
        return frozenset(item for item in held if item.name != "ICC profile")  # they are converted, and that is told
    return inventory(info.path, info.video.index, [fate.index for fate in _tagged(streams)])


def held_by_result(path: Path, streams: StreamPlan) -> frozenset[Item] | None:
    """The same of a result: streams lie in it in the order of the plan."""
    if path.is_dir():
        path = min(path.iterdir())
    return inventory(path, 0, range(1, 1 + len(_tagged(streams))) if streams.muxer else ())


def _tagged(streams: StreamPlan) -> list[StreamFate]:
    """The streams whose tags are compared: those that lie in a result in the order of the plan."""
    return [fate for fate in streams.kept if fate.index >= 0 and not fate.cover and fate.kind != "attachment"]


def _without_losses(streams: StreamPlan, trial: _Trial) -> StreamPlan:
    """``streams`` with what the trial's result lacks, and with the container that would hold it, if one does."""
    source = held_by_source(trial.output.info, streams)
    missing = lost(source, trial.held)
    if not missing:
        return streams
    instead = ""
    if streams.suffix != ".mkv" and trial.output.encoding.finish == "copy":
        target = Path("trial.mkv")
        encoding = choose_encoding(trial.output.spec, target)
        plan = stream_plan(trial.output.info, target, encoding, timecode=streams.timecode)
        other = _Trial(replace(trial.output, encoding=encoding), trial.begins)
        if other.failure(replace(plan, fates=tuple(f for f in plan.fates if f.index in trial.begins))) is None:
            left = {item.name for item in lost(source, other.held)}
            if not left.intersection(item.name for item in missing):
                instead = "an output that ends in .mkv keeps it"
    return replace(streams, missing=tuple(missing), instead=instead)


def _true_remedy(fate: StreamFate, trial: _Trial, tried: dict[tuple[str, str, str], bool]) -> StreamFate:
    """``fate`` without a remedy that names another container, if that does not hold the stream either."""
    match = re.match(r"an output that ends in (\.\w+)( copies it| keeps it)?", fate.remedy)
    if match is None or fate.index < 0:
        return fate
    key = (fate.kind, fate.source_codec, match[0])
    if key not in tried:
        target = Path("trial" + match[1])
        encoding = choose_encoding(trial.output.spec, target)
        plan = stream_plan(trial.output.info, target, encoding)
        planned = next((same for same in plan.fates if same.index == fate.index), None)
        good = planned is not None and (planned.action == "copy" or (planned.action == "convert" and not match[2]))
        if good and planned is not None:
            other = _Trial(replace(trial.output, encoding=encoding), trial.begins)
            good = other.failure(StreamPlan(match[1], (planned,))) is None
        tried[key] = good
    return fate if tried[key] else replace(fate, remedy="")


class _Trial:
    """Joins for trial, into a folder that goes with the process. ``begins``: when each stream's first packet comes."""

    def __init__(self, output: OutputPlan, begins: dict[int, Fraction] | None = None) -> None:
        self.output, self.begins = output, begins or {}
        self.held: frozenset[Item] | None = None  # what the last result holds beside packets
        self.languages: list[str | None] = []  # of its sound and subtitles, in order
        self._segment = _segment(output.spec, output.encoding)
        self._timing = replace(output.timing, frames=self._segment.frames, start=None, end=None)

    def failure(self, streams: StreamPlan) -> UserError | None:
        """The error if ``streams`` cannot be joined; None if they can.

        Raises:
            UserError: what has failed is the machine: ffmpeg was killed, or the disk is full.
        """
        try:
            self.join(streams)
        except UserError as error:
            if any(sign in str(error.args[0]) for sign in _MACHINE):
                raise
            log.debug("trial of %s: %s", [fate.label for fate in streams.kept], error)
            return error
        return None

    def join(self, streams: StreamPlan) -> None:
        """UserError if ``streams`` cannot be joined with the pictures, or do not arrive."""
        target = trial_folder() / f"trial{streams.suffix}"
        try:
            short = replace(self.output, streams=streams, timing=self._timing)
            joining.assemble([self._segment], short, target, trial=self.begins)
            if self.output.encoding.finish == "copy":
                _check_arrived(target, streams, self.begins)
                self.languages = _languages(target)
            self.held = held_by_result(target, streams)
        finally:
            shutil.rmtree(target, ignore_errors=True)
            target.unlink(missing_ok=True)


def _check_arrived(path: Path, streams: StreamPlan, begins: dict[int, Fraction]) -> None:
    """UserError if the result has more or fewer tracks of sound than planned, or a silent one."""
    planned = [fate for fate in streams.kept if fate.kind == "audio"]
    if not planned:
        return
    try:
        with open_media(path) as container:
            sound = list(container.streams.audio)
            silent = {stream.index for stream in sound}
            for packet in container.demux(sound) if sound else ():
                silent -= {packet.stream.index} if packet.size else set()
    except av.error.FFmpegError as error:
        raise UserError(f"the result cannot be read ({error.strerror})", "another container") from error
    if len(sound) != len(planned):
        raise UserError(f"{len(sound)} tracks of sound come of {len(planned)}", "another container")
    if len(sound) - len(silent) < sum(fate.index < 0 or fate.index in begins for fate in planned):
        raise UserError("nothing of it arrives", "another container")


def _languages(path: Path) -> list[str | None]:
    """Of the sound and the subtitles of a result, in the order of its streams."""
    with open_media(path) as container:
        return [s.metadata.get("language") for s in container.streams if s.type in ("audio", "subtitle")]


@cache
def trial_folder() -> Path:
    """Where the trials of this process lie; it is removed with the process."""
    folder = tempfile.TemporaryDirectory(prefix="vfi-trial-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


def _grey(spec: VideoSpec, seed: int) -> tuple[np.ndarray, ...]:
    """Planes of a grey picture. The noise in their corner is for demuxers that accept a stream only after some bytes,
    and for encoders that drop a picture that is the same as the one before.
    """
    form, noise = spec.format, np.random.default_rng(seed)
    planes = []
    for index in range(len(form.planes)):
        plane = np.full(form.plane_size(index, spec.width, spec.height), 1 << (form.depth - 1), form.dtype)
        corner = plane[:64, :64]
        corner[:] = noise.integers(0, form.peak + 1, corner.shape)
        planes.append(plane)
    return tuple(planes)


trials: dict[str, joining.Segment] = {}
"""Settings of an encoder -> the segment that it made, for as long as the process lives."""


def _segment(spec: VideoSpec, encoding: Encoding) -> joining.Segment:
    """Grey pictures with a speck of noise through the real encoder; made once for equal settings."""
    key = repr((spec, encoding))
    if key not in trials:
        counted = encoding.finish != "images" or "%" in encoding.pattern
        path = trial_folder() / str(len(trials)) / segment_name(encoding, 0)
        with open_writer(path, spec, encoding) as writer:
            for n in range(FRAMES if counted else 1):
                writer.write(Frame(_grey(spec, n), spec.format, spec.width, spec.height, colour=spec.colour))
        trials[key] = joining.Segment(path, writer.frames)
    return trials[key]
