"""What one stream and its first frames tell: size, colour tags, orientation, HDR metadata, interlacing."""

from __future__ import annotations

import math
import re
import struct
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.frames import Colour
from vfi_pipeline.media.layout import layout

MOST_ASPECT = 64
"""Pixels longer than this, either way, are a mistake of the file."""


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """UserError if a picture of that size is beyond the limit, or has none."""
    if width * height > max_pixels:
        raise UserError(
            f"{path}: its pictures of {width}x{height} are beyond the limit of {max_pixels} pixels.",
            f"max_pixels={width * height}, if you trust the file and have the memory.",
            BAD_INPUT,
        )


def codec_name(stream: av.stream.Stream) -> str:
    """ffmpeg's name of the codec, not of the decoder that happens to be chosen (``av1``, not ``libdav1d``)."""
    if stream.codec_context is None:
        return "none"
    try:
        return stream.codec_context.codec.canonical_name
    except (AttributeError, ValueError):
        return stream.codec_context.name


def sample_aspect(stream: av.video.stream.VideoStream) -> Fraction:
    """Width over height of a pixel; 1 where it is not said, or beyond anything that containers can hold."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    return Fraction(aspect) if aspect and 1 / MOST_ASPECT <= aspect <= MOST_ASPECT else Fraction(1)


def is_interlaced(stream: av.video.stream.VideoStream, head: Sequence[av.VideoFrame]) -> bool:
    """By the frames where their codec marks each frame, else also by the stream's field order."""
    marked = sum(frame.interlaced_frame for frame in head)
    if 2 * marked >= len(head):
        return True
    tells = {"mpeg1video", "mpeg2video", "h264", "hevc", "mpeg4", "vc1", "dvvideo", "prores", "vvc", "cavs", "wmv3"}
    return codec_name(stream) not in tells and stream.codec_context.field_order in (2, 3, 4, 5)


def frame_orientation(head: Sequence[av.VideoFrame]) -> tuple[int, bool]:
    """(degrees clockwise, mirrored before that) from the first frame's display matrix."""
    for kind, data in _side_data(head[0]) if head else ():
        if kind == "DISPLAYMATRIX" and len(data) >= 36:
            return orientation(struct.unpack("=9i", data[:36]))
    return 0, False


def _side_data(frame: av.VideoFrame) -> list[tuple[str, bytes]]:
    """(name of the kind, bytes) of what rides beside the picture."""
    sides: Any = frame.side_data
    return [(side.type.name, bytes(side)) for side in sides]


def orientation(matrix: Sequence[int]) -> tuple[int, bool]:
    """(degrees clockwise, mirrored) of a display matrix: 9 integers, row by row, of which (a b, c d) are used.

    A pixel (x, y) is shown at (a x + c y, b x + d y). Clockwise by w: a = d = cos w, b = -c = sin w. A negative
    determinant means that the picture is flipped left to right first. Angles are taken to the nearest quarter turn.
    """
    a, b, c, d = matrix[0], matrix[1], matrix[3], matrix[4]
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    if a == b == c == d == 0:
        return 0, False
    turned = math.degrees(math.atan2(b - c, a + d))
    return round(turned / 90) % 4 * 90, mirrored


_MATRICES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc",
    10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp", 15: "ipt-c2",
    16: "ycgco-re", 17: "ycgco-ro",
}  # fmt: skip
_PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film", 9: "bt2020", 10: "smpte428",
    11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
_TRANSFERS = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "linear", 9: "log100", 10: "log316",
    11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1", 14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084",
    17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
_RANGES = {1: "tv", 2: "pc"}


