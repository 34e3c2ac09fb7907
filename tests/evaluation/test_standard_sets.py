"""Standard sets by their published conventions: tiny sets of the real layouts, measured here a second time.

The second measurement is written as the papers' own programs are (OpenCV reads and resizes, numpy rounds, scipy and
scikit-image compare) and shares nothing with the package.
"""

import json
import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vfi_pipeline.errors import UserError
from vfi_pipeline.evaluation import published, report
from vfi_pipeline.evaluation.baselines import baseline, by_model, by_pair
from vfi_pipeline.evaluation.quality import evaluate
from vfi_pipeline.evaluation.samples import samples
from vfi_pipeline.models.blend import Blend

ROOT = Path(__file__).resolve().parents[2]
W, H = 48, 36
NOISE = np.random.default_rng(0).integers(-8, 9, (H, W, 3))


def picture(k: int, scene: int = 0) -> np.ndarray:
    """Frame ``k`` of a photograph that passes by, 2 px a frame, beneath a sheet of noise that stays."""
    x, y = 40 + 2 * k, 30 + 60 * scene
    return np.clip(data.astronaut()[y : y + H, x : x + W].astype(int) + NOISE, 0, 255).astype(np.uint8)


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


# ------------------------------------------------------------------------------------------- a second measurement


def read(path: Path) -> np.ndarray:
    return cv2.imread(str(path)).astype(np.float64) / 255


def decibel(truth: np.ndarray, made: np.ndarray, offset: float = 0) -> float:
    return -10 * math.log10(((truth - made) ** 2).mean() + offset)


def ssim_of_papers(a: np.ndarray, b: np.ndarray) -> float:
    """One window of 11 x 11 x 11 over (height, width, channel), in [0, 1]."""
    taps = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()

    def mean(volume: np.ndarray) -> np.ndarray:
        return ndimage.correlate(volume, taps[:, None, None] * taps[:, None] * taps, mode="nearest")

    m, n = mean(a), mean(b)
    covariance = 2 * (mean(a * b) - m * n) + 0.0009
    variances = mean(a * a) - m * m + mean(b * b) - n * n + 0.0009
    return float(((2 * m * n + 0.0001) * covariance / ((m * m + n * n + 0.0001) * variances)).mean())


def as_byte(image: np.ndarray) -> np.ndarray:
    return np.round(image * 255).astype(np.uint8)


def rounded(image: np.ndarray) -> np.ndarray:
    return np.round(image * 255) / 255


def blend(first, last, t: float = 0.5):
    """Nearly a cross-fade: none of its values lies half-way between two codes, where rounding is a matter of luck."""
    return (1 - t + 0.0137) * first + (t - 0.0137) * last


def mean(values) -> float:
    return float(np.mean(list(values)))


def measured(root: Path, layout: str) -> dict[str, dict]:
    """Group -> means of ``blend``."""
    method = by_pair(lambda first, last, times: [blend(first, last, t) for t in times])
    results = evaluate(samples(root, layout), {"blend": method}, temporal=False)
    return {mean["group"]: mean for mean in published.set_means(results)}


def agrees(found: dict, expected: dict[str, float], count: int) -> None:
    assert found["pictures"] == count
    assert found["published"] == pytest.approx(expected, abs=2e-5)


# ------------------------------------------------------------------------------------------------ the conventions


def four_figures(triplets, offset: float = 0) -> dict[str, float]:
    made = [(blend(a, b), truth) for a, truth, b in triplets]
    return {
        "PSNR": mean(decibel(truth, rounded(m), offset) for m, truth in made),
        "SSIM": mean(ssim_of_papers(rounded(m), truth) for m, truth in made),
        "PSNR unrounded": mean(decibel(truth, m) for m, truth in made),
        "SSIM unrounded": mean(ssim_of_papers(m, truth) for m, truth in made),
    }


def test_ucf101_as_rife_and_ema_measure_it_and_unrounded_as_upr(tmp_path):
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    for folder, scene in (("1", 0), ("17", 1), ("3", 2)):
        for k, name in enumerate(names):
            write(tmp_path / "ucf101_interp_ours" / folder / name, picture(k, scene))
        write(tmp_path / "ucf101_interp_ours" / folder / "frame_01_ours.png", picture(5, scene))
    folders = (tmp_path / "ucf101_interp_ours").iterdir()
    expected = four_figures([read(folder / name) for name in names] for folder in folders)
    agrees(measured(tmp_path, "ucf101")["ucf101"], expected, 3)
    assert expected["PSNR"] != pytest.approx(expected["PSNR unrounded"], abs=1e-3)


