"""Which encoder stores the pictures, with which settings, and what that costs. Rules and reasons: docs/output.md."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.frames import Colour, PixelFormat, pixel_format
from vfi_pipeline.media.info import VideoInfo

UNTAGGED = Colour()
PQ_OR_HLG = ("smpte2084", "arib-std-b67")


@dataclass(frozen=True)
class VideoSpec:
    """The pictures that will be written, as stored: before rotation and sample aspect.

    ``pixel_format`` is the working one (``media.frames``), ``hdr`` as in ``VideoInfo``.
    """

    pixel_format: str
    width: int
    height: int
    rate: Fraction
    colour: Colour = UNTAGGED
    sample_aspect: Fraction = Fraction(1)
    hdr: Mapping[str, str] = field(default_factory=dict)
    rotation: int = 0  # clockwise, by the player; images and animations are turned for good
    mirrored: bool = False  # flipped left to right before the rotation
    stereo: tuple[str, int] | None = None  # as in VideoInfo

    @classmethod
    def of(cls, video: VideoInfo, rate: Fraction) -> VideoSpec:
        """The source's own format at another rate."""
        return cls(
            video.working_format, video.width, video.height, Fraction(rate), video.colour,
            video.sample_aspect, video.hdr, video.rotation, video.mirrored, video.stereo,
        )  # fmt: skip

    @property
    def format(self) -> PixelFormat:
        return pixel_format(self.pixel_format)


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored. ``notes`` are what it loses, one sentence each, to be told before the work starts.

    ``finish`` is how ``assemble`` ends: ``copy`` joins the segments, ``gif``, ``webp`` and ``apng`` re-encode lossless
    segments in one go (a palette needs the whole film), ``images`` moves numbered files, ``nothing`` has no output.
    ``suffix`` ends the name of a segment (empty: a segment is a folder of images). ``colour`` is what the output is
    tagged with: the source's own, unless RGB had to become YUV.
    """

    codec: str
    encoder: str
    pixel_format: str
    options: tuple[tuple[str, str], ...] = ()
    suffix: str = ".nut"
    muxer: str = "nut"
    finish: str = "copy"
    lossless: bool = False
    notes: tuple[str, ...] = ()
    colour: Colour = UNTAGGED
    pattern: str = ""  # image sequences: the name of an image, as "%08d.png"
    profile: bytes = b""  # images: the ICC profile that is put into them
    turned: bool = False  # the pixels are stored upright, because the output cannot say that they are not

    def stored_size(self, spec: VideoSpec) -> tuple[int, int]:
        """(width, height) of the output's pictures."""
        return (spec.height, spec.width) if self.turned and spec.rotation % 180 else (spec.width, spec.height)

    def stored_aspect(self, spec: VideoSpec) -> Fraction:
        """The output's sample aspect ratio."""
        return 1 / spec.sample_aspect if self.turned and spec.rotation % 180 else spec.sample_aspect

    @property
    def has_alpha(self) -> bool:
        return shape(self.pixel_format).alpha


@dataclass(frozen=True)
class _Family:
    """A codec as the user names it: ffmpeg's encoders for it, best first, and settings that lose nothing to the eye."""

    encoders: tuple[str, ...]
    crf: float | None = None
    preset: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    lossless: bool = False


# x264 crf 16 and its equals: no difference seen side by side, at 2 to 3 times the size of a usual web encode. Presets
# are the slowest that still keep ahead of the network on two cores at 1080p.
FAMILIES: dict[str, _Family] = {
    "h264": _Family(("libx264",), 16, "medium"),
    "hevc": _Family(("libx265",), 17, "fast"),
    "av1": _Family(("libsvtav1", "libaom-av1"), 20, None),
    "vp9": _Family(("libvpx-vp9",), 18, "4"),
    "prores": _Family(("prores_ks",), None, "hq", (("vendor", "apl0"),)),
    "ffv1": _Family(("ffv1",), None, None, (("level", "3"), ("g", "1"), ("slicecrc", "1")), lossless=True),
    "h264_nvenc": _Family(("h264_nvenc",), 18, "p5"),
    "hevc_nvenc": _Family(("hevc_nvenc",), 18, "p5"),
    "av1_nvenc": _Family(("av1_nvenc",), 22, "p5"),
}
ALIASES = {
    "x264": "h264", "libx264": "h264", "avc": "h264", "x265": "hevc", "libx265": "hevc", "h265": "hevc",
    "libvpx-vp9": "vp9", "prores_ks": "prores", "nvenc": "h264_nvenc", "svtav1": "libsvtav1", "aom": "libaom-av1",
}  # fmt: skip

