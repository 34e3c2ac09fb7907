"""Logos, subtitles and counters over a pan, by the command."""

import cv2
import numpy as np
import pytest

from vfi_pipeline.media import probe
from vfi_pipeline.media.reader import read_frames

TEXT = np.s_[52:94, 14:140]


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A texture that moves 5 px a frame, 160x96, with white letters in a black outline over it."""
    from clips import ALWAYS

    from vfi_pipeline.media import ffmpeg

    rng = np.random.default_rng(3)
    ground = cv2.GaussianBlur(rng.normal(0, 1, (96, 320)).astype(np.float32), (0, 0), 3)
    ground = np.clip(120 + 40 * ground / ground.std(), 30, 220)
    data = b""
    for k in range(14):
        luma = np.ascontiguousarray(ground[:, 5 * k : 5 * k + 160]).astype(np.uint8)
        for shade, width in ((16, 4), (235, 1)):
            cv2.putText(luma, "SO IT GOES", (16, 84), cv2.FONT_HERSHEY_SIMPLEX, 0.6, shade, width, cv2.LINE_AA)
        data += luma.tobytes() + bytes([128]) * (160 * 96 // 2)
    path = tmp_path_factory.mktemp("overlay") / "pan.mkv"
    words = [*ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", "160x96", "-framerate", "25"]
    ffmpeg.run([*words, "-i", "pipe:0", "-c:v", "ffv1", ffmpeg.file_url(path)], doing="film", stdin=data)
    return path


def lumas(path):
    with read_frames(probe.probe(path)) as frames:
        return [frame.planes[0].astype(int) for frame in frames]


def bright(luma):
    return luma[TEXT] > 225


def test_letters_stay_in_made_frames(good, film, tmp_path):
    common = (f"input={film}", "multi=2", "codec=ffv1", "model=flow")
    good(*common, "output=on.mkv")
    good(*common, "output=off.mkv", "overlay=off")
    on, off = lumas(tmp_path / "on.mkv"), lumas(tmp_path / "off.mkv")
    letters = bright(on[0])
    wrong = {name: np.mean([np.abs(film[k][TEXT] - film[0][TEXT])[letters].mean() for k in range(1, 26, 2)])
             for name, film in (("on", on), ("off", off))}  # fmt: skip
    assert wrong["on"] < 3 and wrong["on"] < wrong["off"] / 3
    assert all((a == b).all() for a, b in zip(on[::2], off[::2]))  # copies are copies


def test_segments_and_threads_change_nothing(good, film, tmp_path):
    common = (f"input={film}", "multi=2", "codec=ffv1", "model=flow")
    good(*common, "output=one.mkv")
    good(*common, "output=many.mkv", "segment=0.12")
    assert all((a == b).all() for a, b in zip(lumas(tmp_path / "one.mkv"), lumas(tmp_path / "many.mkv")))


def test_the_remedy_for_another_word_is_followed(command, film):
    result = command(f"input={film}", "fps=50", "overlay=always")
    assert result.code == 2 and "overlay=auto" in result.err
    assert command(f"input={film}", "fps=50", "overlay=auto", "dry_run=true").code == 0


def test_the_case_of_other_tools_users(good, tmp_path, shared):
    case = shared / "cases" / "overlay" / "hud.mp4"
    if not case.exists():
        pytest.skip("the cases are not here")
    good(f"input={case}", "multi=2", "codec=ffv1", "model=flow", "output=made.mkv")
    made = lumas(tmp_path / "made.mkv")
    for box in (np.s_[225:246, 40:326], np.s_[260:278, 20:80]):  # the subtitle, the counter's name
        letters = np.min([frame[box] for frame in made[::2]], axis=0) > 150
        assert letters.sum() > 60
        for k in range(1, 14, 2):
            assert np.abs(made[k][box] - made[k - 1][box])[letters].mean() < 6  # off: 50
    logo = np.s_[46:62, 360:448]
    for k in range(1, 14, 2):
        assert np.abs(made[k][logo] - made[k - 1][logo])[made[k - 1][logo] > 235].mean() < 12
