"""What pictures are, by looking: fields, film in fields, or whole; claimed or not."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

import numpy as np
import pytest
from weaving import SIZE, fields_of, film, telecined, woven, write

from vfi_pipeline.media import ffmpeg, fields
from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import picture_times, read_numbered
from vfi_pipeline.media.timeline import SourceTimes


def seen(path: Path) -> fields.Look:
    info = probe(path)
    return fields.look(path, info.video.index, info.video.rate, info.video.interlaced, 10**9)


@pytest.mark.parametrize("flagged", [None, "tff", "bff"])
@pytest.mark.parametrize("top_first", [True, False])
def test_true_fields_are_seen_with_their_order_whatever_is_claimed(tmp_path, flagged, top_first):
    path = write(tmp_path / "a.mkv", woven(film(48), fields_of(24), top_first), "25", flagged)
    assert probe(path).video.interlaced == (flagged is not None)
    found = seen(path)
    assert (found.kind, found.parity, found.cycle) == ("fields", "tff" if top_first else "bff", 0)
    assert found.combed >= 22


@pytest.mark.parametrize("flagged", [None, "tff"])
def test_whole_pictures_are_whole_whatever_is_claimed(tmp_path, flagged):
    assert seen(write(tmp_path / "a.mkv", film(30), "25", flagged)).kind == "whole"


@pytest.mark.parametrize("size", ["96x64", "128x96", "256x144"])
def test_a_drawn_test_picture_that_idet_takes_for_fields_is_whole(tmp_path, size):
    path = tmp_path / "a.mp4"
    source = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r=30:d=1"]
    ffmpeg.run(["-v", "error", *source, "-c:v", "libx264", "-pix_fmt", "yuv420p", str(path)], "drawing a test picture")
    assert seen(path).kind == "whole"  # 128x96 was: fields


@pytest.mark.parametrize("flagged", [None, "tff", "bff"])
@pytest.mark.parametrize(
    ("pattern", "rate", "cycle"),
    [
        (telecined(48), "30000/1001", 5),
        ([(max(0, n - 1), n) for n in range(50)], "25", 0),  # every field one late
        ([(n - n // 25, n - n // 25 - (n % 25 > 12)) for n in range(75)], "25", 25),  # 24 in 25
    ],
    ids=["2:3", "shifted", "24 in 25"],
)
def test_film_in_fields_is_seen(tmp_path, pattern, rate, cycle, flagged):
    pattern = [(max(0, a), max(0, b)) for a, b in pattern]
    found = seen(write(tmp_path / "a.mkv", woven(film(80), pattern), rate, flagged))
    assert (found.kind, found.cycle) == ("film", cycle)


def test_nothing_is_read_into_stills_noise_and_what_scrolls(tmp_path):
    assert seen(write(tmp_path / "still.mkv", film(1) * 30, "25")).kind == "unknown"
    rng = np.random.default_rng(0)
    noise = [rng.integers(16, 236, SIZE[::-1], np.uint8) for _ in range(30)]
    assert seen(write(tmp_path / "noise.mkv", noise, "25")).kind in ("unknown", "whole")
    page = np.repeat(rng.integers(16, 236, (40, SIZE[0]), np.uint8), 12, axis=0)
    credits = [page[3 * n : 3 * n + SIZE[1]] for n in range(60)]
    assert seen(write(tmp_path / "credits.mkv", credits, "25")).kind in ("unknown", "whole")


# ---------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("kind", ["fields", "whole", "film"])
def test_verdicts_are_the_same_without_metadata_of_frames(tmp_path, kind):
    pictures = film(80)
    frames = {
        "fields": woven(pictures, fields_of(30)),
        "whole": pictures[:30],
        "film": woven(pictures, telecined(24)),
    }[kind]
    path = write(tmp_path / "a.mkv", frames, "25")
    info = probe(path)

    def decoded():
        return fields.decode_frames(path, info.video.index, None, 30, 2**28)

    expected = fields.idet_verdicts(decoded())
    assert expected and fields.idet_verdicts_by_selection(list(decoded())) == expected


def test_times_of_fields_and_of_film_frames_by_hand():
    base, frames = F(1, 1000), SourceTimes([0, 40, 80, 200], F(1, 1000), F(40, 1000))
    both = fields.View("fields", "tff").times(frames)
    assert [both.time(k) / base for k in range(8)] == [0, 20, 40, 60, 80, 140, 200, 220] and both.end == frames.end

    ntsc = SourceTimes(range(12), F(1001, 30000), F(1001, 30000))
    out = fields.View("film", "tff", 5).times(ntsc)
    assert len(out) == 10 and out.end == ntsc.end
    assert {out.time(k + 1) - out.time(k) for k in range(9)} == {F(1001, 24000)}
    assert fields.View("film", "tff").times(ntsc) is ntsc


VIEWS = [fields.View("fields", "tff"), fields.View("fields", "bff"), fields.View("film", "tff", 5)]


@pytest.mark.parametrize("view", [*VIEWS, fields.View("film", "tff"), fields.View("frames")])
@pytest.mark.parametrize("count", [1, 2, 7, 33])
def test_there_are_as_many_pictures_as_times_and_parts_read_as_in_the_whole(tmp_path, view, count):
    from dataclasses import replace

    pictures = woven(film(2 * count + 4), telecined(2 * count)[:count])
    info = replace(probe(write(tmp_path / "a.mkv", pictures, "30000/1001")), view=view)
    with read_numbered(info) as frames:
        whole = list(frames)
    times = picture_times(info)
    assert [k for k, _ in whole] == list(range(len(times)))
    assert [frame.time for _, frame in whole] == [times.time(k) for k in range(len(times))]
    assert times.end == index(info).times.end
    for first, stop in ((0, 3), (len(times) // 2, len(times) // 2 + 4), (len(times) - 2, None)):
        with read_numbered(info, first, stop) as frames:
            for k, frame in frames:
                for got, want in zip(frame.planes, whole[k][1].planes):
                    np.testing.assert_array_equal(got, want)


def test_film_comes_back_picture_for_picture(tmp_path):
    from dataclasses import replace

    pictures = film(40)
    path = write(tmp_path / "a.mkv", woven(pictures, telecined(40)), "30000/1001")
    info = replace(probe(path), view=fields.View("film", "tff", 5))
    with read_numbered(info) as frames:
        got = [frame.planes[0] for _, frame in frames]
    assert len(got) == 40
    same = [np.array_equal(a, b) for a, b in zip(got, pictures)]
    assert sum(same) >= 38  # the first field of all has no partner before it


def test_fields_are_moments(tmp_path):
    from dataclasses import replace

    pictures = film(48)
    path = write(tmp_path / "a.mkv", woven(pictures, fields_of(24)), "25")
    info = replace(probe(path), view=fields.View("fields", "tff"))
    with read_numbered(info) as frames:
        got = [frame.planes[0].astype(float) for _, frame in frames]
    assert len(got) == 48
    for n, picture in enumerate(got):
        np.testing.assert_array_equal(picture[n % 2 :: 2], pictures[n][n % 2 :: 2])  # its own lines, untouched
        assert np.abs(picture - pictures[n]).mean() < 2