@pytest.mark.parametrize("root", ["sequences", "target"])
def test_vimeo90k_takes_the_test_list_alone(tmp_path, root):
    for number in (1, 2, 3):
        for k in (1, 2, 3):
            write(tmp_path / root / f"00001/{number:04d}/im{k}.png", picture(k, number))
    (tmp_path / "tri_testlist.txt").write_text("00001/0001\n00001/0003\n\n", encoding="utf-16")
    (tmp_path / "tri_trainlist.txt").write_text("00001/0002\n")
    folders = [tmp_path / root / "00001" / name for name in ("0001", "0003")]
    expected = four_figures([read(f / f"im{k}.png") for k in (1, 2, 3)] for f in folders)
    agrees(measured(tmp_path, "vimeo90k")["vimeo90k"], expected, 2)


@pytest.mark.parametrize("apart", [True, False])
def test_middlebury_has_the_mean_absolute_difference_in_codes(tmp_path, apart):
    triplets = []
    for scene, name in enumerate(("Beanbags", "Walking")):
        data_, truth = ("other-data", "other-gt-interp") if apart else (".", ".")
        files = [f"{data_}/{name}/frame10.png", f"{truth}/{name}/frame10i11.png", f"{data_}/{name}/frame11.png"]
        triplets.append([read(write(tmp_path / file, picture(k, scene))) for k, file in enumerate(files)])
    made = [(blend(a, b), truth) for a, truth, b in triplets]
    expected = {
        "IE": mean(np.abs(np.round(m * 255) - truth * 255).mean() for m, truth in made),
        "PSNR": mean(peak_signal_noise_ratio(as_byte(truth), as_byte(m), data_range=255) for m, truth in made),
        "SSIM": mean(ssim_of_papers(rounded(m), truth) for m, truth in made),
        "SSIM 7x7": mean(
            structural_similarity(as_byte(truth), as_byte(m), data_range=255, channel_axis=2) for m, truth in made
        ),
    }
    agrees(measured(tmp_path, "middlebury")["middlebury"], expected, 2)


@pytest.mark.parametrize("lists", [".", "eval_modes"])
def test_snu_film_is_unrounded_as_ema_and_upr_and_rounded_as_cain_by_difficulty(tmp_path, lists):
    for k in range(9):
        write(tmp_path / f"test/GOPRO_test/GOPR01/{k:06d}.png", picture(k))
    (tmp_path / lists).mkdir(exist_ok=True)
    for step, level in enumerate(("easy", "medium", "hard", "extreme"), start=1):
        lines = [
            " ".join(f"data/SNU-FILM/test/GOPRO_test/GOPR01/{n:06d}.png" for n in (k - step, k, k + step))
            for k in (4, 5 if step < 4 else 4)
        ]
        (tmp_path / lists / f"test-{level}.txt").write_text("\n".join(lines) + "\n")
    found = measured(tmp_path, "snu-film")
    assert list(found) == [f"snu-film {level}" for level in ("easy", "medium", "hard", "extreme")]
    for step, level in ((1, "easy"), (3, "hard")):
        shots = [read(tmp_path / f"test/GOPRO_test/GOPR01/{k:06d}.png") for k in range(9)]
        figures = four_figures([(shots[k - step], shots[k], shots[k + step]) for k in (4, 5)], offset=1e-8)
        expected = {
            "PSNR unrounded": figures["PSNR unrounded"], "SSIM unrounded": figures["SSIM unrounded"],
            "PSNR rounded": figures["PSNR"], "SSIM rounded": figures["SSIM"],
        }  # fmt: skip
        agrees(found[f"snu-film {level}"], expected, 2)


def test_an_exact_picture_has_80_dB_as_cain_rounds_and_counts_as_100_elsewhere(tmp_path):
    for k in range(3):
        write(tmp_path / f"test/G/{k}.png", picture(0))
    (tmp_path / "test-easy.txt").write_text("test/G/0.png test/G/1.png test/G/2.png\n")
    results = evaluate(samples(tmp_path, "snu-film"), {"hold": baseline("hold")}, temporal=False)
    figures = published.set_means(results)[0]["published"]
    assert figures == pytest.approx(
        {"PSNR unrounded": 100, "SSIM unrounded": 1, "PSNR rounded": 80, "SSIM rounded": 1}, abs=1e-9
    )


