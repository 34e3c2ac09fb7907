"""Digits that change on every frame over a picture that moves: each made frame shows one neighbour's, sharp."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pans import PLAIN, SPEED, lettered, made
from photo_shots import SIZE, frame, shot

from vfi_pipeline.synthesis import overlay
from vfi_pipeline.synthesis.counters import camera_motion, changing_digits

FRAMES = 15
COUNTS = {
    "time code": lambda k: f"01:07:{k // 25:02d}:{k % 25:02d}",
    "hundredths": lambda k: f"12.{(4 * k) % 100:02d}",
    "number": lambda k: f"F {4517 + k}",
}
FONTS = {
    "plain": (cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1),
    "bold": (cv2.FONT_HERSHEY_DUPLEX, 0.7, 2),
    "serif": (cv2.FONT_HERSHEY_COMPLEX, 0.6, 1),
}


def counter(rgb, text, style, font, at=(12, 94)):
    """(the picture with ``text`` in it, the counter's place)."""
    face, scale, thick = FONTS[font]
    (width, height), below = cv2.getTextSize(text, face, scale, thick + 2)
    place = np.s_[at[1] - height - 4 : at[1] + below + 2, at[0] - 4 : at[0] + width + 4]
    picture = rgb.astype(np.float64)
    if style != "none":
        picture[place] = picture[place] * {"box": 0.0, "half": 0.4}[style] + {"box": 14.0, "half": 0.0}[style]
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    for colour, width in (((0, 0, 0), thick + 3), ((255, 255, 255), thick))[style != "none" :]:
        cv2.putText(picture, text, at, face, scale, colour, width, cv2.LINE_AA)
    return picture, place


def psnr(one, other):
    return 10 * np.log10(255**2 / max(1e-3, np.mean((one.astype(float) - other) ** 2)))


@pytest.mark.parametrize("grain", [0, 3])
@pytest.mark.parametrize(
    ("count", "style", "font", "name"),
    [
        ("time code", "box", "plain", "coffee"),
        ("time code", "half", "plain", "astronaut"),
        ("hundredths", "none", "bold", "coffee"),
        ("number", "none", "bold", "motorcycle"),
        ("number", "half", "serif", "chelsea"),
        ("hundredths", "box", "serif", "motorcycle"),
    ],
)
def test_a_made_frame_shows_the_digits_of_one_neighbour(count, style, font, name, grain):
    rng = np.random.default_rng(1)
    clear, middle = shot(name, FRAMES, SPEED), shot(name, 2 * FRAMES - 1, SPEED / 2)
    said = [COUNTS[count](k) for k in range(FRAMES)]
    pictures = [counter(p, text, style, font)[0] for p, text in zip(clear, said)]
    pictures = [np.clip(p + rng.normal(0, grain, p.shape), 0, 255) for p in pictures]

    def score(options):
        frames, every = made(pictures, options), []
        for k in range(3, FRAMES - 4):
            truths = [counter(middle[2 * k + 1], said[k + side], style, font) for side in (0, 1)]
            got = frames[2 * k + 1].planes[0]
            every.append(max(psnr(got[place], frame(right).planes[0][place]) for right, place in truths))
        return np.mean(every)

    dragged, kept = score(replace(PLAIN, overlay=False)), score(PLAIN)
    assert kept > 17 and kept > dragged + 6, (kept, dragged)


def masks(pictures, pair):
    frames = [(k, frame(picture)) for k, picture in enumerate(pictures)]
    return overlay.Overlays().masks(frames[max(0, pair - 6) : pair + 8], (pair, pair + 1))


@pytest.mark.parametrize("step", [1, 3, 6])
@pytest.mark.parametrize("ground", ["black", "pan"])
def test_credits_that_roll_past_a_logo_are_no_counter(step, ground):
    clear = shot("coffee", 16, SPEED) if ground == "pan" else [np.zeros((SIZE[1], SIZE[0], 3), np.uint8)] * 16
    pictures = []
    for k, picture in enumerate(clear):
        picture = lettered(picture, "TV1", (140, 20), 0.5)
        for line, name in enumerate(["HILL", "MINNELLI", "LITTLE", "WILLIAM", "ELI FILM", "LEE", "TILL"] * 3):
            cv2.putText(
                picture, name, (20, 25 + 22 * line - step * k), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1
            )
        pictures.append(picture)
    for pair in (4, 7):
        _, changed = masks(pictures, pair)
        for mask in changed:
            assert mask is None or (mask[:, :120] > 0).mean() < 0.002


def test_a_figure_drawn_on_twos_over_a_pan_is_no_counter():
    pictures = []
    for k, picture in enumerate(shot("astronaut", 16, SPEED)):
        picture = lettered(picture, "TV1", (140, 20), 0.5)
        at = (60 + 4 * (k // 2), 60 + 10 * (k // 2 % 2))
        cv2.ellipse(picture, at, (18, 30), 15 * (k // 2 % 3), 0, 360, (240, 220, 60), -1)
        cv2.ellipse(picture, at, (18, 30), 15 * (k // 2 % 3), 0, 360, (10, 10, 10), 2)
        pictures.append(picture)
    for pair in (5, 6, 7, 8):
        _, changed = masks(pictures, pair)
        for mask in changed:
            assert mask is None or not mask[40:, :120].any()


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_bars_and_stills_have_no_counter(name):
    bars = [p.copy() for p in shot(name, 14, SPEED)]
    for picture in bars:
        picture[:12], picture[-12:] = 16, 16
    still = [shot(name, 1)[0]] * 14
    for pictures in (bars, still):
        everywhere = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
        lumas = [overlay.luma(frame(p)) for p in pictures]
        assert changing_digits(lumas, 6, everywhere) == (None, None)


def test_the_camera_s_motion_is_that_of_most_of_the_picture():
    clear = shot("coffee", 2, 5.0)
    passed = [p.copy() for p in clear]
    for k, picture in enumerate(passed):
        cv2.circle(picture, (80 - 6 * k, 60), 14, (255, 255, 255), -1)
    first, last = (overlay.luma(frame(p)) for p in passed)
    motion = camera_motion(first, last)[20:-20, 20:-20]
    assert np.abs(np.median(motion, axis=(0, 1)) - (-5.0, -1.5)).max() < 0.7
    assert np.abs(motion[30:50, 50:70].mean(axis=(0, 1)) - (-5.0, -1.5)).max() < 1.0


def test_too_few_frames_show_no_counter():
    pictures = [counter(p, COUNTS["number"](k), "box", "plain")[0] for k, p in enumerate(shot("coffee", 4, SPEED))]
    lumas = [overlay.luma(frame(p)) for p in pictures]
    assert changing_digits(lumas, 1, np.full_like(lumas[0], 255)) == (None, None)
