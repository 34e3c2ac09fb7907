"""Pictures in, animation out, from the command's words to the file."""

from __future__ import annotations

import json
import re
from fractions import Fraction as F

import clips
import numpy as np
import pytest
import torch
from PIL import Image

from vfi_pipeline.animation import picture_fit
from vfi_pipeline.animation.sizes import guide_image
from vfi_pipeline.apps import render
from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.geometry import folding
from vfi_pipeline.media import probe
from vfi_pipeline.media.index import index
from vfi_pipeline.models.checkpoint import PAIRS, Card, load_model, save_model
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import FIELDS
from vfi_pipeline.nets.unet import UNetShape
from vfi_pipeline.ode import Solver

HEIGHT, WIDTH = 40, 56


def scene(dx: float, dy: float, size=(HEIGHT, WIDTH)) -> np.ndarray:
    """Smooth waves, moved by (dx, dy): (h, w, 3) bytes."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    x, y = x - dx, y - dy
    waves = [np.sin(x / 5 + k) * np.cos(y / 6 - k) + 0.4 * np.sin((x + y) / 9) for k in range(3)]
    return np.clip(127 + 80 * np.stack(waves, axis=-1), 0, 255).round().astype(np.uint8)


def save(path, samples, **how):
    Image.fromarray(samples).save(path, **how)
    return samples


def shown(path):
    return np.asarray(Image.open(path))


@pytest.fixture
def pictures(tmp_path):
    """a.png, b.png, c.png: the same scene further and further to the right."""
    return [save(tmp_path / f"{name}.png", scene(4 * k, -2 * k)) for k, name in enumerate("abc")]


@pytest.fixture
def weights(tmp_path):
    """A Warping ODE that animates one picture: no training, but its field is not zero."""
    torch.manual_seed(3)
    field = FIELDS["svf"](conditioning="first", unet=UNetShape(widths=(8, 12), final=8, head=1.0))
    path = tmp_path / "smile.safetensors"
    save_model(path, WarpingODE(field, "first", Solver("rk4", 6), guide_span=48), Card("smile"))
    return path


# ------------------------------------------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("t", [(0.25,), (6,), (1.5, 6, 3)], ids=["between", "far beyond", "several"])
def test_folds_of_one_picture_are_those_at_the_times_asked(good, tmp_path, pictures, weights, t):
    """Not half-way, and not halved by a second map that nothing shows."""
    asked = ",".join(f"{x:g}" for x in t)
    result = good(
        "input=a.png", f"weights={weights}", "model=node", f"t=[{asked}]", "extrapolate=true", "output=o_%02d.png"
    )
    model, _ = load_model(weights)
    picture = torch.from_numpy(pictures[0]).permute(2, 0, 1)[None].float() / 255
    picture = guide_image(picture, model.guide_span)
    motion = model.motion(Window.of(picture, picture))
    flows = torch.cat([motion.at([x])[0].flow_to_first for x in t])
    lowest, shares = folding(flows.float())

    said = re.search(r"smallest Jacobian determinant (-?[\d.]+), ([\d.]+) % folded", result.out)
    assert said, result.out
    assert float(said[1]) == pytest.approx(float(lowest.min()), abs=0.02)
    assert float(said[2]) == pytest.approx(100 * float(shares.mean()), abs=0.02)
    assert max(t) < 1 or float(said[1]) < 0  # far beyond it does fold


def test_two_pictures_become_a_film_of_the_asked_length(good, tmp_path, pictures):
    result = good("input=[a.png,b.png]", "duration=2", "fps=30", "output=morph.mp4")
    info = probe.probe(tmp_path / "morph.mp4")
    times = index(info).times

    assert len(times) == 60 and times.span == 2 and info.video.rate == 30
    assert (info.video.width, info.video.height) == (WIDTH, HEIGHT)
    assert [times.time(k) for k in (0, 1, 59)] == [0, F(1, 30), F(59, 30)]
    assert "60 frames at 30 fps, 2.000 s, verified" in result.out
    assert "2 frames copied from the source, 58 made" in result.out
    assert not list(tmp_path.glob("*.vfi-work"))


def test_every_key_picture_is_met_exactly_and_once(good, tmp_path, pictures):
    good("input=[a.png,b.png,c.png]", "duration=1", "fps=9", "output=o/%02d.png")
    frames = [shown(tmp_path / "o" / f"{k:02d}.png") for k in range(1, 10)]

    for picture, where in zip(pictures, ([0], [4], [8])):
        assert [k for k, frame in enumerate(frames) if np.array_equal(frame, picture)] == where


@pytest.mark.slow
def test_what_lies_between_is_where_the_motion_says(good, tmp_path, pictures):
    good("input=[a.png,b.png]", "t=[0.25,0.5]", "output=o/%d.png", "model=fit")
    for name, t in (("1", 0.25), ("2", 0.5)):
        made, true = shown(tmp_path / "o" / f"{name}.png").astype(float), scene(4 * t, -2 * t)
        error = np.square(made - true)[8:-8, 8:-8].mean()
        assert 10 * np.log10(255**2 / max(error, 1e-3)) > 35


@pytest.mark.parametrize(("name", "how"), [
    ("o.apng", ()), ("o.webp", ("crf=100",)), ("o.mkv", ("codec=ffv1",)), ("o.tif", ("t=0",)), ("o.png", ("t=1",)),
])  # fmt: skip
def test_lossless_outputs_begin_and_end_with_the_pictures(good, tmp_path, pictures, name, how):
    timing = () if any(word.startswith("t=") for word in how) else ("duration=0.5", "fps=10")
    good("input=[a.png,b.png]", f"output={name}", *timing, *how)
    if name.endswith(".mkv"):
        from vfi_pipeline.media.reader import read_frames

        with read_frames(probe.probe(tmp_path / name)) as frames:
            found = [np.stack([frame.planes[k] for k in (2, 0, 1)], axis=-1) for frame in frames]
    else:
        found = []
        with Image.open(tmp_path / name) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                found.append(np.asarray(image.convert("RGB")))
    wanted = {"t=1": pictures[1:2], "t=0": pictures[:1]}.get(how[0] if how else "", pictures[:2])

    assert np.array_equal(found[0], wanted[0]) and np.array_equal(found[-1], wanted[-1])


def test_a_loop_comes_back_without_showing_its_beginning_again(good, tmp_path, pictures):
    good("input=[a.png,b.png]", "duration=1", "fps=8", "loop=true", "hold_last=0.25", "output=o/%02d.png")
    frames = [shown(tmp_path / "o" / f"{k:02d}.png") for k in range(1, 11)]

    assert len(list((tmp_path / "o").iterdir())) == 10
    assert [k for k, frame in enumerate(frames) if np.array_equal(frame, pictures[0])] == [0]
    assert [k for k, frame in enumerate(frames) if np.array_equal(frame, pictures[1])] == [4, 5, 6]
    # A cross-fade: back is the way there, but for rounding.
    assert np.abs(frames[1].astype(int) - frames[9]).max() <= 1


def test_smooth_easing_rests_at_the_pictures(good, tmp_path):
    save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    save(tmp_path / "b.png", np.full((8, 8), 200, np.uint8))
    good("input=[a.png,b.png]", "frames=5", "easing=smooth", "output=o/%d.png")

    # 200 * (3 s^2 - 2 s^3) at s = 1/4, 1/2, 3/4 is 31.25, 100, 168.75.
    assert [int(shown(tmp_path / "o" / f"{k}.png")[0, 0]) for k in range(1, 6)] == [0, 31, 100, 169, 200]


def test_a_folder_of_pictures_in_natural_order(good, tmp_path, pictures):
    (tmp_path / "album").mkdir()
    for name, samples in zip(("p2.png", "p10.png", "p1.png"), pictures):
        save(tmp_path / "album" / name, samples)
    good("input=album/", "frames=3", "output=o/%d.png")

    for k, picture in enumerate((2, 0, 1)):
        assert np.array_equal(shown(tmp_path / "o" / f"{k + 1}.png"), pictures[picture])


def test_images_with_a_rate_alone_are_still_a_film(good, tmp_path, pictures):
    result = good("input=[a.png,b.png,c.png]", "input_fps=5", "fps=10", "codec=ffv1", "output=film.mkv")

    assert "4 frames copied" in result.out and len(index(probe.probe(tmp_path / "film.mkv")).times) == 6


def test_the_name_says_where_it_goes(good, tmp_path, pictures):
    good("input=[a.png,b.png]", "duration=0.2")
    good("input=[a.png,b.png]", "t=0.37")
    good("input=[a.png,b.png,c.png]", "t=[0.5,1.5]")

    names = {path.name for path in tmp_path.iterdir()}
    assert {"a_to_b.mp4", "a_to_b_t0.37.png", "a_animated_0001.png", "a_animated_0002.png"} <= names


# ------------------------------------------------------------------------------------------------- sizes and formats


def test_sizes_follow_the_first_picture(good, tmp_path, pictures):
    save(tmp_path / "half.png", scene(0, 0)[::2, ::2])
    good("input=[a.png,half.png]", "frames=3", "output=o/%d.png")
    good("input=[half.png,a.png]", "frames=3", "output=p/%d.png")
    good("input=[half.png,a.png]", "frames=3", "size=64x50", "output=q/%d.png")

    assert shown(tmp_path / "o" / "3.png").shape == (HEIGHT, WIDTH, 3)
    assert shown(tmp_path / "p" / "3.png").shape == (HEIGHT // 2, WIDTH // 2, 3)
    assert shown(tmp_path / "q" / "2.png").shape == (50, 64, 3)


def test_sizes_without_a_rule_ask_for_one(command, good, tmp_path, pictures):
    save(tmp_path / "wide.png", scene(0, 0, (20, 200)))
    result = command("input=[a.png,wide.png]", "duration=1")
    assert result.code == 3 and "no rule" in result.err and "fit_size=crop" in result.err
    for how in ("crop", "pad", "stretch"):
        good("input=[a.png,wide.png]", "t=1", f"fit_size={how}", f"output={how}.png")
    padded = shown(tmp_path / "pad.png")

    assert (padded[0] == 0).all() and (padded[HEIGHT // 2] > 0).any()


def test_a_turned_photograph_is_upright(good, tmp_path, pictures):
    exif = Image.Exif()
    exif[274] = 6
    save(tmp_path / "turned.png", np.rot90(pictures[1]), exif=exif)
    good("input=[a.png,turned.png]", "frames=2", "output=o/%d.png")

    assert np.array_equal(shown(tmp_path / "o" / "2.png"), pictures[1])


def test_sixteen_bits_stay(good, tmp_path):
    deep = [np.full((6, 8), value, np.uint16) for value in (1000, 1003)]
    for name, samples in zip("ab", deep):
        save(tmp_path / f"{name}.png", samples)
    good("input=[a.png,b.png]", "frames=4", "output=o/%d.png")

    assert [int(shown(tmp_path / "o" / f"{k}.png")[0, 0]) for k in range(1, 5)] == [1000, 1001, 1002, 1003]


def test_transparency_is_kept_without_dark_fringes(good, tmp_path):
    first, last = np.zeros((6, 8, 4), np.uint8), np.zeros((6, 8, 4), np.uint8)
    first[..., :] = (200, 100, 50, 255)
    last[..., 3] = 0  # nothing to be seen, and black underneath
    save(tmp_path / "a.png", first)
    save(tmp_path / "b.png", last)
    good("input=[a.png,b.png]", "frames=3", "output=o/%d.png")

    assert np.array_equal(shown(tmp_path / "o" / "1.png"), first)
    assert shown(tmp_path / "o" / "2.png")[0, 0].tolist() == [200, 100, 50, 128]
    assert np.array_equal(shown(tmp_path / "o" / "3.png"), last)


# ------------------------------------------------------------------------------------------------------- one picture


def test_one_picture_is_animated_by_weights(good, tmp_path, pictures, weights):
    good("input=a.png", f"weights={weights}", "model=node", "t=[0,0.5,1,1.5]", "extrapolate=true", "output=f/%d.png")
    good("input=a.png", f"weights={weights}", "model=node", "t=[-1,-0.5]", "extrapolate=true", "output=n/%d.png")
    good("input=a.png", f"weights={weights}", "model=node", "frames=3", "direction=backward", "output=b/%d.png")
    forward = [shown(tmp_path / "f" / f"{k}.png").astype(int) for k in (1, 2, 3, 4)]

    assert np.array_equal(forward[0], pictures[0])
    steps = [np.abs(frame - forward[0]).mean() for frame in forward[1:]]
    assert 0 < steps[0] < steps[1] < steps[2]
    # Backward is the same field followed the other way.
    for ours, theirs in (("b/3.png", "n/1.png"), ("b/2.png", "n/2.png")):
        assert np.abs(shown(tmp_path / ours).astype(int) - shown(tmp_path / theirs)).max() <= 1
    assert np.array_equal(shown(tmp_path / "b" / "1.png"), pictures[0])


def test_strength_says_how_far_to_go(good, tmp_path, pictures, weights):
    words = ("input=a.png", f"weights={weights}", "model=node")
    good(*words, "frames=3", "strength=[-0.5,1.5]", "extrapolate=true", "output=s/%d.png")
    good(*words, "t=[-0.5,0.5,1.5]", "extrapolate=true", "output=t/%d.png")

    for k in (1, 2, 3):
        assert np.abs(shown(tmp_path / f"s/{k}.png").astype(int) - shown(tmp_path / f"t/{k}.png")).max() <= 1


# ------------------------------------------------------------------------------------------------- what lies beside it


@pytest.mark.slow
def test_maps_render_again_without_solving(good, tmp_path, pictures):
    words = ("input=[a.png,b.png]", "model=fit")
    good(*words, "frames=5", "output=o/%d.png", "save_maps=true")
    maps = tmp_path / "o" / "frames.maps.safetensors"
    assert maps.is_file() and list((tmp_path / "o" / "frames.maps").glob("01_*.png"))
    # A model that cannot be built shows that nothing is solved.
    again = ("input=[a.png,b.png]", f"maps={maps}", "model=node", f"weights={maps}")
    good(*again, "frames=5", "output=p/%d.png")
    good(*again, "t=0.5", f"size={2 * WIDTH}x{2 * HEIGHT}", "output=large.png")

    for k in range(1, 6):
        assert np.abs(shown(tmp_path / f"o/{k}.png").astype(int) - shown(tmp_path / f"p/{k}.png")).max() <= 1
    assert shown(tmp_path / "large.png").shape == (2 * HEIGHT, 2 * WIDTH, 3)


def test_sheet_and_preview_are_pictures(good, tmp_path, pictures):
    good("input=[a.png,b.png,c.png]", "duration=0.5", "output=o.gif", "sheet=sheet.png", "preview=live.png", "fps=10")

    sheet, live = shown(tmp_path / "sheet.png"), shown(tmp_path / "live.png")
    assert sheet.shape[1] > 1000 and sheet.shape[0] > 1000 and sheet.std() > 20
    assert live.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(good, tmp_path, pictures):
    for name in "xy":
        good("input=[a.png,b.png]", "t=0.5", "model=fit", "model.quality=draft", "seed=7", f"output={name}.png")

    assert (tmp_path / "x.png").read_bytes() == (tmp_path / "y.png").read_bytes()


def test_a_gap_draws_the_same_numbers_whether_or_not_the_model_was_built_for_it(good, tmp_path, pictures, monkeypatch):
    def drawn(self, first, last, **how):
        return picture_fit.FieldAnimation(3 * torch.randn(1, 2, HEIGHT, WIDTH), first, last)

    # Building a model draws random numbers as well.
    monkeypatch.setattr(picture_fit, "shipped_flow", lambda device: (torch.rand(7), None)[1])
    monkeypatch.setattr(picture_fit.PictureFit, "solve", drawn)
    words = ("input=[a.png,b.png,c.png]", "model=fit")
    good(*words, "t=[0.5,1.5]", "output=o/%d.png")
    good(*words, "t=1.5", "output=alone.png")

    assert np.array_equal(shown(tmp_path / "o" / "2.png"), shown(tmp_path / "alone.png"))
    assert not np.array_equal(shown(tmp_path / "o" / "1.png"), shown(tmp_path / "alone.png"))


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("input=a.png", "duration=1"), 2, "One picture alone"),
        (("input=[a.png,b.png]", "t=1.5"), 2, "extrapolate=true"),
        (("input=[a.png,b.png]", "duration=1", "strength=2"), 2, "extrapolate=true"),
        (("input=[a.png,nothing.png]", "duration=1"), 3, "does not exist"),
        (("input=[a.png,broken.png]", "duration=1"), 3, "broken.png"),
        (("input=[a.png,text.txt]", "duration=1"), 3, "cannot be read as a picture"),
        (("input=[a.png,b.png]", "duration=1", "slowmo=2"), 2, "for films"),
        (("input=[a.png,b.png]", "loop=true"), 2, "How long"),
        (("input=[a.png,b.png]",), 2, "duration=2 to animate pictures"),
        (("input=[a.png,b.png]", "duration=1", "output=one.png"), 2, "cannot all be called one.png"),
        (("input=[a.png,b.png]", "t=0.5", "output=a.png"), 2, "is the input"),
        (("input=[a.png,b.png]", "t=0.5", "output=o.png", "sheet=b.png"), 2, "is the input"),
        (("input=[a.png,b.png]", "t=0.5", "output=o.png", "sheet=o.png"), 2, "own name"),
        (("input=[a.png,b.png]", "t=0.5", "output=c.png"), 4, "exists already"),
        (("input=[a.png,b.png]", "t=0.5", "output=o.png", "sheet=c.png"), 4, "exists already"),
        (("input=[a.png,b.png]", "t=0.5", "maps=a.png"), 3, "no readable maps file"),
        (("input=[a.png,b.png]", "t=0.5", "points=bad.json"), 3, "entry 0"),
        (("input=[a.png,b.png]", "t=0.5", "points=outside.json"), 3, "lies outside of b.png"),
        (("input=[a.png,b.png]", "t=0.5", "points=text.txt"), 3, "is not JSON"),
        (("input=[a.png,b.png]", "t=0.5", "points=good.json"), 2, "takes no points"),
        (("input=[a.png,b.png]", "t=0.5", "mult=1"), 2, "setting"),
        (("input=[a.png,b.png]", "duration=1", "fps=60", "output=o.gif"), 2, "GIF"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(command, tmp_path, pictures, words, code, told):
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:300])
    (tmp_path / "text.txt").write_text("!!python/object/apply:os.system ['true']")
    (tmp_path / "bad.json").write_text(json.dumps([[[1, 2], [3, "4"]]]))
    (tmp_path / "outside.json").write_text(json.dumps([[[1, 2], [3, 400]]]))
    (tmp_path / "good.json").write_text(json.dumps([[[1, 2], [3, 4]]]))
    before = {path.name for path in tmp_path.rglob("*")}

    result = command(*words)

    assert result.code == code and told in result.err and "Try:" in result.err, result.err
    assert {path.name for path in tmp_path.rglob("*")} == before


def test_help_tells_of_pictures(command):
    text = command("--help").out
    for word in (
        "input=[a.jpg,b.jpg]",
        "duration=2",
        "t=0.37",
        "loop=true",
        "points=",
        "sheet=",
        "maps=",
        "extrapolate",
    ):
        assert word in text


# ------------------------------------------------------------------------------------------------------------ resuming


def test_a_dry_run_tells_the_plan(good, tmp_path, pictures):
    result = good("input=[a.png,b.png]", "duration=1", "output=o.mp4", "dry_run=true")

    assert "a.png, b.png at 56x40" in result.out and "30 frames" in result.out
    assert not (tmp_path / "o.mp4").exists()


def test_stopped_work_goes_on_and_changed_settings_are_refused(command, good, tmp_path, pictures, monkeypatch):
    words = ("input=[a.png,b.png,c.png]", "durations=[1,1]", "fps=10", "segment=1", "output=o.mkv", "codec=ffv1")
    whole = render.Studio.solved

    def only_the_first(self, gap, progress=None):
        if gap == 1:
            raise UserError("The power went.", "wait.")
        return whole(self, gap, progress)

    with monkeypatch.context() as patched:
        patched.setattr(render.Studio, "solved", only_the_first)
        assert "The power went" in command(*words).err
    status = good("status", "output=o.mkv").out
    assert "1 of 2 segments done, 10 of 20 frames" in status

    changed = command(*words, "easing=smooth")
    assert changed.code == 2 and "pictures.smooth: False -> True" in changed.err

    solved = []
    monkeypatch.setattr(render.Studio, "solved", lambda self, gap, p=None: solved.append(gap) or whole(self, gap, p))
    good(*words)
    assert set(solved) == {1}
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    good(*words[:-2], "codec=ffv1", "output=p.mkv")
    assert clips.describe(tmp_path / "o.mkv")["md5"] == clips.describe(tmp_path / "p.mkv")["md5"]


@pytest.mark.parametrize("words", [("fps=60",), ("multi=2",), ("multi=2", "dry_run=true")])
def test_weights_that_look_at_one_picture_are_refused_for_films(command, tmp_path, weights, words):
    clips.make_clip(tmp_path / "a.mkv", frames=4, size=(WIDTH, HEIGHT))
    result = command("input=a.mkv", f"weights={weights}", "model=node", "output=o.mkv", *words)

    assert result.code == 3 and "looks at the first picture only" in result.err
    assert f"input=picture.png duration=2 weights={weights}" in result.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mkv", "smile.md", "smile.safetensors"]


def test_the_card_says_the_command_that_fits_the_weights(good, tmp_path, pictures, weights):
    card = weights.with_suffix(".md").read_text()
    assert "    python interpolate.py input=picture.png duration=2 weights=smile.safetensors" in card
    save_model(tmp_path / "f.safetensors", WarpingODE(FIELDS["svf"](unet=UNetShape(widths=(8, 12), final=8)), "both"))
    assert "input=film.mp4 fps=60 weights=f.safetensors" in (tmp_path / "f.md").read_text()
    line = next(line for line in card.splitlines() if "interpolate.py" in line).split()[2:]
    good(*(word.replace("picture.png", "a.png") for word in line), "model=node", "output=o.mp4")


@pytest.mark.parametrize(("sides", "data"), [("first", {}), ("both", {"shows": PAIRS}), ("group", {"shows": PAIRS})])
def test_the_card_of_weights_for_pairs_of_pictures_says_so(good, tmp_path, pictures, sides, data):
    field = FIELDS["svf"](unet=UNetShape(widths=(8, 12), final=8))
    save_model(tmp_path / "w.safetensors", WarpingODE(field, sides, guide_span=48), Card("w", data=data))
    line = next(line for line in (tmp_path / "w.md").read_text().splitlines() if "interpolate.py" in line)

    assert line.strip() == "python interpolate.py input=[a.png,b.png] duration=2 weights=w.safetensors"
    good(*line.split()[2:], "model=node", "output=o.mp4")


def test_films_by_weights_that_move_the_first_frame_alone_come_with_a_warning(good, tmp_path, caplog):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=(WIDTH, HEIGHT))
    for sides in ("first", "both"):
        field = FIELDS["svf"](unet=UNetShape(widths=(8, 12), final=8))
        save_model(tmp_path / f"{sides}.safetensors", WarpingODE(field, sides, guide_span=48))
        caplog.clear()
        good("input=a.mkv", f"weights={sides}.safetensors", "model=node", "multi=2", f"output={sides}.mkv")

        assert caplog.text.count("moves the first frame's pixels alone") == (sides == "first")
