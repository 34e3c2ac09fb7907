"""Image sequences: order, samples, orientation, and what is refused."""

from __future__ import annotations

import struct
import zlib
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image, ImageOps

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media import images
from vfi_pipeline.media.frames import Colour, Frame, oriented, oriented_format, pixel_format
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


def read_all(path, **options):
    with read_frames(probe(path, **options)) as frames:
        return list(frames)


def rgb(frame: Frame) -> np.ndarray:
    g, b, r = frame.planes[:3]
    return np.stack([r, g, b], axis=-1)


def test_numbers_in_names_count_as_numbers(tmp_path):
    names = ["img10.png", "img9.png", "img1.png", "IMG2.png", "img02b.png", "a.png", "z.png"]
    ordered = sorted((Path(name) for name in names), key=images.natural_key)
    assert [p.stem for p in ordered] == ["a", "img1", "IMG2", "img02b", "img9", "img10", "z"]


def test_a_folder_is_read_in_natural_order(tmp_path):
    for n in range(1, 13):
        Image.fromarray(np.full((8, 10), 20 * n, np.uint8)).save(tmp_path / f"shot {n}.png")
    assert [frame.planes[0][0, 0] for frame in read_all(tmp_path)] == [20 * n for n in range(1, 13)]


@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrap", "gray", "gbrp16le", "gbrap16le", "gray16le"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_pictures_arrive_sample_for_sample(tmp_path, pix_fmt, suffix):
    folder = tmp_path / "it's a % folder"
    clips.make_pictures(folder, 2, "img{n}" + suffix, (37, 23), pix_fmt, "noise")
    (folder / "notes.txt").write_text("not a picture")
    (folder / ".hidden.png").write_bytes(b"not a picture")

    frames = read_all(folder, image_rate=Fraction(24000, 1001))

    assert len(frames) == 2
    for n, frame in enumerate(frames):
        assert (frame.format.name, frame.width, frame.height) == (pix_fmt, 37, 23)
        assert frame.time == Fraction(1001 * n, 24000)
        for got, want in zip(frame.planes, clips.planes(n, (37, 23), pix_fmt)):
            np.testing.assert_array_equal(got, want)


def test_grey_alpha_palette_and_bits_from_pillow(tmp_path):
    rng = np.random.default_rng(0)
    la = Image.fromarray(rng.integers(0, 256, (20, 30, 2), np.uint8), "LA")
    la.save(tmp_path / "la.png")
    palette = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).quantize(64)
    palette.save(tmp_path / "p.png")
    Image.fromarray(rng.integers(0, 2, (20, 30)).astype(bool)).save(tmp_path / "bits.png")
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "rgb.webp", lossless=True)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(tmp_path / "rgb.bmp")

    for name, mode in (("la.png", "RGBA"), ("p.png", "RGB"), ("rgb.bmp", "RGB"), ("bits.png", "L")):
        frame = read_all(tmp_path / name)[0]
        expected = np.asarray(Image.open(tmp_path / name).convert(mode))
        got = frame.planes[0] if mode == "L" else rgb(frame)
        np.testing.assert_array_equal(got, expected[..., :3] if mode != "L" else expected)
        if mode == "RGBA":
            np.testing.assert_array_equal(frame.planes[3], expected[..., 3])
    webp = read_all(tmp_path / "rgb.webp")[0]
    np.testing.assert_array_equal(rgb(webp), np.asarray(Image.open(tmp_path / "rgb.webp").convert("RGB")))


def test_jpeg_stays_yuv_of_full_range(tmp_path):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8))
    for k, name in enumerate(("yuv444p", "yuv422p", "yuv420p")):
        picture.save(tmp_path / f"{k}.jpg", quality=95, subsampling=k)
        info = probe(tmp_path / f"{k}.jpg")
        assert (info.video.working_format, info.video.colour.range) == (name, "pc")
        stored = Image.open(tmp_path / f"{k}.jpg")
        stored.draft("YCbCr", stored.size)  # without a way through RGB
        luma = np.asarray(stored)[..., 0].astype(int)
        assert abs(read_all(tmp_path / f"{k}.jpg")[0].planes[0].astype(int) - luma).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_pictures_upright(tmp_path, orientation):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    picture.save(tmp_path / "a.png", exif=exif)
    picture.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)

    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    info = probe(tmp_path / "a.png")
    assert (info.video.height, info.video.width) == upright.shape[:2]
    assert info.video.rotation == 0 and not info.video.mirrored
    np.testing.assert_array_equal(rgb(read_all(tmp_path / "a.png")[0]), upright)

    jpeg = Image.open(tmp_path / "a.jpg")
    jpeg.draft("YCbCr", jpeg.size)
    luma = np.asarray(ImageOps.exif_transpose(jpeg))[..., 0].astype(int)
    assert abs(read_all(tmp_path / "a.jpg")[0].planes[0].astype(int) - luma).max() <= 2