# Outputs that are pictures rather than films: by suffix. The value is ``Encoding.finish``.
ANIMATIONS = {".gif": "gif", ".webp": "webp", ".apng": "apng"}
IMAGES = {
    ".png": "png",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "mjpeg",
    ".jpeg": "mjpeg",
    ".bmp": "bmp",
    ".webp": "libwebp",
}
# AVI and MXF are not among them: AVI has no time stamps, MXF takes a few broadcast rates and sizes.
FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".ts", ".m2ts", ".nut")

GIF_RATE = 50  # frames per second: a GIF counts hundredths of a second, and players slow down below two of them

# Containers that can say how a picture is to be turned.
ROTATES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")

# What a container holds of our codec families, where it does not hold them all. Matroska and NUT hold everything.
HOLDS = {
    ".mp4": ("h264", "hevc", "av1", "vp9", "ffv1"),
    ".m4v": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc", "prores", "ffv1", "mjpeg", "png", "qtrle", "dnxhd"),
    ".webm": ("vp9", "av1", "vp8"),
    ".ts": ("h264", "hevc"),
    ".m2ts": ("h264", "hevc"),
}


# ---------------------------------------------------------------------------------------------------- pixel formats


@dataclass(frozen=True)
class Shape:
    """What a pixel format can hold; ``family`` is yuv, rgb or gray."""

    family: str
    depth: int
    sub: tuple[int, int] = (1, 1)
    alpha: bool = False


_PACKED = {
    "rgb24": Shape("rgb", 8), "bgr24": Shape("rgb", 8), "bgr0": Shape("rgb", 8), "rgb0": Shape("rgb", 8),
    "0rgb": Shape("rgb", 8), "0bgr": Shape("rgb", 8), "rgba": Shape("rgb", 8, alpha=True),
    "bgra": Shape("rgb", 8, alpha=True), "argb": Shape("rgb", 8, alpha=True), "abgr": Shape("rgb", 8, alpha=True),
    "rgb48be": Shape("rgb", 16), "rgb48le": Shape("rgb", 16), "rgba64be": Shape("rgb", 16, alpha=True),
    "rgba64le": Shape("rgb", 16, alpha=True), "x2rgb10le": Shape("rgb", 10), "gbrp10msble": Shape("rgb", 10),
    "nv12": Shape("yuv", 8, (2, 2)), "nv21": Shape("yuv", 8, (2, 2)), "nv16": Shape("yuv", 8, (2, 1)),
    "p010le": Shape("yuv", 10, (2, 2)), "p012le": Shape("yuv", 12, (2, 2)), "p016le": Shape("yuv", 16, (2, 2)),
    "p210le": Shape("yuv", 10, (2, 1)), "p212le": Shape("yuv", 12, (2, 1)), "p216le": Shape("yuv", 16, (2, 1)),
    "yuv444p10msble": Shape("yuv", 10), "yuv444p12msble": Shape("yuv", 12),
    "gray16be": Shape("gray", 16), "ya8": Shape("gray", 8, alpha=True),
}  # fmt: skip


def shape(name: str) -> Shape:
    """What pixel format ``name`` can hold; ValueError for one that is not known here (palettes, floats, hardware)."""
    if name in _PACKED:
        return _PACKED[name]
    plain = pixel_format(name.replace("yuvj", "yuv"))
    if plain.is_rgb:
        return Shape("rgb", plain.depth, alpha=plain.has_alpha)
    if len(plain.planes) == 1:
        return Shape("gray", plain.depth)
    return Shape("yuv", plain.depth, (plain.planes[1].sub_x, plain.planes[1].sub_y), plain.has_alpha)


def _known(names: tuple[str, ...]) -> dict[str, Shape]:
    found = {}
    for name in names:
        try:
            found[name] = shape(name)
        except ValueError:
            continue
    return found


