"""Films decoded on demand: the same frames as in memory, windows shared, broken films survived."""

import logging

import numpy as np
import pytest
import torch
from films import panning, write_film

from vfi_pipeline.data.augment import Augmentation
from vfi_pipeline.data.clips import Decoding, FilmFolder, Windows, find_films
from vfi_pipeline.data.index import film_index
from vfi_pipeline.data.modules import clips, folder_of_videos
from vfi_pipeline.errors import UserError
from vfi_pipeline.media.pictures import read_pictures

WHOLE = Augmentation.none(48)


@pytest.fixture
def folder(tmp_path):
    for name, seed in (("a.mkv", 1), ("b.mkv", 2)):
        write_film(tmp_path / name, panning(40, 2, height=48, width=48, seed=seed))
    (tmp_path / "broken.mp4").write_text("no film")
    return tmp_path


def on_demand(folder, windows=Windows()):
    decoding = Decoding(cache=folder / "cache", threads=1)
    return FilmFolder(find_films(folder), WHOLE, decoding=decoding, windows=windows, seed=3)


def test_frames_on_demand_are_the_films_own(folder):
    films = on_demand(folder, Windows(reuse=3, length=16))
    true = {film: panning(40, 2, height=48, width=48, seed=film + 1) for film in (0, 1)}

    for film, frames in ((0, [3, 5, 9]), (1, [30, 35, 39]), (0, [0, 1, 2])):
        assert np.array_equal(films.read(film, np.array(frames)), true[film][frames])


def test_samples_that_share_a_window_decode_once(folder, monkeypatch):
    films, calls = on_demand(folder, Windows(reuse=4, length=16)), []
    decode = read_pictures
    monkeypatch.setattr("vfi_pipeline.data.clips.read_pictures", lambda *a: calls.append(a) or decode(*a))

    samples = [films[counter] for counter in range(8, 16)]

    assert 1 <= len(calls) <= 2  # two groups, whose windows may overlap
    assert len({sample.first.numpy().tobytes() for sample in samples}) > 4


def test_a_sample_does_not_depend_on_what_was_drawn_before(folder):
    films = on_demand(folder)
    for counter in (9, 2, 14):
        films[counter]

    assert all(torch.equal(a, b) for a, b in zip(films[7][:4], on_demand(folder)[7][:4]))


def test_a_film_without_an_index_is_named_once_though_it_trains_and_validates(folder, caplog, monkeypatch):
    def indexed(path, *rest, **options):
        if path.name == "a.mkv":
            raise UserError(f"{path} breaks off.", "Copy it again.")
        return film_index(path, *rest, **options)

    monkeypatch.setattr("vfi_pipeline.data.clips.film_index", indexed)
    for kind in (clips, folder_of_videos):
        caplog.clear()
        module = kind(str(folder), crop=48, val_crop=48, cache=str(folder / "cache"), val_share=0.0, spans=(2, 6))
        for part in ("train", "val", "test"):
            module.built(part)

        assert caplog.text.count("a.mkv breaks off") == 1 and module.left_out() == 1


def test_a_film_that_breaks_later_costs_a_warning(folder, caplog):
    films = on_demand(folder, Windows(reuse=1))
    (folder / "a.mkv").write_bytes((folder / "a.mkv").read_bytes()[:2000])

    with caplog.at_level(logging.WARNING):
        samples = [films[counter] for counter in range(12)]

    assert len(samples) == 12 and "a.mkv" in caplog.text


def test_the_module_trains_and_validates_on_different_films(folder):
    module = folder_of_videos(
        str(folder), crop=48, val_crop=48, batch_size=4, val_samples=3, cache=str(folder / "cache")
    )

    batch = next(iter(module.train_dataloader()))

    assert batch.first.shape == (4, 3, 48, 48) and sum(len(part.first) for part in module.val_dataloader()) == 3
    assert [len(side) for side in module.films()] == [1, 1]


def test_a_folder_without_a_usable_film_is_refused(tmp_path):
    (tmp_path / "broken.mp4").write_text("no film")

    with pytest.raises(UserError, match="None of the 1 films"):
        folder_of_videos(str(tmp_path), cache=str(tmp_path)).films()


@pytest.mark.parametrize("kind", [folder_of_videos, clips])
@pytest.mark.parametrize("beside", [None, "a still film"])
def test_one_film_alone_is_split_by_time(tmp_path, caplog, kind, beside):
    """Each frame says by its first pixel which one it is: no frame is in two parts, and gaps lie between."""
    frames = panning(120, 2, height=48, width=48, seed=1)
    write_film(tmp_path / "film.mkv", frames)
    if beside:
        write_film(tmp_path / "title.mkv", np.repeat(frames[:1], 20, axis=0))
    module = kind(str(tmp_path), crop=48, val_crop=48, cache=str(tmp_path / "cache"), val_share=0.15, spans=(2, 6))
    module.augmentation = WHOLE
    of = {frame.tobytes(): k for k, frame in enumerate(frames)}
    seen = {}
    for part in ("train", "val", "test"):
        dataset = module.built(part)
        samples = [dataset[counter] for counter in range(60)]
        pictures = [p for s in samples for p in (s.first, *s.targets, s.last)]
        seen[part] = {of[(p * 255).round().byte().permute(1, 2, 0).numpy().tobytes()] for p in pictures}

    assert module.has_test() and "film.mkv is the only film with usable motion: it is split by time" in caplog.text
    assert max(seen["train"]) + 6 <= min(seen["val"]) and max(seen["val"]) + 6 <= min(seen["test"])
    assert min(seen["train"]) < 10 and max(seen["test"]) > 110
    assert module.facts()["split"] == "one film, by time"


def test_one_film_that_is_too_short_to_be_split_is_not_called_a_test(tmp_path, caplog):
    write_film(tmp_path / "film.mkv", panning(14, 2, height=48, width=48))
    options = {"crop": 48, "val_crop": 48, "cache": str(tmp_path / "cache")}
    module = clips(str(tmp_path), **options)
    assert not module.has_test() and len(module.built("val"))
    assert "too short to be split by time: the same films train and validate, and there is no test" in caplog.text

    module = clips(str(tmp_path), **options, val_share=0.0)
    assert not module.has_test() and len(module.built("val")) and "Nothing is kept back" in caplog.text


def test_films_for_the_test_are_neither_trained_on_nor_chosen_by(tmp_path):
    for k in range(6):
        write_film(tmp_path / f"{k}.mkv", panning(12, 2, height=48, width=48, seed=k))
    options = {"crop": 48, "val_crop": 48, "cache": str(tmp_path / "cache"), "val_samples": 2}
    module = clips(str(tmp_path), **options, val_share=0.2, test_share=0.2)
    train, held = module.films()
    tested = module.facts()["test"]

    assert module.has_test() and tested and not {film.name for film in [*train, *held]} & set(tested)
    assert len(train) + len(held) + len(tested) == 6
    assert not clips(str(tmp_path), **options).has_test()
