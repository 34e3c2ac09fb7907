"""Small sound films and pictures, and ways to break them: case ``n`` of the fuzz test, the same on every run.

seeds(folder)                      # {"a.mp4": bytes, ...}, made with ffmpeg
case(films, 17)                    # Case(name="fmp4.mp4", data=b"...", how="length ...", ...)
"""

from __future__ import annotations

import random
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import clips

from vfi_pipeline.media import ffmpeg

SIZE = (32, 24)


class Case(NamedTuple):
    """One broken file: the name it is given, its bytes, what was done to it, and the options it is run with."""

    name: str
    data: bytes
    how: str
    options: tuple[str, ...]


def seeds(folder: Path) -> dict[str, bytes]:
    """Sound files of every container that the fuzz test breaks."""
    few: dict = {"frames": 8, "size": SIZE, "rate": 25, "content": "motion"}
    h264 = ["-c:v", "libx264", "-preset:v:0", "ultrafast", "-bf:v:0", "2", "-g:v:0", "4"]
    clips.make_clip(folder / "plain.mp4", **few, codec=h264, audio=("eng",), subtitles=("eng",), chapters=2)
    clips.make_clip(folder / "turned.mp4", **few, codec=h264, rotation=90, sample_aspect="4/3", cover=True)
    fragments = ["-movflags", "frag_keyframe+empty_moov+default_base_moof"]
    clips.make_clip(folder / "fragments.mp4", **few, codec=h264, extra=fragments)
    clips.make_clip(folder / "plain.mkv", **few, audio=("eng",), subtitles=("eng",), chapters=2, font=True, cover=True)
    clips.make_clip(folder / "h264.mkv", **few, codec=h264, tags={"title": "A film"})
    clips.make_clip(folder / "plain.webm", **few, audio=("eng",))
    clips.webm_alpha_clip(folder / "alpha.webm", frames=5, size=SIZE)
    clips.gif_clip(folder / "plain.gif", size=SIZE)
    clips.make_picture(folder / "plain.png", SIZE, "gbrap")
    clips.make_picture(folder / "deep.png", SIZE, "gray16le")
    source = ["-i", ffmpeg.file_url(folder / "plain.gif"), "-plays", "0", "-f", "apng"]
    ffmpeg.run([*clips.ALWAYS, *source, ffmpeg.file_url(folder / "moving.png")], doing="making an APNG")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def case(films: Mapping[str, bytes], number: int) -> Case:
    """The file of fuzz case ``number``: one to three breakages, half of them inside the container's own fields."""
    rng = random.Random(number)
    names = sorted(films)
    name = names[number % len(names)]
    data, how = films[name], []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        breakage = rng.choice(_ANYWHERE + _FIELDS[Path(name).suffix] * 3)
        data = breakage(data, rng)
        how.append(breakage.__name__.strip("_"))
    if rng.random() < 0.03:
        other = films[rng.choice(names)]
        data, how = data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other)) :], [*how, "splice"]
    options = [rng.choice(("multi=2", "fps=60", "slowmo=2"))]
    suffix = ".mkv" if name.endswith((".png", ".gif")) else Path(name).suffix
    if name.endswith(".gif") and rng.random() < 0.5:  # which counts in hundredths of a second: not every rate fits
        options, suffix = ["fps=20"], ".gif"
    options.append(f"output=out{suffix}")
    # A broken time stamp may ask for hours of film, and gets them: the plan for all of it, the frames of the beginning.
    options += ["dry_run=true"] if rng.random() < 0.2 else ["end=4"]
    options += ["allow_damaged=true"] if rng.random() < 0.4 else []
    options += ["deinterlace=on"] if rng.random() < 0.1 else []
    return Case(name, data, "+".join(how), tuple(options))


# --------------------------------------------------------------------------------------------- breakages of any file


_VALUES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000, 0x1000000)


