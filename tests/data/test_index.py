"""The film index: cuts, repeats, uneven time and motion, from pictures made for the purpose and from real clips."""

import stat
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from films import panning, texture, write_film

from vfi_pipeline.data.index import build, film_index
from vfi_pipeline.errors import UserError

BASE = Fraction(1, 25)
ODD = Path(__file__).parents[3] / "shared" / "odd"


def indexed(pictures, pts=None):
    return build(Path("made.mkv"), zip(pts or range(len(pictures)), pictures), BASE)


def test_motion_is_measured_in_pixels_of_the_film():
    index = indexed(panning(8, speed=5))

    assert np.median(index.motion) == pytest.approx(5, abs=0.7)
    assert not index.cut.any() and not index.still.any()


def test_a_run_ends_at_a_cut():
    index = indexed([*panning(6, seed=1), *panning(7, seed=2)])

    assert np.flatnonzero(index.cut).tolist() == [5]
    assert [run.tolist() for run in index.runs()] == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11, 12]]


def test_a_film_on_twos_is_one_run_of_its_different_pictures():
    index = indexed(np.repeat(panning(6), 2, axis=0))

    assert [run.tolist() for run in index.runs()] == [[0, 2, 4, 6, 8, 10]]


def test_one_repeated_picture_breaks_the_even_time():
    pictures = list(panning(8))

    runs = [run.tolist() for run in indexed([*pictures[:4], pictures[3], *pictures[4:]]).runs()]

    assert runs == [[0, 1, 2, 3], [3, 5], [5, 6, 7, 8]]


def test_a_small_thing_that_moves_is_no_repeat():
    still = texture(96, 128)
    pictures = [still.copy() for _ in range(4)]
    for k, picture in enumerate(pictures):
        picture[40:48, 40 + 3 * k : 48 + 3 * k] = 255

    assert not indexed(pictures).still.any()


def test_a_hole_in_time_is_a_cut():
    index = indexed(panning(10), pts=[0, 1, 2, 3, 4, 30, 31, 32, 33, 34])

    assert np.flatnonzero(index.cut).tolist() == [4]


def test_the_index_is_made_once_until_the_file_changes(tmp_path, monkeypatch):
    film = write_film(tmp_path / "a.mkv", panning(6))
    first = film_index(film, cache=tmp_path / "cache")

    monkeypatch.setattr("vfi_pipeline.data.index.build", None)  # would fail if it were called
    again = film_index(film, cache=tmp_path / "cache")
    monkeypatch.undo()
    write_film(film, panning(9))

    assert np.array_equal(first.motion, again.motion) and again.time_base == first.time_base
    assert len(film_index(film, cache=tmp_path / "cache")) == 9


def test_a_cache_can_be_shared(tmp_path, file_mode):
    film_index(write_film(tmp_path / "a.mkv", panning(6)), cache=tmp_path / "cache")

    assert [stat.S_IMODE(kept.stat().st_mode) for kept in (tmp_path / "cache").iterdir()] == [file_mode]


def test_a_damaged_cache_is_made_again(tmp_path, caplog):
    film = write_film(tmp_path / "a.mkv", panning(6))
    film_index(film, cache=tmp_path / "cache")
    for kept in (tmp_path / "cache").iterdir():
        kept.write_bytes(kept.read_bytes()[:100])

    assert len(film_index(film, cache=tmp_path / "cache")) == 6
    assert "damaged" in caplog.text


def test_only_stretches_of_a_long_film_are_indexed(tmp_path):
    film = write_film(tmp_path / "a.mkv", panning(160, speed=1), rate="5")  # 32 s

    index = film_index(film, cache=tmp_path / "cache", most_s=20)

    assert len(index) == pytest.approx(100, abs=2)  # two stretches of 10 s
    assert index.cut.sum() == 1 and len(index.runs()) == 2


def test_a_missing_film_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.mkv does not exist"):
        film_index(tmp_path / "gone.mkv", cache=tmp_path)


@pytest.mark.skipif(not ODD.is_dir(), reason="needs the shared oddities")
def test_cuts_and_repeats_of_real_films(tmp_path):
    cuts = film_index(ODD / "hard_cuts_every_second.mp4", cache=tmp_path)
    twos = film_index(ODD / "duplicated_frames_on_twos.mp4", cache=tmp_path)

    assert (np.flatnonzero(cuts.cut) + 1).tolist() == [24, 48, 72, 96, 120]
    assert [len(run) for run in twos.runs()] == [40]
