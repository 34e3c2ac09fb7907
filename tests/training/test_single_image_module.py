"""Training one picture's generator by the command, and what interpolate.py makes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vfi_pipeline.data.drawn_faces import drawn_face
from vfi_pipeline.data.modules.single_image import SingleImage
from vfi_pipeline.metrics import psnr
from vfi_pipeline.models.single_image import SingleImageGenerator, load_single_image
from vfi_pipeline.nets.conditional_gan import Discriminator
from vfi_pipeline.training import single_image_module
from vfi_pipeline.training.single_image_module import SingleImageModule

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture()
def no_vgg(monkeypatch):
    monkeypatch.setattr(single_image_module, "available", lambda name: False)


@pytest.fixture()
def picture(tmp_path):
    Image.fromarray(drawn_face(5, 0.0, 64)).save(tmp_path / "y.png")
    return tmp_path / "y.png"


def test_without_weights_of_vgg_it_is_told_and_trained_all_the_same(no_vgg, caplog):
    module = SingleImageModule(SingleImageGenerator((8, 8, 8), 1), Discriminator(8, 2), torch.optim.Adam)
    assert "make features" in caplog.text
    terms = module.terms(torch.rand(1, 3, 24, 24), torch.rand(1, 3, 24, 24))
    assert "perceptual" not in terms
    wanted = 10 * terms["reconstruction"] + 5 * terms["matching"] + 0.5 * terms["adversarial"]
    assert float(terms["total"]) == pytest.approx(float(wanted), rel=1e-5)


def test_a_turn_below_two_leaves_nothing_for_the_generator(no_vgg):
    with pytest.raises(ValueError, match="training.turn is 1"):
        SingleImageModule(SingleImageGenerator((8, 8, 8), 1), Discriminator(8, 2), torch.optim.Adam, turn=1)


@pytest.mark.slow
def test_an_unchanged_primitive_gives_the_picture_back(no_vgg, picture):
    data = SingleImage(str(picture), size=48, augmentation="none")
    torch.manual_seed(0)
    module = SingleImageModule(
        SingleImageGenerator((16, 24, 32), 2, data.palette.colours), Discriminator(8, 2), torch.optim.Adam
    )
    optimizer = torch.optim.Adam(module.model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        module.terms(data.primitive, data.picture)["total"].backward()
        optimizer.step()
    assert float(psnr(module.model.draw(data.primitive), data.picture).mean()) > 26


@pytest.mark.slow
def test_from_a_picture_to_an_animation_by_the_commands(picture, tmp_path):
    environment = {**os.environ, "TORCH_HOME": str(tmp_path)}

    def run(script, *words):
        return subprocess.run(
            [sys.executable, str(ROOT / script), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )

    small = ("net.widths=[8,8,8]", "net.blocks=1", "data.size=40", "training.perceptual=0", "validate_every=6")
    done = run(
        "train.py", "experiment=single_image", f"image={picture}", "primitive=super", "steps=12", *small,
        "hydra.run.dir=run", "trainer=cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steps/s" in done.stdout and "left" in done.stdout  # progress with what is left
    weights = tmp_path / "run/export/single_image.safetensors"
    model = load_single_image(weights)
    assert model.guide_span == 40 and len(model.colours) > 3
    primitive = np.asarray(Image.open(tmp_path / "run/export/primitive.png"))
    moved = np.roll(primitive, 6, axis=1)
    Image.fromarray(moved).save(tmp_path / "moved.png")
    facts = json.loads((tmp_path / "run/run.json").read_text())
    assert facts["data"]["primitive"] == "super"
    # One edited primitive, then an animation between two.
    one = run("interpolate.py", "input=moved.png", f"weights={weights}", "output=one.png")
    assert one.returncode == 0, one.stderr
    drawn = model.draw(torch.from_numpy(moved.copy()).permute(2, 0, 1)[None].float() / 255)
    made = torch.from_numpy(np.asarray(Image.open(tmp_path / "one.png")).copy()).permute(2, 0, 1)[None].float() / 255
    assert (made - drawn).abs().max() < 0.51 / 255 + 1e-5
    both = run(
        "interpolate.py", "input=[run/export/primitive.png,moved.png]", f"weights={weights}", "frames=4",
        "hold_last=0.05", "model.quality=draft", "output=%d.png",
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    last = sorted(tmp_path.glob("[0-9].png"))[-1]
    assert np.array_equal(
        np.asarray(Image.open(last)), np.asarray(Image.open(tmp_path / "one.png"))
    )  # the end is drawn
    alone = run("interpolate.py", "input=moved.png", f"weights={weights}", "duration=2")
    assert alone.returncode == 2 and "a second primitive" in alone.stderr