def _bits(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 4, 16, 64))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _run(data: bytes, rng: random.Random) -> bytes:
    """A stretch of zeros, ones or noise, as a bad sector leaves it."""
    length = rng.choice((4, 32, 512))
    at = rng.randrange(len(data) + 1)
    fill = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return data[:at] + fill[: len(data) - at] + data[at + length :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _behead(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(min(200, len(data)) + 1) :]


def _loss(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.choice((1, 8, 100, 1000)) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    at, length = rng.randrange(len(data) + 1), rng.choice((1, 8, 100, 1000))
    return data[: at + length] + data[at : at + length] * rng.choice((1, 3)) + data[at + length :]


def _number(data: bytes, rng: random.Random) -> bytes:
    """A telling number somewhere in the first or the last kilobyte, where headers are."""
    width = rng.choice((1, 2, 4, 8))
    if len(data) < 16:
        return data
    near = rng.randrange(min(1024, len(data) - 8))
    at = near if rng.random() < 0.7 else len(data) - 8 - near
    value = rng.choice(_VALUES) & (1 << 8 * width) - 1
    return data[:at] + value.to_bytes(width, rng.choice(("big", "little"))) + data[at + width :]


_ANYWHERE = [_bits, _run, _cut, _behead, _loss, _repeat, _number]


# -------------------------------------------------------------------------------------- breakages that know the format


def _put(data: bytes, at: int, value: int, width: int) -> bytes:
    return data[:at] + (value & (1 << 8 * width) - 1).to_bytes(width, "big") + data[at + width :]


_BOXES = (
    rb"stts|ctts|stsz|stco|stsc|stss|tkhd|mvhd|mdhd|elst|stsd|avc1|avcC|moov|trak|mdia|minf|stbl|mdat|trun|tfhd|tfdt|"
    rb"moof|traf|trex|mvex|sidx|ftyp|udta|meta|ilst|hdlr|mp4a|esds|tx3g|dref|edts|colr|pasp"
)


def _box(data: bytes, rng: random.Random) -> bytes:
    """A telling number in a box: its size or one of its first words."""
    found = [match.start() for match in re.finditer(_BOXES, data)]
    if not found:
        return data
    at = rng.choice(found)
    place = at - 4 if rng.random() < 0.25 else at + 4 + 4 * rng.randrange(12)
    if not 0 <= place <= len(data) - 4:
        return data
    return _put(data, place, rng.choice((*_VALUES, rng.getrandbits(32), rng.randrange(4096))), 4)


def _rename(data: bytes, rng: random.Random) -> bytes:
    """A box that no one knows, or a second of another."""
    found = list(re.finditer(_BOXES, data))
    if not found:
        return data
    at = rng.choice(found).start()
    return data[:at] + rng.choice((b"free", b"junk", rng.choice(found).group())) + data[at + 4 :]


# EBML ids: time scale, duration, block group, block, simple block, cluster time, width, height, default duration,
# codec name and private data, track number and type, crop, cue time and place, attachment, chapter time.
_ELEMENTS = (
    rb"\x2a\xd7\xb1|\x44\x89|\xa0|\xa1|\xa3|\xe7|\xb0|\xba|\x23\xe3\x83|\x86|\x63\xa2|\xd7|\x83|\x54\xaa|\xb3|\xf1|"
    rb"\x46\x5c|\x91|\x16\x54\xae\x6b|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\x9b|\x55\xee|\x75\xa1"
)


def _element(data: bytes, rng: random.Random) -> bytes:
    """A telling number in an EBML element: its length or its content."""
    found = [match.end() for match in re.finditer(_ELEMENTS, data, re.DOTALL)]
    early = [at for at in found if at < 1500] or found
    if not early:
        return data
    at = rng.choice(early if rng.random() < 0.7 else found)
    place, width = (at, 1) if rng.random() < 0.3 else (at + 1, rng.choice((1, 2, 4, 8)))
    return _put(data, place, rng.choice((*_VALUES, rng.getrandbits(64))), width)[: len(data)]


def _gif_field(data: bytes, rng: random.Random) -> bytes:
    """Screen size, a frame's delay, place and size, or a block's length."""
    places = [6, 8, 10]
    places += [m.start() + k for m in re.finditer(rb"\x21\xf9\x04", data) for k in (3, 4, 6)]
    places += [m.start() + k for m in re.finditer(rb"\x00\x2c", data) for k in (2, 4, 6, 8, 10, 11)]
    at = rng.choice(places)
    value = rng.choice((*_VALUES, rng.randrange(300)))
    return data[:at] + struct.pack("<H", value & 0xFFFF) + data[at + 2 :]


def _chunk(data: bytes, rng: random.Random) -> bytes:
    """A telling number in a PNG chunk, with the checksum put right, so that decoders believe it."""
    chunks = [m.start() for m in re.finditer(rb"IHDR|IDAT|IEND|acTL|fcTL|fdAT|PLTE|tRNS|gAMA|pHYs|cHRM", data)]
    if not chunks:
        return data
    at = rng.choice(chunks)
    length = int.from_bytes(data[at - 4 : at], "big")
    if length < 1 or at + 4 + length + 4 > len(data):
        return data
    field = at + 4 + rng.randrange(length)
    width = min(rng.choice((1, 1, 2, 4)), at + 4 + length - field)
    data = _put(data, field, rng.choice((*_VALUES, rng.randrange(64))), width)
    return _put(data, at + 4 + length, zlib.crc32(data[at : at + 4 + length]), 4)


_FIELDS: dict[str, list[Callable[[bytes, random.Random], bytes]]] = {
    ".mp4": [_box, _box, _rename],
    ".mkv": [_element],
    ".webm": [_element],
    ".gif": [_gif_field],
    ".png": [_chunk],
}
