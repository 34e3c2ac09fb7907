"""``adapt=true``: learns from the film's own frames, keeps what helps, is stored, found again and part of the job."""

import logging

import clips
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import interpolate
from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.jobs import adapt
from vfi_pipeline.jobs.adapt import _crop, fine_tune
from vfi_pipeline.models.checkpoint import load_model, save_model
from vfi_pipeline.models.flow import FlowInterpolator


def small(seed=0):
    torch.manual_seed(seed)
    return FlowInterpolator(
        widths=[8, 8], hidden=[8, 8], handed=[8], radii=[0, 2], match=[8, 8], stem=8, depth=[1, 1], guide_span=160
    )


def pan(count, side=64, by=3):
    """Triplets of a picture that moves by ``by`` pixels a frame."""
    torch.manual_seed(5)
    found = []
    for _ in range(count):
        wide = F.interpolate(torch.rand(1, 3, side // 4, side // 2), (side, 2 * side), mode="bicubic").clamp(0, 1)
        first, middle, last = (wide[..., k * by : k * by + side] for k in range(3))
        found.append(Triplet(first[0], middle, last[0], torch.tensor([0.5])))
    return found


def test_a_crop_takes_the_search_of_whole_frames_along():
    (whole,) = pan(1, side=64, by=3)
    backward = torch.full((3, 2, 16, 16), 1.5)
    whole = whole._replace(searched=torch.cat((-backward, backward), dim=1))
    seen = set()
    for seed in range(12):
        part = _crop(whole, np.random.default_rng(seed), small())
        way = round(float(part.searched[1, 0].mean()), 3)
        assert abs(way) == 1.5 and part.searched.shape == (3, 4, 16, 16)
        assert torch.equal(part.searched[:, 0], -part.searched[:, 2])
        # 6 px over the pair: pulled by them, the last frame lies on the first.
        moved = torch.roll(part.last, round(-4 * way), dims=-1)
        assert (moved - part.first)[..., 6:-6].abs().max() < 1e-6
        seen.add(way)
    assert seen == {-1.5, 1.5}


def test_it_learns_what_the_film_does_and_says_so_by_frames_held_out():
    model = small()
    gain = fine_tune(model, pan(15, side=32, by=2), steps=80, seconds=600, rate=5e-3)
    assert gain.steps == 80 and gain.triplets == 15
    assert gain.after > gain.before + 0.5
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_weights_that_do_not_help_are_put_back(monkeypatch):
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    verdicts = iter((30.0, 29.0))
    monkeypatch.setattr(adapt, "_judged", lambda model, triplets: next(verdicts))
    gain = fine_tune(model, pan(10, side=32), steps=2, seconds=600)
    assert gain.after < gain.before
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_same_task_gives_the_same_weights_and_time_ends_it():
    one, two, late = small(), small(), small()
    for model in (one, two):
        fine_tune(model, pan(10, side=32), steps=3, seconds=600)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values()))
    assert fine_tune(late, pan(10, side=32), steps=50, seconds=0).steps == 0


@pytest.fixture
def film(tmp_path):
    return clips.make_clip(tmp_path / "film.mp4", frames=24, size=(96, 64), rate="12")


def run(film, weights, *more):
    output = film.with_name("out.mp4")
    words = [f"input={film}", f"output={output}", "multi=2", f"weights={weights}", "adapt=true", "adapt_steps=2", *more]
    return interpolate.main(words), output


@pytest.mark.slow
def test_the_command_adapts_stores_and_finds_the_weights_again(film, tmp_path, caplog, monkeypatch):
    save_model(tmp_path / "small.safetensors", small())
    monkeypatch.setattr(adapt, "_judged", lambda model, triplets, values=iter((30.0, 31.0)): next(values))
    caplog.set_level(logging.INFO)
    code, output = run(film, tmp_path / "small.safetensors")
    assert code == 0 and output.is_file()
    kept = adapt.adapted_path(output)
    model, card = load_model(kept)
    assert card.data["helps"] and card.training["steps"] == 2
    assert any((a != b).any() for a, b in zip(model.state_dict().values(), small().state_dict().values()))
    stamp = kept.stat().st_mtime_ns

    caplog.clear()
    assert run(film, tmp_path / "small.safetensors", "overwrite=true")[0] == 0
    assert kept.stat().st_mtime_ns == stamp, "the same task is not learned twice"
    assert "adapted in" not in caplog.text and kept.name in caplog.text


def test_models_without_weights_are_refused(film, capsys):
    code = interpolate.main([f"input={film}", "multi=2", "model=fit", "adapt=true"])
    assert code == 2 and "model=flow adapt=true" in capsys.readouterr().err
    code = interpolate.main([f"input={film}", "multi=2", "model=blend", "refine=3"])
    assert code == 2 and "model=flow refine=3" in capsys.readouterr().err
