"""Pure: what becomes of each stream of the source in the container that was asked for, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.media import audio as sound
from vfi_pipeline.media.encoders import is_image_target
from vfi_pipeline.media.encoding import Encoding
from vfi_pipeline.media.info import SourceInfo, StreamInfo
from vfi_pipeline.media.inventory import Item, phrases

MUXERS = {
    ".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".ts": "mpegts",
    ".m2ts": "mpegts", ".nut": "nut", ".gif": "gif", ".webp": "webp", ".apng": "apng",
}  # fmt: skip

# Codecs that each container holds as they are, by ffmpeg's names. "pcm" stands for the plain PCM kinds.
_MP4_AUDIO = {"aac", "mp3", "mp2", "ac3", "eac3", "opus", "flac", "alac", "vorbis", "dts", "amr_nb", "amr_wb"}
AUDIO_COPIES: dict[str, set[str] | None] = {
    ".mp4": _MP4_AUDIO,
    ".m4v": {"aac", "ac3", "alac"},
    ".mov": {
        "aac",
        "mp3",
        "mp2",
        "ac3",
        "eac3",
        "alac",
        "pcm",
        "pcm_alaw",
        "pcm_mulaw",
        "amr_nb",
        "amr_wb",
        "adpcm_ima_qt",
    },
    ".webm": {"opus", "vorbis"},
    ".mkv": None,  # anything
    ".nut": None,
    ".ts": {"aac", "mp2", "mp3", "ac3", "eac3", "dts", "truehd", "opus"},
    ".m2ts": {"ac3", "eac3", "dts", "truehd", "mp2", "aac", "pcm_bluray"},
}
_PLAIN_PCM = {
    f"pcm_{kind}"
    for kind in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "s16be", "s24be", "s32be", "f32be", "f64be", "s8")
}
# PCM that FLAC and ALAC hold sample for sample.
_WHOLE = (*sound.LOSSLESS, "pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_bluray", "pcm_dvd")
_MKV_AUDIO_NOT = {
    "pcm_dvd",
    "pcm_bluray",
    "pcm_vidc",
    "pcm_lxf",
    "pcm_zork",
    "adpcm_ima_qt",
    "pcm_f32be",
    "pcm_f64be",
    "pcm_s8",
}

TEXT_SUBTITLES = {
    "subrip",
    "srt",
    "ass",
    "ssa",
    "mov_text",
    "webvtt",
    "text",
    "ttml",
    "microdvd",
    "sami",
    "subviewer",
    "stl",
    "eia_608",
}
SUBTITLE_COPIES: dict[str, set[str]] = {
    ".mp4": {"mov_text", "dvd_subtitle"},
    ".m4v": {"mov_text"},
    ".mov": {"mov_text"},
    ".webm": {"webvtt"},
    ".mkv": {
        "subrip",
        "ass",
        "ssa",
        "webvtt",
        "hdmv_pgs_subtitle",
        "dvd_subtitle",
        "dvb_subtitle",
        "hdmv_text_subtitle",
    },
    ".ts": {"dvb_subtitle", "dvb_teletext"},
    ".m2ts": {"dvb_subtitle", "hdmv_pgs_subtitle"},
}
SUBTITLE_TEXT_TO = {".mp4": "mov_text", ".m4v": "mov_text", ".mov": "mov_text", ".webm": "webvtt", ".mkv": "subrip"}
COVERS = {
    ".mp4": {"mjpeg", "png"},
    ".m4v": {"mjpeg", "png"},
    ".mkv": {"mjpeg", "png", "webp", "bmp", "gif"},
    ".mov": set(),
}
TIMECODES = (".mp4", ".mov", ".mkv", ".webm", ".nut")
CHAPTERS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut")
LANGUAGES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".nut")


@dataclass(frozen=True)
class StreamFate:
    """What happens to one stream beside the working video. ``action``: ``copy``, ``convert`` (to ``codec``), ``lost``.

    ``why`` tells the loss (also of a conversion), ``remedy`` what to type instead; both empty when nothing is lost.
    ``index`` is -1 for a silent track that is made.
    """

    index: int
    kind: str
    source_codec: str
    action: str
    codec: str
    why: str = ""
    remedy: str = ""
    label: str = ""  # "audio 1 (aac, eng)"
    language: str | None = None
    encoder: str = ""  # ffmpeg's, where it is converted
    options: tuple[str, ...] = ()
    cover: bool = False
    layout: str = ""  # the channel layout that a converted track is given, where it is not the source's


@dataclass(frozen=True)
class StreamPlan:
    """The fates of all streams but the working video, in the order of the output; and of chapters and tags."""

    suffix: str
    fates: tuple[StreamFate, ...] = ()
    chapters: int = 0
    notes: tuple[str, ...] = ()
    audio: str = "keep"  # keep, drop, stretch, silence
    missing: tuple[Item, ...] = ()  # what of the rest (tags, side data...) does not come through, as a trial has shown
    instead: str = ""  # what to type so that this does
    remarks: tuple[str, ...] = ()  # further notes on the streams
    timecode: str | None = None  # of the first frame of the output
    loop: int | None = None  # how often an animation is played, 0: for ever; None: the source is none

    @property
    def muxer(self) -> str:
        return MUXERS.get(self.suffix, "")

    @property
    def kept(self) -> tuple[StreamFate, ...]:
        return tuple(fate for fate in self.fates if fate.action != "lost")

    @property
    def lost(self) -> tuple[StreamFate, ...]:
        return tuple(fate for fate in self.fates if fate.action == "lost")

    def lines(self) -> list[str]:
        """One line per stream, for the plan that is shown before the work starts."""
        fates = [fate for fate in self.fates if fate.why or fate.action != "lost"]
        return [*map(_fate_line, fates), *self.notes, *self.remarks, *self._rest()]

    def _rest(self) -> list[str]:
        remedy = f". Try: {self.instead}" if self.instead else ""
        return [
            f"{what}: LOST (not carried over to {self.suffix or 'images'}){remedy}" for what in phrases(self.missing)
        ]

    def losses(self) -> list[str]:
        """Those of ``lines`` that tell of something that does not arrive as it was."""
        lines = [_fate_line(fate) for fate in self.fates if fate.why]
        return [*lines, *(note for note in self.notes if "LOST" in note), *self.remarks, *self._rest()]


def _fate_line(fate: StreamFate) -> str:
    what = {"copy": "copied", "convert": f"converted to {fate.codec}", "lost": "LOST"}[fate.action]
    why = f" ({fate.why})" if fate.why else ""
    return f"{fate.label}: {what}{why}" + (f". Try: {fate.remedy}" if fate.remedy else "")


def stream_plan(
    info: SourceInfo,
    target: Path,
    encoding: Encoding,
    *,
    audio: str = "keep",
    subtitles: str = "keep",
    stretch: Fraction = Fraction(1),
    timecode: str | None = None,
    loop: int | None = None,
    still: bool = False,
) -> StreamPlan:
    """The fate of every stream of ``info`` in ``target``'s container.

    Args:
        timecode: of the output's first frame, where the source has one.
        loop: how often the source is played, where it is an animation.
        audio: ``keep`` (only where ``stretch`` is 1), ``drop``, ``stretch`` (keeps the pitch) or ``silence``.
        subtitles: ``keep`` or ``drop``.
        still: single pictures of the film are made, of which nobody expects sound, chapters or a time code.
        stretch: duration of the output over that of the source; slow motion by 4 is 4.

    Raises:
        UserError: an option that is not one of these.
    """
    if audio not in ("keep", "drop", "stretch", "silence"):
        raise UserError(f"audio={audio} is not known.", "audio=keep, drop, stretch or silence.", USAGE)
    if subtitles not in ("keep", "drop"):
        raise UserError(f"subtitles={subtitles} is not known.", "subtitles=keep or drop.", USAGE)
    if stretch != 1 and audio == "keep":
        raise UserError(
            f"Sound cannot be kept as it is when the film becomes {float(stretch):g} times as long.",
            "slow-motion audio: drop, stretch or silence.",
            USAGE,
        )
    suffix = target.suffix.lower()
    if encoding.finish != "copy" or is_image_target(target):
        return replace(_pictures_only(info, suffix, encoding, audio, subtitles, still), loop=loop)
    labels = _labels(info.others)
    order = {"video": 3, "audio": 0, "subtitle": 1, "attachment": 2, "data": 4}
    others = sorted(info.others, key=lambda stream: (order.get(stream.kind, 5), stream.index))
    fates: list[StreamFate] = []
    silent = False
    for stream in others:
        label = labels[stream.index]
        if stream.kind == "data" and "timecode" in stream.tags and timecode:
            continue  # made anew
        if stream.kind == "data" and info.chapters and info.container.startswith("mov"):
            continue  # QuickTime keeps the titles of chapters in a track of their own
        if stream.kind == "audio":
            if audio == "silence" and not silent:
                silent = True
                encoder, codec, options = sound.encoder_for(suffix)
                fates.append(
                    StreamFate(-1, "audio", stream.codec, "convert", codec, "silence takes its place", "", label,
                               stream.language, encoder, options)
                )  # fmt: skip
            else:
                fates.append(_audio(stream, label, suffix, audio, stretch))
        elif stream.kind == "subtitle":
            fates.append(_subtitle(stream, label, suffix, subtitles, stretch))
        elif stream.kind == "attachment":
            fates.append(_attachment(stream, label, suffix))
        elif stream.kind == "video":
            fates.append(_other_video(stream, label, suffix))
        else:
            fates.append(_lost(stream, label, f"{stream.codec} data is timed to the old frames", ""))
    notes = []
    if timecode and suffix in TIMECODES:
        notes.append(f"time code: kept, starts at {timecode}")
    elif timecode:
        notes.append(f"time code: LOST ({suffix} holds none). Try: an output that ends in .mov or .mkv")
    chapters = info.chapters if suffix in CHAPTERS else 0
    if info.chapters and not chapters:
        many = f"{info.chapters} chapter{'s' * (info.chapters > 1)}"
        notes.append(f"{many}: LOST ({suffix} holds none). Try: an output that ends in .mkv")
    elif chapters:
        notes.append(f"{chapters} chapter{'s' * (chapters > 1)}: {'copied' if stretch == 1 else 'copied, stretched'}")
    if suffix not in LANGUAGES and any(f.language for f in fates if f.action != "lost"):
        notes.append(f"language tags: LOST ({suffix} holds none). Try: an output that ends in .mkv")
    held = timecode if suffix in TIMECODES else None
    return StreamPlan(suffix, tuple(fates), chapters, tuple(notes), audio, timecode=held, loop=loop)


def _labels(streams: Iterable[StreamInfo]) -> dict[int, str]:
    """``audio 2 (ac3, ger)``: counted per kind, as ffmpeg's ``a:1`` does, but from 1."""
    counts: dict[str, int] = {}
    labels = {}
    for stream in streams:
        counts[stream.kind] = counts.get(stream.kind, 0) + 1
        cover = "attached_pic" in stream.dispositions
        name = "cover picture" if cover else ("other video" if stream.kind == "video" else stream.kind)
        detail = ", ".join(part for part in (stream.codec, stream.language, stream.title) if part)
        labels[stream.index] = f"{name} {counts[stream.kind]} ({detail})"
    return labels


