"""The codecs, a table: encoders and defaults of each, what containers hold of them, and each encoder's own options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.media import encoder_limits, ffmpeg, rate_control
from vfi_pipeline.media.encoding import VideoSpec
from vfi_pipeline.media.pixel_formats import shape
from vfi_pipeline.media.rate_control import Options


@dataclass(frozen=True)
class Codec:
    """A codec as the user names it: ffmpeg's encoders for it, best first, and settings that lose nothing to the eye."""

    encoders: tuple[str, ...]
    crf: float | None = None
    preset: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    lossless: bool = False


# x264 crf 16 and its equals: no difference seen side by side, at 2 to 3 times the size of a usual web encode. Presets
# are the slowest that still keep ahead of the network on two cores at 1080p.
CODECS: dict[str, Codec] = {
    "h264": Codec(("libx264",), 16, "medium"),
    "hevc": Codec(("libx265",), 17, "fast"),
    "av1": Codec(("libsvtav1", "libaom-av1"), 20, None),
    "vp9": Codec(("libvpx-vp9",), 18, "4"),
    "prores": Codec(("prores_ks",), None, "hq", (("vendor", "apl0"),)),
    "ffv1": Codec(("ffv1",), None, None, (("level", "3"), ("g", "1"), ("slicecrc", "1")), lossless=True),
    "h264_nvenc": Codec(("h264_nvenc",), 18, "p5"),
    "hevc_nvenc": Codec(("hevc_nvenc",), 18, "p5"),
    "av1_nvenc": Codec(("av1_nvenc",), 22, "p5"),
}
ALIASES = {
    "x264": "h264", "libx264": "h264", "avc": "h264", "x265": "hevc", "libx265": "hevc", "h265": "hevc",
    "libvpx-vp9": "vp9", "prores_ks": "prores", "nvenc": "h264_nvenc", "svtav1": "libsvtav1", "aom": "libaom-av1",
}  # fmt: skip

# Containers that can say how a picture is to be turned.
ROTATES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")

# What a container holds of our codec families, where it does not hold them all. Matroska and NUT hold everything.
HOLDS = {
    ".mp4": ("h264", "hevc", "av1", "vp9", "ffv1", "mpeg4", "mpeg2video"),
    ".m4v": ("h264", "hevc", "av1", "vp9", "mpeg4"),
    ".mov": ("h264", "hevc", "prores", "ffv1", "mjpeg", "png", "qtrle", "dnxhd", "mpeg4", "mpeg2video"),
    ".webm": ("vp9", "av1", "vp8"),
    ".ts": ("h264", "hevc", "mpeg2video"),
    ".m2ts": ("h264", "hevc", "mpeg2video"),
}


def stem_of(codec: str) -> str:
    """The codec (h264) of an encoder or family (h264_nvenc, libx264rgb)."""
    codec = ALIASES.get(codec, codec)
    if codec in CODECS and "nvenc" not in codec:
        return codec
    stem = ffmpeg.codec_of(codec)  # of a device that this ffmpeg does not know, by its name
    return re.sub(r"_(nvenc|qsv|amf|vaapi|vulkan|videotoolbox|mf|v4l2m2m)$", "", stem)


# ---------------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Request:
    """What an encoder is asked for.

    Attributes:
        spec: the pictures.
        codec: as the user named it.
        codec_settings: the codec's own settings.
        pixel_format: the stored one.
        crf, preset: as typed; None takes the codec's own.
    """

    spec: VideoSpec
    codec: str
    codec_settings: Codec
    pixel_format: str
    crf: float | None
    preset: str | None

    @property
    def gop(self) -> str:
        """Frames from one key frame to the next at most: GOPs are closed and about four seconds long."""
        return str(max(1, min(250, math.ceil(4 * self.spec.rate))))

    def quality(self, usual: str) -> str:
        """The quality, as text: as typed, the codec's own, or the encoder's ``usual`` one."""
        value = self.crf if self.crf is not None else self.codec_settings.crf
        return usual if value is None else number(value)

    def speed(self, usual: str) -> str:
        """The preset: as typed, the codec's own, or the encoder's ``usual`` one."""
        return self.preset or self.codec_settings.preset or usual


def encoder_options(encoder: str, request: Request) -> tuple[tuple[str, str], ...]:
    """The encoder's options; ``encoder_limits`` has checked what was typed. A key frame opens every segment."""
    options = _quality(encoder, request)
    if encoder.endswith("_nvenc"):
        options |= _nvenc(request)
    elif encoder in ENCODERS:
        options |= ENCODERS[encoder](request)
    else:
        options |= _other(encoder, request)
    return tuple({**dict(request.codec_settings.extra), **options}.items())


