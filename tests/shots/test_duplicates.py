"""Repeats are found through noise; small local motion is not taken for a repeat."""

import cv2
import numpy as np
import photo_shots as shots
import pytest

from vfi_pipeline.shots.duplicates import RepeatDetector


def repeats(pictures, **options):
    detector = RepeatDetector(**options)
    return [detector.repeats(shots.frame(np.clip(p, 0, 255))) for p in pictures]


def compressed(picture, quality):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("noise", ["none", "grain", "jpeg"])
def test_film_on_twos_and_threes(times, noise):
    rng = np.random.default_rng(0)
    pictures = [p for p in shots.shot("astronaut", 5, speed=2) for _ in range(times)]
    if noise == "grain":  # at this size, what grain of 12 codes leaves at 1280 px after shrinking to 256
        pictures = [p + rng.normal(0, 2.4, p.shape) for p in pictures]
    if noise == "jpeg":
        pictures = [compressed(p, 88 + k % times) for k, p in enumerate(pictures)]
    assert repeats(pictures) == [k % times > 0 for k in range(5 * times)]


def test_a_mouth_that_moves_is_not_a_repeat():
    still = shots.shot("astronaut", 1)[0]
    speaks = still.copy()
    speaks[40:44, 90:98] = 0.7 * speaks[40:44, 90:98]  # 8 x 4 px of 192 x 108: lips that part
    assert repeats([still, speaks]) == [False, False]


def test_slow_drift_is_seen_in_time():
    verdicts = repeats(shots.shot("astronaut", 30, speed=0.1))
    assert not all(verdicts[1:])


def test_a_fresh_frame_starts_a_run_though_it_looks_the_same():
    frame = shots.frame(shots.shot("coffee", 1)[0])
    detector = RepeatDetector()
    assert [detector.repeats(frame, fresh) for fresh in (False, False, True)] == [False, True, False]


def test_threshold_zero_takes_only_equal_pictures():
    still = shots.shot("coffee", 1)[0].astype(float)
    assert repeats([still, still, still + 2], threshold=0.0) == [False, True, False]


def test_frames_of_one_pixel():
    assert repeats([np.zeros((2, 2, 3)), np.zeros((2, 2, 3)), np.full((2, 2, 3), 200.0)]) == [False, True, False]