def _lost(stream: StreamInfo, label: str, why: str, remedy: str) -> StreamFate:
    return StreamFate(stream.index, stream.kind, stream.codec, "lost", "", why, remedy, label, stream.language)


def _kept(stream: StreamInfo, label: str, cover: bool = False) -> StreamFate:
    return StreamFate(
        stream.index, stream.kind, stream.codec, "copy", stream.codec, "", "", label, stream.language, cover=cover
    )


def _audio(stream: StreamInfo, label: str, suffix: str, audio: str, stretch: Fraction) -> StreamFate:
    if audio == "drop":
        return _lost(stream, label, "as asked", "")
    if audio == "silence":
        return _lost(stream, label, "one silent track takes the place of all", "")
    if stretch != 1:
        return converted_audio(stream, label, suffix, f"stretched by {float(stretch):g}, pitch kept")
    if stream.codec in ("", "none", "unknown"):
        return _lost(stream, label, "its codec is not known", "audio=drop to leave it out")
    if _copies(stream.codec, suffix):
        return _kept(stream, label)
    encoder, codec, _ = sound.encoder_for(suffix, stream.codec)
    exact = codec in sound.LOSSLESS and stream.codec in _WHOLE
    why = f"{suffix} cannot hold {stream.codec}" + ("; lossless" if exact else "")
    return converted_audio(stream, label, suffix, why, "" if exact else _copied_by(stream.codec, suffix))


