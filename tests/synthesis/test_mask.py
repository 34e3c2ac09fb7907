"""The protection mask."""

import cv2
import numpy as np
import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.synthesis.mask import Mask, keep, read_mask


def noise(name, seed, width=60, height=40):
    fmt, rng = pixel_format(name), np.random.default_rng(seed)
    planes = (rng.integers(0, fmt.peak + 1, fmt.plane_size(i, width, height)) for i in range(len(fmt.planes)))
    return Frame(tuple(p.astype(fmt.dtype) for p in planes), fmt, width, height)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gbrap16le"])
def test_white_keeps_the_source_black_keeps_the_made_frame(name):
    made, source = noise(name, 1), noise(name, 2)
    mask = np.zeros((20, 30), np.float32)  # half the frame's size
    mask[:, 15:] = 1
    kept = keep(made, source, Mask(mask))
    for out, ours, theirs in zip(kept.planes, made.planes, source.planes):
        middle = out.shape[1] // 2
        assert np.array_equal(out[:, : middle - 2], ours[:, : middle - 2])
        assert np.array_equal(out[:, middle + 2 :], theirs[:, middle + 2 :])


def test_grey_mixes_and_nothing_marked_changes_nothing():
    made, source = noise("gray", 1), noise("gray", 2)
    half = keep(made, source, Mask(np.full((7, 3), 0.5))).planes[0]
    assert np.abs(half - (made.planes[0].astype(float) + source.planes[0]) / 2).max() <= 0.5
    assert np.array_equal(keep(made, source, Mask(np.zeros((7, 3)))).planes[0], made.planes[0])


def test_a_picture_is_read_as_brightness_times_opacity(tmp_path):
    path = tmp_path / "mäsk & co.png"
    picture = np.zeros((4, 6, 4), np.uint8)
    picture[:, 3:] = 255
    picture[2:, :, 3] = 0
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    values = read_mask(path).values
    assert values[:2, 3:].min() == 1 and values[:, :3].max() == 0 and values[2:].max() == 0


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(UserError, match="not a picture"):
        read_mask(tmp_path / "a.png")
    with pytest.raises(UserError, match="cannot be read"):
        read_mask(tmp_path / "missing.png")