def nearest_format(wanted: Shape, names: tuple[str, ...]) -> str | None:
    """The format among ``names`` that loses least of ``wanted``, then wastes least; None if none is known."""

    def cost(item: tuple[str, Shape]) -> tuple[float, ...]:
        name, have = item
        colour_lost = wanted.family != "gray" and have.family == "gray"
        converted = wanted.family != have.family and not (wanted.family == "gray" and have.family == "yuv")
        chroma_lost = max(have.sub[0] / wanted.sub[0], 1) * max(have.sub[1] / wanted.sub[1], 1)
        chroma_spent = max(wanted.sub[0] / have.sub[0], 1) * max(wanted.sub[1] / have.sub[1], 1)
        if wanted.family == "gray":  # a grey film in YUV: the smallest chroma that players take
            chroma_lost, chroma_spent = 1, (1 if have.sub == (2, 2) else 2)
        gray_kept_gray = wanted.family == "gray" and have.family == "yuv"
        return (
            colour_lost,
            converted,
            wanted.alpha and not have.alpha,
            max(wanted.depth - have.depth, 0),
            chroma_lost,
            gray_kept_gray,
            have.alpha and not wanted.alpha,
            max(have.depth - wanted.depth, 0),
            chroma_spent,
            name.startswith("yuvj"),
        )

    known = _known(names)
    return min(known.items(), key=cost)[0] if known else None


def needs_even(name: str) -> tuple[bool, bool]:
    """Whether H.264 and H.265 need an even width and height in pixel format ``name``."""
    sub = shape(name).sub
    return sub[0] > 1, sub[1] > 1


# ---------------------------------------------------------------------------------------------------------- choosing


def choose_encoding(
    spec: VideoSpec,
    target: Path,
    codec: str = "auto",
    crf: float | None = None,
    preset: str | None = None,
    pix_fmt: str | None = None,
    benchmark: bool = False,
) -> Encoding:
    """The encoder, pixel format and settings for ``target`` (its suffix names the container).

    Args:
        target: a film, ``.gif``/``.webp``/``.apng``, an image pattern (``out/%08d.png``) or a folder.
        codec: ``auto``, a family (``h264 hevc av1 vp9 prores ffv1 h264_nvenc...``) or any video encoder of this ffmpeg.
        crf, preset, pix_fmt: None takes the default of the codec, and the source's own pixel format where it fits.
        benchmark: write nothing.

    Raises:
        UserError: the codec, its settings or its container do not fit, or this ffmpeg lacks the encoder.
    """
    if benchmark:
        return Encoding("none", "none", spec.pixel_format, suffix=".none", finish="nothing", colour=spec.colour)
    if is_image_target(target):
        return _images(spec, target, codec, crf, pix_fmt)
    suffix = target.suffix.lower()
    if suffix in ANIMATIONS:
        return _animation(spec, suffix, codec, crf, pix_fmt)
    if suffix not in FILMS:
        raise UserError(
            f"{target.name}: {suffix or 'no suffix'} is not a container that can be written here.",
            f"one of {' '.join(FILMS)} {' '.join(ANIMATIONS)}, an image pattern such as frames/%08d.png, or a folder.",
            USAGE,
        )
    return _film(spec, suffix, codec, crf, preset, pix_fmt)


def is_image_target(target: Path) -> bool:
    """Whether ``target`` stands for images: an image's suffix (with ``%08d`` also ``.webp``), or a folder (no suffix).

    In the name of a film a ``%`` is a letter like any other: ``100%done.mp4``.
    """
    suffix = target.suffix.lower()
    if suffix in ANIMATIONS:
        return suffix in IMAGES and re.search(r"%0?\d*d", target.name) is not None
    return suffix in IMAGES or suffix == ""


def image_folder(target: Path) -> Path:
    """The folder that the images of ``target`` (a folder, a pattern or a single image) end up in."""
    return target.parent if target.suffix else target


def default_suffix(spec: VideoSpec, source_suffix: str, codec: str = "auto") -> str:
    """The container for an output whose name the user left to us, as ``.mp4``.

    The source's own where it can be written and holds the codec; ``.webp`` for a GIF that gets too fast for GIF;
    ``.webm`` for pictures with transparency; ``.mov`` for ProRes; ``.mkv`` for FFV1 and for containers that nobody
    writes any more (AVI, WMV, FLV, VOB, MPEG-TS); ``.mp4`` for anything else.
    """
    suffix = source_suffix.lower()
    family = ALIASES.get(codec, codec)
    if family == "auto":
        if suffix == ".gif" and spec.rate > GIF_RATE:
            return ".webp"
        if suffix in ANIMATIONS or suffix in (".mp4", ".m4v", ".mov", ".mkv", ".webm"):
            return suffix
        old = (".avi", ".wmv", ".flv", ".vob", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".nut", ".ogv", ".mxf")
        if suffix in old:
            return ".mkv"
        return ".webm" if shape(spec.pixel_format).alpha else ".mp4"
    if family in ("gif", "webp", "apng"):
        return f".{family}"
    if suffix in (".mp4", ".m4v", ".mov", ".webm") and _stem_of(family) in HOLDS[suffix]:
        return suffix
    if family == "prores":
        return ".mov"
    return ".mp4" if _stem_of(family) in ("h264", "hevc", "av1", "vp9") and suffix != ".mkv" else ".mkv"