def converted_audio(
    stream: StreamInfo, label: str, suffix: str, why: str, remedy: str = "", layout: str | None = None
) -> StreamFate:
    """The fate of a track that is encoded again; ``layout`` as in ``StreamFate``, by default what the encoder takes."""
    encoder, codec, options = sound.encoder_for(suffix, stream.codec)
    layout = sound.layout_for(encoder, stream.channels) if layout is None else layout
    if layout and layout != stream.channels:
        many = stream.channels.endswith("channels")
        why += f"; {stream.channels or 'the sound'} {'become' if many else 'becomes'} {layout}"
    return StreamFate(
        stream.index, "audio", stream.codec, "convert", codec, why, remedy, label, stream.language, encoder, options,
        layout=layout,
    )  # fmt: skip


def fallbacks(fate: StreamFate, info: SourceInfo, suffix: str, message: str) -> list[StreamFate]:
    """What may stand in for a stream that cannot be written as planned, best first; the last one loses it.

    Args:
        message: what ffmpeg said of the attempt.
    """
    stream = next((other for other in info.others if other.index == fate.index), None)
    lost = replace(fate, action="lost", codec="", why=f"it cannot be written to {suffix}: {message}", remedy="")
    if stream is None or fate.cover:
        return [lost]
    substitutes: list[StreamFate] = []
    refused = f"{suffix} refuses it as it is" if fate.action == "copy" else fate.why.partition(";")[0]
    remedy = fate.remedy or _copied_by(stream.codec, suffix)
    if fate.kind == "audio":
        count = sound.channel_count(stream.channels)
        layouts = [None, *(layout for layout in (sound.STANDARD.get(count), "5.1", "stereo", "mono") if layout)]
        substitutes = [converted_audio(stream, fate.label, suffix, refused, remedy, layout) for layout in layouts]
    elif fate.kind == "subtitle" and fate.action == "copy" and suffix in SUBTITLE_TEXT_TO:
        to = SUBTITLE_TEXT_TO[suffix]
        if stream.codec in TEXT_SUBTITLES and to != stream.codec:
            substitutes = [replace(fate, action="convert", codec=to, encoder=to, why=refused)]
    if fate.kind == "subtitle" and suffix != ".mkv":
        lost = replace(lost, remedy="an output that ends in .mkv")
    return [*substitutes, lost]


