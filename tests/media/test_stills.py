"""Single pictures: every bit of the lossless ones, what viewers show of the others, upright."""

import cv2
import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.data.pairs import picture_of
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.evaluation.samples import read_picture
from vfi_pipeline.media.stills import as_channels, read_rgb8, read_still, samples

LIMIT = 1 << 20
RNG = np.random.default_rng(5)
RGB = RNG.integers(0, 256, (14, 22, 3), dtype=np.uint8)
SMOOTH = np.stack(np.broadcast_arrays(np.arange(22) * 9, np.arange(14)[:, None] * 12, 90), axis=-1).astype(np.uint8)


def interleaved(frame):
    """A frame as Pillow would give it: (h, w) or (h, w, RGB or RGBA)."""
    planes = {plane.kind: samples for plane, samples in zip(frame.format.planes, frame.planes)}
    if "y" in planes:
        return planes["y"]
    return np.stack([planes[kind] for kind in ("r", "g", "b", "a") if kind in planes], axis=-1)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".ppm"])
def test_lossless_pictures_keep_every_bit(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}")

    assert (interleaved(read_still(tmp_path / f"a{suffix}", LIMIT)) == RGB).all()


def test_sixteen_bit_grey_stays_sixteen_bit(tmp_path):
    deep = RNG.integers(0, 65536, (14, 22), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    frame = read_still(tmp_path / "a.png", LIMIT)

    assert frame.format.name == "gray16le" and (frame.planes[0] == deep).all()


@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_is_what_viewers_show(tmp_path, subsampling):
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", quality=80, subsampling=subsampling)

    assert (interleaved(read_still(tmp_path / "a.jpg", LIMIT)) == np.asarray(Image.open(tmp_path / "a.jpg"))).all()


def test_a_grey_jpeg_is_grey(tmp_path):
    Image.fromarray(SMOOTH[..., 0]).save(tmp_path / "a.jpg")
    frame = read_still(tmp_path / "a.jpg", LIMIT)

    assert frame.format.name == "gray" and (frame.planes[0] == np.asarray(Image.open(tmp_path / "a.jpg"))).all()


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_with_alpha_is_what_viewers_show(tmp_path, lossless):
    alpha = np.broadcast_to((np.arange(22) * 11).astype(np.uint8), (14, 22))
    Image.fromarray(np.dstack((SMOOTH, alpha))).save(tmp_path / "a.webp", lossless=lossless, exact=True)
    shown = np.asarray(Image.open(tmp_path / "a.webp").convert("RGBA"))

    assert (interleaved(read_still(tmp_path / "a.webp", LIMIT)) == shown).all()


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
@pytest.mark.parametrize(("tag", "turned"), [
    (1, lambda a: a), (2, lambda a: a[:, ::-1]), (3, lambda a: a[::-1, ::-1]), (4, lambda a: a[::-1]),
    (5, lambda a: a.swapaxes(0, 1)), (6, lambda a: np.rot90(a, -1)), (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
    (8, lambda a: np.rot90(a)),
])  # fmt: skip
def test_pictures_are_turned_as_exif_says(tmp_path, kind, tag, turned):
    path = tmp_path / f"a.{kind}"
    exif = Image.Exif()
    exif[274] = tag
    Image.fromarray(SMOOTH).save(path, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "jpg" else {}))

    made = interleaved(read_still(path, LIMIT)).astype(int)

    assert made.shape == turned(SMOOTH).shape and np.abs(made - turned(SMOOTH)).max() <= 6


def test_cmyk_and_palette_come_as_rgb(tmp_path):
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "a.jpg")
    Image.fromarray(SMOOTH).quantize(16).save(tmp_path / "b.png")

    for name in ("a.jpg", "b.png"):
        shown = np.asarray(Image.open(tmp_path / name).convert("RGB"))
        assert (interleaved(read_still(tmp_path / name, LIMIT))[..., :3] == shown).all()


@pytest.mark.parametrize("cut", [0, 3, 40, 400])
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_broken_pictures_are_told(tmp_path, kind, cut):
    path = tmp_path / f"a.{kind}"
    Image.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:cut])

    with pytest.raises(UserError) as caught:
        read_still(path, LIMIT)
    assert caught.value.code == BAD_INPUT and "a." in str(caught.value)


