"""Which films a user's words name, by names alone (the bytes of images are looked at only to tell animations)."""

from __future__ import annotations

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.sources import films

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(17) + b"\0\0\0\0IDAT" + bytes(8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shots").mkdir()
    for n in (1, 2, 10):
        (tmp_path / "shots" / f"im{n}.png").write_bytes(PNG)
    (tmp_path / "films").mkdir()
    for name in ("b.mp4", "a.mkv", "notes.txt", ".hidden.mp4"):
        (tmp_path / "films" / name).touch()
    return tmp_path


def names(found):
    return [[file.name for file in film.files] for film in found]


@pytest.mark.parametrize("given", ["shots", "shots/", "shots/im*.png", "shots/im%d.png", "shots/im%02d.png"])
def test_images_are_one_film_in_natural_order(folder, given):
    assert names(films([given])) == [["im1.png", "im2.png", "im10.png"]]


def test_a_folder_of_videos_is_a_batch(folder):
    assert names(films(["films"])) == [["a.mkv"], ["b.mp4"]]


def test_images_named_one_by_one_keep_their_order(folder):
    assert names(films(["shots/im10.png", "shots/im1.png"])) == [["im10.png", "im1.png"]]
    assert films(["shots/im10.png", "shots/im1.png"])[0].stem == "im"


def test_a_list_in_brackets_unless_a_file_is_called_so(folder):
    assert names(films(["[films/b.mp4, 'films/a.mkv']"])) == [["b.mp4"], ["a.mkv"]]
    (folder / "[films").mkdir()
    (folder / "[films" / "b].mp4").touch()
    assert names(films(["[films/b].mp4"])) == [["b].mp4"]]


def test_the_same_file_twice_is_one_film(folder):
    assert names(films(["films/a.mkv", "films", "films/a.mkv"])) == [["a.mkv"], ["b.mp4"]]


def test_the_output_of_a_folder_of_images_goes_beside_it(folder):
    (film,) = films(["shots"])
    assert film.stem == "shots" and film.home == folder


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("none.mp4", "does not exist"),
        ("films/a.mk", "did you mean films/a.mkv"),
        ("none*.png", "does not exist"),
        ("http://x/y.mp4", "download it first"),
        ("rtsp://x", "download it first"),
        ("", "does not exist"),
        ("dangling.mp4", "link to nothing"),
        ("empty", "neither videos nor images"),
    ],
)
def test_what_is_not_there_is_told(folder, given, message):
    (folder / "dangling.mp4").symlink_to("nowhere")
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=message) as told:
        films([given])
    assert told.value.code == 3
