"""``style=`` as a user has it: weights and pictures, what is kept of the film, going on, and mistakes."""

from __future__ import annotations

import io
import itertools
import json
import re

import clips
import numpy as np
import pytest
import torch
from PIL import Image

from vfi_pipeline.jobs import local, style_passes
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.jobs.style import StyleChoice, read_style
from vfi_pipeline.jobs.style_passes import Painting, Sequence
from vfi_pipeline.media import probe
from vfi_pipeline.media.images import SUFFIXES
from vfi_pipeline.media.reader import read_frames
from vfi_pipeline.models.checkpoint import save_model
from vfi_pipeline.models.style import StyleTransfer
from vfi_pipeline.nets.features import VGG16, VGG_LAYERS


def small_vgg(name="vgg", pooling="max"):
    """VGG-16 of random weights: what it likes means nothing, the way there is the same."""
    generator, weights, channels = torch.Generator().manual_seed(0), {}, 3
    for layer in VGG_LAYERS:
        width = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}[layer[4]]
        weights[layer] = (
            (2 / (9 * channels)) ** 0.5 * torch.randn(width, channels, 3, 3, generator=generator),
            torch.zeros(width),
        )
        channels = width
    return VGG16(weights, (torch.ones(3), torch.zeros(3)), pooling, "random")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("styles") / "mine.safetensors"
    save_model(path, StyleTransfer((4, 4, 4), 1))
    return path


@pytest.fixture()
def picture(tmp_path, monkeypatch):
    monkeypatch.setattr(style_passes, "features", small_vgg)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)).save(tmp_path / "paint.png")
    return tmp_path / "paint.png"


def pictures(path):
    with read_frames(probe.probe(path)) as frames:
        return list(frames)


@pytest.mark.parametrize(
    ("pix_fmt", "size"), [("yuv420p", (132, 98)), ("yuv422p10le", (132, 99)), ("yuva444p10le", (131, 99))]
)
def test_a_film_keeps_its_size_rate_sound_format_and_alpha(good, tmp_path, weights, pix_fmt, size):
    source = clips.make_clip(tmp_path / "a.mkv", frames=5, pix_fmt=pix_fmt, size=size, audio=("eng",))
    good("input=a.mkv", "multi=2", f"style={weights}", "codec=ffv1", "output=b.mkv")
    before, after = probe.probe(source), probe.probe(tmp_path / "b.mkv")
    assert (after.video.width, after.video.height) == size and after.video.rate == 2 * before.video.rate
    assert [s.kind for s in after.others] == [s.kind for s in before.others]
    old, new = pictures(source), pictures(tmp_path / "b.mkv")
    assert len(new) == 10 and new[0].format == old[0].format
    assert not np.array_equal(new[2].planes[0], old[1].planes[0])
    if old[0].format.has_alpha:
        assert np.array_equal(new[2].planes[-1], old[1].planes[-1])


def test_strength_zero_is_the_film_without_a_style(good, tmp_path, weights):
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    good("input=a.mkv", "multi=2", "codec=ffv1", "output=plain.mkv")
    good("input=a.mkv", "multi=2", "codec=ffv1", f"style={weights}", "style_strength=0", "output=b.mkv")
    assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "plain.mkv")["md5"]


def test_strength_zero_paints_nothing(good, tmp_path, picture, monkeypatch):
    monkeypatch.setattr(style_passes, "paint_film", None)
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    good("input=a.mkv", "multi=2", "codec=ffv1", "output=plain.mkv")
    good("input=a.mkv", "multi=2", "codec=ffv1", "style=paint.png", "style_strength=0", "passes=3", "output=b.mkv")
    assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "plain.mkv")["md5"]


def test_kept_colours_and_a_preview(good, tmp_path, weights):
    source = clips.make_clip(tmp_path / "a.mkv", frames=4)
    good(
        "input=a.mkv",
        "multi=1",
        "codec=ffv1",
        f"style={weights}",
        "style_colour=keep",
        "preview=live.png",
        "output=b.mkv",
    )
    for old, new in zip(pictures(source), pictures(tmp_path / "b.mkv"), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(old.planes[1:], new.planes[1:]))
        assert not np.array_equal(old.planes[0], new.planes[0])
    assert Image.open(tmp_path / "live.png").size == (old.width, old.height)


