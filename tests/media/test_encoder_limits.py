"""What an encoder does not take is told before the work, with its own range or names; what it takes goes through."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.media import encoder_limits, ffmpeg
from vfi_pipeline.media.codecs import CODECS
from vfi_pipeline.media.encoders import choose_encoding
from vfi_pipeline.media.encoding import VideoSpec
from vfi_pipeline.media.rate_control import quality_scale

SPEC = VideoSpec("yuv420p", 64, 48, 25)
HOLDERS = {"prores": "a.mov"}
ALL = [*CODECS, "libx264rgb", "libaom-av1", "libvpx", "mpeg2video", "mpeg4", "dnxhd", "mjpeg"]


def refused(target: str, codec: str, **words) -> tuple[str, str]:
    with pytest.raises(UserError) as caught:
        choose_encoding(SPEC, Path(target), codec, **words)
    assert caught.value.code == USAGE
    return caught.value.args[0], caught.value.args[1]


@pytest.fixture
def encoder_of(monkeypatch):
    """Codec -> its encoder, where this ffmpeg has it; NVENC counts as working, with or without a GPU."""
    monkeypatch.setattr(ffmpeg, "encoder_works", lambda *_: True)

    def find(codec: str) -> str:
        names = CODECS[codec].encoders if codec in CODECS else (codec,)
        found = next((name for name in names if name in ffmpeg.encoders()), None)
        return found or pytest.skip(f"this ffmpeg has no {codec}")

    return find


@pytest.mark.parametrize("codec", ALL)
@pytest.mark.parametrize("crf", [-1.0, 99.0, 255.0])
def test_no_codec_takes_a_crf_beyond_its_scale(encoder_of, codec, crf):
    encoder = encoder_of(codec)
    problem, remedy = refused(HOLDERS.get(codec, "a.mkv"), codec, crf=crf)
    if quality_scale(encoder) is None:
        assert "has no crf" in problem and "leave crf= out" in remedy
        return
    low, high = re.search(r": (\d+) to (\d+)", problem).groups()
    assert f"codec={codec}" in problem and float(low) <= float(re.search(r"crf=(\d+)", remedy)[1]) <= float(high)
    for good in (low, high):
        choose_encoding(SPEC, Path(HOLDERS.get(codec, "a.mkv")), codec, crf=float(good))


@pytest.mark.parametrize(("codec", "low", "high"), [("h264", 0, 51), ("hevc", 0, 51), ("vp9", 0, 63), ("av1", 1, 63)])
def test_both_ends_of_the_told_range_are_encoded_and_differ(tmp_path, codec, low, high):
    """The range is the encoder's: a real encoding at either end works, and one step beyond the low end changes it."""
    sizes = []
    for crf in (low, high):
        encoding = choose_encoding(SPEC, tmp_path / "a.mkv", codec, crf=float(crf))
        words = [word for key, value in encoding.options for word in (f"-{key}", value)]
        source = "testsrc2=size=64x48:duration=0.2,format=yuv420p"
        made = ["-f", "lavfi", "-i", source, "-c:v", encoding.encoder, *words, "-f", "nut", "pipe:1"]
        sizes.append(len(ffmpeg.run(["-nostdin", "-v", "error", *made], "encoding").stdout))
    assert sizes[0] > 1.5 * sizes[1]


def test_fractions_where_the_encoder_would_round_them():
    assert "whole numbers" in refused("a.mkv", "vp9", crf=20.5)[0]
    assert refused("a.mkv", "vp9", crf=20.5)[1] == "crf=20 or crf=21."
    assert ("crf", "20.5") in choose_encoding(SPEC, Path("a.mkv"), "h264", crf=20.5).options


@pytest.mark.parametrize("codec", ALL)
def test_no_codec_takes_a_preset_it_does_not_have(encoder_of, codec):
    encoder = encoder_of(codec)
    problem, remedy = refused(HOLDERS.get(codec, "a.mkv"), codec, preset="banana")
    if encoder_limits.preset_option(encoder) is None:
        assert "has no presets" in problem
        return
    assert "preset=banana" in problem
    first = re.search(r"preset=\s?(?:one of )?([\w-]+)", remedy)[1]
    choose_encoding(SPEC, Path(HOLDERS.get(codec, "a.mkv")), codec, preset=first)


@pytest.mark.parametrize(
    ("codec", "typed", "meant"),
    [("h264", "slwo", "slow"), ("hevc", "veryfst", "veryfast"), ("h264", "Medium", "medium"), ("prores", "HQ", "hq")],
)
def test_the_nearest_preset_is_named_first(codec, typed, meant):
    assert refused(HOLDERS.get(codec, "a.mkv"), codec, preset=typed)[1].startswith(f"preset={meant} (one of ")


@pytest.mark.parametrize(("codec", "preset"), [("h264", "5"), ("av1", "-2"), ("av1", "13"), ("vp9", "8"), ("vp9", "0")])
def test_presets_by_number(codec, preset):
    assert preset in dict(choose_encoding(SPEC, Path("a.mkv"), codec, preset=preset).options).values()


@pytest.mark.parametrize(("codec", "preset"), [("av1", "14"), ("av1", "slow"), ("vp9", "9"), ("vp9", "fast")])
def test_numbered_presets_beyond_their_scale(codec, preset):
    problem, remedy = refused("a.mkv", codec, preset=preset)
    assert "a number from" in remedy
    choose_encoding(SPEC, Path("a.mkv"), codec, preset=re.search(r"preset=(-?\d+)", remedy)[1])


@pytest.mark.parametrize(
    ("target", "words", "problem"),
    [
        ("%d.png", {"crf": 18}, ".png has no crf"),
        ("%d.tif", {"crf": 18}, ".tif has no crf"),
        ("%d.webp", {"crf": 18}, ".webp has no crf"),
        ("%d.jpg", {"crf": 60}, "2 to 31"),
        ("%d.png", {"preset": "slow"}, ".png has no presets"),
        ("a.gif", {"crf": 18}, ".gif has no crf"),
        ("a.apng", {"preset": "slow"}, ".apng has no presets"),
        ("a.webp", {"crf": 101}, "0 to 100"),
        ("a.webp", {"preset": "photo"}, ".webp has no presets"),
    ],
)
def test_images_and_animations_take_what_they_say(target, words, problem):
    assert problem in refused(target, "auto", **words)[0]


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "vp9"])
def test_pixel_formats_as_ffmpeg_spells_them_and_nearly(codec):
    assert choose_encoding(SPEC, Path("a.mkv"), codec, pix_fmt="yuv420p10").pixel_format == "yuv420p10le"
    assert choose_encoding(SPEC, Path("a.mkv"), codec, pix_fmt="YUV420P").pixel_format == "yuv420p"
    problem, remedy = refused("a.mkv", codec, pix_fmt="yuv420")
    assert "cannot store pix_fmt=yuv420" in problem and remedy.startswith("pix_fmt=yuv420p (one of ")
    assert refused("a.mkv", codec, pix_fmt="banana")[1].startswith("pix_fmt= one of ")


def test_codecs_in_capitals():
    assert choose_encoding(SPEC, Path("a.mkv"), "HEVC").encoder == "libx265"