def colour(frame: av.VideoFrame, context: av.video.codeccontext.VideoCodecContext, full: bool, line: str) -> Colour:
    """The tags of the first frame, else of the stream."""
    rgb = layout(frame.format.name).working.is_rgb

    def tag(names: dict[int, str], *values: int) -> str | None:
        return next((names[int(value)] for value in values if int(value) in names), None)

    matrix = "gbr" if rgb else tag({k: v for k, v in _MATRICES.items() if k}, frame.colorspace, context.colorspace)
    subsampled = any(plane.sub_x > 1 or plane.sub_y > 1 for plane in layout(frame.format.name).working.planes)
    match = re.search(r", (left|center|topleft|top|bottomleft|bottom)\)", line)
    return Colour(
        matrix=matrix,
        primaries=tag(_PRIMARIES, frame.color_primaries, context.color_primaries),
        transfer=tag(_TRANSFERS, frame.color_trc, context.color_trc),
        range="pc" if full else tag(_RANGES, frame.color_range, context.color_range),
        chroma_location=match.group(1) if match and subsampled else None,
    )


_dump_lock = threading.Lock()


def dump(container: Any) -> str:
    """What ffmpeg says of a file, as its program prints it: streams and their side data (at the level 'verbose')."""
    with _dump_lock:
        level = av.logging.get_level()
        try:
            av.logging.set_level(av.logging.VERBOSE)
            av.logging.set_libav_level(av.logging.VERBOSE)
            return str(container.dumps_format())
        finally:
            av.logging.set_libav_level(av.logging.INFO)
            av.logging.set_level(level)


def dump_line(container: Any, index: int) -> str:
    """ffmpeg's own line on the stream: the only place where PyAV tells the chroma location."""
    match = re.search(rf"^ *Stream #0:{index}\b[^\n]*: Video: [^\n]*", dump(container), re.MULTILINE)
    return match.group(0) if match else ""


def hdr(head: Sequence[av.VideoFrame]) -> dict[str, str]:
    """Mastering display and light levels as x265's options take them; ``dynamic`` names metadata that varies."""
    values: dict[str, str] = {}
    for frame in head:
        for kind, data in _side_data(frame):
            if kind == "MASTERING_DISPLAY_METADATA" and len(data) >= 88:
                text = _mastering(data)
                if text:
                    values.setdefault("master_display", text)
            elif kind == "CONTENT_LIGHT_LEVEL" and len(data) >= 8:
                values.setdefault("max_cll", "{},{}".format(*struct.unpack("=2I", data[:8])))
            elif kind in ("DYNAMIC_HDR_PLUS", "DOVI_METADATA", "DOVI_RPU_BUFFER", "DYNAMIC_HDR_VIVID"):
                name = "HDR10+" if kind == "DYNAMIC_HDR_PLUS" else "HDR Vivid" if "VIVID" in kind else "Dolby Vision"
                values.setdefault("dynamic", name)
    return values


# AVStereo3DType -> (StereoMode of Matroska, frame packing of H.264)
_STEREO = {
    1: ("left_right", 3), 2: ("top_bottom", 4), 3: ("block_lr", 5), 4: ("checkerboard_lr", 0),
    6: ("row_interleaved_lr", 2), 7: ("col_interleaved_lr", 1),
}  # fmt: skip


def stereo(head: Sequence[av.VideoFrame]) -> tuple[str, int] | None:
    """How two views are packed into each picture: (StereoMode of Matroska, frame packing of H.264); None: they are not,
    or the right view comes first.
    """
    for frame in head:
        for kind, data in _side_data(frame):
            if kind == "STEREO3D" and len(data) >= 8:
                packing, flags = struct.unpack("=2i", data[:8])
                return None if flags & 1 else _STEREO.get(packing)
    return None


def _mastering(data: bytes) -> str | None:
    """AVMasteringDisplayMetadata: (x, y) rationals of R, G, B, white, then least and largest luminance, two flags."""
    numbers = struct.unpack("=22i", data[:88])
    if not numbers[20] or not numbers[21] or any(numbers[2 * k + 1] == 0 for k in range(10)):
        return None
    value = [Fraction(numbers[2 * k], numbers[2 * k + 1]) for k in range(10)]
    r, g, b, white = (f"({round(value[2 * k] * 50000)},{round(value[2 * k + 1] * 50000)})" for k in range(4))
    least, largest = round(value[8] * 10000), round(value[9] * 10000)
    return f"G{g}B{b}R{r}WP{white}L({largest},{least})"