@pytest.mark.slow
def test_a_stopped_film_goes_on_as_if_it_had_not_been(command, tmp_path, weights, monkeypatch):
    clips.make_clip(tmp_path / "a.mkv", frames=25)
    job = ("input=a.mkv", "multi=2", "segment=0.2", f"style={weights}", "model=flow", "codec=ffv1")
    assert command(*job, "output=whole.mkv").code == 0
    real = local.open_writer

    def broken(path, *args, **kwargs):
        if path.name.startswith("segment_00002"):
            raise OSError(28, "No space left on device")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(local, "open_writer", broken)
    assert command(*job, "output=b.mkv").code == 4
    monkeypatch.setattr(local, "open_writer", real)
    other = command(*job, "output=b.mkv", "style_strength=0.5")
    assert other.code == 2 and "style.strength" in other.err
    assert command(*job, "output=b.mkv").code == 0
    assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "whole.mkv")["md5"]
    assert not list(tmp_path.glob("*.vfi-work"))


# ------------------------------------------------------------------------------------------------- optimisation

SMALL = ("style=paint.png", "style_size=32", "style_iterations=2", "codec=ffv1", "scene=off")


@pytest.mark.slow
def test_a_pictures_style_is_optimised_and_goes_on_where_it_was(command, tmp_path, picture, monkeypatch):
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    job = ("input=a.mkv", "multi=2", *SMALL, "passes=3", "long_term=[1,2]", "model=flow")
    assert command(*job, "output=whole.mkv").code == 0
    assert not np.array_equal(pictures(tmp_path / "whole.mkv")[2].planes[0], pictures(tmp_path / "a.mkv")[1].planes[0])
    real, painted = style_passes.optimised, []

    def stopping(*args, **kwargs):
        if len(painted) == 6:
            raise OSError(28, "No space left on device")
        painted.append(1)
        return real(*args, **kwargs)

    monkeypatch.setattr(style_passes, "optimised", stopping)
    assert command(*job, "output=b.mkv").code == 4
    assert len(list((tmp_path / "b.mkv.vfi-work" / "style").glob("pass_*/*.png"))) == 6
    other = command(*job, "output=b.mkv", "content_weight=2")
    assert other.code == 2 and "holds 0 finished segments and 6 painted frames that do not fit" in other.err
    painted.clear()
    monkeypatch.setattr(style_passes, "optimised", lambda *args, **kwargs: painted.append(1) or real(*args, **kwargs))
    result = command(*job, "output=b.mkv")
    assert result.code == 0 and len(painted) == 3 * 4 - 6
    assert clips.describe(tmp_path / "b.mkv")["md5"] == clips.describe(tmp_path / "whole.mkv")["md5"]
    assert not list(tmp_path.glob("*.vfi-work"))


def test_progress_is_of_all_passes(good, tmp_path, picture, monkeypatch):
    told, seconds = io.StringIO(), itertools.count(step=3)  # a line at every second call

    def progress(label, total, done):
        return Progress(label, total, done, told, lambda: float(next(seconds)))

    monkeypatch.setattr(style_passes, "Progress", progress)
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    good("input=a.mkv", "multi=1", *SMALL, "passes=2", "model=hold", "output=b.mkv")
    lines = told.getvalue().splitlines()
    line = re.compile(
        r"style, pass ([12]) of 2: (\d)/6 frames(, frame [012])? \(\d+ %\)(, .* made/s)?(, 0:\d\d:\d\d left)?"
    )
    found = [line.fullmatch(each) for each in lines]
    assert len(lines) > 6 and all(found), lines
    assert {(int(each[1]), int(each[2]) > 2) for each in found} >= {(1, False), (2, True)}
    assert all(each[5] for each in found[2:])  # the time left of the job


