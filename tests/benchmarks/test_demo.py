"""The demo's film has the motion it claims, its table counts the right frames, and the whole run works in small."""

from __future__ import annotations

import json
import math
import wave
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import demo
from benchmarks.scene import ENLARGE, Layer, Pose, Scene, demo_scene, photograph
from vfi_pipeline.viz.filmstrip import GENERATED, SOURCE, Cell, crop, filmstrip

TIMING = demo.Timing()


def ramp(width: int, height: int) -> torch.Tensor:
    """A picture whose red is its x and whose green is its y, in hundreds of pixels, at the enlarged size."""
    x = (torch.arange(width * ENLARGE) + 0.5) / ENLARGE / 100
    y = (torch.arange(height * ENLARGE) + 0.5) / ENLARGE / 100
    red, green = torch.broadcast_tensors(x[None], y[:, None])
    return torch.stack((red, green, torch.zeros_like(red)))[None]


def test_a_layer_lies_exactly_where_its_pose_says():
    # The photograph's (50, 40) lies at (16.25, 9.5), twice as large, turned by a quarter: right in the photograph is
    # down on the screen. A screen point d right of the place shows what is d / 2 above (50, 40).
    pose = Pose((50, 40), (16.25, 9.5), 2.0, math.pi / 2)
    scene = Scene(30, 20, ((0.0, (Layer(ramp(100, 80), lambda _: pose),)),))
    picture = scene.draw(0.0) / 255 * 100

    columns, rows = np.meshgrid(np.arange(30) + 0.5, np.arange(20) + 0.5)
    assert np.abs(picture[..., 0] - (50 + (rows - 9.5) / 2)).max() < 0.25  # a byte is 0.39 px of the ramp
    assert np.abs(picture[..., 1] - (40 - (columns - 16.25) / 2)).max() < 0.25


def test_an_upright_pose_of_zoom_one_shows_the_photograph():
    pose = Pose((100, 100), (32, 24), 1.0)
    scene = Scene(64, 48, ((0.0, (Layer(photograph("coffee.png"), lambda _: pose),)),))
    drawn = scene.draw(0.0).astype(float)
    import skimage.data

    original = skimage.data.coffee()[76:124, 68:132].astype(float)
    assert np.sqrt(np.square(drawn - original).mean()) < 3  # enlarged and averaged again: a little softer


def test_a_shot_ends_at_the_cut():
    scene = demo_scene(64, 36, cut=1.6)
    before, after, later = scene.draw(95 / 60), scene.draw(96 / 60), scene.draw(97 / 60)

    assert np.abs(before.astype(float) - after).mean() > 5 * np.abs(later.astype(float) - after).mean()


def test_the_cup_covers_what_lies_behind_it():
    scene = demo_scene(160, 90)
    (begin, (garage, cup)), _ = scene.shots
    bare = Scene(160, 90, ((begin, (garage,)),)).draw(0.8).astype(float)
    seen = scene.draw(0.8).astype(float)
    x, y = cup.path(0.8).place

    changed = np.abs(seen - bare).sum(axis=2)
    assert changed[int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3].min() > 10
    assert changed[:, :20].max() < 3  # far from the cup nothing changes


def test_every_second_frame_of_the_held_part_repeats_the_one_before():
    shown = [TIMING.shown(source) for source in range(45)]

    assert shown[:32] == list(range(0, 128, 4))
    assert shown[32:] == [128, 128, 136, 136, 144, 144, 152, 152, 160, 160, 168, 168, 176]


def test_the_made_frames_are_those_that_a_source_frame_does_not_show():
    groups = TIMING.groups()

    assert len(groups["all"]) == 135  # 180 less 39 distinct source frames, 3 at the cut, 3 after the last one
    assert len(groups["pan, zoom, occlusion"]) == 69
    assert len(groups["on twos"]) == 42
    assert not {93, 94, 95, 177, 178, 179} & set(groups["all"])
    assert TIMING.pair(2) == (0, 4, Fraction(1, 2))
    assert TIMING.pair(133) == (128, 136, Fraction(5, 8))  # 132 repeats 128 in the source
    assert TIMING.pair(94) is None


def test_a_beep_marks_the_cut(tmp_path):
    demo.beeps(tmp_path / "beeps.wav", TIMING)
    with wave.open(str(tmp_path / "beeps.wav")) as file:
        assert (file.getnframes(), file.getframerate(), file.getnchannels()) == (144000, 48000, 1)
        sound = np.frombuffer(file.readframes(144000), "<i2").astype(float)

    cut = 96 * 800
    assert np.abs(sound[cut - 400 : cut]).max() < 1 < 3000 < np.abs(sound[cut : cut + 2400]).max()


def test_the_figures_are_read_from_the_commands_report(tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"films": [{"nfe_per_pair": 16.5, "min_det": -0.061, "folded": 0.0012}]}))
    assert demo.read_facts(path, 9.0) == demo.Facts(9.0, 16.5, -0.061, 0.12)

    path.write_text(json.dumps({"films": [{"nfe_per_pair": None, "min_det": None, "folded": None}]}))
    assert demo.read_facts(path, 9.0) == demo.Facts(9.0, None, None, None)


def test_a_filmstrip_frames_its_pictures():
    picture = np.full((36, 64, 3), 200, np.uint8)
    row = [Cell(picture, SOURCE, "source"), Cell(picture, GENERATED, "made", "t = 1/2")]
    sheet = np.asarray(filmstrip([row, row], width=128, legend=[(SOURCE, "a source frame")]))

    colours = {tuple(colour) for colour in sheet.reshape(-1, 3)}
    assert {(0x4C, 0x8D, 0xFF), (0xFF, 0x9F, 0x1C), (200, 200, 200)} <= colours
    assert sheet.shape == (40 + 2 * (72 + 40 + 14), 14 + 2 * (128 + 14), 3)


def test_a_crop_stays_inside():
    picture = np.arange(20 * 30 * 3).reshape(20, 30, 3)

    assert np.array_equal(crop(picture, (0, 0), 10, 8), picture[:8, :10])
    assert np.array_equal(crop(picture, (29, 19), 10, 8), picture[12:, 20:])


@pytest.mark.slow
def test_the_whole_demo_in_small(tmp_path, root):
    timing = demo.Timing(frames=48, cut=24, held=(8, 10))
    said: list[str] = []
    demo.run(root, tmp_path, ["model=blend"], said.append, timing, size=(160, 90))

    rows = {row["method"]: row for row in json.loads((tmp_path / "table.json").read_text())["rows"]}
    ours, theirs = rows["ours"]["psnr_db"], rows["linear blend"]["psnr_db"]
    # The same cross-fade by two ways: through a file here, in memory there.
    assert ours["pan, zoom, occlusion"] == pytest.approx(theirs["pan, zoom, occlusion"], abs=0.3)
    assert ours["on twos"] > theirs["on twos"]  # ours re-times the repeats
    assert "| ours |" in (tmp_path / "table.md").read_text()
    assert Image.open(tmp_path / "filmstrip.png").width == 14 + 5 * (320 + 14)
    frames, pictures = demo.read(tmp_path / "side_by_side.mp4")
    assert pictures.shape == (48, 130, 320, 3)
    assert (tmp_path / "film_60fps.mp4").is_file() and any(line.startswith("$ python interpolate.py") for line in said)