def _stem_of(codec: str) -> str:
    """The codec (h264) of an encoder or family (h264_nvenc, libx264rgb)."""
    known = {"libx264rgb": "h264", "libsvtav1": "av1", "libaom-av1": "av1", "librav1e": "av1", "libvpx": "vp8",
             "prores_aw": "prores", "prores": "prores", "libopenh264": "h264"}  # fmt: skip
    codec = ALIASES.get(codec, codec)
    return known.get(codec, re.sub(r"_(nvenc|qsv|amf|vaapi|vulkan|videotoolbox|mf|v4l2m2m)$", "", codec))


def _film(
    spec: VideoSpec, suffix: str, codec: str, crf: float | None, preset: str | None, pix_fmt: str | None
) -> Encoding:
    family = ALIASES.get(codec, codec)
    notes: list[str] = []
    if family == "auto":
        family, why = _automatic(spec, suffix, pix_fmt)
        notes += [why] if why else []
    elif family not in FAMILIES and not (family in ffmpeg.encoders() and ffmpeg.encoder_pixel_formats(family)):
        raise _missing(codec)
    elif suffix in HOLDS and _stem_of(family) not in HOLDS[suffix]:
        raise UserError(
            f"{suffix} cannot hold {family}.",
            f"codec={HOLDS[suffix][0]}, or an output name that ends in {'.mov' if family == 'prores' else '.mkv'}.",
            USAGE,
        )
    encoder, settings = _encoder(family, spec, pix_fmt)
    supported = ffmpeg.encoder_pixel_formats(encoder) or (spec.pixel_format,)
    chosen, losses = _pixel_format(spec, family, encoder, supported, pix_fmt, suffix)
    notes += losses
    if encoder.endswith("_nvenc") and not ffmpeg.encoder_works(encoder):
        raise _missing(codec)
    # ffmpeg 9 decodes no film that says twice how its views are packed: Matroska says it itself.
    said = replace(spec, stereo=None) if suffix in (".mkv", ".webm") else spec
    options = _options(said, family, encoder, settings, crf, preset, chosen)
    lossless = settings.lossless and _holds(shape(chosen), spec)
    # NUT keeps rational time to the tick and joins cleanly; it loses VP9's alpha, for which Matroska is used.
    alpha_vp9 = encoder == "libvpx-vp9" and shape(chosen).alpha
    turned = _is_turned(spec) and suffix not in (*ROTATES, ".nut")
    if turned:
        notes.append(f"The pictures are turned upright for good: {suffix} cannot say that a player must turn them.")
    elif _is_turned(spec) and suffix in ROTATES and not ffmpeg.has_option("-display_rotation"):
        turned = True
        notes.append(
            f"The pictures are turned upright for good: ffmpeg {ffmpeg.version()} cannot say that a player must turn "
            "them; the imageio-ffmpeg package's can (unset VFI_FFMPEG)."
        )
    return Encoding(
        _stem_of(family), encoder, chosen, options, ".mkv" if alpha_vp9 else ".nut", "matroska" if alpha_vp9 else "nut",
        lossless=lossless, notes=tuple(notes), colour=_tags(spec, shape(chosen)), turned=turned,
    )  # fmt: skip


def _is_turned(spec: VideoSpec) -> bool:
    return bool(spec.rotation % 360 or spec.mirrored)


def _automatic(spec: VideoSpec, suffix: str, pix_fmt: str | None) -> tuple[str, str | None]:
    """The codec family where the user named none, and what to tell of it."""
    source = shape(spec.pixel_format)
    asked = shape_or_none(pix_fmt) if pix_fmt else None
    if suffix == ".webm":
        return "vp9", None
    if source.alpha and suffix == ".mov":
        return "prores", None
    if source.alpha and suffix in (".mkv", ".nut") and source.depth == 8:
        return "vp9", "The pictures have transparency, which H.264 cannot hold: VP9 was chosen."
    sub = source.sub if source.family == "yuv" else (2, 2)
    odd = (sub[0] > 1 and spec.width % 2) or (sub[1] > 1 and spec.height % 2)
    if odd and pix_fmt is None and suffix in (".mp4", ".m4v", ".mkv", ".nut") and "libvpx-vp9" in ffmpeg.encoders():
        return "vp9", (
            f"{spec.width}x{spec.height} is odd, which H.264 and H.265 cannot hold in 4:2:0: VP9 was chosen "
            "(codec=h264 stores 4:4:4 instead)."
        )
    depth = asked.depth if asked else source.depth
    if (spec.colour.transfer in PQ_OR_HLG and depth > 8) or (depth > 10 and source.family == "yuv"):
        return "hevc", None
    return "h264", None