@pytest.mark.slow
def test_a_part_of_a_film_is_optimised_in_another_size_and_with_motion_blur(good, tmp_path, picture):
    clips.make_clip(tmp_path / "a.mkv", frames=12)
    part = ("input=a.mkv", "fps=10", "start=0.12", "end=0.4", "shutter=360", "size=0.5x", "segment=0.1")
    good(*part, *SMALL, "model=flow", "output=b.mkv")
    good(*part, *SMALL[3:], "model=flow", "output=plain.mkv")
    painted, plain = pictures(tmp_path / "b.mkv"), pictures(tmp_path / "plain.mkv")
    assert len(painted) == len(plain) and (painted[0].width, painted[0].height) == (plain[0].width, plain[0].height)
    assert not any(np.array_equal(one.planes[0], other.planes[0]) for one, other in zip(painted, plain))


def test_single_frames_in_a_style_do_not_depend_on_the_others(good, tmp_path, weights):
    clips.make_clip(tmp_path / "a.mkv", frames=9)
    good("input=a.mkv", "at=[0.21,0.05]", f"style={weights}", "model=flow", "output=both_%d.png")
    good("input=a.mkv", "at=0.05", f"style={weights}", "model=flow", "output=one.png")
    one, other, first = (np.asarray(Image.open(tmp_path / name)) for name in ("one.png", "both_2.png", "both_1.png"))
    assert np.array_equal(one, other) and not np.array_equal(one, first)


@pytest.mark.slow
def test_benchmark_writes_nothing(good, tmp_path, picture):
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    good("input=a.mkv", "multi=2", *SMALL, "benchmark=true")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "paint.png"]


def test_passes_alternate_stay_within_shots_and_settle_first(tmp_path, monkeypatch):
    (tmp_path / "source").mkdir()
    for k in range(5):
        style_passes.write_picture(style_passes.picture_file(tmp_path / "source", k), torch.full((1, 3, 8, 8), k / 10))
    order, held = [], []

    def note(start, image, network, target, objective, iterations, expectation, told):
        order.append(round(float(image.mean()) * 10))
        held.append(expectation is not None)
        return start, {}

    monkeypatch.setattr(style_passes, "optimised", note)

    class Model:
        name, guide_span = "still", 8

        def motion(self, window):
            from vfi_pipeline.models.motion import IntermediateMotion

            self.at = lambda times: [
                IntermediateMotion(t, torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1), torch.ones(1, 1, 1, 1))
                for t in times
            ]
            return self

    choice = StyleChoice(tmp_path, None, passes=3, long_term=(1,))
    painting = Painting(choice, Model(), tmp_path, "cpu", None, None)
    sequence = Sequence(0, 4, frozenset({3}))
    assert sequence.shots() == [range(3), range(3, 5)]
    for number in (1, 2, 3):
        painting.run(number, sequence, style_passes.Progress("", 5))
    assert order == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4]
    assert held == [False] * 5 + [False, True, False, True, True] + [False, True, True, False, True]


