"""Single pictures: every bit of the lossless ones, what viewers show of the others, upright."""

import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.media.stills import read_still

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
