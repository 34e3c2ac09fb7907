"""Films in another size: what is written, what is told, what is refused with a remedy that works."""

from fractions import Fraction as F

import clips
import numpy as np
import pytest
import weaving

from vfi_pipeline.media import probe
from vfi_pipeline.media.reader import read_frames


def pictures(path):
    with read_frames(probe.probe(path)) as frames:
        return list(frames)


def video(path):
    return probe.probe(path).video


def test_a_film_gets_another_size_and_keeps_its_time_and_sound(good, tmp_path, caplog):
    clips.make_clip(tmp_path / "a.mp4", rate="24", frames=12, size=(64, 48), audio=("eng",))
    result = good("input=a.mp4", "multi=2", "size=96x72", "output=b.mkv", "codec=ffv1")
    assert "24 frames" in result.out
    assert "64 x 48 to 96 x 72 (bicubic)" in caplog.text and "not the source's bit for bit" in caplog.text
    found = probe.probe(tmp_path / "b.mkv")
    assert (found.video.width, found.video.height, found.video.sample_aspect) == (96, 72, 1)
    assert [stream.kind for stream in found.others] == ["audio"] and len(pictures(tmp_path / "b.mkv")) == 24


def test_the_plan_says_it(good, tmp_path):
    clips.make_clip(tmp_path / "a.mp4", frames=6, size=(64, 48))
    plan = good("input=a.mp4", "fps=60", "size=2x", "dry_run=true").out
    assert "128 x 96" in plan and "not the source's bit for bit" in plan
    square = good("input=a.mp4", "fps=60", "size=48x48", "dry_run=true").out
    assert "cropped to the middle 48 x 48" in square
    assert (
        "bars around a picture of 48 x 36"
        in good("input=a.mp4", "fps=60", "size=48x48", "fit_size=pad", "dry_run=true").out
    )


@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p", "gbrp", "gray"])
def test_depth_and_chroma_stay(good, tmp_path, pix_fmt):
    clips.make_clip(tmp_path / "a.mkv", frames=4, size=(64, 48), pix_fmt=pix_fmt, content="grey")
    good("input=a.mkv", "multi=2", "size=0.5x", "codec=ffv1", "output=b.mkv")
    made = pictures(tmp_path / "b.mkv")
    assert made[0].format.name == pix_fmt and (made[0].width, made[0].height) == (32, 24)
    for k, plane in enumerate(clips.planes(0, (64, 48), pix_fmt, "grey")):
        assert np.abs(made[3].planes[k].astype(int) - int(plane[20, 20])).max() <= 1


def test_films_seen_turned_or_with_long_pixels_come_out_in_the_size_that_is_seen(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=4, size=(72, 58), sample_aspect="64/45")
    good("input=a.mkv", "multi=2", "size=128x72", "output=b.mkv")
    assert (video(tmp_path / "b.mkv").width, video(tmp_path / "b.mkv").sample_aspect) == (128, 1)
    good("input=a.mkv", "multi=2", "size=2x", "output=c.mkv")
    assert video(tmp_path / "c.mkv").sample_aspect == F(64, 45)


def test_a_turned_film_stays_turned_and_is_as_large_as_asked_when_seen(good, tmp_path):
    clips.make_clip(tmp_path / "a.mp4", frames=4, size=(64, 48), rotation=90)
    good("input=a.mp4", "multi=2", "size=96x128", "output=b.mp4")
    stored = video(tmp_path / "b.mp4")
    assert (stored.width, stored.height, stored.rotation) == (128, 96, 90)
    good("input=a.mp4", "at=0.06", "size=96x128", "output=one.png")
    from PIL import Image

    assert Image.open(tmp_path / "one.png").size == (96, 128)


