"""The measure of cut detectors: labels where the joins are, scores counted as said, a fit that finds what it saw."""

import numpy as np
import photo_shots as shots
import pytest

from benchmarks import shots as bench
from benchmarks.shot_streams import Clip, Stream, halves, on_twos, pan, streams


@pytest.fixture(scope="module")
def clips():
    pictures = {name: [np.clip(p, 0, 255).astype(np.uint8) for p in shots.shot(name, 30)] for name in shots.PHOTOS[:4]}
    return [Clip(name, frames, frames[:12]) for name, frames in pictures.items()]


def test_every_label_is_a_join_and_every_join_is_labelled(clips):
    source = {frame.tobytes(): (clip.name, k) for clip in clips for k, frame in enumerate(clip.pictures)}
    small = [Clip(c.name, [f.copy() for f in c.pictures], c.wide) for c in clips]
    joined = [film for film in streams(small) if film.kind == "cuts to the same scene, mirrored"]

    assert len(joined) == len(clips)
    for film in joined:
        known = [source.get(picture.tobytes()) for picture in film.pictures]
        assert [name is None for name in known] == [False] * 10 + [True] * 10  # mirrored ones are not in the clip
        assert film.cuts == {10}
    assert all(not film.cuts for film in streams(small) if film.kind.startswith("none"))


def test_a_pan_moves_by_its_speed():
    wide = np.broadcast_to(np.linspace(0, 255, 200).astype(np.uint8)[None, :, None], (80, 200, 3)).copy()
    frames = pan(wide, 0.1)  # of 80 px

    steps = [np.median(b.astype(int) - a) for a, b in zip(frames, frames[1:])]
    assert len(frames) == 12 and np.mean(steps) == pytest.approx(8 * 255 / 199, abs=0.5)


def test_sources_are_kept_apart(tmp_path):
    for name in ("a_film-one_00", "b_film-one_01", "c_film-two_00", "d_film-three_00"):
        (tmp_path / f"{name}.mp4").touch()
    fit, test = halves([tmp_path])

    names = [{path.stem for path in half} for half in (fit, test)]
    assert any({"a_film-one_00", "b_film-one_01"} <= half for half in names)
    assert names[0] and names[1] and not names[0] & names[1]


def test_scores_count_found_missed_and_false():
    score = bench.Score()
    score.add(Stream("x", [np.zeros(1)] * 10, frozenset({3, 6})), {3, 7})
    score.add(Stream("x", [np.zeros(1)] * 5), set())

    assert (score.cuts, score.detected, score.false, score.pairs) == (2, 1, 1, 13)
    assert score.precision == score.recall == score.f1 == 0.5


def test_films_on_twos_show_every_picture_twice(clips):
    frames = on_twos(clips[0], crf=18, grain=0)
    near = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames, frames[1:])]

    assert len(frames) == 2 * len(clips[0].wide)
    assert max(near[0::2]) < min(near[1::2])


@pytest.mark.slow
def test_a_fit_finds_the_cuts_that_it_was_shown(clips):
    films = list(streams(clips))
    score = bench.total(bench.measured(bench.ours(rule=bench.fit(films)), films))

    assert score.f1 > 0.9
