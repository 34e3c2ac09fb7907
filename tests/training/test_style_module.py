"""``train.py experiment=style``: trains, resumes, exports a style, and names what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from films import panning, write_film

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.errors import UserError
from vfi_pipeline.losses.perceptual import StyleObjective
from vfi_pipeline.models.checkpoint import load_model, save_model
from vfi_pipeline.models.style import StyleTransfer, load_style, style_transfer
from vfi_pipeline.nets import features as feature_module
from vfi_pipeline.nets.features import VGG16, VGG_LAYERS
from vfi_pipeline.training import style_module
from vfi_pipeline.training.style_module import SEQUENCES, StyleModule, style_picture


def small_vgg(name="vgg", pooling="max"):
    """VGG-16 of random weights: what is learned from it means nothing, the way there is the same."""
    generator, weights, channels = torch.Generator().manual_seed(0), {}, 3
    for layer in VGG_LAYERS:
        width = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}[layer[4]]
        spread = (2 / (9 * channels)) ** 0.5
        weights[layer] = spread * torch.randn(width, channels, 3, 3, generator=generator), torch.zeros(width)
        channels = width
    return VGG16(weights, (torch.ones(3), torch.zeros(3)), pooling, "random")


@pytest.fixture()
def module(monkeypatch):
    monkeypatch.setattr(style_module, "features", small_vgg)
    torch.manual_seed(0)
    return StyleModule(
        StyleTransfer((8, 8, 8), 1), "mosaic", StyleObjective(), partial(torch.optim.Adam, lr=5e-3), size=64
    )


@pytest.fixture(scope="module")
def batch():
    film = torch.from_numpy(panning(3, 3, 64, 64)).permute(0, 3, 1, 2).float() / 255
    return Triplet(film[:1], film[None, 1:2], film[2:], torch.full((1, 1), 0.5))


def test_a_few_steps_come_closer_to_the_style(module, batch):
    optimizer = module.configure_optimizers()["optimizer"]
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        total = module.terms(batch, ())["total"]
        total.backward()
        optimizer.step()
        losses.append(float(total.detach()))
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_frames_before_are_expected_where_the_pan_takes_them(module, batch, sequence):
    terms = module.terms(batch, sequence)
    assert ("temporal" in terms) == bool(sequence)
    if sequence == (1,):
        expected, confidence = module.previous_frame((batch.first, batch.targets[:, 0], batch.last), sequence)
        with torch.no_grad():
            middle = module.model(batch.targets[:, 0])
        # The content moves left by 3 px: the point x of the last frame was at x + 3.
        inner = (slice(None), slice(None), slice(8, -8), slice(8, 48))
        assert float(confidence[inner].mean()) > 0.9
        moved = middle.roll(-3, -1)
        assert float((expected - moved)[inner].abs().mean()) < 0.2 * float((middle - moved)[inner].abs().mean())


def test_the_flow_model_gives_both_directions_of_a_batch(module, batch):
    flow = module.flow
    forward, backward = flow.flows(torch.cat((batch.first, batch.last)), torch.cat((batch.last, batch.first)))
    # Two frames of a pan by 3 px to the left.
    for field, expected in ((forward[0], -6), (backward[0], 6), (forward[1], 6), (backward[1], -6)):
        inner = field[:, 16:-16, 16:-16]
        assert abs(float(inner[0].median()) - expected) < 0.5 and abs(float(inner[1].median())) < 0.5
    with pytest.raises(ValueError, match="needs multiples of"):
        flow.flows(batch.first[..., :-5], batch.last[..., :-5])


def test_pairs_without_a_middle_train_too(module, batch):
    pair = Triplet(batch.first, batch.targets[:, :0], batch.last, batch.t[:, :0])
    assert torch.isfinite(module.terms(pair, (0, 1))["total"])


def test_checkpoints_hold_the_style_network_alone(module):
    assert all(name.startswith("model.") for name in module.state_dict())


def test_a_style_is_saved_and_loaded_by_name_of_its_kind(tmp_path):
    model = StyleTransfer((8, 8, 8), 1)
    save_model(tmp_path / "a.safetensors", model)
    image = torch.rand(1, 3, 16, 16)
    assert torch.allclose(load_style(tmp_path / "a.safetensors")(image), model.eval()(image), atol=1e-5)
    assert "style=a.safetensors" in (tmp_path / "a.md").read_text()
    going_on = style_transfer(str(tmp_path / "a.safetensors"), widths=[8, 8, 8], blocks=1)
    assert all(torch.equal(a, b) for a, b in zip(going_on.parameters(), model.parameters()))
    assert all(p.requires_grad for p in going_on.parameters())
    with pytest.raises(UserError, match="holds a network of other widths"):
        style_transfer(str(tmp_path / "a.safetensors"), widths=[8, 8, 8], blocks=2)
    with pytest.raises(UserError, match="holds a flow model, not a style"):
        load_style("flow")
    with pytest.raises(UserError, match="style=nowhere is neither a file nor a known name"):
        load_style("nowhere")


def test_a_style_picture_is_a_drawn_one_or_a_file():
    assert style_picture("mosaic", 96).shape == (1, 3, 96, 96)
    with pytest.raises(UserError, match="cannot be found"):
        style_picture("no.jpg", 96)


@pytest.mark.slow
@pytest.mark.skipif(not feature_module.available("vgg"), reason="make features has not been run")
def test_the_command_trains_stops_goes_on_and_exports(root, tmp_path):
    write_film(tmp_path / "a.mkv", panning(14, 2, seed=2))
    words = [
        "experiment=style", "style.image=mosaic", f"data.root={tmp_path / 'a.mkv'}", f"data.cache={tmp_path / 'cache'}",
        "data.val_share=0", "data.crop=64", "data.val_crop=64", "data.val_samples=2", "net.widths=[8,8,8]",
        "net.blocks=1", "training.size=64", "scheduler.warmup=1", "validate_every=2", "checkpoint_every=2",
        "trainer=cpu",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]  # fmt: skip

    def train(*more):
        done = subprocess.run(
            [sys.executable, str(root / "train.py"), *words, *more], capture_output=True, text=True, cwd=tmp_path,
            env=dict(os.environ), timeout=500,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, said = train("steps=2")
    assert code == 0, said
    code, said = train("steps=4", f"ckpt_path={tmp_path / 'run'}")
    assert code == 0 and "step 4/4" in said, said
    model, card = load_model(tmp_path / "run" / "export" / "style.safetensors")
    assert isinstance(model, StyleTransfer) and card.metrics["val/style"] > 0  # no film is kept for a test
    assert list((tmp_path / "run" / "media").glob("val_style_*.png"))
