from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from clips import cut_clip, make_clip, make_pictures
from PIL import Image

from vfi_pipeline.errors import UserError
from vfi_pipeline.page import looks
from vfi_pipeline.page.helper import Helper

TEXTS = {"fps": "60", "model": "blend"}


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looks")
    return make_clip(folder / "a.mkv", frames=24, rate=24, audio=["eng"], subtitles=["eng"], chapters=2)


def test_the_plan_is_that_of_the_command(film):
    look = looks.look(str(film), TEXTS, ".mp4")

    assert (look.frames, look.source_frames, look.made) == (60, 24, 46)  # 24 fps to 60: each 5th lies on a source frame
    assert look.target == str(film.with_name("a_60fps.mp4")) and look.end_s == 1.0
    assert any("audio 1" in line for line in look.kept) and look.disk_bytes > 0
    assert dict(look.lines)["model"] == "blend"


def test_streams_that_are_lost_are_told_apart(film):
    look = looks.look(str(film), {**TEXTS, "subtitles": "drop"}, None)

    assert any("subtitle" in line for line in look.lost) and not any("subtitle" in line for line in look.kept)


def test_a_film_that_has_changed_is_looked_at_again(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=6)
    assert looks.look(str(path), TEXTS).source_frames == 6
    make_clip(tmp_path / "b.mp4", frames=9).replace(path)
    assert looks.look(str(path), TEXTS).source_frames == 9


def pixels(path):
    return np.asarray(Image.open(path), np.float32)


def test_a_preview_is_the_frame_that_the_film_will_have(film, tmp_path):
    preview = looks.preview(str(film), TEXTS, 0.41, str(tmp_path))

    assert (
        preview.kind == "made"
        and preview.moment_s == pytest.approx(25 / 60)
        or preview.moment_s == pytest.approx(24 / 60)
    )
    before, after = pixels(preview.before), pixels(preview.after)
    following = looks.preview(str(film), TEXTS, (preview.source + 1) / 24 + 0.01, str(tmp_path))
    # A cross-fade: what is between is the mean of both sides, but for JPEG.
    expected = (1 - preview.t) * before + preview.t * pixels(following.before)
    assert np.abs(after - expected).mean() < 4


@pytest.mark.parametrize("moment", [-5.0, 0.0, 0.5, 0.999, 1000.0])
def test_every_moment_has_a_preview(film, tmp_path, moment):
    preview = looks.preview(str(film), TEXTS, moment, str(tmp_path))

    assert Path(preview.after).parent == tmp_path and 0 <= preview.moment_s < 1.0


def test_a_preview_over_a_cut_holds_the_frame_before(tmp_path):
    path = cut_clip(tmp_path / "cuts.mp4")
    moment = 7.6 / 24  # between frames 7 and 8, where the second shot begins
    held = looks.preview(str(path), TEXTS, moment, str(tmp_path))
    faded = looks.preview(str(path), TEXTS, moment, str(tmp_path), cuts=[])

    assert held.kind == "held" and np.abs(pixels(held.after) - pixels(held.before)).mean() < 2
    assert faded.kind == "made" and np.abs(pixels(faded.after) - pixels(faded.before)).mean() > 5


@pytest.mark.parametrize(("chunk"), [24, 10, 7, 1])
def test_cuts_are_found_once_each_however_the_film_is_divided(tmp_path, chunk):
    path = cut_clip(tmp_path / "cuts.mp4")
    found = [
        cut for first in range(0, 24, chunk) for cut in looks.cuts_in(str(path), TEXTS, first, min(24, first + chunk))
    ]

    assert [cut.frame for cut in found] == [8, 16]
    assert [round(cut.time_s, 3) for cut in found] == [0.333, 0.667]
    before, after = (np.asarray(Image.open(io.BytesIO(data)), np.float32) for data in (found[0].before, found[0].after))
    assert abs(before.mean() - after.mean()) > 20


def test_a_turned_film_is_shown_upright(tmp_path):
    path = make_clip(tmp_path / "turned.mp4", frames=6, size=(64, 48), rotation=90)
    preview = looks.preview(str(path), TEXTS, 0.1, str(tmp_path))

    assert Image.open(preview.after).size == (48, 64)
    assert (looks.look(str(path), TEXTS).width, looks.look(str(path), TEXTS).height) == (48, 64)


def test_the_enlarged_part_is_the_part_that_was_asked_for(tmp_path):
    samples = np.zeros((80, 120, 3), np.uint8)
    samples[40:, 60:] = 255
    Image.fromarray(samples).save(tmp_path / "a.png")
    for place, value in (((0.1, 0.1), 0), ((0.9, 0.9), 255)):
        part = pixels(looks.enlarged(str(tmp_path / "a.png"), place, 4, str(tmp_path)))
        assert abs(part.mean() - value) < 2 and part.shape[0] / part.shape[1] == pytest.approx(80 / 120, abs=0.02)


def test_the_pace_is_measured(film):
    assert 0 < looks.pace(str(film), TEXTS, 0.4) < 10


def test_pictures_have_a_plan_and_thumbnails(tmp_path):
    pictures = [str(path) for path in make_pictures(tmp_path, frames=3)]
    look = looks.look_at_pictures(pictures, {"duration": "2", "fps": "10", "model": "fit"}, ".gif")

    assert look.source_frames == 3 and look.target.endswith(".gif") and look.frames == 20
    assert [name for name, _ in looks.thumbnails(pictures)] == [Path(path).name for path in pictures]


def test_what_browsers_play_is_played_as_it_is(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=6)

    assert looks.watchable(str(path), str(tmp_path / "watch.mp4")) == str(path)


@pytest.mark.parametrize("kind", [{"pix_fmt": "yuv420p10le"}, {"suffix": ".mkv"}])
def test_what_they_do_not_play_is_encoded_again_once(tmp_path, kind):
    path = make_clip(
        tmp_path / f"$(a) <b>{kind.get('suffix', '.mp4')}", frames=6, pix_fmt=kind.get("pix_fmt", "yuv420p")
    )
    made = tmp_path / "watch.mp4"

    assert looks.watchable(str(path), str(made)) == str(made)
    assert looks.plays(made)
    stamp = made.stat().st_mtime_ns
    looks.watchable(str(path), str(made))
    assert made.stat().st_mtime_ns == stamp and not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("model", ["../../etc/passwd", "none", ""])
def test_only_models_of_the_program_are_built(model):
    with pytest.raises(UserError):
        looks.composed(model)


@pytest.mark.slow
def test_a_film_that_breaks_the_helper_does_not_break_the_page(film):
    helper = Helper()
    try:
        assert helper.call(os.getpid) != os.getpid()
        with pytest.raises(UserError, match="ended the program"):
            helper.call(os._exit, 3)
        assert helper.call(looks.plays, film) is False
        with pytest.raises(UserError, match="is not a video"):
            helper.call(looks.look, __file__, TEXTS, None)
    finally:
        helper.close()


@pytest.mark.slow
def test_a_look_that_takes_for_ever_is_ended():
    helper = Helper(longest_s=1.0)
    try:
        with pytest.raises(UserError, match="took more than"):
            helper.call(time.sleep, 60)
        assert helper.call(abs, -1) == 1
    finally:
        helper.close()
