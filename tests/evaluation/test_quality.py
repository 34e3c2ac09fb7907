"""The evaluation: what is dropped, what is compared, how it is averaged, and what it says when it cannot."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import make_clip, planes
from PIL import Image

from vfi_pipeline.errors import BAD_INPUT, USAGE, UserError
from vfi_pipeline.evaluation import report
from vfi_pipeline.evaluation.baselines import Gaps, baseline, by_model, to_rgb
from vfi_pipeline.evaluation.quality import evaluate, read_rates
from vfi_pipeline.evaluation.samples import distinct, named, read_film, samples
from vfi_pipeline.media.ffmpeg import ffmpeg_path
from vfi_pipeline.media.pictures import read_pictures
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import FIELDS
from vfi_pipeline.nets.unet import UNetShape

ROOT = Path(__file__).resolve().parents[2]
SIZE = (80, 56)
BICUBIC = "scale=flags=bicubic+accurate_rnd+full_chroma_int:in_h_chr_pos=0:in_v_chr_pos=128"  # sited left, as H.264 is


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("films")
    make_clip(place / "b moving.mkv", frames=10, size=SIZE)
    make_clip(place / "a grey.mkv", frames=5, size=SIZE, content="grey")
    (place / "notes.txt").write_text("no film")
    return place


def pictures(path: Path) -> np.ndarray:
    """The film as another part of the package decodes it: straight to RGB by PyAV."""
    return np.stack([picture for _, picture in read_pictures(path)]).astype(np.float64)


def decibel(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.mean((a - b) ** 2))


def test_planes_become_the_rgb_that_a_decoder_gives(folder):
    assert np.array_equal(to_rgb(read_film(folder / "b moving.mkv", None)), pictures(folder / "b moving.mkv"))


@pytest.mark.parametrize("colour", [{"colorspace": "bt709"}, {"colorspace": "smpte170m", "color_range": "pc"}])
def test_matrix_and_range_tags_reach_the_conversion(tmp_path, colour):
    path = make_clip(tmp_path / "tagged.mkv", frames=2, size=SIZE, colour=colour)
    plain = make_clip(tmp_path / "plain.mkv", frames=2, size=SIZE)
    made = to_rgb(read_film(path, None))
    assert np.abs(made - pictures(path)).max() <= 1
    assert np.abs(made - pictures(plain)).max() > 4


def test_figures_are_means_of_per_frame_values(folder):
    true = pictures(folder / "b moving.mkv")
    results = evaluate(samples(folder), {"blend": baseline("blend"), "hold": baseline("hold")}, [2, 4], temporal=False)
    row = next(r for r in results.rows if (r.clip, r.rate, r.method) == ("b moving", 4, "blend"))

    expected = []
    for k in range(1, 8):  # frames 0..8 of 10: the last one cannot be rebuilt
        if k % 4:
            low, t = k // 4 * 4, k % 4 / 4
            expected.append(decibel(np.round((1 - t) * true[low] + t * true[low + 4]), true[k]))
    assert [value for value, _ in row.frames] == pytest.approx(expected, abs=1e-6)
    assert row.psnr == pytest.approx(np.mean(expected))
    held = next(r for r in results.rows if (r.clip, r.rate, r.method) == ("b moving", 2, "hold"))
    assert held.psnr == pytest.approx(np.mean([decibel(true[k - 1], true[k]) for k in (1, 3, 5, 7)]))


def test_means_are_taken_over_clips_not_frames(folder):
    results = evaluate(samples(folder), {"hold": baseline("hold")}, [2], temporal=False)
    grey, moving = results.rows
    assert (grey.clip, len(grey.frames), moving.clip, len(moving.frames)) == ("a grey", 2, "b moving", 4)
    assert report.means(results.rows)[0]["psnr"] == pytest.approx((grey.psnr + moving.psnr) / 2)


def test_a_still_film_is_rebuilt_exactly_by_everyone_in_the_right_place(folder):
    frames = read_film(folder / "a grey.mkv", None)
    gaps = Gaps(frames[::4], to_rgb(frames[::4]), (0.25, 0.5, 0.75))
    for name in ("blend", "hold", "dis-fast", "dis-splat", "minterpolate"):
        made = baseline(name)(gaps).rgb
        assert made.shape == (3, SIZE[1], SIZE[0], 3)
        assert np.abs(made.astype(int) - gaps.rgb[0]).max() <= 1, name


@pytest.mark.parametrize("name", ["minterpolate", "minterpolate-rgb", "dis-fast", "dis-splat"])
def test_rivals_follow_the_motion_and_keep_the_order(folder, name):
    film = read_film(folder / "b moving.mkv", 9)
    rgb = to_rgb(film)
    made = baseline(name)(Gaps(film[::2], rgb[::2], (0.5,))).rgb
    closest = [int(np.argmin([np.abs(m.astype(int) - f).mean() for f in rgb])) for m in made]
    assert closest == [1, 3, 5, 7]


def test_the_products_path_gives_planes_blended_and_rounded(folder):
    film = read_film(folder / "b moving.mkv", 3)
    made = by_model(Blend())(Gaps(film[::2], to_rgb(film[::2]), (0.5,)))
    first, last = (planes(n, SIZE, "yuv420p", "motion") for n in (0, 2))
    mixed = tuple(((a.astype(int) + b + 1) // 2).astype(np.uint8) for a, b in zip(first, last))
    expected = to_rgb([type(film[0])(mixed, film[0].format, *SIZE, film[0].time, film[0].colour)])
    assert np.array_equal(made.rgb, expected)


@pytest.mark.parametrize(("chroma", "flags"), [("nearest", []), ("bicubic", ["-vf", BICUBIC])])
def test_a_film_is_compared_as_papers_do_it_from_extracted_pictures(folder, tmp_path, chroma, flags):
    """planes=rgb gives the figures of the pictures that ffmpeg writes of the film."""
    place = tmp_path / "extracted"
    place.mkdir()
    film = folder / "b moving.mkv"
    command = [ffmpeg_path(), "-v", "error", "-i", str(film), *flags, "-pix_fmt", "rgb24", str(place / "%03d.png")]
    subprocess.run(command, check=True)
    methods = {"blend": by_model(Blend()), "dis-fast": baseline("dis-fast")}
    of_pictures = evaluate(samples(place), methods, [2], temporal=False)
    of_film = evaluate(samples(film), methods, [2], temporal=False, planes="rgb", chroma=chroma)
    assert [row.frames for row in of_film.rows] == [row.frames for row in of_pictures.rows]
    own = evaluate(samples(film), methods, [2], temporal=False, chroma=chroma)
    assert own.rows[0].frames != of_film.rows[0].frames  # planes of 4:2:0 are blended before they become RGB
    text = report.markdown(of_film, "command")
    assert "RGB pictures" in text and {"nearest": "repeated", "bicubic": "interpolated"}[chroma] in text
    assert "the film's own planes" in report.markdown(own, "command")


def test_unknown_ways_to_compare_are_refused(folder):
    for options, said in (({"planes": "yuv"}, "film, rgb"), ({"chroma": "cubic"}, "nearest, bicubic")):
        with pytest.raises(UserError, match=said):
            evaluate(samples(folder), {"hold": baseline("hold")}, **options)


def test_repeated_frames_jump_more_than_the_true_film_and_than_splatted_ones(folder):
    methods = {"hold": baseline("hold"), "dis-splat": baseline("dis-splat")}
    results = evaluate(samples(folder / "b moving.mkv"), methods, [4])
    held, splatted = results.rows
    assert 2 * results.truth["b moving"] < held.warp_error and 2 * splatted.warp_error < held.warp_error


def test_a_broken_film_is_left_out_and_named(folder, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no film at all")
    (tmp_path / "good.mkv").write_bytes((folder / "a grey.mkv").read_bytes())
    results = evaluate(samples(tmp_path), {"blend": baseline("blend")}, [2], temporal=False)
    assert results.skipped == ["broken"] and {row.clip for row in results.rows} == {"good"}
    assert "broken" in report.markdown(results, "python evaluate.py")
    with pytest.raises(UserError, match="Nothing could be measured"):
        evaluate(samples(tmp_path / "broken.mp4"), {"blend": baseline("blend")}, [2])


def test_what_is_not_there_is_said():
    for call, code in ((lambda: samples(Path("nowhere")), BAD_INPUT), (lambda: baseline("rife"), USAGE)):
        with pytest.raises(UserError, match="does not exist|No baseline") as caught:
            call()
        assert caught.value.code == code


def test_an_empty_folder_and_an_unknown_layout_are_refused(tmp_path):
    with pytest.raises(UserError, match="holds nothing in the layout 'vimeo90k'"):
        samples(tmp_path, "vimeo90k")
    with pytest.raises(UserError, match="No layout is called 'vimeo'"):
        samples(tmp_path, "vimeo")


def write(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((14, 18, 3), value, np.uint8)).save(path)


def test_triplets_of_the_usual_data_sets_are_found_in_their_order(tmp_path):
    vimeo, snu, ucf, middlebury = (tmp_path / name for name in ("v", "s", "u", "m"))
    for k in (1, 2, 3):
        write(vimeo / f"sequences/00001/0389/im{k}.png", 10 * k)
        write(snu / f"test/GOPRO/{k:06d}.png", 10 * k)
    (vimeo / "tri_testlist.txt").write_text("00001/0389\n")
    line = " ".join(f"data/SNU-FILM/test/GOPRO/{k:06d}.png" for k in (1, 2, 3))
    (snu / "test-hard.txt").write_text(line + "\n")
    (snu / "test-easy.txt").write_text(line + "\n")
    for name, value in (("frame_00", 10), ("frame_01_gt", 20), ("frame_02", 30)):
        write(ucf / f"11/{name}.png", value)
        write(ucf / f"2/{name}.png", value)
    for name, value in (("other-data/Urban/frame10", 10), ("other-data/Urban/frame11", 30)):
        write(middlebury / f"{name}.png", value)
    write(middlebury / "other-gt-interp/Urban/frame10i11.png", 20)

    for layout, root, names in (
        ("vimeo90k", vimeo, ["00001/0389"]),
        ("snu-film", snu, ["GOPRO/000002"] * 2),
        ("ucf101", ucf, ["2", "11"]),
        ("middlebury", middlebury, ["Urban"]),
    ):
        found = samples(root, layout)
        assert [sample.name for sample in found] == names
        assert [int(frame.planes[0][0, 0]) for frame in found[0].load()] == [10, 20, 30]
    assert [sample.group for sample in samples(snu, "snu-film")] == ["snu-film easy", "snu-film hard"]
    row = evaluate(samples(vimeo, "vimeo90k"), {"blend": baseline("blend")}, [2, 8], temporal=False).rows[0]
    assert (row.rate, row.psnr) == (2, 100)


@pytest.mark.slow
def test_the_command_writes_tables_that_hold_what_it_prints(folder, tmp_path):
    done = run("model=blend", "methods=[hold]", f"input={folder}", f"output={tmp_path / 'out'}", "rates=[2,4]")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "results.json").read_text())
    mean = next(m for m in record["means"] if (m["method"], m["rate"]) == ("hold", 4))
    assert f"{mean['psnr']:.2f} / {mean['ssim']:.4f}" in done.stdout
    assert f"{mean['psnr']:.2f} / {mean['ssim']:.4f}" in (tmp_path / "out" / "results.md").read_text()
    assert "data:image/png;base64" in (tmp_path / "out" / "results.html").read_text()
    assert len(record["frames"]["b moving 4x hold"]) == 6


@pytest.mark.slow
def test_errors_are_one_line_and_have_their_code(tmp_path):
    done = run("model=blend", f"input={tmp_path / 'gone'}")
    assert done.returncode == BAD_INPUT
    assert "gone does not exist" in done.stderr and "Traceback" not in done.stderr


def run(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "evaluate.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300)


@pytest.mark.slow
def test_the_command_measures_lpips_where_its_backbone_is_and_tells_where_it_is_not(folder, tmp_path):
    """Random weights in the place of ImageNet's, through the path that real ones take; lpips itself is the judge."""
    lpips, torchvision = pytest.importorskip("lpips"), pytest.importorskip("torchvision")
    words = [f"input={folder / 'b moving.mkv'}", "model=blend", "methods=[hold]", "temporal=false", "pictures=0"]

    def run(name: str, home: Path) -> tuple[str, dict]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "evaluate.py"), *words, f"output={tmp_path / name}"],
            capture_output=True, text=True, timeout=500, cwd=tmp_path, env={**os.environ, "TORCH_HOME": str(home)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr, json.loads((tmp_path / name / "results.json").read_text())

    said, without = run("without", tmp_path / "nothing")
    assert said.count("LPIPS needs the ImageNet weights of alex") == 1 and "download https://" in said
    assert all(clip["lpips"] is None for clip in without["clips"]) and "| LPIPS |" not in said

    weights = tmp_path / "home" / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    weights.parent.mkdir(parents=True)
    torch.manual_seed(0)
    backbone = torchvision.models.alexnet(weights=None)
    torch.save(backbone.state_dict(), weights)
    said, with_it = run("with", tmp_path / "home")
    judge = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    convolutions = [m for m in backbone.features if isinstance(m, torch.nn.Conv2d)]
    for layer, mine in zip([m for m in judge.net.modules() if isinstance(m, torch.nn.Conv2d)], convolutions):
        layer.load_state_dict(mine.state_dict())
    true = torch.from_numpy(pictures(folder / "b moving.mkv")).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        held = [judge(true[k - 1 : k], true[k : k + 1]).item() for k in (1, 3, 5, 7)]
    found = next(clip["lpips"] for clip in with_it["clips"] if clip["method"] == "hold")
    assert found == pytest.approx(np.mean(held), rel=1e-4) and found > 0 and "| LPIPS |" in said
    weights.unlink()


def test_weights_that_look_at_one_picture_are_refused():
    model = WarpingODE(FIELDS["svf"](conditioning="first", unet=UNetShape(widths=(8, 12), final=8)), "first")
    with pytest.raises(UserError, match="looks at the first picture only") as caught:
        by_model(model)
    assert "conditioning=both" in str(caught.value)


def test_a_folder_of_16_bit_grey_pictures_is_no_perfect_film(tmp_path):
    for k in range(3):
        ramp = np.add.outer(np.arange(32), np.arange(40) + 5 * k) * 800
        Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / f"{k}.png")
    results = evaluate(samples(tmp_path, "films", 3), {"hold": baseline("hold")}, [2])

    assert 10 < results.rows[0].psnr < 50