# ----------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (
            ["style=nothing.safetensors"],
            "style=nothing.safetensors is neither a file nor a known name",
            "a path, or one of",
        ),
        (["style=nothing.jpg"], "style=nothing.jpg does not exist", "check the name"),
        (["style=flow"], "style=flow holds a model of motion, not a style", "train.py experiment=style"),
        (["style=a.mkv"], "style=a.mkv holds neither a picture nor a style", "a picture, or weights"),
        (["style_strength=0.5"], "style_strength= is about a style, and there is none", "style="),
        (["passes=3"], "passes= is about a style", "style="),
        (["style=WEIGHTS", "passes=3"], "passes= is for style=picture.jpg", "leave out passes="),
        (["style=WEIGHTS", "style_strength=2"], "style_strength=2 is not a number from 0 to 1", "style_strength=0.5"),
        (["style=WEIGHTS", "style_colour=red"], "style_colour=red is not known", "style_colour=keep"),
        (["style=WEIGHTS", "preview=live.mp4"], "preview=live.mp4 is not a PNG's name", "preview=live.png"),
        (["style=WEIGHTS", "preview=nowhere/live.png"], "lies in a folder that does not exist", "preview=live.png"),
        (["style=paint.png", "preview=paint.png"], "preview=paint.png is the style's own picture", "preview=live.png"),
        (["style=paint.png", "long_term=[1,x]"], "long_term=[1,x] is no list", "long_term=[1,2,4]"),
        (["style=paint.png", "style_weight=-1"], "style_weight=-1 is not a number", "style_weight="),
        (["preview=live.png"], "preview= is about a style, and there is none", "(of pictures: duration=2)"),
        (["style=paint.png", "at=0.02"], "at= makes single frames", "start=0.02 end=1.02 multi=1"),
    ],
)
def test_mistakes_are_told_in_two_lines(command, tmp_path, picture, weights, words, problem, remedy):
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    words = [word.replace("WEIGHTS", str(weights)) for word in words]
    words += [] if any(word.startswith(("at=", "duration=")) for word in words) else ["multi=2"]
    result = command("input=a.mkv", *words)
    assert result.code in (2, 3) and result.out == ""
    assert result.err.count("\n") == 2 and problem in result.err and remedy in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "paint.png"]


def test_pictures_take_no_style(command, tmp_path, picture, weights):
    done = command(f"input={tmp_path / 'paint.png'}", "duration=2", f"style={weights}", f"output={tmp_path / 'o.mp4'}")
    assert done.code == 2 and done.err.count("\n") == 2
    assert "style= is for films, and duration= animates" in done.err and "leave out sty" in done.err


def test_without_feature_weights_the_job_says_how_to_get_them(command, tmp_path, monkeypatch):
    from vfi_pipeline.nets import features

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(features, "wheel_file", lambda name: None)
    Image.new("RGB", (16, 16)).save(tmp_path / "paint.png")
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    result = command("input=a.mkv", "multi=2", *SMALL)
    assert result.code == 4 and "make features" in result.err and not list(tmp_path.glob("*.vfi-work"))


def test_a_picture_that_is_none_is_refused(command, tmp_path, picture):
    (tmp_path / "paint.png").write_text("no picture")
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    result = command("input=a.mkv", "multi=2", *SMALL)
    assert result.code == 3 and "paint.png is not a picture" in result.err


@pytest.mark.parametrize("ending", sorted(SUFFIXES))
def test_every_kind_of_picture_can_be_a_style(tmp_path, ending):
    path = tmp_path / f"paint{ending.upper()}"
    path.touch()
    assert read_style({"style": str(path)}).weights is None


@pytest.mark.parametrize("ending", [".tga", ".jp2", ".avif", ".ppm"])
def test_a_picture_that_is_rarer_becomes_a_style(good, tmp_path, picture, ending):
    Image.open(picture).save(tmp_path / f"paint{ending}")
    clips.make_clip(tmp_path / "a.mkv", frames=1)
    good("input=a.mkv", "multi=1", f"style=paint{ending}", *SMALL[1:], "model=hold", "output=b.mkv")
    assert not np.array_equal(pictures(tmp_path / "b.mkv")[0].planes[0], pictures(tmp_path / "a.mkv")[0].planes[0])


def test_defaults_depend_on_the_kind_of_style(tmp_path, weights, picture):
    trained, optimised = read_style({"style": str(weights)}), read_style({"style": str(picture)})
    assert trained.size is None and optimised.size == 384 and optimised.iterations == 60
    assert read_style({"style": str(picture), "passes": "4"}).iterations == 15
    assert read_style({"style": str(picture), "long_term": "off"}).long_term == ()
    assert read_style({"style": str(picture), "long_term": "4,1"}).long_term == (1, 4)
    assert read_style({}) is None
    assert trained.facts() != read_style({"style": str(weights), "style_colour": "keep"}).facts()
    assert json.dumps(optimised.facts())