def test_a_picture_beyond_the_limit_is_refused(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match="beyond the limit"):
        read_still(tmp_path / "a.jpg", 100)


RAMP = np.add.outer(np.arange(14), np.arange(22)) / 40  # 0 to 0.85
DEEP = np.round(RAMP * 65535).astype(np.uint16)


@pytest.mark.parametrize(
    "name, picture",
    [
        ("grey16.png", DEEP),
        ("grey16.tif", DEEP),
        ("int32.tif", DEEP.astype(np.int32)),
        ("float.tif", RAMP.astype(np.float32)),
        ("grey8.png", np.round(RAMP * 255).astype(np.uint8)),
    ],
)
def test_training_evaluation_and_animation_read_depth_grey_and_floats_alike(tmp_path, name, picture):
    Image.fromarray(picture).save(tmp_path / name)
    animated = samples(read_still(tmp_path / name))[..., 0]
    trained, evaluated = picture_of(tmp_path / name, None, 1)[0].numpy(), read_picture(tmp_path / name)

    assert np.abs(animated - RAMP).max() < 1 / 255 and np.array_equal(animated, trained)
    peak = evaluated.format.peak
    for plane in evaluated.planes:
        assert np.abs(plane / peak - RAMP).max() < 1 / 255 and plane.min() == 0 and plane.max() < peak
    if picture.dtype != np.uint8:
        assert np.abs(animated - RAMP).max() < 1 / 65535


def test_floats_in_colour_are_read(tmp_path):
    colours = np.stack([RAMP, 1 - RAMP, RAMP / 2], axis=-1).astype(np.float32)
    cv2.imwrite(str(tmp_path / "a.tif"), colours[..., ::-1])

    assert np.abs(samples(read_still(tmp_path / "a.tif")) - colours).max() < 1 / 65535


@pytest.mark.parametrize("picture", [RAMP * 255, RAMP - 0.5, np.full((4, 4), np.nan)], ids=["255", "negative", "nan"])
def test_floats_beyond_0_to_1_are_refused_with_their_range(tmp_path, picture):
    Image.fromarray(picture.astype(np.float32)).save(tmp_path / "a.tif")

    with pytest.raises(UserError, match="its floats go from .* and count from 0 to 1"):
        read_still(tmp_path / "a.tif")


def test_what_is_see_through_lies_over_mid_grey_where_opacity_is_not_kept(tmp_path):
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[..., 0], rgba[:, 1, 3], rgba[:, 2, 3] = 255, 51, 255  # red: invisible, a fifth, opaque
    Image.fromarray(rgba).save(tmp_path / "a.png")
    expected = [(128, 128, 128), (153, 102, 102), (255, 0, 0)]

    assert [tuple(map(int, pixel)) for pixel in read_rgb8(tmp_path / "a.png")[0]] == expected
    # Standard sets are read as the papers' codes do, which drop the alpha: g, b, r.
    assert [int(p[0, 1]) for p in read_picture(tmp_path / "a.png").planes] == [0, 0, 255]
    premultiplied = picture_of(tmp_path / "a.png", None, 4)
    assert premultiplied[:, 0, 1].tolist() == pytest.approx([0.2, 0, 0, 0.2])


def test_channels_are_made_of_one_another():
    grey, rgb = np.full((2, 2, 1), 0.5, np.float32), np.zeros((2, 2, 3), np.float32)
    rgb[..., 1] = 1

    assert as_channels(grey, 3).shape == (2, 2, 3) and (as_channels(grey, 4)[..., 3] == 1).all()
    assert as_channels(rgb, 1)[0, 0, 0] == pytest.approx(0.587)
    with pytest.raises(ValueError, match="1 channel"):
        as_channels(rgb, 2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
def test_a_damaged_picture_is_refused_by_name(tmp_path, suffix, damage):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path)
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"hello, I am no picture"}[damage])

    with pytest.raises(UserError, match=path.name) as caught:
        read_still(path)
    assert caught.value.code == BAD_INPUT


def test_a_png_with_a_wrong_byte_in_its_middle_is_refused(tmp_path):
    """Decoders make of it what they can; half of a picture is none."""
    Image.fromarray(RGB).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)

    with pytest.raises(UserError, match="a.png cannot be read"):
        read_still(tmp_path / "a.png")
