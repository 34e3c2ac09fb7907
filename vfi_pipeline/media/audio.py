"""What happens to sound when the film's duration changes: filters and encoders for ffmpeg. Pure."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from fractions import Fraction

# ffmpeg's encoder for a re-encoded track, by container; the rate is chosen so that nobody hears it.
ENCODERS = {
    ".webm": ("libopus", "opus", ("-b:a", "160k")),
    ".mp4": ("aac", "aac", ("-b:a", "256k")),
    ".m4v": ("aac", "aac", ("-b:a", "256k")),
    ".mov": ("aac", "aac", ("-b:a", "256k")),
    ".ts": ("aac", "aac", ("-b:a", "256k")),
    ".m2ts": ("ac3", "ac3", ("-b:a", "640k")),
    ".mkv": ("aac", "aac", ("-b:a", "256k")),
    ".nut": ("flac", "flac", ()),
}
LOSSLESS = ("flac", "alac", "wavpack", "tta", "truehd", "mlp")


def encoder_for(suffix: str, source_codec: str = "") -> tuple[str, str, tuple[str, ...]]:
    """(ffmpeg's encoder, codec name, options) for a track that is encoded again; lossless stays so where it can."""
    if suffix in (".mkv", ".mp4", ".mov") and (source_codec in LOSSLESS or source_codec.startswith("pcm_")):
        return ("alac", "alac", ()) if suffix == ".mov" else ("flac", "flac", ())
    return ENCODERS.get(suffix, ENCODERS[".mp4"])


STANDARD = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Layouts that every encoder takes which takes so many channels (those of Vorbis and Opus)."""

_TAKES: dict[str, tuple[str, ...]] = {
    "libopus": tuple(STANDARD.values()),
    "ac3": ("mono", "stereo", "3.0", "quad", "5.0", "5.1"),
}

_COUNTS = {"mono": 1, "stereo": 2, "quad": 4, "hexagonal": 6, "octagonal": 8, "downmix": 2, "cube": 8}


def layout_for(encoder: str, layout: str) -> str:
    """The channel layout that ``encoder`` is given for a source of ``layout``; empty: that one.

    The same number of channels where it takes so many (4.0 as quad, 5.1(side) as 5.1), else 5.1.
    """
    takes = _TAKES.get(encoder)
    if takes is None or not layout or layout in takes:
        return ""
    wanted = STANDARD.get(channel_count(layout))
    return wanted if wanted in takes else "5.1"


def channel_count(layout: str) -> int:
    """Channels of a layout as ffmpeg names it: ``5.1(side)`` has 6, ``4 channels`` 4, ``FL+FR+LFE`` 3; 0 if unknown."""
    if layout in _COUNTS:
        return _COUNTS[layout]
    if match := re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", layout):
        return sum(int(part) for part in match.groups() if part)
    if match := re.match(r"(\d+) channels", layout):
        return int(match[1])
    return layout.count("+") + 1 if "+" in layout else 0


def tempo_filters(stretch: Fraction, available: AbstractSet[str]) -> list[str]:
    """Filters that make sound ``stretch`` times as long and keep its pitch.

    rubberband where this ffmpeg has it: measured on beeps slowed by 4, its duration is right to 6 ms and every beep has
    the same 43 ms of pre-echo (11 ms of the source; its standard window has 92), where atempo's chain wanders by 40 to
    140 ms and ends 160 ms early.
    """
    if stretch == 1:
        return []
    tempo = 1 / float(stretch)
    if "rubberband" in available and 0.01 <= tempo <= 100:
        return [f"rubberband=tempo={tempo:.15g}:window=short:channels=together"]
    steps = 1
    while not 0.5 <= tempo ** (1 / steps) <= 2:  # atempo skips samples above 2, and needs 0.5 at least
        steps += 1
    return [f"atempo={tempo ** (1 / steps):.15g}"] * steps


def track_filters(
    cut: bool, length_s: Fraction | None, stretch: Fraction, available: AbstractSet[str], layout: str = ""
) -> list[str]:
    """Filters for one re-encoded track whose time 0 is already the film's origin: cut, fill gaps, stretch.

    Before a stretch, silence is put from 0 to the track's first sample and into gaps, so that the tempo change moves
    every sound by the same factor about the origin. ``length_s`` is the cut's length in seconds of the source, and
    ``layout`` the channels that come out, where they change.
    """
    filters = []
    if cut or stretch != 1:
        filters.append("atrim=start=0" + (f":end={float(length_s):.9f}" if length_s is not None else ""))
    filters.append("aresample=async=1:min_hard_comp=0.02" + (":first_pts=0" if stretch != 1 else ""))
    mixed = [f"aformat=channel_layouts={layout}"] if layout else []
    return filters + tempo_filters(stretch, available) + mixed