def test_a_glob_chooses(tmp_path):
    clips.make_pictures(tmp_path, 3, "left{n}.png")
    clips.make_pictures(tmp_path, 2, "right{n}.png")
    assert len(probe(tmp_path / "left*.png").images) == 3
    assert [p.name for p in probe(tmp_path / "right?.png").images] == ["right1.png", "right2.png"]


def test_another_size_names_the_file(tmp_path):
    clips.make_pictures(tmp_path, 2)
    clips.make_picture(tmp_path / "img3.png", (32, 16))
    with pytest.raises(UserError, match=r"img3\.png is 32x16, but img1\.png is 64x48") as caught:
        read_all(tmp_path)
    assert caught.value.code == BAD_INPUT


def test_grey_among_colours_is_colour_but_16_bit_among_8_is_refused(tmp_path):
    clips.make_pictures(tmp_path, 2, content="noise")
    clips.make_picture(tmp_path / "img3.png", pix_fmt="gray", n=2)
    frames = read_all(tmp_path)
    for plane in frames[2].planes:
        np.testing.assert_array_equal(plane, clips.planes(2, pix_fmt="gray")[0])
    clips.make_picture(tmp_path / "img4.png", pix_fmt="gbrp16le", n=3)
    with pytest.raises(UserError, match=r"img4\.png has the pixel format gbrp16le, but img1\.png has gbrp"):
        read_all(tmp_path)


def test_a_bomb_is_refused_before_it_goes_off(tmp_path):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">2I5B", 60000, 60000, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(bytes(1000)))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b""))
    with pytest.raises(UserError, match=r"60000x60000 are beyond the limit"):
        probe(tmp_path / "bomb.png")
    with pytest.raises(UserError, match=r"64x48 are beyond the limit"):
        probe(clips.make_picture(tmp_path / "a.jpg", pix_fmt="yuv420p"), max_pixels=1000)


def test_an_animated_webp_is_refused(tmp_path):
    frames = [Image.fromarray(np.full((8, 10, 3), 60 * n, np.uint8)) for n in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match="animated WebP"):
        probe(tmp_path / "a.webp")


def test_broken_and_missing_pictures_name_themselves(tmp_path):
    paths = clips.make_pictures(tmp_path, 3)
    info = probe(tmp_path)
    paths[1].write_bytes(paths[1].read_bytes()[:60])
    with pytest.raises(UserError, match=r"img2\.png"), read_frames(info) as frames:
        list(frames)
    paths[1].write_text("no picture at all")
    with pytest.raises(UserError, match=r"img2\.png is not a picture"), read_frames(info) as frames:
        list(frames)
    paths[1].unlink()
    with pytest.raises(UserError, match=r"img2\.png cannot be found"), read_frames(info) as frames:
        list(frames)


# ------------------------------------------------------------------------------------------------ turning planes


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p10le", "gbrap", "gray16le", "yuv422p", "yuv440p10le"])
def test_planes_turn_sample_for_sample(pix_fmt, rotation, mirrored):
    frame = Frame(clips.planes(0, (10, 6), pix_fmt), pixel_format(pix_fmt), 10, 6)

    turned = oriented(frame, rotation, mirrored)

    size = (6, 10) if rotation in (90, 270) else (10, 6)
    assert (turned.width, turned.height) == size
    swap = {"yuv422p": "yuv440p", "yuv440p10le": "yuv422p10le"} if rotation in (90, 270) else {}
    assert turned.format.name == swap.get(pix_fmt, pix_fmt)
    for before, after in zip(frame.planes, turned.planes):
        expected = before[:, ::-1] if mirrored else before
        for _ in range(rotation // 90):
            expected = expected[::-1].T  # clockwise: the first column is the last row's
        np.testing.assert_array_equal(after, expected)
        assert after.flags.c_contiguous


def test_411_turns_into_444_by_repetition():
    frame = Frame(clips.planes(0, (8, 4), "yuv411p"), pixel_format("yuv411p"), 8, 4)
    turned = oriented(frame, 90)
    assert turned.format.name == "yuv444p"
    np.testing.assert_array_equal(turned.planes[1], frame.planes[1].repeat(4, axis=1)[::-1].T)


def test_chroma_sites_turn_with_the_picture():
    form = pixel_format("yuv420p")

    def site(name, rotation, mirrored=False):
        return oriented_format(form, Colour(chroma_location=name), rotation, mirrored)[1].chroma_location

    assert site("left", 90) == "top" and site("topleft", 270) == "bottomleft" and site("center", 90) == "center"
    assert site("top", 270) == "left" and site("top", 180) == "bottom" and site("left", 0) == "left"
    assert site("left", 180) == "center"  # to the right: ffmpeg has no name for it
    assert site(None, 90) is None
