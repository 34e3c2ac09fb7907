"""One frame of a film at a moment, as a picture."""

import re
from fractions import Fraction as F

import clips
import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.media.timeline import Moments, SourceTimes


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


@pytest.fixture
def film(tmp_path):
    """Grey frames of levels 0, 20, 40... at 10 frames per second, as full-range RGB."""
    from vfi_pipeline.media import ffmpeg

    data = b"".join(bytes([20 * k]) * (64 * 48 * 3) for k in range(10))
    words = [*clips.ALWAYS, "-f", "rawvideo", "-pixel_format", "gbrp", "-video_size", "64x48", "-framerate", "10"]
    ffmpeg.run([*words, "-i", "pipe:0", "-c:v", "ffv1", ffmpeg.file_url(tmp_path / "a.mkv")], doing="film", stdin=data)
    return tmp_path / "a.mkv"


@pytest.mark.parametrize(
    "at, level", [("0", 0), ("0.25", 50), ("0:00:00.3", 60), ("1/8", 25), ("425ms", 85), ("0.95", 180)]
)
def test_a_moment_is_exactly_that_moment(good, film, tmp_path, at, level):
    result = good(f"input={film}", f"at={at}", "output=one.png")
    assert (pixels(tmp_path / "one.png") == level).all() and "one.png: 1 picture, verified" in result.out


def test_the_picture_is_named_after_the_moment(good, film, tmp_path):
    good(f"input={film}", "at=0.25")
    assert (pixels(tmp_path / "a_at_0.25.png") == 50).all()
    good(f"input={film}", "at=0.25", "output=folder/", "name={stem}-{at}.{ext}")
    assert (tmp_path / "folder" / "a-0.25.png").exists()


def test_several_moments_are_numbered_in_the_order_typed(good, film, tmp_path):
    good(f"input={film}", "at=[0.75,0.05,0.4]", "output=%02d.png")
    assert [int(pixels(tmp_path / f"{k:02d}.png").mean()) for k in (1, 2, 3)] == [150, 10, 80]
    good(f"input={film}", "at=[0.1,0.2]")
    assert [p.name for p in sorted(tmp_path.glob("a_at_*"))] == ["a_at_000001.png", "a_at_000002.png"]


def test_the_plan_names_the_moment_and_says_copied_or_made(good, film):
    plan = good(f"input={film}", "at=0.25", "dry_run=true").out
    assert "the moment 0.25 s" in plan and "0 copied from the source, 1 between two source frames" in plan
    assert "1 copied" in good(f"input={film}", "at=0.2", "dry_run=true").out


def test_it_is_the_frame_that_the_whole_film_has_there(good, tmp_path):
    clips.make_clip(tmp_path / "b.mkv", rate="24000/1001", frames=24, pix_fmt="gbrp")
    good("input=b.mkv", "multi=4", "output=all/%03d.png", "model=flow")
    moment = F(1001, 24000) * F(27, 4)
    good("input=b.mkv", f"at={moment.numerator}/{moment.denominator}", "output=one.png", "model=flow")
    assert (pixels(tmp_path / "one.png") == pixels(tmp_path / "all" / "028.png")).all()


def test_another_size_and_other_kinds_of_pictures(good, film, tmp_path):
    good(f"input={film}", "at=0.25", "size=32x24", "output=one.jpg")
    assert Image.open(tmp_path / "one.jpg").size == (32, 24)


