"""Everything that a file holds beside its pictures and packets: tags, marks, side data, loop counts.

Not a list of kinds that we know of: whatever ffmpeg tells of a file is taken down, and what a result lacks is named.
The few things that are left out are the muxers' own book-keeping.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.images import BY_PILLOW, demuxer
from vfi_pipeline.media.opening import MAX_PIXELS, open_media

HEAD_FRAMES = 12
"""Frames whose side data is taken down."""

# What muxers and encoders write of themselves: its loss is none. Time codes and languages are seen to by themselves.
_BOOKKEEPING = re.compile(
    r"(major_brand|minor_version|compatible_brands|encoder|encoding_tool|encoded_by|handler_name|vendor_id|duration"
    r"|number_of_(frames|bytes)|bps|_statistics.*|timecode|rotate|alpha_mode|stereo_mode|language|service_(name|provider)"
    r"|variant_bitrate|writing_.*|muxer|software)(-[a-z]{3})?",
    re.IGNORECASE,
)

# Frames' side data that is no loss: the orientation is verified by itself, encoders sign their own streams (UUIDs of
# x264 and x265), every MPEG-2 encoder counts GOPs and states a window of the whole picture.
_NO_LOSS = re.compile(
    r"3x3 displaymatrix|display ?matrix|motion vectors|video encoding parameters|encoding video hint|AVPanScan"
    r"|UUID=(dc45e9bd-e6d9-48b7|2ca2de09-b517-47db)",
    re.IGNORECASE,
)

# Streams' side data that decoders repeat with each frame, or that packets' rate alone makes.
_REPEATED = (
    "stereo",
    "display matrix",
    "displaymatrix",
    "mastering display",
    "content light",
    "icc profile",
    "cpb",
    "ambient",
)

_NAMES = {
    "A53": "closed captions (CEA-608, CEA-708)",
    "spherical": "spherical projection (360 degrees)",
    "Stereo 3D": "packing of the two views (stereo 3D)",
    "User Data Unregistered": "user data of the frames (SEI)",
    "SMPTE2094-40": "HDR10+ metadata",
    "Dolby Vision": "Dolby Vision metadata",
    "DOVI": "Dolby Vision metadata",
}
"""What people call some kinds; the others go by ffmpeg's name."""


@dataclass(frozen=True)
class Item:
    """One thing beside the pictures: ``where`` it belongs (``film``, ``pictures``, ``audio 1``), what, its value."""

    where: str
    name: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name}{f' of {self.where}' if self.where not in ('film', 'pictures') else ''}"


def inventory(path: Path, video: int, others: Sequence[int], max_pixels: int = MAX_PIXELS) -> frozenset[Item] | None:
    """What ``path`` holds beside the packets of its streams.

    Args:
        video: the stream of pictures.
        others: the streams of which tags, marks and side data count, in the order in which a result has them.

    Returns:
        Items; None where ffmpeg cannot read the file (animated WebP).
    """
    kind = demuxer(path)
    kind = "mov" if kind == BY_PILLOW else kind
    items: set[Item] = set()
    try:
        with open_media(path, max_pixels, kind) as container:
            items |= _tags("film", container.metadata) if kind != "mov" else set()  # "Color" is the title of an AVIF
            labels = dict(zip([video, *others], ["pictures", *_labels(container.streams, others)]))
            for index, where in labels.items():
                if index < len(container.streams) and kind != "mov":
                    items |= _tags(where, container.streams[index].metadata)
                    items |= _marks(where, container.streams[index]) if where != "pictures" else set()
    except (av.error.FFmpegError, UserError, OSError):
        return None
    count = loop_count(path)
    if count is not None:
        items.add(Item("film", "repetition of the animation", str(count)))
    listing = _said_of(path, video, kind)
    items |= {Item(where, name) for index, where in labels.items() for name in stream_side_data(listing, index)}
    items |= {Item("pictures", name) for name in frame_side_data(listing)}
    items |= {Item("film", f"name of the service {name!r}", name) for name in services(listing)}
    return frozenset(items)


def lost(
    source: Collection[Item] | None, result: Collection[Item] | None, planned: Collection[Item] = ()
) -> list[Item]:
    """What of ``source``, but for what is ``planned`` to be lost, has no counterpart in ``result``.

    Containers may call a tag otherwise: its value counts. Nothing is lost as far as anyone can tell if one is None.
    """
    if source is None or result is None:
        return []
    held = {(item.where, item.name.lower()) for item in result}
    values = {(item.where, _plain(item.value)) for item in result if item.value}
    missing = [
        item
        for item in source
        if item not in planned
        and (item.where, item.name.lower()) not in held
        and not (item.name.startswith("tag ") and (item.where, _plain(item.value)) in values)
    ]
    return sorted(missing, key=lambda item: (item.where, item.name))


