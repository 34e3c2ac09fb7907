"""How each of ffmpeg's encoders is asked for a constant quality, on one scale that falls: lower is better and larger.

An encoder whose quality is not set aims at 200 kbit/s, ffmpeg's default, whatever the size of the pictures; some do so
although a quality is set (libvpx). So each that is known here gets the words that fix its quality and lift its bitrate.
Where an encoder's own scale rises (Theora, VideoToolbox, Media Foundation), it is turned round.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from vfi_pipeline.media import ffmpeg

Options = dict[str, str]


@dataclass(frozen=True)
class QualityScale:
    """An encoder's scale of constant quality.

    Attributes:
        low, high: the values it takes; at ``low`` it is best.
        usual: what is taken where nothing is asked: no difference is seen; None leaves it to the encoder.
        options: a value, as text -> the encoder's options.
        whole: takes whole numbers only.
    """

    low: float
    high: float
    usual: float | None
    options: Callable[[str], Options]
    whole: bool = True


def quality_scale(encoder: str) -> QualityScale | None:
    """The scale of ``encoder``; None if it has none (lossless codecs, and those of a fixed size, such as ProRes)."""
    if encoder in _KNOWN:
        return _KNOWN[encoder]
    family = encoder.rpartition("_")[2]
    if family in _DEVICES:
        return _DEVICES[family]
    listed = ffmpeg.encoder_options(encoder)
    if "cq" in listed:  # NVENC takes 0 for nothing said, and encodes at a default of its own
        return QualityScale(max(1.0, listed["cq"].low), listed["cq"].high, 18, _nvenc, whole=False)
    if "crf" in listed:
        crf = listed["crf"]
        return QualityScale(max(0.0, crf.low), crf.high, None, _named("crf"), crf.kind == "int")
    return None


def _named(name: str, **more: str) -> Callable[[str], Options]:
    return lambda value: {name: value, **more}


def _turned(name: str, best: float, worst: float, high: float, digits: int, **more: str) -> Callable[[str], Options]:
    """0 to ``high`` as ``best`` to ``worst`` of an option that rises with the quality."""

    def options(value: str) -> Options:
        return {**more, name: f"{round(best - (best - worst) * float(value) / high, digits):g}"}

    return options


def _openh264(value: str) -> Options:
    # It has no constant quality: its quantiser is held between two bounds, and the bitrate keeps out of the way.
    return {"rc_mode": "quality", "qmin": value, "qmax": value, "b:v": "250M"}


def _vp8(value: str) -> Options:
    # ``crf`` alone bounds the quantiser from below, and b:v=0 is libvpx's own 256 kbit/s.
    return {"crf": value, "qmin": value, "qmax": value, "b:v": "1G"}


def _kvazaar(value: str) -> Options:
    return {"kvazaar-params": f"qp={value}"}


def _nvenc(value: str) -> Options:
    return {"rc": "vbr", "cq": value, "b:v": "0"}


def _amf(value: str) -> Options:
    return {"rc": "cqp", "qp_i": value, "qp_p": value}


_X264 = QualityScale(0, 51, 16, _named("crf"), whole=False)
# Below 2 the quantisers of MPEG-1, -2 and -4 stay at 2, ffmpeg's ``qmin``.
_QUANTISER = QualityScale(2, 31, 2, _named("q:v"), whole=False)
_QUANTISERS = re.findall(
    r"\w+",
    "mpeg1video mpeg2video mpeg4 libxvid msmpeg4 msmpeg4v2 wmv1 wmv2 h261 h263 h263p flv rv10 rv20 mjpeg snow speedhq "
    "asv2 svq1",
)

# x264's and x265's constant rate factor is a quantiser: 0 to 51 of 8 bit (x264 takes more in silence, as 51). To
# SVT-AV1 through ffmpeg 0 means that nothing was said.
_KNOWN: dict[str, QualityScale] = {
    "libx264": _X264,
    "libx264rgb": _X264,
    "libx265": QualityScale(0, 51, 17, _named("crf"), whole=False),
    "libsvtav1": QualityScale(1, 63, 20, _named("crf")),
    "libaom-av1": QualityScale(0, 63, 20, _named("crf", **{"b:v": "0"})),
    "libvpx-vp9": QualityScale(0, 63, 18, _named("crf", **{"b:v": "0"})),
    "libvpx": QualityScale(0, 63, 6, _vp8),
    "librav1e": QualityScale(0, 255, 50, _named("qp")),
    "libvvenc": QualityScale(0, 63, 18, _named("qp")),
    "libxavs2": QualityScale(1, 63, 18, _named("qp")),
    "liboapv": QualityScale(0, 63, 16, _named("qp")),
    "libkvazaar": QualityScale(0, 51, 17, _kvazaar),
    "libopenh264": QualityScale(12, 51, 16, _openh264),
    "libtheora": QualityScale(0, 63, 0, _turned("q:v", 10, 0, 63, 4), whole=False),  # its quantiser's own steps
    **dict.fromkeys(_QUANTISERS, _QUANTISER),
    "asv1": QualityScale(3, 31, 3, _named("q:v"), whole=False),  # its finer steps overflow
    "mjpeg_qsv": QualityScale(0, 51, 5, _turned("global_quality", 100, 1, 51, 0), whole=False),
    "av1_amf": QualityScale(0, 255, 60, _amf),
}
_DEVICES: dict[str, QualityScale] = {
    "qsv": QualityScale(1, 51, 18, _named("global_quality")),  # ICQ: Intel's constant quality
    "amf": QualityScale(0, 51, 18, _amf),
    # Their scales end at 100, the best: 65 of 100 looks about as x264's 18.
    "videotoolbox": QualityScale(0, 51, 12, _turned("q:v", 100, 1, 51, 0), whole=False),
    "mf": QualityScale(0, 51, 12, _turned("quality", 100, 1, 51, 0, rate_control="quality"), whole=False),
}
