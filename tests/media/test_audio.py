"""Stretched sound is as long as asked, in steps that the filters take."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.audio import encoder_for, tempo_filters, track_filters

STRETCHES = [Fraction(4), Fraction(3, 2), Fraction(1, 2), Fraction(10), Fraction(1, 5), Fraction(1001, 1000)]


@pytest.mark.parametrize("stretch", STRETCHES)
def test_atempo_steps_are_in_range_and_multiply_to_the_tempo(stretch: Fraction) -> None:
    steps = [float(step.removeprefix("atempo=")) for step in tempo_filters(stretch, frozenset({"atempo"}))]

    assert all(0.5 <= step <= 2 for step in steps)
    assert math.prod(steps) == pytest.approx(1 / float(stretch), rel=1e-12)


@pytest.mark.parametrize("filters", [{"rubberband", "atempo"}, {"atempo"}], ids=["rubberband", "atempo"])
@pytest.mark.parametrize("stretch", [Fraction(4), Fraction(3, 2), Fraction(1, 2)])
def test_a_tone_keeps_its_pitch_and_gets_its_length(stretch: Fraction, filters: set[str]) -> None:
    if not filters <= ffmpeg.filters():
        pytest.skip("this ffmpeg lacks the filter")
    chain = ",".join(tempo_filters(stretch, filters))
    command = [
        "-loglevel",
        "error",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=48000:duration=2",
        "-af",
        chain,
    ]
    sound = np.frombuffer(ffmpeg.run([*command, "-ac", "1", "-f", "f32le", "-"], "stretching").stdout, "f4")

    assert len(sound) / 48000 == pytest.approx(2 * float(stretch), rel=0.02)
    middle = sound[len(sound) // 4 : 3 * len(sound) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 48000 / len(middle) == pytest.approx(440, abs=4)


def test_no_stretch_is_no_filter() -> None:
    assert tempo_filters(Fraction(1), frozenset()) == []
    assert track_filters(False, None, Fraction(1), frozenset()) == ["aresample=async=1:min_hard_comp=0.02"]


def test_lossless_sound_stays_lossless_where_the_container_allows() -> None:
    assert encoder_for(".mkv", "pcm_s24le")[1] == "flac"
    assert encoder_for(".mov", "flac")[1] == "alac"
    assert encoder_for(".webm", "flac")[1] == "opus"
    assert encoder_for(".mp4", "vorbis")[1] == "aac"
