"""The figure of known failures: its scenes move as their captions say, and it shows what was measured."""

import numpy as np

from benchmarks.failures import SCENES, figure
from vfi_pipeline.models.blend import Blend


def test_every_scene_moves_and_is_drawn_the_same_each_time():
    for scene in SCENES.values():
        first, again, last = scene(0.0), scene(0.0), scene(1.0)
        assert first.shape == (256, 352, 3) and first.dtype == np.uint8
        assert np.array_equal(first, again) and np.abs(first.astype(int) - last).mean() > 0.5


def test_the_rails_are_a_period_further_where_they_look_alike():
    rails = next(scene for name, scene in SCENES.items() if "railings" in name)
    moved = np.abs(rails(0.0).astype(int) - rails(1.6))[:, 32:-32]  # 32 px
    assert moved.mean() < 0.1


def test_a_cross_fade_is_told_to_be_as_good_as_itself():
    strip, told = figure(Blend())
    assert len(told) == len(SCENES) and strip.width > 1000
    for line in told:
        ours, faded = (part.split()[1] for part in line.split(": ")[1].split(", "))
        assert abs(float(ours) - float(faded)) < 0.11