def _copies(codec: str, suffix: str) -> bool:
    """Whether ``suffix``'s container holds sound of ``codec`` as it is."""
    if suffix == ".mkv":
        return codec not in _MKV_AUDIO_NOT
    copies = AUDIO_COPIES.get(suffix, set())
    return copies is None or codec in copies or (codec in _PLAIN_PCM and "pcm" in copies)


def _copied_by(codec: str, suffix: str) -> str:
    """What to type so that sound is copied; empty if no container that is written here holds it."""
    others = (other for other in (".mkv", ".mov", ".m2ts", ".mp4") if other != suffix)
    holds = next((other for other in others if _copies(codec, other)), "")
    return f"an output that ends in {holds} copies it" if holds else ""


def _subtitle(stream: StreamInfo, label: str, suffix: str, subtitles: str, stretch: Fraction) -> StreamFate:
    if subtitles == "drop":
        return _lost(stream, label, "as asked", "")
    if stream.codec in ("", "none", "unknown"):
        return _lost(stream, label, "its kind is not known", "")
    if stream.codec in SUBTITLE_COPIES.get(suffix, set()):
        fate = _kept(stream, label)
        if stretch != 1:
            timed = "; effects timed inside a line (karaoke) are not" if stream.codec in ("ass", "ssa") else ""
            return StreamFate(**{**fate.__dict__, "why": f"times stretched by {float(stretch):g}{timed}"})
        return fate
    to = SUBTITLE_TEXT_TO.get(suffix)
    if to and stream.codec in TEXT_SUBTITLES:
        styled = stream.codec in ("ass", "ssa", "ttml")
        why = f"{suffix} cannot hold {stream.codec}" + ("; its styling is simplified" if styled else "")
        return StreamFate(
            stream.index, "subtitle", stream.codec, "convert", to, why,
            "an output that ends in .mkv keeps it" if styled else "", label, stream.language, to,
        )  # fmt: skip
    return _lost(stream, label, f"{suffix} cannot hold {stream.codec}", "an output that ends in .mkv")