def _encoder(family: str, spec: VideoSpec, pix_fmt: str | None) -> tuple[str, _Family]:
    """The encoder of this ffmpeg for a family, with the family's settings."""
    present = ffmpeg.encoders()
    known = FAMILIES.get(family)
    if known is None:
        if family in present and ffmpeg.encoder_pixel_formats(family):
            base = next((f for f in FAMILIES.values() if family in f.encoders), _Family((family,)))
            return family, base
        raise _missing(family)
    candidates = [name for name in known.encoders if name in present]
    if not candidates:
        raise _missing(family)
    if family == "av1" and len(candidates) == 2:
        # SVT-AV1 is several times faster and knows only 4:2:0; libaom knows the rest.
        want = shape(pix_fmt or spec.pixel_format)
        only_420 = want.family != "yuv" or (want.sub == (2, 2) and want.depth <= 10)
        return (candidates[0] if only_420 else candidates[1]), known
    return candidates[0], known


def _missing(codec: str) -> UserError:
    present = ffmpeg.encoders()
    have = [
        name for name, family in FAMILIES.items() if any(e in present for e in family.encoders) and "nvenc" not in name
    ]
    what = f"codec={codec} is not known, or ffmpeg {ffmpeg.version()} has no encoder for it"
    if codec.endswith("nvenc") and codec in present:
        what = f"codec={codec} needs a GPU and driver that can encode it"
    remedy = f"codec= one of {', '.join(have)}, or name another ffmpeg with VFI_FFMPEG=."
    return UserError(f"{what}.", remedy, ENVIRONMENT if "GPU" in what else USAGE)


def _holds(have: Shape, spec: VideoSpec) -> bool:
    """Whether a format with ``have`` holds ``spec``'s pictures exactly (grey may sit in YUV's luma)."""
    want = shape(spec.pixel_format)
    same = have.family == want.family or (want.family == "gray" and have.family == "yuv")
    finer = want.family == "gray" or (have.sub[0] == want.sub[0] and have.sub[1] == want.sub[1])
    return same and finer and have.depth >= want.depth and (have.alpha or not want.alpha)


def _pixel_format(
    spec: VideoSpec, family: str, encoder: str, supported: tuple[str, ...], pix_fmt: str | None, suffix: str
) -> tuple[str, list[str]]:
    """The stored pixel format and what it loses against the source's."""
    want = shape(spec.pixel_format)
    notes: list[str] = []
    lossy_yuv = _stem_of(family) in ("h264", "hevc", "av1", "vp9") and encoder != "libx264rgb"
    if pix_fmt is not None:
        if pix_fmt not in supported:
            raise UserError(
                f"{encoder} cannot store pix_fmt={pix_fmt}.",
                f"one of {', '.join(_known(supported)) or 'its default'}.",
                USAGE,
            )
        try:
            chosen, have = pix_fmt, shape(pix_fmt)
        except ValueError:
            raise UserError(
                f"pix_fmt={pix_fmt} is not one we write.", f"one of {', '.join(_known(supported))}.", USAGE
            ) from None
        if family == "h264" or family == "hevc":
            _refuse_odd(spec, chosen, suffix)
    else:
        ask = want
        if want.family == "rgb" and lossy_yuv:
            ask = Shape("yuv", min(want.depth, 10), (2, 2), want.alpha)
        names = supported
        if _stem_of(family) in ("h264", "hevc"):
            names = tuple(name for name in _known(supported) if not _too_odd(spec, name)) or supported
        if lossy_yuv:  # grey and RGB inside these codecs play in few players, and x265's alpha in fewer
            names = tuple(n for n in names if (s := shape_or_none(n)) and s.family == "yuv") or names
            if _stem_of(family) != "vp9":
                names = tuple(n for n in names if not shape(n).alpha) or names
        found = nearest_format(ask, names)
        chosen = found or spec.pixel_format
        have = shape(chosen)
    odd = bool(spec.width % 2 or spec.height % 2)
    notes += _losses(want, have, family, odd, suffix, "yuv444p" in supported)
    return chosen, notes


def shape_or_none(name: str) -> Shape | None:
    """``shape``, or None for a format that is not known."""
    try:
        return shape(name)
    except ValueError:
        return None


