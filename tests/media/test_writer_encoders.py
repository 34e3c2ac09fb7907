"""Which encoder and pixel format a film gets, and what the user is told about it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from outputs import video_spec

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.encoders import choose_encoding, default_suffix, image_folder, is_image_target
from vfi_pipeline.media.pixel_formats import shape

PQ = {"matrix": "bt2020nc", "primaries": "bt2020", "transfer": "smpte2084", "range": "tv"}
MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


@pytest.mark.parametrize(
    ("pix_fmt", "target", "codec", "stored"),
    [
        ("yuv420p", "o.mp4", "h264", "yuv420p"),
        ("yuv422p10le", "o.mkv", "h264", "yuv422p10le"),
        ("yuv420p10le", "o.mp4", "h264", "yuv420p10le"),
        ("yuv444p12le", "o.mkv", "hevc", "yuv444p12le"),
        ("yuv440p", "o.mp4", "h264", "yuv444p"),
        ("yuv411p", "o.mp4", "h264", "yuv422p"),
        ("gray", "o.mp4", "h264", "yuv420p"),
        ("gbrp", "o.mp4", "h264", "yuv420p"),
        ("yuva420p", "o.webm", "vp9", "yuva420p"),
        ("yuva420p", "o.mkv", "vp9", "yuva420p"),
        ("yuva420p", "o.mov", "prores", "yuva444p10le"),
        ("yuv420p", "o.webm", "vp9", "yuv420p"),
    ],
)
def test_automatic_choice_keeps_depth_and_subsampling(pix_fmt: str, target: str, codec: str, stored: str) -> None:
    encoding = choose_encoding(video_spec(pix_fmt), Path(target))

    assert (encoding.codec, encoding.pixel_format) == (codec, stored)


@pytest.mark.parametrize(
    ("codec", "stored"),
    [("h264", "yuv444p"), ("hevc", "yuv444p"), ("vp9", "yuv420p"), ("av1", "yuv420p"), ("auto", "yuv420p")],
)
def test_odd_sizes_keep_their_size(codec: str, stored: str) -> None:
    encoding = choose_encoding(video_spec(size=(853, 481)), Path("o.mp4"), codec)

    assert encoding.pixel_format == stored
    assert encoding.codec == ("vp9" if codec == "auto" else codec)
    assert any("odd" in note for note in encoding.notes) == (codec not in ("vp9", "av1"))


def test_odd_height_alone_is_no_obstacle_to_422() -> None:
    encoding = choose_encoding(video_spec("yuv422p", (64, 37)), Path("o.mp4"))

    assert (encoding.codec, encoding.pixel_format) == ("h264", "yuv422p")


def test_a_pixel_format_that_needs_even_sizes_is_refused() -> None:
    with pytest.raises(UserError, match="853x481"):
        choose_encoding(video_spec(size=(853, 481)), Path("o.mp4"), "h264", pix_fmt="yuv420p")


def test_hdr_becomes_hevc_with_its_metadata() -> None:
    spec = video_spec("yuv420p10le", colour=PQ, hdr={"master_display": MASTER, "max_cll": "1000,400"})
    encoding = choose_encoding(spec, Path("o.mp4"))

    params = dict(encoding.options)["x265-params"]
    assert encoding.codec == "hevc"
    assert f"master-display={MASTER}" in params
    assert "max-cll=1000,400" in params
    assert encoding.colour == spec.colour


def test_svt_av1_gets_hdr_metadata_in_plain_units() -> None:
    spec = video_spec("yuv420p10le", colour=PQ, hdr={"master_display": MASTER, "max_cll": "1000,400"})
    encoding = choose_encoding(spec, Path("o.mkv"), "av1")

    params = dict(encoding.options)["svtav1-params"]
    assert "G(0.26500,0.69000)" in params
    assert "L(1000.0000,0.0050)" in params
    assert "content-light=1000,400" in params


def test_rgb_in_h264_says_what_it_costs() -> None:
    encoding = choose_encoding(video_spec("gbrp", colour={"matrix": "gbr", "range": "pc"}), Path("o.mp4"))

    assert any("codec=ffv1 keeps it exactly" in note for note in encoding.notes)
    assert (encoding.colour.matrix, encoding.colour.range) == ("bt709", "tv")


def test_lost_transparency_is_told() -> None:
    encoding = choose_encoding(video_spec("yuva420p"), Path("o.mp4"))

    assert any("Transparency is lost" in note for note in encoding.notes)


def test_sixteen_bit_in_ten_is_told() -> None:
    assert any("16 bit are rounded" in note for note in choose_encoding(video_spec("gray16le"), Path("o.mp4")).notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("o.mp4", "nonsense"), "codec=nonsense is not known"),
        (("o.mp4", "prores"), ".mp4 cannot hold prores"),
        (("o.webm", "h264"), ".webm cannot hold h264"),
        (("o.xyz", "auto"), ".xyz is not a container"),
        (("o.avi", "auto"), ".avi is not a container"),
        (("o.png", "h264"), ".png cannot hold codec=h264"),
        (("o.gif", "h264"), ".gif cannot hold codec=h264"),
        (("o.mp4", "aac"), "codec=aac is not known"),
        (("o.ts", "mpeg4"), ".ts cannot hold mpeg4"),
        (("o.mov", "dnxhd"), "from 256x120 on"),
    ],
)
def test_impossible_choices_are_refused(arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose_encoding(video_spec(), Path(arguments[0]), arguments[1])


def test_unknown_pixel_formats_list_the_known() -> None:
    with pytest.raises(UserError, match="cannot store pix_fmt=yuv9.*\n.*yuv420p10le"):
        choose_encoding(video_spec(), Path("o.mp4"), pix_fmt="yuv9")


def test_prores_and_ffv1_have_no_crf() -> None:
    for codec in ("prores", "ffv1"):
        with pytest.raises(UserError, match="has no crf"):
            choose_encoding(video_spec(), Path("o.mov"), codec, crf=20)


def test_gif_refuses_rates_that_it_cannot_count() -> None:
    with pytest.raises(UserError, match="hundredths of a second"):
        choose_encoding(video_spec(rate=60), Path("o.gif"))
    assert choose_encoding(video_spec(rate=50), Path("o.gif")).finish == "gif"
    assert choose_encoding(video_spec(rate=60), Path("o.webp")).finish == "webp"


def test_nvenc_without_a_gpu_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from vfi_pipeline.media import ffmpeg

    monkeypatch.setattr(ffmpeg, "encoder_works", lambda *_: False)
    with pytest.raises(UserError, match="h264_nvenc"):
        choose_encoding(video_spec(), Path("o.mp4"), "h264_nvenc")


@pytest.mark.parametrize("source", [".mp4", ".mkv", ".mov", ".webm", ".avi", ".ts", ".gif", ".png", ".xyz"])
@pytest.mark.parametrize("codec", ["auto", "h264", "hevc", "av1", "vp9", "prores", "ffv1"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuva420p", "gbrp"])
def test_the_default_container_holds_the_codec(source: str, codec: str, pix_fmt: str) -> None:
    for rate in (25, 60):
        spec = video_spec(pix_fmt, rate=rate)
        suffix = default_suffix(spec, source, codec)
        if codec == "auto" or suffix not in (".gif", ".webp"):
            choose_encoding(spec, Path(f"o{suffix}"), codec)


def test_transparency_is_kept_by_the_default_container() -> None:
    spec = video_spec("gbrap", rate=Fraction(60))
    for source in (".png", ".gif", ".webm", ".mov"):
        encoding = choose_encoding(spec, Path(f"o{default_suffix(spec, source)}"))
        assert shape(encoding.pixel_format).alpha


def test_image_targets_are_told_from_films() -> None:
    assert all(is_image_target(Path(name)) for name in ("a/%08d.png", "a/x_%d.tif", "frames", "one.jpg", "a/%03d.webp"))
    assert not any(is_image_target(Path(name)) for name in ("a.mp4", "a.gif", "a.webp", "a.mkv"))
    assert image_folder(Path("a/%08d.png")) == Path("a")
    assert image_folder(Path("a/frames")) == Path("a/frames")
