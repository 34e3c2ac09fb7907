"""What is an input: results never are, nothing is left out unsaid, and two inputs never share a name."""

from __future__ import annotations

import json
import os
from fractions import Fraction as F

import clips
import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


@pytest.fixture
def episodes(tmp_path):
    """A folder of two films."""
    (tmp_path / "in").mkdir()
    for name in ("ep1.mp4", "ep2.mp4"):
        clips.make_clip(tmp_path / "in" / name, frames=3)
    return tmp_path / "in"


TWICE = "2 films: 0 done, 2 skipped, 0 failed"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("in", ("multi=2",)),
        ("in/*", ("multi=2",)),
        ("in", ("slowmo=2",)),
        ("in", ("multi=2", "name={fps}-{model}-{stem}.{ext}")),
        ("in", ("multi=2", "name={stem} smooth.mov")),
        ("in", ("multi=2", "name={stem}.m2ts")),
        ("in/*", ("multi=2", "name={stem}.webm", "crf=50")),
        ("in", ("fps=20", "name={stem}.gif")),
    ],
    ids=["rate", "glob", "slow", "template", "mov", "m2ts", "webm", "gif"],
)
def test_a_folder_may_be_done_twice(good, episodes, given, words):
    assert "2 films: 2 done" in good(f"input={given}", *words).out
    made = sorted(os.listdir(episodes))
    assert TWICE in good(f"input={given}", *words).out
    assert sorted(os.listdir(episodes)) == made
    # Neither are they inputs at another rate, nor in a list as a shell makes it of a pattern.
    assert "2 films: 2 done" in good(f"input={given}", "fps=10", "name={stem}-ten.mkv").out
    listed = [f"in/{name}" for name in sorted(os.listdir(episodes))]
    assert TWICE in good(*listed, "fps=10", "name={stem}-ten.mkv").out
    assert len(os.listdir(episodes)) == 6


def test_a_folder_with_one_film_may_be_done_twice(good, episodes):
    (episodes / "ep2.mp4").unlink()
    assert "1 film: 1 done, 0 skipped, 0 failed" in good("input=in", "multi=2").out
    assert "1 film: 0 done, 1 skipped, 0 failed" in good("input=in", "multi=2").out


def test_a_batch_stopped_in_its_second_film_goes_on(command, good, episodes, monkeypatch):
    from vfi_pipeline.jobs.interrupts import Interrupted
    from vfi_pipeline.media import assemble

    real = assemble.assemble

    def stopped(segments, output, whole, **more):
        if whole.parent.name.startswith("ep2"):
            raise Interrupted("SIGINT")
        return real(segments, output, whole, **more)

    monkeypatch.setattr(assemble, "assemble", stopped)
    first = command("input=in", "multi=2")
    assert first.code == 130 and first.err.rstrip().endswith("input=in multi=2 model=blend")
    monkeypatch.setattr(assemble, "assemble", real)
    again = good("input=in", "multi=2")
    assert "2 films: 1 done, 1 skipped, 0 failed" in again.out
    assert sorted(os.listdir(episodes)) == ["ep1.mp4", "ep1_50fps.mp4", "ep2.mp4", "ep2_50fps.mp4"]


def test_results_of_older_versions_are_known_by_their_names(good, episodes, caplog):
    clips.make_clip(episodes / "ep1_59.94fps.mp4", frames=2)
    clips.make_clip(episodes / "ep2_slow4x.mov", frames=2)
    clips.make_clip(episodes / "other_60fps.mp4", frames=2)  # nothing here is called "other"
    assert "3 films: 3 done" in good("input=in", "multi=2").out
    told = [record.getMessage() for record in caplog.records]
    assert "left out: 2 results of this program (ep1_59.94fps.mp4, ep2_slow4x.mov)" in told


def test_a_result_that_is_named_itself_is_an_input(command, good, episodes):
    good("input=in", "multi=2", "output=out/")
    refused = command("input=out", "multi=2")
    assert refused.code == 3 and "only results of this program" in refused.err
    named = refused.err.split("input=")[1].split(" (")[0]
    good(f"input={named}", "multi=2")
    good("out/ep1_50fps.mp4", "out/ep2_50fps.mp4", "multi=2", "output=more/")


def test_images_beside_their_sources_are_no_inputs(good, tmp_path):
    clips.make_pictures(tmp_path / "shots", frames=4)
    words = ("input=shots", "input_fps=24", "model=hold")
    good(*words, "multi=2", "output=shots/smooth_%03d.png")
    good(*words, "multi=3", "output=shots/film.mkv")
    assert len(index(probe(tmp_path / "shots" / "film.mkv")).times) == 12
    good(*words, "multi=3", "output=shots/smooth_%03d.png", "overwrite=true")
    assert len(list((tmp_path / "shots").glob("smooth_*.png"))) == 12
    good(*words, "multi=3", "output=shots/film.mkv", "overwrite=true")
    # A folder of results alone is a sequence to work on.
    good("input=shots", "input_fps=24", "multi=2", "model=hold", "output=far/%03d.png")
    good("input=far", "input_fps=48", "fps=24", "model=hold", "output=film.mkv")
    assert len(index(probe(tmp_path / "film.mkv")).times) == 4