def _too_odd(spec: VideoSpec, name: str) -> bool:
    wide, high = needs_even(name)
    return bool((wide and spec.width % 2) or (high and spec.height % 2))


def _refuse_odd(spec: VideoSpec, name: str, suffix: str) -> None:
    if _too_odd(spec, name):
        others = "".join(f", or codec={codec}" for codec in ("vp9", "av1") if codec in HOLDS.get(suffix, (codec,)))
        raise UserError(
            f"H.264 and H.265 cannot store {spec.width}x{spec.height} in {name}: its chroma needs even sizes.",
            f"pix_fmt=yuv444p{others}.",
            USAGE,
        )


def _losses(want: Shape, have: Shape, family: str, odd: bool, suffix: str, full: bool) -> list[str]:
    """What storing ``have`` for ``want`` loses, and what to type instead. ``full``: the encoder knows yuv444p."""
    notes = []
    exact = "codec=ffv1" if "ffv1" in HOLDS.get(suffix, ("ffv1",)) else "codec=ffv1 and an output that ends in .mkv"
    keeps = "keeps" if exact == "codec=ffv1" else "keep"
    if want.family == "rgb" and have.family == "yuv":
        sub = {(2, 2): "4:2:0", (2, 1): "4:2:2", (1, 1): "4:4:4"}.get(have.sub, "subsampled")
        notes.append(
            f"RGB is stored as YUV {sub} (BT.709), rounded to {have.depth} bit"
            + ("" if have.sub == (1, 1) or not full else "; pix_fmt=yuv444p keeps full colour resolution")
            + f", {exact} {keeps} it exactly."
        )
    elif want.family == "yuv" and have.family == "yuv":
        if have.sub[0] > want.sub[0] or have.sub[1] > want.sub[1]:
            notes.append(f"{family} stores less colour resolution here than the source has; {exact} {keeps} it.")
        elif odd and have.sub != want.sub and have.sub == (1, 1):
            notes.append("The size is odd: chroma is stored at full resolution (4:4:4), which some players refuse.")
    elif want.family == "yuv" and have.family == "rgb":
        notes.append("YUV is stored as RGB, which rounds.")
    elif want.family != "gray" and have.family == "gray":
        notes.append("Colour is lost: the pixel format is grey.")
    if have.depth < want.depth:
        notes.append(f"{want.depth} bit are rounded to {have.depth}; {exact} {keeps} them.")
    if want.alpha and not have.alpha:
        notes.append(
            f"Transparency is lost: {family} does not hold it here; an output that ends in .webm or .mov does."
        )
    return notes


def _tags(spec: VideoSpec, have: Shape, name: str = "") -> Colour:
    """The colour tags of the output: the source's, unless the pixels changed between RGB and YUV."""
    if name.startswith("yuvj"):  # JPEG files are BT.601, full range, whatever they are told
        return replace(spec.colour, matrix="bt470bg", range="pc", chroma_location=None)
    want = shape(spec.pixel_format)
    if want.family == "rgb" and have.family == "yuv":
        return replace(spec.colour, matrix="bt709", range="tv", chroma_location=None)
    if want.family == "yuv" and have.family == "rgb":
        return replace(spec.colour, matrix="gbr", range="pc", chroma_location=None)
    return spec.colour


# ---------------------------------------------------------------------------------------------------------- settings