def _attachment(stream: StreamInfo, label: str, suffix: str) -> StreamFate:
    if suffix == ".mkv":
        return _kept(stream, label)
    return _lost(stream, label, f"{suffix} holds no attachments", "an output that ends in .mkv")


def _other_video(stream: StreamInfo, label: str, suffix: str) -> StreamFate:
    if "attached_pic" in stream.dispositions:
        if stream.codec in COVERS.get(suffix, set()):
            return _kept(stream, label, cover=True)
        holds = [other for other, codecs in COVERS.items() if stream.codec in codecs and other != ".m4v"]
        remedy = f"an output that ends in {' or '.join(sorted(holds))}" if holds else ""
        return _lost(stream, label, f"{suffix} holds no cover of this kind", remedy)
    return _lost(stream, label, "one video stream is worked on at a time", f"stream={stream.index} works on this one")


def _pictures_only(
    info: SourceInfo, suffix: str, encoding: Encoding, audio: str, subtitles: str, still: bool
) -> StreamPlan:
    labels = _labels(info.others)
    if encoding.finish == "nothing":
        why, remedy = "benchmark=true writes nothing", ""
    else:
        what = "images hold" if encoding.finish == "images" else f"{suffix} holds"
        why, remedy = f"{what} pictures only", "an output that ends in .mkv or .mp4"
    fates = []
    for stream in info.others:
        label = labels[stream.index]
        if stream.kind == "video" and "attached_pic" not in stream.dispositions and encoding.finish != "nothing":
            fates.append(_other_video(stream, label, suffix))
        elif still:
            fates.append(_lost(stream, label, "", ""))
        elif (stream.kind, "drop") in (("audio", audio), ("subtitle", subtitles)):
            fates.append(_lost(stream, label, "as asked", ""))
        else:
            fates.append(_lost(stream, label, why, "" if stream.kind == "data" else remedy))
    notes = []
    if info.chapters and not still:
        notes.append(f"{info.chapters} chapter{'s' * (info.chapters > 1)}: LOST ({why})")
    if info.timecode and not still:
        notes.append(f"time code: LOST ({why})")
    return StreamPlan(suffix, tuple(fates), 0, tuple(notes), "drop")