# ---------------------------------------------------------------------------------------------- two inputs, one name


@pytest.mark.parametrize(
    ("names", "output"),
    [
        (("a/ep.mp4", "b/ep.mp4"), ("output=out/",)),
        (("a/ep.mp4", "a/ep.mov"), ("codec=h264", "name={stem}-x.mkv")),
        (("a/ep.avi", "a/ep.mkv"), ()),
        (("a/ep.mkv", "a/ep.avi", "b/ep.mkv"), ("output=out/",)),
        (("a/one.mp4", "a/two.mp4"), ("name={fps}.{ext}",)),
    ],
)
def test_two_inputs_of_one_name_are_told_before_the_first_film_and_the_remedy_works(
    command, good, tmp_path, names, output
):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        clips.make_clip(tmp_path / name, frames=2)
    refused = command(*names, "multi=2", *output)
    assert refused.code == 2 and "would both become" in refused.err
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) == len(names)  # nothing was made
    template = refused.err.split("name='")[1].split("'")[0]
    others = [word for word in output if not word.startswith("name=")]
    made = good(*names, "multi=2", *others, f"name={template}")
    assert f"{len(names)} films: {len(names)} done" in made.out
    assert sum(len(files) for _, _, files in os.walk(tmp_path)) == 2 * len(names)


def test_folders_of_one_name_cannot_be_told_apart_by_a_template(command, tmp_path):
    for folder in ("x/season", "y/season"):
        (tmp_path / folder).mkdir(parents=True)
        clips.make_clip(tmp_path / folder / "ep.mp4", frames=2)
    refused = command("x/season", "y/season", "multi=2", "output=out/")
    assert refused.code == 2 and "one folder at a time" in refused.err


def test_the_fields_of_the_source(good, episodes):
    good("in/ep1.mp4", "multi=2", "output=out/", "name={folder}-{stem}-{source_ext}.{ext}")
    assert os.listdir(episodes.parent / "out") == ["in-ep1-mp4.mp4"]


# ----------------------------------------------------------------------------------------------- nothing goes unsaid


def test_what_of_a_folder_is_left_out_is_told_and_reported(good, episodes, caplog):
    (episodes / "notes.txt").write_text("ignored")
    (episodes / "ep1.srt").write_text("ignored")
    Image.new("RGB", (8, 8)).save(episodes / "cover.jpg")
    (episodes / "extras").mkdir()
    clips.make_clip(episodes / "extras" / "b.mp4", frames=2)
    (episodes / ".hidden").write_text("")
    good("input=in", "multi=2", "output=in/", "report=r.json")
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert told == [
        "left out: 2 files that are neither film nor picture (ep1.srt, notes.txt)",
        'left out: 1 picture beside films (cover.jpg). Try: input= with a pattern, "in/*.jpg", to work on it',
        f"left out: 1 folder with films or pictures in it (extras{os.sep}). Try: input=in/extras as well",
    ]
    left = json.loads((episodes.parent / "r.json").read_text())["left_out"]
    assert {(os.path.basename(one["path"]), one["why"]) for one in left} == {
        ("ep1.srt", "other"), ("notes.txt", "other"), ("cover.jpg", "picture"), ("extras", "folder"),
    }  # fmt: skip
    # The remedies do what they say.
    good("input=in/*.jpg", "fps=25", "output=cover.mkv", "model=hold")
    assert "3 films: 1 done, 2 skipped" in good("input=in", "input=in/extras", "multi=2").out


def numbered(folder, numbers, suffix=".png", name="shot.{:04d}"):
    folder.mkdir()
    for n in numbers:
        picture = np.full((48, 64, 3), 10 * (n % 20), np.uint8)
        Image.fromarray(picture).save(folder / (name.format(n) + suffix))


