"""Exported weights look at films and pictures as training looked at its data: the frames are those of ``forward()``."""

import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from films import texture, write_film
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from PIL import Image

from vfi_pipeline.data.modules import Digits, Pairs, Synthetic, UnpairedImages, clips
from vfi_pipeline.media.pictures import read_pictures
from vfi_pipeline.models.checkpoint import PAIRS, Card, load_model, save_model
from vfi_pipeline.models.warping_ode import WarpingODE
from vfi_pipeline.nets.fields import StationaryField
from vfi_pipeline.ode import Solver
from vfi_pipeline.training.session import fit_guide_span, train


@pytest.fixture
def faces(tmp_path):
    for side in ("a", "b"):
        (tmp_path / side).mkdir()
        for k in range(4):
            Image.fromarray(texture(80, 96, seed=k)).save(tmp_path / side / f"{k}.png")
    write_film(tmp_path / "film.mkv", np.stack([texture(48, 120, seed=k) for k in range(4)]))
    return tmp_path


def modules(root):
    a, b = str(root / "a"), str(root / "b")
    return {
        "digits": (Digits(size=16), 16),
        "pairs": (Pairs(first=a, last=b, size=64), 64),
        "pairs, not square": (Pairs(first=a, last=b, size=(48, 80)), 80),
        "pairs as they are": (Pairs(first=a, last=b, size=None), 96),
        "unpaired": (UnpairedImages(a, b, size=64), 64),
        "scenes": (Synthetic(crop=32), 32),
        "films": (clips(str(root / "film.mkv"), crop=32, cache=str(root / "cache")), round(120 * (0.5 * 1.2) ** 0.5)),
        "smaller films": (clips(str(root), crop=16, longest=60, cache=str(root / "cache")), round(60 * 0.6**0.5)),
    }


@pytest.mark.parametrize("name", ["digits", "pairs", "pairs, not square",
                         "pairs as they are", "unpaired", "scenes", "films", "smaller films"])  # fmt: skip
def test_the_span_follows_the_data(faces, name):
    data, expected = modules(faces)[name]
    model = tiny.model()
    model.guide_span = None
    fit_guide_span(model, data)

    assert model.guide_span == expected
    model.guide_span = 333
    fit_guide_span(model, data)
    assert model.guide_span == 333  # the user's own


def test_presets_leave_it_to_the_data(root):
    with initialize_config_dir(str(root / "conf"), version_base="1.3"):
        for words in (
            ["experiment=digits_gan", "data=unpaired", "data.source=/a", "data.target=/b", "channels=3"],
            ["experiment=digits_gan"], ["experiment=digits_l2"], ["experiment=synthetic_l2"], ["data=image_pairs"],
        ):  # fmt: skip
            cfg = compose("train", words)
            assert instantiate(cfg.net).guide_span is None, words


def test_an_unpaired_run_at_64_px_exports_64(faces, tmp_path):
    data = UnpairedImages(str(faces / "a"), str(faces / "b"), size=64, batch_size=2, steps=2, channels=1, val_share=0.3)
    module = tiny.adversarial()
    module.model.guide_span = None
    train(tiny.trainer(tmp_path / "run", steps=3, every=3), module, data, {}, tmp_path / "run", name="x")
    model, card = load_model(tmp_path / "run" / "export" / "x.safetensors")

    assert model.guide_span == 64 and card.data["shows"] == PAIRS


def test_the_data_say_whether_the_weights_are_for_films(faces):
    films = {name: data.of_films for name, (data, _) in modules(faces).items()}

    assert {name for name, of_films in films.items() if of_films} == {"scenes", "films", "smaller films"}


def moving(conditioning, sides, path):
    """Weights that move a picture by some px, all of them inside the frame."""
    torch.manual_seed(3)
    model = WarpingODE(StationaryField(3, conditioning, tiny.SHAPE), sides, Solver("midpoint", 4), guide_span=64)
    with torch.no_grad():
        for _ in range(40):  # to a motion of about 2 px
            motion = model(PICTURES[:1], PICTURES[1:], torch.ones(1, 1))
            length = float(motion.flow.norm(dim=2).amax())
            if 1.5 < length < 3:
                break
            model.field.net.head.weight *= 2.0 / max(length, 1e-3)
            if model.field.net.head.bias is not None:
                model.field.net.head.bias *= 2.0 / max(length, 1e-3)
    save_model(path, model, Card("x"))
    return model.eval()


BYTES = np.stack([texture(64, 64, seed=k) for k in (1, 2)])
PICTURES = torch.from_numpy(BYTES).permute(0, 3, 1, 2).float() / 255


def interpolate(root, folder, *words):
    done = subprocess.run(
        [sys.executable, str(root / "interpolate.py"), *words], capture_output=True, text=True, cwd=folder, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("t", [0.5, 1.0, 1.5])
def test_a_picture_animated_by_the_command_is_the_frame_of_forward(root, tmp_path, t):
    model = moving("first", "first", tmp_path / "w.safetensors")
    Image.fromarray(BYTES[0]).save(tmp_path / "a.png")
    interpolate(root, tmp_path, "input=a.png", "weights=w.safetensors", f"t={t}", "extrapolate=true", "output=o.png")
    made = np.asarray(Image.open(tmp_path / "o.png")).astype(float)
    with torch.no_grad():
        expected = model(PICTURES[:1], None, torch.tensor([[t]])).frame[0, 0].permute(1, 2, 0).numpy() * 255

    learned = np.abs(expected - BYTES[0]).mean()
    assert learned > 2 and np.abs(made - expected).max() <= 0.51


@pytest.mark.slow
@pytest.mark.parametrize("sides", ["first", "group", "both"])
def test_a_film_interpolated_by_the_command_has_the_frames_of_forward(root, tmp_path, sides):
    model = moving("both", sides, tmp_path / "w.safetensors")
    write_film(tmp_path / "f.mkv", BYTES)
    interpolate(root, tmp_path, "input=f.mkv", "weights=w.safetensors", "multi=2", "scene=off", "codec=ffv1",
                "output=o.mkv")  # fmt: skip
    made = [picture.astype(float) for _, picture in read_pictures(tmp_path / "o.mkv")][1]
    with torch.no_grad():
        expected = model(PICTURES[:1], PICTURES[1:], torch.tensor([[0.5]])).frame[0, 0].permute(1, 2, 0).numpy() * 255

    inside = (slice(6, -6), slice(6, -6))  # at the border films show the frame that has something there
    learned = np.abs(expected - BYTES[0])[inside].mean()
    assert learned > 2 and np.abs(made - expected)[inside].max() < 1.5