@pytest.mark.parametrize(
    "words, problem, remedy",
    [
        (("at=2",), "ends at 1.000 s", "at=0.9"),
        (("at=1",), "ends at 1.000 s", "at=0.9"),
        (("at=soon",), "is not a time", "at=90.5"),
        (("at=[1,",), "nor a list", "at=[1.5,2.25]"),
        (("at=0.5", "fps=60"), "both given", "fps= alone"),
        (("at=0.5", "start=0.2"), "no meaning beside at=", "leave out start="),
        (("at=0.5", "output=b.mp4"), "is a film", "b.png"),
        (("at=[0.1,0.2]", "output=b.png"), "cannot all be called", "b_%06d.png"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(command, film, tmp_path, words, problem, remedy):
    result = command(f"input={film}", *words)
    assert result.code in (2, 3) and problem in result.err and remedy in result.err
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_the_last_frame_is_where_the_remedy_says(good, film, tmp_path):
    good(f"input={film}", "at=0.9", "output=last.png")
    assert (pixels(tmp_path / "last.png") == 180).all()


def test_for_films_there_is_at(command, film):
    result = command(f"input={film}", "t=0.5")
    assert result.code != 0 and "say at=0 (seconds)" in result.err


def test_for_pictures_there_is_t(command, tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 24)).save(tmp_path / name)
    result = command("input=[a.png,b.png]", "duration=1", "at=0.5")
    assert result.code == 2 and "at= is for films" in result.err


def test_moments_between_uneven_frames():
    times = SourceTimes((0, 10, 40, 60), F(1, 100), F(1, 10))
    slots = list(Moments(times, F(25), [F(25, 100), F(-1), F(69, 100), F(40, 100)]).slots())
    assert [(slot.source, slot.t) for slot in slots] == [(1, F(1, 2)), (0, 0), (3, 0), (2, 0)]
    with pytest.raises(ValueError, match="before the film's end"):
        Moments(times, F(25), [F(7, 10)])


def told(caplog):
    return [record.getMessage() for record in caplog.records]


def test_what_a_picture_cannot_have_is_not_told_as_lost(good, tmp_path, caplog):
    from vfi_pipeline.media.probe import probe

    film = clips.make_clip(
        tmp_path / "b.mkv", frames=10, audio=("eng", "ger"), subtitles=("eng",), chapters=2, font=True, cover=True
    )
    assert len(probe(film).others) == 5
    plan = good("input=b.mkv", "at=0.1", "dry_run=true").out
    made = good("input=b.mkv", "at=0.1").out
    assert not [line for line in (*told(caplog), *plan.splitlines(), *made.splitlines()) if "LOST" in line]
    caplog.clear()
    good("input=b.mkv", "multi=1", "output=all/%03d.png")  # of a film as pictures it is
    assert sum("LOST" in line and "ends in .mkv" in line for line in told(caplog)) >= 4
    caplog.clear()
    good("input=b.mkv", "multi=1", "audio=drop", "subtitles=drop", "output=none/%03d.png")
    assert sum("LOST (as asked)" in line and "Try" not in line for line in told(caplog)) == 3


def test_another_video_is_named_with_the_option_that_takes_it(good, tmp_path, caplog):
    from vfi_pipeline.media import ffmpeg

    clips.make_clip(tmp_path / "b.mkv", frames=3)
    words = ["-i", ffmpeg.file_url(tmp_path / "b.mkv"), "-map", "0:v", "-map", "0:v", "-c", "copy"]
    ffmpeg.run([*clips.ALWAYS, *words, ffmpeg.file_url(tmp_path / "two.mkv")], "two videos")
    for job in (("at=0",), ("multi=1", "output=a/%d.png"), ("multi=1", "output=a.gif"), ("multi=1", "output=a.mkv")):
        caplog.clear()
        good("input=two.mkv", *job)
        assert [line for line in told(caplog) if "LOST" in line and "Try: stream=1 works on this one" in line]


@pytest.mark.parametrize("at", ["0.1", "0.15", "[0.1,0.15]", "[0.1,0.2,0.31]"])
@pytest.mark.parametrize("output", [(), ("output=some/%02d.png",)])
def test_files_that_are_told_are_there_and_pictures_are_not_called_frames(good, film, tmp_path, caplog, at, output):
    plan, made = (good(f"input={film}", f"at={at}", *output, *more).out for more in (("dry_run=true",), ()))
    count = at.count(",") + 1
    assert f": {count} picture{'s' * (count > 1)}, verified." in made and "frames at" not in made
    said = made.partition(": ")[0]
    names = said.replace(" and ", "|").replace(" to ", "|").split("|")
    folder = (tmp_path / names[0]).parent
    found = sorted(path.name for path in folder.glob("*.png"))
    assert [names[0].rpartition("/")[2], *names[1:]] == (found if count < 3 else [found[0], found[-1]])
    assert said in plan and not any("%0" in line or "1 frames" in line for line in (*told(caplog), plan, made))


def test_one_of_a_thing_is_not_called_by_its_plural(good, tmp_path, caplog):
    clips.make_clip(tmp_path / "b.mkv", frames=1, chapters=1)
    clips.make_clip(tmp_path / "c.mkv", frames=2)
    for words in (("input=b.mkv", "multi=1"), ("input=c.mkv", "multi=1", "end=0.04"), ("input=b.mkv", "multi=2")):
        for more in ("dry_run=true", "output=out.mkv", "output=out/%d.png", "output=a.gif", "benchmark=true"):
            caplog.clear()
            out = good(*words, more, "overwrite=true").out
            texts = [out, *told(caplog)]
            assert not [
                text for text in texts if re.search(r"(?<![\d.])1 (\w+ )?(frames|pictures|chapters|cuts)\b", text)
            ]
            assert not any("0 frames made" in text or "made at 0.00" in text for text in texts)
