"""Options of ``data=clips`` and ``data=folder_of_videos`` are flat; each ends in the dataclass it belongs to."""

from dataclasses import fields, is_dataclass

import pytest
import tiny
import torch
import yaml
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from vfi_pipeline.data.clips import Windows
from vfi_pipeline.data.device_batches import Stage
from vfi_pipeline.data.modules import Clips, Films, clips, folder_of_videos
from vfi_pipeline.data.modules.options import take_fields
from vfi_pipeline.errors import UserError
from vfi_pipeline.training.explain import explain
from vfi_pipeline.training.resume import with_new_names
from vfi_pipeline.training.session import train

# Another value than the default for each option, and where it is found in the module.
OPTIONS = {
    "val_root": ("/held", "roots.val_root"),
    "val_share": (0.25, "roots.val_share"),
    "test_share": (0.125, "roots.test_share"),
    "crop": (64, "augmentation.crop"),
    "spans": ([3, 7], "sampling.spans"),
    "middles": (2, "sampling.target_count"),
    "least_motion": (1.5, "sampling.least_motion"),
    "grow": (0.5, "sampling.grow"),
    "around": (True, "sampling.around"),
    "longest": (320, "decoding.longest"),
    "memory_gb": (2.0, "memory_gb"),
    "synthetic": (0.5, "synthetic.share"),
    "cache": ("/cache", "decoding.cache"),
    "val_crop": (96, "validation.crop"),
    "val_samples": (5, "validation.samples"),
    "batch_size": (6, "batch_size"),
    "steps": (11, "steps"),
    "workers": (1, "workers"),
    "seed": (9, "seed"),
    "batches": ("device", "making.where"),
    "scenes": (12, "synthetic.scenes"),
    "reuse": (2, "windows.reuse"),
    "window": (16, "windows.length"),
    "most_s": (60.0, "windows.most_s"),
}
OBJECTS = {"_target_", "root", "augmentation", "recipe", "stages"}  # not plain values: tried by other tests


def found(module, place):
    value = module
    for name in place.split("."):
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("name", ["clips", "folder_of_videos"])
def test_every_option_of_the_file_reaches_the_module(root, name):
    settings = yaml.safe_load((root / "conf" / "data" / f"{name}.yaml").read_text())
    typed = {option: value for option, (value, _) in OPTIONS.items() if option in settings}
    assert set(settings) - OBJECTS == set(typed)

    module = instantiate({**settings, "root": ["/a", "/b"], **typed})

    assert module.roots.roots == ["/a", "/b"]
    for option, value in typed.items():
        held = found(module, OPTIONS[option][1])
        assert held == (tuple(value) if option == "spans" else type(held)(value)), option


def test_a_configuration_of_an_earlier_version_makes_the_same_modules(tmp_path):
    for old, kind in (("Clips", Clips), ("Films", Films)):
        config = {"_target_": f"vfi_pipeline.data.modules.{old}", "root": str(tmp_path), "spans": [2, 4], "crop": 32}
        assert type(instantiate(with_new_names(config))) is kind


@pytest.mark.parametrize("make", [clips, folder_of_videos])
def test_an_option_that_does_not_exist_is_named(make):
    with pytest.raises(TypeError, match="spam"):
        make("/films", spam=1)


def test_fields_without_an_option_keep_their_default():
    options = {"reuse": 7, "other": 1}
    assert take_fields(Windows, options, length="window") == Windows(reuse=7) and options == {"other": 1}
    assert is_dataclass(Windows) and len(fields(Windows)) == 4


STAGE = {"begin": 0.5, "crop": 64, "batch_size": 2}


@pytest.mark.parametrize(
    "stages, said",
    [
        ([{"begin": 0.5, "crop": 64}], "stage 1, has no batch_size."),
        ([STAGE, {"begin": 0.7}], "stage 2, has no crop and no batch_size."),
        ([{**STAGE, "crop": None}], "stage 1, has no crop."),
        ([{"begn": 0.5, "crop": 64, "batch_size": 2}], "begn, which no stage has.\n  Try: did you mean begin?"),
        ([{**STAGE, "speed": 1}], "stage 1, has speed, which no stage has."),
        ([{**STAGE, "begin": "half"}], "stage 1, has begin=half, which is no number."),
        ([{**STAGE, "batch_size": 2.5}], "stage 1, has batch_size=2.5, which is no whole number."),
        ([{**STAGE, "crop": True}], "stage 1, has crop=True, which is no whole number."),
        ([0.5], "stage 1, is 0.5, which does not name begin, crop and batch_size."),
        ([{**STAGE, "begin": 1.5}], "A stage begins at 1.5 of the run."),
        (STAGE, "data.stages is no list of stages."),
        ("late", "data.stages is no list of stages."),
    ],
)  # fmt: skip
def test_a_stage_that_cannot_be_read_is_told_with_the_form(stages, said):
    target = {"_target_": "vfi_pipeline.data.modules.clips", "root": "/none", "stages": stages}
    with pytest.raises(InstantiationException) as refused:
        instantiate(target)
    error = explain(refused.value)
    assert isinstance(error, UserError) and said in str(error) and str(error).count("\n") == 1
    assert "begin" in str(error).split("Try: ")[1]


def test_stages_are_read_from_a_configuration():
    module = instantiate({"_target_": "vfi_pipeline.data.modules.clips", "root": "/none", "stages": [STAGE]})
    assert module.stages == [Stage(0.0, 192, 8), Stage(0.5, 64, 2)]


def test_stages_on_a_cpu_are_refused_before_a_film_is_read(tmp_path):
    module = clips(str(tmp_path / "none"), stages=[STAGE])
    with pytest.raises(
        UserError, match="data.stages needs batches .*; with data.batches=auto loaders make them on a CPU"
    ):
        train(tiny.trainer(tmp_path), tiny.paired(), module, {}, tmp_path)
    module.check_device(torch.device("cuda"))
    clips("/none", stages=[STAGE], batches="device").check_device(torch.device("cpu"))
    clips("/none").check_device(torch.device("cpu"))