def test_xiph_is_halved_by_area_and_cropped_and_compared_as_scikit_image_does_by_default(tmp_path):
    for scene, name in enumerate(("BoxingPractice", "FoodMarket", "FoodMarket2")):
        for k in range(1, 6):
            write(tmp_path / f"netflix/{name}-{k:03d}.png", picture(k, scene))
    write(tmp_path / "netflix/Elephants-001.png", picture(0))
    found = measured(tmp_path, "xiph")
    assert list(found) == ["xiph 2K", "xiph 4K"]
    for category, group in (("resized", "xiph 2K"), ("cropped", "xiph 4K")):
        figures = []
        for name in ("BoxingPractice", "FoodMarket", "FoodMarket2"):
            for k in (2, 4):
                shots = [cv2.imread(str(tmp_path / f"netflix/{name}-{n:03d}.png"), -1) for n in (k - 1, k, k + 1)]
                if category == "resized":
                    shots = [cv2.resize(s, (W // 2, H // 2), interpolation=cv2.INTER_AREA) for s in shots]
                else:
                    shots = [s[H // 4 : -H // 4, W // 4 : -W // 4] for s in shots]
                made = as_byte(blend(shots[0] / 255, shots[2] / 255))
                figures.append(
                    (
                        peak_signal_noise_ratio(shots[1], made, data_range=255),
                        structural_similarity(shots[1], made, data_range=255, channel_axis=2),
                    )
                )
        agrees(found[group], dict(zip(("PSNR", "SSIM 7x7"), np.mean(figures, axis=0))), 6)


def test_x4k_makes_every_eighth_of_the_interval_at_full_and_at_half_size(tmp_path):
    scenes = ("Type1/TEST01_003_f0433", "Type2/TEST06_001_f0273")
    for scene, name in enumerate(scenes):
        for k in range(33):
            write(tmp_path / f"test/{name}/{k:04d}.png", picture(k, scene))
    found = measured(tmp_path, "x4k")
    assert list(found) == ["x4k 4K", "x4k 2K"]
    for group in found:
        triplets = []
        for name in scenes:
            shots = [
                cv2.imread(str(tmp_path / f"test/{name}/{4 * k:04d}.png")).astype(np.float32) / 255 for k in range(9)
            ]
            if group == "x4k 2K":
                shots = [cv2.resize(s, (W // 2, H // 2), interpolation=cv2.INTER_AREA) for s in shots]
            shots = [s.astype(np.float64) for s in shots]
            triplets += [(blend(shots[0], shots[8], k / 8), shots[k]) for k in range(1, 8)]
        expected = {
            "PSNR": mean(decibel(truth, rounded(made)) for made, truth in triplets),
            "SSIM": mean(ssim_of_papers(rounded(made), truth) for made, truth in triplets),
            "PSNR unrounded": mean(decibel(truth, made) for made, truth in triplets),
            "SSIM unrounded": mean(ssim_of_papers(made, truth) for made, truth in triplets),
        }
        agrees(found[group], expected, 14)


# --------------------------------------------------------------------------------------------------- beside them


@pytest.fixture
def triplets(tmp_path) -> Path:
    for folder, scene in (("1", 0), ("2", 1)):
        for k, name in enumerate(("frame_00", "frame_01_gt", "frame_02")):
            write(tmp_path / f"ucf/{folder}/{name}.png", picture(k, scene))
    return tmp_path / "ucf"


def test_the_products_path_is_measured_unrounded_to_a_five_hundredth_of_a_code(triplets):
    results = evaluate(samples(triplets, "ucf101"), {"ours": by_model(Blend())}, temporal=False)
    (found,) = published.set_means(results)
    made = []
    for folder in sorted(triplets.iterdir()):
        a, truth, b = (read(folder / f"{name}.png") for name in ("frame_00", "frame_01_gt", "frame_02"))
        made.append(((a + b) / 2, truth))
    expected = {
        # The product rounds halves up; np.round would leave that to the last bit of the product by 255.
        "PSNR": mean(decibel(truth, np.floor(m * 255 + 0.5 + 1e-9) / 255) for m, truth in made),
        "PSNR unrounded": mean(decibel(truth, m) for m, truth in made),
        "SSIM unrounded": mean(ssim_of_papers(m, truth) for m, truth in made),
    }
    assert {key: found["published"][key] for key in expected} == pytest.approx(expected, abs=1e-4)
    assert not results.rounding


def test_a_method_that_gives_bytes_only_is_named(triplets):
    results = evaluate(samples(triplets, "ucf101"), {"minterpolate": baseline("minterpolate")}, temporal=False)
    (found,) = published.set_means(results)
    assert found["published"]["PSNR unrounded"] == found["published"]["PSNR"]
    assert "unrounded figures are rounded ones: minterpolate" in report.markdown(results, "command")


def test_the_report_has_the_conventions_columns_says_which_and_what_is_missing_of_the_set(triplets, tmp_path):
    methods = {"blend": baseline("blend"), "hold": baseline("hold")}
    results = evaluate(samples(triplets, "ucf101"), methods, temporal=False)
    text = report.markdown(results, "command")
    means = published.set_means(results)
    for each in means:
        figures = each["published"]
        row = (
            f"| ucf101 | {each['method']} | 2 | {figures['PSNR']:.2f} | {figures['SSIM']:.4f} | "
            f"{figures['PSNR unrounded']:.2f} | {figures['SSIM unrounded']:.4f} | {each['ssim']:.4f} |"
        )
        assert row in text
    assert "| set | method | pictures | PSNR | SSIM | PSNR unrounded | SSIM unrounded | SSIM luma |" in text
    assert "RIFE, EMA-VFI (benchmark/UCF101.py)" in text and "2 of 379 pictures" in text
    assert f"{W}x{H}; in the published set they are 256x256" in text and "rounded to 8 bits" in text
    report.save(results, tmp_path / "out", "command", {})
    record = json.loads((tmp_path / "out/results.json").read_text())
    assert record["sets"] == json.loads(json.dumps(means))
    assert record["clips"][0]["published"]["PSNR"] == pytest.approx([results.rows[0].psnr])


def test_parts_of_a_set_hold_pictures_of_one_name_without_mixing_them(tmp_path):
    for k in range(1, 4):
        write(tmp_path / f"Tango-{k:03d}.png", picture(k))
    results = evaluate(samples(tmp_path, "xiph"), {"hold": baseline("hold")}, temporal=False)
    report.save(results, tmp_path / "out", "command", {})
    record = json.loads((tmp_path / "out/results.json").read_text())
    assert set(record["frames"]) == {"xiph 2K Tango-002 2x hold", "xiph 4K Tango-002 2x hold"}
    assert len(list((tmp_path / "out/pictures").iterdir())) == 2


def test_what_a_set_lacks_is_left_out_and_named(tmp_path):
    for k in (1, 2, 3, 5):
        write(tmp_path / f"xiph/Tango-{k:03d}.png", picture(k))
    results = evaluate(samples(tmp_path / "xiph", "xiph"), {"hold": baseline("hold")}, temporal=False)
    assert results.skipped == [f"xiph {size} Tango-{k:03d}" for size in ("2K", "4K") for k in (4, 6)]
    assert "Left out" in report.markdown(results, "command") and len(results.rows) == 2

    for k in range(33):
        write(tmp_path / f"x4k/Type1/whole/{k:04d}.png", picture(k))
        if k < 20:
            write(tmp_path / f"x4k/Type1/short/{k:04d}.png", picture(k))
    results = evaluate(samples(tmp_path / "x4k", "x4k"), {"hold": baseline("hold")}, temporal=False)
    assert results.skipped == ["x4k 4K Type1/short", "x4k 2K Type1/short"]

    write(tmp_path / "ucf/1/frame_00.png", picture(0))
    write(tmp_path / "ucf/1/frame_01_gt.png", picture(1)[:-2])
    write(tmp_path / "ucf/1/frame_02.png", picture(2))
    with pytest.raises(UserError, match="Nothing could be measured"):
        evaluate(samples(tmp_path / "ucf", "ucf101"), {"hold": baseline("hold")}, temporal=False)


def test_a_set_is_measured_at_its_own_factor_or_not_at_all(triplets):
    methods = {"hold": baseline("hold")}
    assert evaluate(samples(triplets, "ucf101"), methods, [2, 8], temporal=False).rows[0].rate == 2
    with pytest.raises(UserError, match="ucf101 is for factor 2, not 4.*\n.*leave rates= out"):
        evaluate(samples(triplets, "ucf101"), methods, [4], temporal=False)


# ------------------------------------------------------------------------------- depths, greys, names, on the way in


@pytest.mark.parametrize("kind", ["grey 16", "rgb 16", "grey 8", "rgba 8", "rgba 16"])
def test_pictures_of_any_depth_are_measured_as_their_eight_bit_rgb(tmp_path, kind):
    """16 bit grey was clipped to white: every method had 100 dB."""
    channels, depth = kind.split()
    names = ("frame_00", "frame_01_gt", "frame_02")
    for k, name in enumerate(names):
        image = picture(k)
        if channels == "grey":
            image = np.stack([image[..., 1]] * 3, -1)
        write(tmp_path / f"plain/1/{name}.png", image)
        write(tmp_path / f"film plain/{name}.png", image)
        stored = image[..., 0] if channels == "grey" else image[..., ::-1]
        if channels == "rgba":
            stored = np.dstack([stored, np.full((H, W), 200, np.uint8)])
        stored = stored * np.uint16(257) if depth == "16" else stored
        for path in (tmp_path / f"odd/1/{name}.png", tmp_path / f"film odd/{name}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(path), stored)
    figures = {}
    for name in ("plain", "odd"):
        triplet = evaluate(samples(tmp_path / name, "ucf101"), {"blend": baseline("blend")}, temporal=False)
        film = evaluate(samples(tmp_path / f"film {name}"), {"blend": baseline("blend")}, [2], temporal=False)
        figures[name] = (*published.set_means(triplet)[0]["published"].values(), film.rows[0].psnr, film.rows[0].ssim)
    assert figures["odd"] == pytest.approx(figures["plain"], abs=1e-6)
    assert figures["plain"][0] < 40


def test_pictures_of_one_triplet_may_differ_in_depth(tmp_path):
    for k, name in enumerate(("frame_00", "frame_01_gt", "frame_02")):
        image = np.stack([picture(k)[..., 1]] * 3, -1)
        write(tmp_path / f"plain/1/{name}.png", image)
        path = tmp_path / f"mixed/1/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), [image, image[..., 0] * np.uint16(257), image[..., 0]][k])
    plain, mixed = (measured(tmp_path / name, "ucf101")["ucf101"]["published"] for name in ("plain", "mixed"))
    assert mixed == pytest.approx(plain, abs=1e-6)


def test_float_pictures_are_measured_as_their_eight_bit_rgb(tmp_path):
    for k, name in enumerate(("frame_00", "frame_01_gt", "frame_02")):
        path = tmp_path / f"float/1/{name}.png"
        write(tmp_path / f"plain/1/{name}.png", picture(k))
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path.with_suffix(".tiff")), picture(k)[..., ::-1].astype(np.float32) / 255)
        path.with_suffix(".tiff").rename(path)
    plain, floats = (measured(tmp_path / name, "ucf101")["ucf101"]["published"] for name in ("plain", "float"))
    assert floats == pytest.approx(plain, abs=1e-3)


@pytest.mark.slow
def test_paths_are_taken_as_typed_also_in_a_list(triplets, tmp_path):
    folder = tmp_path / "a=b, ${c} [d] 'e'"
    triplets.rename(folder)
    odd = tmp_path / "x,y=z"
    for k in range(3):
        write(odd / f"{k}.png", picture(k))
        write(tmp_path / f"plain/{k}.png", picture(k))

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "evaluate.py"), "model=blend", "methods=[]", "lpips=false", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)

    done = run(f"input={folder}", "layout=ucf101", "output=out,1=2", "page=p=q,r.md")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out,1=2/results.json").read_text())
    assert record["settings"]["input"] == str(folder) and record["sets"][0]["pictures"] == 2
    assert "by its published convention" in (tmp_path / "p=q,r.md").read_text()

    done = run(f"input=[{odd},{tmp_path / 'plain'}]", "output=two", "temporal=false")
    assert done.returncode == 0, done.stderr
    assert [clip["clip"] for clip in json.loads((tmp_path / "two/results.json").read_text())["clips"]] == [
        "x,y=z",
        "plain",
    ]

    done = run(f"input={tmp_path / 'gone=1,2'}")
    assert done.returncode == 3 and "gone=1,2 does not exist" in done.stderr and "Traceback" not in done.stderr
    done = run(f"input={folder}", "model.weights=some=file,1.safetensors", "output=none")
    assert done.returncode == 2 and "model=blend takes no weights" in done.stderr