def test_films_of_one_name_keep_their_own_figures(folder, tmp_path):
    for place, film in (("one", "a grey.mkv"), ("two", "b moving.mkv")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "x.mkv").write_bytes((folder / film).read_bytes())
    paths = named(f"[{tmp_path / 'one/x.mkv'}, {tmp_path / 'two/x.mkv'}]")
    found = distinct(sample for path in paths for sample in samples(path))
    rows = evaluate(found, {"hold": baseline("hold")}, temporal=False).rows
    assert [row.clip for row in rows] == ["x", "x (2)"] and rows[0].psnr == 100 > rows[1].psnr


@pytest.mark.parametrize(
    ("rates", "frames", "expected"),
    [(None, 33, None), (None, None, None), ([2, 8], 33, [2, 8]), (4, 5, [4]), ([2, 8], 5, [2, 8])],
)
def test_rates_are_read(rates, frames, expected):
    assert read_rates(rates, frames) == expected


@pytest.mark.parametrize(
    ("rates", "frames"), [([], 33), ([1], 33), (["x"], 33), ([2], 2), ([2], "x"), ("2,8", 33), (2.5, 9)]
)
def test_rates_that_leave_nothing_to_make_are_refused(rates, frames):
    with pytest.raises(UserError, match="leave no frame to make"):
        read_rates(rates, frames)


@pytest.mark.parametrize("words", [["model=fit"], ["methods=[morph]"]])
def test_models_of_pictures_are_refused_with_a_remedy(tmp_path, words):
    done = subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), *words], capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert done.returncode == 2 and "films are what is evaluated.\n  Try: model=flow." in done.stderr
    assert not list(tmp_path.iterdir())
