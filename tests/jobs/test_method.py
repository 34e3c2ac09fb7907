"""The motion model of a job: its settings, what of them decides the frames, and how it gets by with less memory."""

from __future__ import annotations

from fractions import Fraction as F

import pytest
import torch

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.method import LAST_MEMORY_LEVEL, MEMORY_LEVELS, choose_model, resolve_device
from vfi_pipeline.jobs.options import Options

SETTINGS = {
    "_target_": "x.Y", "weights": None, "guide_span": 640, "network_span": 448, "rate": 0.5, "steps": None,
    "inner": {"steps": 4, "name": "a"}, "precision": "auto", "device": "cpu",
}  # fmt: skip


def choose(nested=None, settings=SETTINGS, instantiate=dict, **given):
    return choose_model("fit", settings, nested or {}, Options(("a.mp4",), fps=F(60), **given), instantiate)


def test_settings_have_the_kind_of_their_default():
    built = choose({"model.rate": "2", "model.inner.name": "b", "model.steps": "7"}).build()
    assert (built["rate"], built["inner"], built["steps"]) == (2.0, {"steps": 4, "name": "b"}, 7)
    assert type(built["rate"]) is float
    for key, text in (
        ("model.rate", "yes"), ("model.rate", ".nan"), ("model.inner.steps", "4.5"), ("model.inner.steps", "true"),
        ("model.inner.steps", "[4"), ("model.inner.name", "7"),
    ):  # fmt: skip
        with pytest.raises(UserError, match="of another kind") as caught:
            choose({key: text})
        assert caught.value.args[1].startswith(f"{key}=")


def test_settings_that_are_not_there_are_told_with_the_nearest():
    with pytest.raises(UserError, match="no setting of model=fit 'guide_spam'") as caught:
        choose({"model.guide_spam": "1"})
    assert "guide_span" in caught.value.args[1]
    with pytest.raises(UserError, match="has no setting 'rate.x'"):
        choose({"model.rate.x": "1"})
    with pytest.raises(UserError, match="no setting of model=fit '_target_'"):
        choose({"model._target_": "os.system"})


def test_the_given_settings_are_left_as_they_are():
    choose({"model.inner.steps": "9"}, scale=0.5).build()
    assert SETTINGS["inner"]["steps"] == 4 and SETTINGS["guide_span"] == 640


def test_scale_multiplies_every_span_and_stops_at_32_pixels():
    assert [choose(scale=0.5).build()[name] for name in ("guide_span", "network_span")] == [320, 224]
    assert [choose(scale=0.05).build()[name] for name in ("guide_span", "network_span")] == [32, 32]
    assert choose(settings={**SETTINGS, "network_span": None}, scale=0.5).build()["network_span"] is None


def test_less_memory_means_smaller_pictures_from_the_second_step_on():
    model_choice = choose(scale=0.5)
    spans = []
    for _ in MEMORY_LEVELS:
        spans.append(model_choice.build()["guide_span"])
        model_choice = model_choice.with_less_memory()
    assert spans == [320, 320, 160, 80] and len(MEMORY_LEVELS) == LAST_MEMORY_LEVEL + 1
    assert model_choice.settings == choose(scale=0.5).settings  # a job that steps down goes on with its segments


def test_frames_are_decided_by_all_settings_but_the_device():
    described = choose({"model.inner.steps": "8"}, scale=0.5, precision="fp16", device="cpu").settings
    assert described == {
        "_target_": "x.Y", "guide_span": "320", "network_span": "224", "rate": "0.5", "steps": "None",
        "inner.steps": "8", "inner.name": "a", "precision": "fp16",
    }  # fmt: skip


def test_weights_are_known_by_their_content(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"one")
    (tmp_path / "b.safetensors").write_bytes(b"one")
    (tmp_path / "c.safetensors").write_bytes(b"two")
    first, same, other = (choose(weights=str(tmp_path / f"{name}.safetensors")) for name in "abc")
    assert first.settings == same.settings != other.settings
    assert first.weights == tmp_path / "a.safetensors" and first.build()["weights"] == str(first.weights)
    with pytest.raises(UserError, match="neither a file nor a known name"):
        choose(weights="missing.safetensors")


def test_precision_is_for_models_that_know_it():
    plain = {key: value for key, value in SETTINGS.items() if key != "precision"}
    assert "precision" not in choose(settings=plain, precision="fp32").build()  # which they compute in anyway
    with pytest.raises(UserError, match="fp32 only"):
        choose(settings=plain, precision="bf16")
    assert choose().build()["precision"] == "auto" and choose(precision="bf16").build()["precision"] == "bf16"


def test_models_that_refuse_their_settings_are_told_without_a_traceback():
    class Wrapped(Exception):
        """As Hydra wraps what a model's own code raises."""

    def raising(cause):
        def instantiate(settings):
            raise Wrapped("Error in call to target") from cause

        return choose(instantiate=instantiate).build

    with pytest.raises(UserError, match="model=fit refuses its settings: steps are few"):
        raising(ValueError("steps are few"))()
    with pytest.raises(UserError, match="^no weights\n  Try: some"):
        raising(UserError("no weights", "some."))()
    with pytest.raises(Wrapped):
        raising(RuntimeError("a defect"))()


def test_devices_that_are_not_there_are_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (resolve_device("auto"), resolve_device("cpu")) == ("cpu", "cpu")
    with pytest.raises(UserError, match="sees no CUDA device") as caught:
        resolve_device("cuda:1")
    assert caught.value.code == ENVIRONMENT
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (resolve_device("auto"), resolve_device("cuda:1"), resolve_device("cpu")) == ("cuda", "cuda:1", "cpu")
    with pytest.raises(UserError, match="There is no cuda:2, only 2"):
        resolve_device("cuda:2")
