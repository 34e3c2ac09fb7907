"""Films decoded on demand: the same frames as in memory, windows shared, broken films survived."""

import logging

import numpy as np
import pytest
import torch
from films import panning, write_film

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.clips import FilmFolder, find_films
from vfi_pipeline.data.modules import Films
from vfi_pipeline.errors import UserError

WHOLE = Augmentation.none(48)


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("a.mkv", 1), ("b.mkv", 2)):
        write_film(tmp_path / name, panning(40, 2, height=48, width=48, seed=seed))
    (tmp_path / "broken.mp4").write_text("no film")
    return tmp_path


def on_demand(folder, **options):
    return FilmFolder(find_films(folder), WHOLE, **({"cache": folder / "cache", "seed": 3, "threads": 1} | options))


def test_frames_on_demand_are_the_films_own(folder):
    clips = on_demand(folder, reuse=3, window=16)
    true = {film: panning(40, 2, height=48, width=48, seed=film + 1) for film in (0, 1)}

    for film, frames in ((0, [3, 5, 9]), (1, [30, 35, 39]), (0, [0, 1, 2])):
        assert np.array_equal(clips._pictures(film, np.array(frames)), true[film][frames])


def test_samples_that_share_a_window_decode_once(folder, monkeypatch):
    clips, calls = on_demand(folder, reuse=4, window=16), []
    decode = clips._window.__globals__["read_pictures"]
    monkeypatch.setitem(clips._window.__globals__, "read_pictures", lambda *a: calls.append(a) or decode(*a))

    samples = [clips[counter] for counter in range(8, 16)]

    assert 1 <= len(calls) <= 2  # two groups, whose windows may overlap
    assert len({sample.first.numpy().tobytes() for sample in samples}) > 4


def test_a_sample_does_not_depend_on_what_was_drawn_before(folder):
    clips = on_demand(folder)
    for counter in (9, 2, 14):
        clips[counter]

    assert all(torch.equal(a, b) for a, b in zip(clips[7][:4], on_demand(folder)[7][:4]))


def test_a_film_that_breaks_later_costs_a_warning(folder, caplog):
    clips = on_demand(folder, reuse=1)
    (folder / "a.mkv").write_bytes((folder / "a.mkv").read_bytes()[:2000])

    with caplog.at_level(logging.WARNING):
        samples = [clips[counter] for counter in range(12)]

    assert len(samples) == 12 and "a.mkv" in caplog.text


def test_the_module_trains_and_validates_on_different_films(folder):
    module = Films(str(folder), crop=48, val_crop=48, batch_size=4, val_samples=3, cache=str(folder / "cache"))

    batch = next(iter(module.train_dataloader()))

    assert batch.first.shape == (4, 3, 48, 48) and sum(len(part.first) for part in module.val_dataloader()) == 3
    assert [len(side) for side in module.films()] == [1, 1]


def test_a_folder_without_a_usable_film_is_refused(tmp_path):
    (tmp_path / "broken.mp4").write_text("no film")

    with pytest.raises(UserError, match="None of the 1 films"):
        Films(str(tmp_path), cache=str(tmp_path)).films()
