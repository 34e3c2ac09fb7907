"""The quality asked for is the quality got: measured for every encoder of this ffmpeg, with the words it is given."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import make_clip
from outputs import make_output
from photo_shots import photo

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.encoding import VideoSpec
from vfi_pipeline.media.rate_control import quality_scale
from vfi_pipeline.media.verify import verify
from vfi_pipeline.media.writer import conversion

WIDTH, HEIGHT, FRAMES = 176, 144, 6  # the one size that H.261 and H.263 take as well
SPEC = VideoSpec("yuv420p", WIDTH, HEIGHT, 25)
ON_A_SCALE = (
    "libx264 libx264rgb libx265 libsvtav1 libaom-av1 libvpx libvpx-vp9 librav1e libvvenc libkvazaar libopenh264 "
    "libxavs2 libtheora mpeg1video mpeg2video mpeg4 libxvid mjpeg msmpeg4 msmpeg4v2 wmv1 wmv2 h263 h263p flv snow "
    "speedhq asv2"
).split()
# Nothing here reads what they write, with these two sizes of a file for a proof.
NOT_DECODED = ("libvvenc", "libxavs2")


@pytest.fixture(scope="module")
def pictures() -> bytes:
    """A photograph with grain under a moving camera, as yuv420p."""
    large, rng = photo("coffee"), np.random.default_rng(0)
    frames = []
    for k in range(FRAMES):
        part = large[60 + 2 * k : 60 + 2 * k + 2 * HEIGHT, 40 + 6 * k : 40 + 6 * k + 2 * WIDTH]
        part = cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) + rng.normal(0, 2, (HEIGHT, WIDTH, 1))
        frames.append(cv2.cvtColor(np.clip(part, 0, 255).astype(np.uint8), cv2.COLOR_RGB2YUV_I420).tobytes())
    return b"".join(frames)


def encoded(tmp_path: Path, pictures: bytes, encoder: str, crf: float | None) -> tuple[float, int]:
    """(PSNR of luma in dB, bytes) of the pictures as ``choose_encoding`` has them stored."""
    encoding = choose_encoding(SPEC, tmp_path / "a.mkv", encoder, crf=crf)
    raw, stored = tmp_path / "raw.yuv", tmp_path / "stored.avi" if encoder == "libxavs2" else tmp_path / "stored.mkv"
    raw.write_bytes(pictures)
    words = [word for key, value in encoding.options for word in (f"-{key}", value)]
    source = ["-f", "rawvideo", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", str(raw)]
    made = ["-vf", conversion(SPEC, encoding.pixel_format), "-c:v", encoding.encoder, *words, str(stored)]
    ffmpeg.run(["-nostdin", "-v", "error", "-y", *source, *made], "encoding")
    if encoder in NOT_DECODED:
        return float("nan"), stored.stat().st_size
    shown_in = "yuvj420p" if encoding.pixel_format == "yuvj420p" else "yuv420p"
    back = [
        "-i",
        str(stored),
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "yuvj420p" if encoder == "mjpeg" else "yuv420p",
        "-",
    ]
    shown = np.frombuffer(ffmpeg.run(["-nostdin", "-v", "error", *back], "decoding").stdout, np.uint8)
    lumas = [np.reshape(b, (-1, WIDTH * HEIGHT * 3 // 2))[:, : WIDTH * HEIGHT].astype(float)
             for b in (shown, np.frombuffer(pictures, np.uint8))]  # fmt: skip
    assert lumas[0].shape == lumas[1].shape
    if shown_in == "yuvj420p":
        lumas[0] = 16 + lumas[0] * 219 / 255
    error = np.mean((lumas[0] - lumas[1]) ** 2)
    return (10 * np.log10(255**2 / error) if error else float("inf")), stored.stat().st_size


@pytest.mark.parametrize("encoder", ON_A_SCALE)
def test_a_better_quality_asked_for_is_a_better_picture(tmp_path, pictures, encoder):
    if encoder not in ffmpeg.encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    scale = quality_scale(encoder)
    assert scale is not None
    span = scale.high - scale.low
    # crf 10 and 50 of 63, and their like on other scales
    good, poor = (round(scale.low + part * span) for part in (0.16, 0.79))
    (fine, large), (coarse, small) = (encoded(tmp_path, pictures, encoder, crf) for crf in (good, poor))
    assert large > 1.5 * small
    if encoder not in NOT_DECODED:
        assert fine > coarse + 5, (fine, coarse)
        usual, _ = encoded(tmp_path, pictures, encoder, None)
        assert usual > 39, usual  # far from what 200 kbit/s give


@pytest.mark.parametrize(
    ("encoder", "suffix", "codec"),
    [
        ("libtheora", ".mkv", "theora"),
        ("libxvid", ".mkv", "mpeg4"),
        ("librav1e", ".mp4", "av1"),
        ("libopenh264", ".mp4", "h264"),
        ("libvpx", ".webm", "vp8"),
        ("dnxhd", ".mov", "dnxhd"),
        ("mpeg4", ".mp4", "mpeg4"),
        ("mpeg4", ".mov", "mpeg4"),
        ("mpeg2video", ".mp4", "mpeg2video"),
        ("mpeg2video", ".mov", "mpeg2video"),
        ("mpeg2video", ".ts", "mpeg2video"),
    ],
)
def test_films_of_encoders_by_their_names_are_checked_as_what_they_hold(tmp_path, encoder, suffix, codec):
    if encoder not in ffmpeg.encoders():
        pytest.skip(f"this ffmpeg has no {encoder}")
    source = make_clip(tmp_path / "a.mkv", frames=3, size=(320, 192))
    made = make_output(source, tmp_path / f"o{suffix}", (2, 4), Fraction(25), codec=encoder)
    assert made.encoding.codec == codec and verify(made.path, made.expectation).frames == 6


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("h264_nvenc", {"rc": "vbr", "cq": "20", "b:v": "0"}),
        ("h264_qsv", {"global_quality": "20"}),
        ("hevc_amf", {"rc": "cqp", "qp_i": "20", "qp_p": "20"}),
        ("hevc_videotoolbox", {"q:v": "61"}),
        ("h264_mf", {"rate_control": "quality", "quality": "61"}),
        ("libvpx", {"crf": "20", "qmin": "20", "qmax": "20", "b:v": "1G"}),
        ("libopenh264", {"rc_mode": "quality", "qmin": "20", "qmax": "20", "b:v": "250M"}),
    ],
)
def test_the_words_of_encoders(encoder, options):
    """Of devices by their listings and manuals: none of them is at hand."""
    scale = quality_scale(encoder)
    if scale is None:
        pytest.skip(f"this ffmpeg has no {encoder}")
    assert scale.options("20") == options


@pytest.mark.parametrize("encoder", ["h264_videotoolbox", "h264_mf", "libtheora", "mjpeg_qsv"])
def test_scales_that_rise_are_turned_round(encoder):
    scale = quality_scale(encoder)
    values = [float(scale.options(f"{crf:g}").popitem()[1]) for crf in (scale.low, 10, 50, scale.high)]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4


@pytest.mark.parametrize("codec", ["h264_vaapi", "h264_vulkan", "h264_qsv", "h264_amf", "h264_v4l2m2m", "hevc_nvenc"])
def test_an_encoder_whose_device_is_not_there_is_told_before_the_work(codec, monkeypatch):
    if codec not in ffmpeg.encoders():
        pytest.skip(f"this ffmpeg has no {codec}")
    monkeypatch.setattr(ffmpeg, "encoder_works", lambda *_: False)
    with pytest.raises(UserError, match="GPU") as caught:
        choose_encoding(SPEC, Path("a.mkv"), codec)
    assert caught.value.code in (ENVIRONMENT, USAGE) and "codec= one of h264" in caught.value.args[1]