def _options(
    spec: VideoSpec,
    family: str,
    encoder: str,
    known: _Family,
    crf: float | None,
    preset: str | None,
    chosen: str,
) -> tuple[tuple[str, str], ...]:
    """The encoder's options. A key frame opens every segment; inside, GOPs are closed and about four seconds long."""
    quality = crf if crf is not None else known.crf
    speed = preset or known.preset
    gop = str(max(1, min(250, math.ceil(4 * spec.rate))))
    q = _number(quality) if quality is not None else None
    options: dict[str, str] = dict(known.extra)
    if encoder in ("libx264", "libx264rgb"):
        options |= {"crf": q or "16", "preset": speed or "medium", "g": gop}
        options |= {"x264-params": f"frame-packing={spec.stereo[1]}"} if spec.stereo else {}
    elif encoder == "libx265":
        params = ["log-level=error", "open-gop=0", *_x265_hdr(spec.hdr)]
        options |= {"crf": q or "17", "preset": speed or "fast", "g": gop, "x265-params": ":".join(params)}
    elif encoder == "libsvtav1":
        options |= {"crf": q or "20", "preset": speed or "7", "g": gop}
        hdr = _svt_hdr(spec.hdr)
        options |= {"svtav1-params": ":".join(hdr)} if hdr else {}
    elif encoder == "libaom-av1":
        options |= {"crf": q or "20", "b:v": "0", "cpu-used": speed or "6", "row-mt": "1", "g": gop}
    elif encoder == "libvpx-vp9":
        # No hidden alt-ref frames with alpha: libvpx cannot pair them with the second stream.
        options |= {"crf": q or "18", "b:v": "0", "deadline": "good", "cpu-used": speed or "4", "row-mt": "1", "g": gop}
        options |= {"auto-alt-ref": "0"} if shape(chosen).alpha else {}
    elif encoder == "prores_ks":
        if shape(chosen).sub == (1, 1) and speed not in ("4444", "4444xq"):
            speed = "4444"
        options |= {"profile:v": speed or "hq"}
        options |= {"alpha_bits": "16"} if shape(chosen).alpha else {}
        _no_crf(family, crf)
    elif encoder.endswith("_nvenc"):
        options |= {"rc": "vbr", "cq": q or "18", "b:v": "0", "preset": speed or "p5", "g": gop}
    elif encoder == "ffv1":
        _no_crf(family, crf)
    else:
        options |= {"crf": q} if q else {}
        options |= {"preset": preset} if preset else {}
    return tuple(options.items())


