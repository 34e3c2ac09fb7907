"""What is decided before the work: timeline, cuts, gaps, disk space.

Segments have their own file, test_segments.py, and so do broken time stamps, test_stray_times.py.
"""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

import pytest

from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.plan import cuts_of, estimate_bytes, max_gap_of, timeline_of
from vfi_pipeline.media.encoding import Encoding, VideoSpec
from vfi_pipeline.media.info import SourceInfo, VideoInfo
from vfi_pipeline.media.timeline import SourceTimes

RATE = F(24000, 1001)
TIMES = SourceTimes(range(0, 48 * 1001, 1001), F(1, 24000), 1 / RATE)  # two seconds and two milliseconds


def info(rate=RATE, start=F(0), path="a.mp4", **more):
    video = VideoInfo(0, "h264", 64, 48, "yuv420p", "yuv420p", F(1, 24000), F(rate))
    return SourceInfo(Path(path), "mov", video, **({"start": start} if start else {}), **more)


def timeline(times=TIMES, of=None, **given):
    given = given if given.keys() & {"fps", "multi", "slowmo"} else {"fps": F(60), **given}
    return timeline_of(Options(("a.mp4",), **given), of or info(), times)


@pytest.mark.parametrize(
    ("given", "rate", "slowdown", "count"),
    [
        ({"fps": F(60)}, F(60), 1, 121),  # ceil(2.002 * 60)
        ({"fps": F(60000, 1001)}, F(60000, 1001), 1, 120),
        ({"multi": F(2)}, 2 * RATE, 1, 96),
        ({"multi": F(1, 2)}, RATE / 2, 1, 24),
        ({"slowmo": F(4)}, RATE, 4, 192),
    ],
)
def test_rate_factor_and_slow_motion(given, rate, slowdown, count):
    made = timeline(**given)
    assert (made.rate, made.slowdown, made.count) == (rate, slowdown, count)


def test_a_trim_counts_from_the_start_of_the_file():
    late = SourceTimes(range(10_000, 12_000, 40), F(1, 1000), F(1, 25))  # the pictures begin 5 s after the file does
    made = timeline(late, info(25, F(5)), fps=F(25), start=F("5.4"), end=F(6))
    assert (made.begin, made.end, made.count) == (F("10.4"), F(11), 15)
    assert made.slot(0).source == 10 and made.slot(0).t == 0
    whole = timeline(late, info(25, F(5)), fps=F(25), start=F(1), end=F(60))
    assert whole.count == 50  # what lies outside of the film takes nothing away and adds nothing


def test_a_trim_that_leaves_nothing_is_refused_with_the_films_own_times():
    late = SourceTimes(range(10_000, 12_000, 40), F(1, 1000), F(1, 25))
    with pytest.raises(UserError, match=r"ends at 7\.000 s; start= is 7\.") as caught:
        timeline(late, info(25, F(5)), start=F(7))
    assert caught.value.args[1] == "an earlier start=: start=6 for its last second."
    with pytest.raises(UserError, match=r"begin at 5\.000 s, after end=5\.") as caught:
        timeline(late, info(25, F(5)), end=F(5))
    assert caught.value.args[1] == "a later end=: end=6 for its first second."


@pytest.mark.parametrize(("asked", "rate", "gap"), [(F(1, 2), 24, F(1, 2)), (F(1, 2), 2, F(3, 2)), (None, 24, None)])
def test_a_gap_is_longer_than_asked_and_than_three_frames(asked, rate, gap):
    assert max_gap_of(Options(("a.mp4",), fps=F(60), max_gap=asked), info(rate)) == gap


@pytest.mark.parametrize(
    ("entries", "frames"),
    [
        (None, None),  # looked for
        ((), ()),
        ((0,), ()),  # the first shot begins there anyway
        ((30, 10, 10), (10, 30)),
        ((F(10, 24), F(20, 24)), (10, 20)),  # a little before the frame that starts at 10 * 1001 / 24000
        ((F("0.0208"),), ()),  # nearer to frame 0 than to frame 1 at 0.0417
        ((F("0.0209"),), (1,)),
        ((F("2.0019"),), (47,)),  # in the last frame's own time
    ],
)
def test_cuts_by_number_or_by_the_nearest_frame(entries, frames):
    assert cuts_of(entries, info(), TIMES) == frames


def test_times_of_cuts_count_from_the_start_of_the_file():
    late = SourceTimes(range(10_000, 12_000, 40), F(1, 1000), F(1, 25))
    assert cuts_of((F("5.4"),), info(25, F(5)), late) == (10,)


@pytest.mark.parametrize("entry", [48, F("2.1")])
def test_cuts_outside_the_film_are_refused(entry):
    with pytest.raises(UserError, match=r"has 48 frames in 2\.002 s") as caught:
        cuts_of((entry,), info(), TIMES)
    assert caught.value.code == BAD_INPUT


SPEC = VideoSpec("yuv420p", 1920, 1080, F(60))
RAW = 1920 * 1080 * 3 // 2  # bytes of a frame


@pytest.mark.parametrize(
    ("encoding", "least", "most"),
    [
        (Encoding("h264", "libx264", "yuv420p"), 0.05, 0.2),  # segments and the joined film
        (Encoding("ffv1", "ffv1", "yuv420p", lossless=True), 1.0, 1.3),
        (Encoding("gif", "gif", "pal8", finish="gif"), 0.6, 1.3),  # lossless segments, and the animation
        (Encoding("png", "png", "rgb24", finish="images", lossless=True), 0.5, 0.7),  # images are moved, not joined
    ],
)
def test_disk_space_by_hand(encoding, least, most):
    frames = 600
    assert least <= estimate_bytes(SPEC, encoding, frames, info()) / (frames * RAW) <= most


def test_disk_space_grows_with_the_work_and_a_benchmark_takes_none():
    encoding = Encoding("h264", "libx264", "yuv420p")
    one, ten = (estimate_bytes(SPEC, encoding, frames, info()) - 100_000 for frames in (100, 1000))
    assert ten == pytest.approx(10 * one, rel=1e-6)
    assert estimate_bytes(SPEC, Encoding("none", "none", "yuv420p", finish="nothing"), 1000, info()) == 0


def test_sixteen_bits_take_twice_the_space():
    deep = VideoSpec("yuv420p16le", 1920, 1080, F(60))
    encoding = Encoding("ffv1", "ffv1", "yuv420p16le", lossless=True)
    eight, sixteen = (estimate_bytes(spec, encoding, 1000, info()) - 100_000 for spec in (SPEC, deep))
    assert sixteen == pytest.approx(2 * eight, rel=1e-6)