def phrases(items: Iterable[Item]) -> list[str]:
    """One phrase for each thing, and one for all tags of a place: ``tags 'purl', 'show' of audio 1``."""
    tags: dict[str, list[str]] = {}
    lines = []
    for item in items:
        if item.name.startswith("tag "):
            tags.setdefault(item.where, []).append(item.name.removeprefix("tag "))
        else:
            lines.append(str(item))
    for where, names in tags.items():
        listed = ", ".join(repr(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        of = "" if where in ("film", "pictures") else f" of {where}"
        lines.append(f"tag{'s' * (len(names) > 1)} {listed}{of}")
    return lines


# ------------------------------------------------------------------------------------------------------------- tags


def _plain(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _tags(where: str, tags: Any) -> set[Item]:
    return {
        Item(where, f"tag {key}", value)
        for key, value in dict(tags).items()
        if value.strip() and not _BOOKKEEPING.fullmatch(key)
    }


def _labels(streams: Any, others: Sequence[int]) -> list[str]:
    counts: dict[str, int] = {}
    labels = []
    for index in others:
        kind = (streams[index].type or "data") if index < len(streams) else "missing"
        counts[kind] = counts.get(kind, 0) + 1
        labels.append(f"{kind} {counts[kind]}")
    return labels


def _marks(where: str, stream: Any) -> set[Item]:
    """Dispositions but ``default``, which muxers set as they like."""
    flags = [flag.name for flag in av.stream.Disposition if stream.disposition & flag and flag.name]
    return {Item(where, f"mark {name!r}") for name in flags if name not in ("default", "attached_pic", "still_image")}


# -------------------------------------------------------------------------------------------------------- side data


def _said_of(path: Path, video: int, kind: str | None) -> str:
    """What ffmpeg's program says of a file and of its first frames; empty where it fails."""
    source = ffmpeg.media_input(path, **({"f": kind} if kind else {}))
    options = {"map": f"0:{video}", "frames:v": HEAD_FRAMES, "vf": "showinfo=checksum=0", "f": "null", "nostats": None}
    command = ffmpeg.Command([source], "-", options)
    try:
        return ffmpeg.run(command, f"looking at {path.name}", timeout_s=120, loglevel="info").stderr
    except UserError:
        return ""


def services(text: str) -> set[str]:
    """Names of the programs of a transport stream, but for those that ffmpeg and we give."""
    source = re.split(r"^(?:Stream mapping:|Output #0)", text, maxsplit=1, flags=re.MULTILINE)[0]
    names = re.findall(r"^ +service_name *: (\S.*)$", source, re.MULTILINE)
    return {name.strip() for name in names if name.strip() != "Service01"}


def stream_side_data(text: str, index: int) -> set[str]:
    """Names of what ffmpeg lists as side data of an input's stream, but for what comes with each frame."""
    source = re.split(r"^(?:Stream mapping:|Output #0)", text, maxsplit=1, flags=re.MULTILINE)[0]
    match = re.search(rf"^ *Stream #0:{index}\b.*?(?=^ *Stream #0:|\Z)", source, re.MULTILINE | re.DOTALL)
    lines = match.group(0).partition("Side data:\n")[2].splitlines() if match else []
    depth = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    names = set()
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if not line.strip() or indent < depth:
            break
        name = line.strip().partition(":")[0]
        if indent == depth and not name.lower().startswith(_REPEATED):
            names.add(_called(name))
    return names


def frame_side_data(text: str) -> set[str]:
    """Names of the side data that showinfo lists with the frames."""
    lines = re.findall(r"side data - ([^\n]*)", text)
    codes = [line for line in lines if line.startswith("GOP timecode")]
    if codes and codes[0].endswith(" 00:00:00:00"):
        lines = [line for line in lines if line not in codes]
    return {_called(line.partition(":")[0].strip()) for line in lines if not _NO_LOSS.search(line)}


def _called(name: str) -> str:
    return next((phrase for key, phrase in _NAMES.items() if key.lower() in name.lower()), name)


# ------------------------------------------------------------------------------------------------------- animations


def loop_count(path: Path) -> int | None:
    """How often an animation is played, 0: for ever; None where the file is none.

    A GIF without Netscape's extension is played once; with it, one time more than it says.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1 << 16)
    except OSError:
        return None
    if head.startswith(b"GIF8"):
        at = head.find(b"NETSCAPE2.0\x03\x01")
        if at < 0:
            return 1
        count = int.from_bytes(head[at + 13 : at + 15], "little")
        return count + 1 if count else 0
    if head.startswith(b"\x89PNG") and (at := head.find(b"acTL")) > 0:
        return int.from_bytes(head[at + 8 : at + 12], "big")
    if head.startswith(b"RIFF") and (at := head.find(b"ANIM")) > 0:
        return int.from_bytes(head[at + 12 : at + 14], "little")
    return None