def test_fields_become_pictures_before_they_are_resized(good, tmp_path):
    frames = weaving.woven(weaving.film(24), weaving.fields_of(12))
    weaving.write(tmp_path / "a.mkv", frames, "25", flagged="tff")
    good("input=a.mkv", "multi=1", "size=2x", "output=b.mkv", "codec=ffv1")
    made, truth = pictures(tmp_path / "b.mkv"), weaving.film(24)
    assert len(made) == 24 and made[0].width == 2 * weaving.SIZE[0]
    for k in (6, 9, 14):  # of each second picture too, which a frame only held a field of
        small = made[k].planes[0].reshape(weaving.SIZE[1], 2, weaving.SIZE[0], 2).mean(axis=(1, 3))
        assert np.abs(small - truth[k])[8:-8, 8:-8].mean() < 3


def test_segments_change_nothing(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="24", frames=48)
    words = ("input=a.mkv", "multi=2", "size=0.5x", "codec=ffv1")
    good(*words, "output=one.mkv")
    good(*words, "output=many.mkv", "segment=0.5")
    assert clips.describe(tmp_path / "one.mkv")["md5"] == clips.describe(tmp_path / "many.mkv")["md5"]


def test_an_untagged_film_keeps_the_colours_that_players_guessed(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 48))
    assert video(tmp_path / "a.mkv").colour.matrix is None
    good("input=a.mkv", "multi=2", "size=1280x960", "output=b.mkv", "codec=ffv1")
    assert video(tmp_path / "b.mkv").colour.matrix == "smpte170m"


@pytest.mark.parametrize(
    "words, problem, remedy",
    [
        (("size=48x64",), "another shape", "fit_size=pad"),
        (("size=big",), "not the size of a film", "size=2x"),
        (("size=first",), "not the size of a film", "size=1280x720"),
        (("fit_size=pad",), "needs a size", "size=1280x720"),
        (("size=2x", "max_pixels=4000"), "beyond the limit", "max_pixels=12288"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_type(command, tmp_path, words, problem, remedy):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 48))
    result = command("input=a.mkv", "fps=60", *words)
    assert result.code in (2, 3) and problem in result.err and remedy in result.err
    assert not list(tmp_path.glob("*fps*"))


def test_the_remedies_do_what_they_say(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 48))
    for fit in ("crop", "pad", "stretch"):
        good("input=a.mkv", "fps=60", "size=48x64", f"fit_size={fit}", f"output={fit}.mkv")
        assert (video(tmp_path / f"{fit}.mkv").width, video(tmp_path / f"{fit}.mkv").height) == (48, 64)
    good("input=a.mkv", "fps=60", "size=2x", "max_pixels=12288", "output=big.mkv")


def test_only_the_size_is_changed_by_what_the_remedy_says(good, command, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=5, size=(64, 48))
    result = command("input=a.mkv", "size=2x")
    assert result.code == 2 and "multi=1" in result.err
    good("input=a.mkv", "size=2x", "multi=1", "output=b.mkv")
    assert len(pictures(tmp_path / "b.mkv")) == 5


def test_woven_pictures_are_not_resized_as_they_are(command, tmp_path):
    frames = weaving.woven(weaving.film(24), weaving.fields_of(12))
    weaving.write(tmp_path / "a.mkv", frames, "25", flagged="tff")
    result = command("input=a.mkv", "multi=2", "size=2x", "deinterlace=off")
    assert result.code == 3 and "two moments" in result.err and "deinterlace=auto" in result.err
    assert command("input=a.mkv", "multi=2", "size=0.5x", "dry_run=true").code == 0  # the remedy


def test_pictures_keep_their_own_sizes_option(good, command, tmp_path):
    from PIL import Image

    for name, level in (("a.png", 40), ("b.png", 200)):
        Image.new("RGB", (32, 24), (level,) * 3).save(tmp_path / name)
    good("input=[a.png,b.png]", "t=0.5", "size=64x48", "output=m.png", "model=morph", "model.steps=1")
    assert Image.open(tmp_path / "m.png").size == (64, 48)
    result = command("input=[a.png,b.png]", "size=64x48")
    assert result.code == 2 and "duration=2" in result.err


def test_images_as_a_film_are_resized_too(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=(64, 48), pix_fmt="gbrp")
    good("input=a.mkv", "multi=1", "size=32x24", "output=s/%03d.png")
    from PIL import Image

    assert [Image.open(p).size for p in sorted((tmp_path / "s").iterdir())] == [(32, 24)] * 3