def default_threads(encoder: str, processors: int, height: int) -> int:
    """How many threads ``encoder`` takes by itself where its pictures depend on that; 0 where they do not.

    Measured with ffmpeg 9: x264 and x265 (frames at a time), libvpx and libaom; not SVT-AV1 and the intra codecs. The
    rules are those of x264 (``x264_validate_parameters``), x265 (``ThreadPool::getFrameThreadsCount``) and ffmpeg.
    """
    if encoder in ("libx264", "libx264rgb"):
        return max(1, min(processors * 3 // 2, max(1, (height + 15) // 16 // 2), 128))
    if encoder == "libx265":
        many = 6 if height > 2000 else 5
        return next(n for least, n in ((32, many), (16, 4), (8, 3), (4, 2), (0, 1)) if processors >= least)
    return min(64, processors) if encoder in ("libvpx-vp9", "libaom-av1") else 0


def with_threads(encoding: Encoding, threads: int) -> Encoding:
    """The same with so many threads of the encoder; 0 leaves them to it."""
    return replace(encoding, options=(*encoding.options, ("threads", str(threads)))) if threads else encoding


def _number(value: float) -> str:
    return f"{float(value):g}"


def _no_crf(family: str, crf: float | None) -> None:
    if crf is not None:
        raise UserError(
            f"codec={family} has no crf.", "leave crf= out; codec=prores takes preset=proxy, lt, standard, hq."
        )


def _x265_hdr(hdr: Mapping[str, str]) -> list[str]:
    out = []
    if hdr.get("master_display"):
        out += ["hdr10=1", f"master-display={hdr['master_display']}"]
    if hdr.get("max_cll"):
        out.append(f"max-cll={hdr['max_cll']}")
    return out


def _svt_hdr(hdr: Mapping[str, str]) -> list[str]:
    """SVT-AV1 takes the same values in plain units: chromaticities and cd/m2."""
    out = []
    found = re.fullmatch(
        r"G\((\d+),(\d+)\)B\((\d+),(\d+)\)R\((\d+),(\d+)\)WP\((\d+),(\d+)\)L\((\d+),(\d+)\)",
        hdr.get("master_display", ""),
    )
    if found:
        n = [int(value) for value in found.groups()]
        xy = [f"{value / 50000:.5f}" for value in n[:8]]
        light = f"{n[8] / 10000:.4f},{n[9] / 10000:.4f}"
        out.append(
            f"mastering-display=G({xy[0]},{xy[1]})B({xy[2]},{xy[3]})R({xy[4]},{xy[5]})WP({xy[6]},{xy[7]})L({light})"
        )
    if hdr.get("max_cll"):
        out.append(f"content-light={hdr['max_cll']}")
    return out


# ------------------------------------------------------------------------------------------- animations and images


def _animation(spec: VideoSpec, suffix: str, codec: str, crf: float | None, pix_fmt: str | None) -> Encoding:
    """Lossless FFV1 segments; ``assemble`` makes the animation of them."""
    finish = ANIMATIONS[suffix]
    _only_codec(codec, (finish, f"lib{finish}", "libwebp_anim"), suffix)
    if pix_fmt is not None:
        raise UserError(f"pix_fmt= does not apply to {suffix}.", "leave it out.", USAGE)
    notes = []
    if finish == "gif":
        if spec.rate > GIF_RATE:
            raise UserError(
                f"GIF counts in hundredths of a second and players slow down below two: "
                f"{_number(float(spec.rate))} frames per second is too many.",
                "fps=50, or an output that ends in .webp or .apng.",
                USAGE,
            )
        notes.append("GIF holds 256 colours: a palette is made for this film, with dithering.")
    elif finish == "webp":
        notes.append(
            "Animated WebP is stored at quality 90; crf=0 to 100 is its quality here, 100 is lossless."
            if crf is None
            else ""
        )
    if shape(spec.pixel_format).depth > 8 and finish != "apng":
        notes.append(f"{shape(spec.pixel_format).depth} bit are rounded to 8.")
    held = _film(spec, ".nut", "ffv1", None, None, None)
    options = (("quality", _number(crf if crf is not None else 90)),) if finish == "webp" else ()
    return replace(
        held, codec=finish, finish=finish, notes=tuple(n for n in notes if n), options=held.options + tuple(
            (f"finish:{key}", value) for key, value in options
        ), lossless=False, turned=_is_turned(spec),
    )  # fmt: skip


def _images(spec: VideoSpec, target: Path, codec: str, crf: float | None, pix_fmt: str | None) -> Encoding:
    """Numbered images: PNG of 8 or 16 bit unless the suffix asks for another kind."""
    suffix = target.suffix.lower() if target.suffix.lower() in IMAGES else ".png"
    if target.suffix and target.suffix.lower() not in IMAGES:
        raise UserError(
            f"{target.name}: {target.suffix} is not an image that can be written here.", f"one of {' '.join(IMAGES)}."
        )
    encoder = IMAGES[suffix]
    _only_codec(codec, (encoder, suffix[1:], "jpeg" if encoder == "mjpeg" else encoder), suffix)
    if encoder not in ffmpeg.encoders():
        raise UserError(f"This ffmpeg cannot write {suffix}.", "frames/%08d.png", ENVIRONMENT)
    want = shape(spec.pixel_format)
    notes = []
    if encoder == "mjpeg":
        sub = {(2, 2): "420", (2, 1): "422"}.get(want.sub if want.family == "yuv" else (1, 1), "444")
        chosen = f"yuvj{sub}p"
        options: tuple[tuple[str, str], ...] = (("q:v", _number(crf) if crf is not None else "2"),)
        notes.append(f"JPEG loses detail{', transparency' if want.alpha else ''} and all but 8 bit; .png keeps it.")
    else:
        deep = "16" if want.depth > 8 and encoder in ("png", "tiff") else ""
        order = "be" if encoder == "png" else "le"
        if want.family == "gray":
            chosen = f"gray16{order}" if deep else "gray"
        elif deep:
            chosen = f"rgba64{order}" if want.alpha else f"rgb48{order}"
        else:
            chosen = "rgba" if want.alpha else "rgb24"
        if encoder in ("libwebp", "bmp"):
            chosen = "bgra" if want.alpha or encoder == "libwebp" else "bgr24"
        options = {"png": (("compression_level", "4"), ("pred", "mixed")), "libwebp": (("lossless", "1"),)}.get(
            encoder, ()
        )
        if want.family == "yuv":
            notes.append(f"Images hold RGB: YUV is converted, rounded to {16 if deep else 8} bit.")
        if want.depth > 8 and not deep:
            notes.append(f"{want.depth} bit are rounded to 8; .png keeps them.")
    if pix_fmt is not None:
        if pix_fmt not in ffmpeg.encoder_pixel_formats(encoder):
            raise UserError(
                f"{suffix} cannot store pix_fmt={pix_fmt}.",
                f"one of {', '.join(ffmpeg.encoder_pixel_formats(encoder))}.",
            )
        chosen = pix_fmt
    return Encoding(
        suffix[1:], encoder, chosen, options, "", "image2", "images",
        lossless=want.family != "yuv" and encoder in ("png", "tiff"), notes=tuple(notes),
        colour=_tags(spec, shape(chosen), chosen),
        pattern=target.name if target.suffix else "%08d.png", turned=_is_turned(spec),
    )  # fmt: skip


def _only_codec(codec: str, names: tuple[str, ...], suffix: str) -> None:
    if codec not in ("auto", *names):
        raise UserError(
            f"{suffix} cannot hold codec={codec}.", "leave codec= out, or an output that ends in .mkv.", USAGE
        )
