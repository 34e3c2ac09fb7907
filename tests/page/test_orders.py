from __future__ import annotations

import json
import stat
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from clips import make_clip, make_pictures

from vfi_pipeline.errors import UserError
from vfi_pipeline.page.facts import Cut
from vfi_pipeline.page.orders import add_film, add_pictures, kept_cuts, take_upload
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.roots import Roots
from vfi_pipeline.page.settings import PictureSettings, Settings

BLEND = Settings(model="blend", amount="50")


def call(function, *arguments):
    """In this process: it saves a new one."""
    return function(*arguments)


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "films").mkdir()
    return Roots([tmp_path / "films"])


@pytest.fixture
def queue(roots):
    return Queue(roots.state)


def words(job):
    return dict(word.partition("=")[::2] for word in job.words)


@pytest.mark.parametrize("name", ["a.mp4", "$(touch x).mp4", "-i.mp4", "<img src=x onerror=alert(1)>.mp4", "a\nb.mp4"])
def test_a_film_becomes_the_command_that_makes_it(roots, queue, name):
    film = make_clip(roots.folders[0] / "clip.mp4", frames=6).rename(roots.folders[0] / name)
    job = add_film(queue, roots, call, str(film), BLEND)

    target = film.with_name(f"{film.stem}_50fps.mp4")
    assert words(job) == {
        "input": str(film), "fps": "50", "model": "blend", "output": str(target),
        "report": str(queue.file(1, "report.json")),
    }  # fmt: skip
    assert job.target == str(target) and job.frames == 12 and job.title == f"{name}, 50 fps"


def test_nothing_is_replaced(roots, queue):
    film = make_clip(roots.folders[0] / "a.mp4", frames=6)
    (roots.folders[0] / "a_50fps.mp4").write_bytes(b"an older result")
    made = [Path(add_film(queue, roots, call, str(film), BLEND).target).name for _ in range(3)]

    assert len(set(made)) == 3 and "a_50fps.mp4" not in made and made[0] == "a_50fps-2.mp4"


def test_another_container_is_another_ending(roots, queue):
    film = make_clip(roots.folders[0] / "a.mp4", frames=6)

    assert add_film(queue, roots, call, str(film), Settings(model="blend", container="mkv")).target.endswith(".mkv")


def test_cuts_that_are_left_are_handed_over_as_a_list(roots, queue):
    film = make_clip(roots.folders[0] / "a.mp4", frames=6)
    job = add_film(queue, roots, call, str(film), BLEND, [4, 2])

    listed = Path(words(job)["cuts"])
    assert listed == queue.file(1, "cuts.json")
    assert json.loads(listed.read_text()) == {"cuts": [{"frame": 2}, {"frame": 4}]}


def test_cuts_are_handed_over_only_where_some_were_switched_off():
    found = [Cut(frame, 0.0, b"", b"") for frame in (3, 5, 8)]

    assert kept_cuts(found, ()) is None
    assert kept_cuts(found, (5,)) == [3, 8]
    assert kept_cuts(found, (3, 5, 8)) == []


def test_the_pictures_of_a_root_as_one_film_do_not_lead_out_of_it(roots, queue):
    make_pictures(roots.folders[0], frames=4)
    job = add_film(queue, roots, call, str(roots.folders[0]), BLEND)

    assert Path(job.target).parent == roots.folders[0]


@pytest.mark.parametrize("where", ["outside", "link", "missing"])
def test_a_film_outside_of_the_roots_becomes_no_job(roots, queue, tmp_path, where):
    outside = make_clip(tmp_path / "secret.mp4", frames=6)
    (roots.folders[0] / "link.mp4").symlink_to(outside)
    film = {"outside": outside, "link": roots.folders[0] / "link.mp4", "missing": roots.folders[0] / "no.mp4"}[where]
    with pytest.raises(UserError, match="not below the folders"):
        add_film(queue, roots, call, str(film), BLEND)

    assert queue.jobs() == []


def test_what_the_command_would_refuse_is_refused_at_once(roots, queue):
    film = make_clip(roots.folders[0] / "a.mp4", frames=6)
    (roots.folders[0] / "text.mp4").write_text("no film")
    for path, settings in (
        (film, Settings(amount="fast")), (film, Settings(start="5")), (roots.folders[0] / "text.mp4", BLEND),
    ):  # fmt: skip
        with pytest.raises(UserError):
            add_film(queue, roots, call, str(path), settings)


def test_pictures_become_an_animation_in_their_order(roots, queue):
    first, second = make_pictures(roots.folders[0], frames=2)[:2]
    job = add_pictures(queue, roots, call, [str(second), str(first)], PictureSettings(model="blend", container="gif"))

    assert job.words[:2] == (f"input={second}", f"input={first}")
    assert words(job)["duration"] == "2" and job.target.endswith(".gif") and job.frames == 60


def test_one_picture_alone_is_refused(roots, queue):
    picture = make_pictures(roots.folders[0], frames=1)[0]
    with pytest.raises(UserError, match="alone"):
        add_pictures(queue, roots, call, [str(picture)], PictureSettings())


def test_an_upload_is_moved_to_the_films(roots, tmp_path):
    temporary = tmp_path / "temporary"
    (temporary / "hash").mkdir(parents=True)
    (temporary / "hash" / "a.mp4").write_bytes(b"film")
    taken = take_upload(roots, temporary, str(temporary / "hash" / "a.mp4"))

    assert taken == roots.folders[0] / "uploads" / "a.mp4" and taken.read_bytes() == b"film"
    assert not (temporary / "hash" / "a.mp4").exists()


def test_an_upload_is_as_open_to_others_as_any_new_file(roots, tmp_path, file_mode):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with NamedTemporaryFile(dir=temporary, delete=False) as uploaded:  # as Gradio does
        uploaded.write(b"film")
    taken = take_upload(roots, temporary, uploaded.name)

    assert stat.S_IMODE(taken.stat().st_mode) == file_mode and list(taken.parent.iterdir()) == [taken]


@pytest.mark.parametrize("path", ["/etc/passwd", "{films}/own.mp4", "{temporary}/link", "{temporary}/../films/own.mp4"])
def test_what_was_not_uploaded_is_not_moved(roots, tmp_path, path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    own = roots.folders[0] / "own.mp4"
    own.write_bytes(b"film")
    (temporary / "link").symlink_to(own)
    with pytest.raises(UserError, match="not uploaded"):
        take_upload(roots, temporary, path.format(films=roots.folders[0], temporary=temporary))

    assert own.read_bytes() == b"film"