def _quality(encoder: str, asked: Request) -> Options:
    scale = rate_control.quality_scale(encoder)
    if scale is None:
        return {}
    value = asked.quality("" if scale.usual is None else number(scale.usual))
    return scale.options(value) if value else {}


def _x264(asked: Request) -> Options:
    packing = {"x264-params": f"frame-packing={asked.spec.stereo[1]}"} if asked.spec.stereo else {}
    return {"preset": asked.speed("medium"), "g": asked.gop, **packing}


def _x265(asked: Request) -> Options:
    params = ":".join(["log-level=error", "open-gop=0", *_x265_hdr(asked.spec.hdr)])
    return {"preset": asked.speed("fast"), "g": asked.gop, "x265-params": params}


def _svt_av1(asked: Request) -> Options:
    hdr = _svt_hdr(asked.spec.hdr)
    params = {"svtav1-params": ":".join(hdr)} if hdr else {}
    return {"preset": asked.speed("7"), "g": asked.gop, **params}


def _aom_av1(asked: Request) -> Options:
    return {"cpu-used": asked.speed("6"), "row-mt": "1", "g": asked.gop}


def _vp9(asked: Request) -> Options:
    # No hidden alt-ref frames with alpha: libvpx cannot pair them with the second stream.
    alpha = {"auto-alt-ref": "0"} if shape(asked.pixel_format).alpha else {}
    return {"deadline": "good", "cpu-used": asked.speed("4"), "row-mt": "1", "g": asked.gop, **alpha}


def _vp8(asked: Request) -> Options:
    return {"deadline": "good", "cpu-used": asked.speed("4"), "g": asked.gop}


def _prores(asked: Request) -> Options:
    profile, stored = asked.speed("hq"), shape(asked.pixel_format)
    if stored.sub == (1, 1) and profile not in ("4444", "4444xq"):
        profile = "4444"
    return {"profile:v": profile, **({"alpha_bits": "16"} if stored.alpha else {})}


def _dnxhd(asked: Request) -> Options:
    # DNxHR: every size from 256x120 and every rate, where DNxHD itself knows a few of broadcasting.
    if asked.spec.width < 256 or asked.spec.height < 120:
        raise UserError(
            f"codec=dnxhd takes pictures from 256x120 on, not {asked.spec.width}x{asked.spec.height}.",
            "codec=prores, or a larger size=.",
            USAGE,
        )
    stored = shape(asked.pixel_format)
    return {"profile:v": "dnxhr_444" if stored.sub == (1, 1) else "dnxhr_hqx" if stored.depth > 8 else "dnxhr_hq"}


def _nvenc(asked: Request) -> Options:
    return {"preset": asked.speed("p5"), "g": asked.gop}


def _ffv1(asked: Request) -> Options:
    return {}


def _other(encoder: str, asked: Request) -> Options:
    return {encoder_limits.preset_option(encoder) or "preset": asked.preset} if asked.preset else {}


ENCODERS: dict[str, Callable[[Request], Options]] = {
    "libx264": _x264,
    "libx264rgb": _x264,
    "libx265": _x265,
    "libsvtav1": _svt_av1,
    "libaom-av1": _aom_av1,
    "libvpx-vp9": _vp9,
    "libvpx": _vp8,
    "prores_ks": _prores,
    "dnxhd": _dnxhd,
    "ffv1": _ffv1,
}
"""ffmpeg's encoders whose options are known here; NVENC's are alike, others get their quality and what was typed."""


def number(value: float) -> str:
    """A number as ffmpeg takes it."""
    return f"{float(value):g}"


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
    match = re.fullmatch(
        r"G\((\d+),(\d+)\)B\((\d+),(\d+)\)R\((\d+),(\d+)\)WP\((\d+),(\d+)\)L\((\d+),(\d+)\)",
        hdr.get("master_display", ""),
    )
    if match:
        n = [int(value) for value in match.groups()]
        xy = [f"{value / 50000:.5f}" for value in n[:8]]
        light = f"{n[8] / 10000:.4f},{n[9] / 10000:.4f}"
        out.append(
            f"mastering-display=G({xy[0]},{xy[1]})B({xy[2]},{xy[3]})R({xy[4]},{xy[5]})WP({xy[6]},{xy[7]})L({light})"
        )
    if hdr.get("max_cll"):
        out.append(f"content-light={hdr['max_cll']}")
    return out


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