def test_missing_numbers_keep_their_time(good, tmp_path, caplog):
    numbered(tmp_path / "shots", [1001, 1002, 1003, 1004, 1008, 1009])
    made = good("input=shots", "input_fps=24", "multi=2", "output=out.mp4", "codec=ffv1", "scene=off", "report=r.json")
    assert "18 frames at 48 fps, 0.375 s, verified" in made.out
    line = "3 numbers are missing in the sequence (shot.1005.png to shot.1007.png): their time is kept."
    told = next(record.getMessage() for record in caplog.records if "missing" in record.getMessage())
    assert told.startswith(line)
    (film,) = json.loads((tmp_path / "r.json").read_text())["films"]
    assert any(note.startswith(line) for note in film["notes"])
    with read_frames(probe(tmp_path / "out.mp4")) as frames:
        levels = [int(frame.planes[0][0, 0]) for frame in frames]
    assert levels[6] == 40 and levels[14] == 80 and levels[6:15] == sorted(levels[6:15])
    assert abs(levels[10] - 60) <= 1  # half-way between 1004 and 1008

    listed = ",".join(f"shots/shot.{n}.png" for n in (1001, 1002, 1003, 1004, 1008, 1009))
    assert "12 frames at 48 fps, 0.250 s" in good(f"input=[{listed}]", "input_fps=24", "multi=2", "output=b.mp4").out


@pytest.mark.parametrize(
    ("numbers", "count"),
    [
        ([1, 2, 3, 4, 5], 5),
        ([0, 10, 20, 30], 4),  # every tenth
        ([0, 10, 30, 40], 5),
        ([1, 2, 3, 9000], 4),  # another series
        ([3, 7, 20, 22], 4),  # no sequence
    ],
)
def test_numbers_in_steps(good, tmp_path, numbers, count, caplog):
    numbered(tmp_path / "shots", numbers)
    good("input=shots", "input_fps=24", "multi=1", "output=out.mp4", "model=hold")
    assert index(probe(tmp_path / "out.mp4")).times.span == F(count, 24)
    assert len(index(probe(tmp_path / "out.mp4")).times) == count
    told = [record.getMessage() for record in caplog.records if "missing" in record.getMessage()]
    assert len(told) == (9000 in numbers or count > len(numbers))


@pytest.mark.parametrize("first", [".png", ".avif", ".jpg"])
def test_avif_is_read_among_other_pictures(good, tmp_path, first):
    kinds = [first, *({".png", ".avif", ".jpg", ".webp"} - {first})]
    (tmp_path / "shots").mkdir()
    y, x = np.mgrid[0:48, 0:64]
    for n, suffix in enumerate(kinds):
        picture = np.stack([4 * x, 5 * y, np.full_like(x, 60 * n)], axis=-1).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "shots" / f"{n:04d}{suffix}", quality=95)
    good("input=shots", "input_fps=24", "multi=2", "output=out.mkv", "codec=ffv1", "scene=off")
    with read_frames(probe(tmp_path / "out.mkv")) as frames:
        made = list(frames)
    assert len(made) == 8
    for n in range(4):
        shown = np.stack([made[2 * n].planes[k] for k in (2, 0, 1)], axis=-1).astype(int)
        own = np.asarray(Image.open(tmp_path / "shots" / f"{n:04d}{kinds[n]}").convert("RGB")).astype(int)
        assert abs(shown - own).max() == 0  # as Pillow decodes it


def test_a_picture_that_cannot_be_read_is_told_and_its_time_kept(good, tmp_path, caplog):
    numbered(tmp_path / "shots", range(1, 7))
    (tmp_path / "shots" / "shot.0003.png").write_text("no picture at all")
    (tmp_path / "shots" / "shot.0004.png").rename(tmp_path / "shots" / "shot.0004.heic")
    (tmp_path / "shots" / "shot.0004.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    made = good("input=shots", "input_fps=24", "multi=2", "output=out.mp4", "scene=off")
    assert "12 frames at 48 fps, 0.250 s, verified" in made.out
    told = [record.getMessage() for record in caplog.records]
    assert any(
        line.startswith("left out: 2 pictures that cannot be read (shot.0003.png, shot.0004.heic). Try: pip install")
        for line in told
    )
    assert any("2 numbers are missing in the sequence (shot.0003.png to shot.0004.heic)" in line for line in told)


def test_an_animation_among_pictures_is_told(good, tmp_path, caplog):
    numbered(tmp_path / "shots", range(1, 4))
    frames = [Image.new("RGB", (64, 48), (60 * n, 0, 0)) for n in range(3)]
    frames[0].save(tmp_path / "shots" / "anim.webp", save_all=True, append_images=frames[1:])
    good("input=shots", "fps=25", "output=out.mp4", "model=hold")
    assert any("1 picture that cannot be read (anim.webp)" in record.getMessage() for record in caplog.records)
    assert len(index(probe(tmp_path / "out.mp4")).times) == 3


def test_another_size_is_told_before_the_work(command, tmp_path):
    numbered(tmp_path / "shots", range(1, 4))
    Image.new("RGB", (32, 32)).save(tmp_path / "shots" / "shot.0003.png")
    refused = command("input=shots", "fps=25", "output=out.mkv")
    assert refused.code == 3 and "shot.0003.png is 32x32, but shot.0001.png is 64x48" in refused.err
    assert sorted(os.listdir(tmp_path)) == ["shots"]
