"""Values that cannot be used are refused before anything is built: not given, or of another kind than the default."""

from functools import partial

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vfi_pipeline.commands.train import complete
from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.training.command import words_for_hydra
from vfi_pipeline.commands.train_values import check_given, missing

NEEDED = {
    "none": ["data.root"], "flow": ["data.root"], "style": ["data.root", "style.image"], "single_image": ["image"],
    "smile_gan": ["data.source", "data.target"],
}  # fmt: skip
"""Experiment -> what it needs; the others need nothing, or say so themselves (pairs, or two folders)."""


@pytest.fixture
def compose(root):
    def composed(*typed):
        GlobalHydra.instance().clear()
        with hydra.initialize_config_dir(str(root / "conf"), version_base="1.3"):
            return hydra.compose("train", words_for_hydra([*typed, "run_dir=run"], root / "conf"))

    return composed


def refusal(action):
    with pytest.raises(UserError) as refused:
        action()
    assert refused.value.code == USAGE and str(refused.value).count("\n") == 1
    return str(refused.value)


def test_every_experiment_names_what_it_needs(root, compose):
    experiments = sorted(path.stem for path in (root / "conf" / "experiment").glob("*.yaml"))
    assert set(NEEDED) <= set(experiments)
    for name in experiments:
        cfg, needed = compose(f"experiment={name}"), NEEDED.get(name, [])
        assert missing(cfg) == needed
        if not needed:
            complete(cfg)
            continue
        said = refusal(partial(complete, cfg))
        assert said.startswith(f"{', '.join(needed)} {'is' if len(needed) == 1 else 'are'} not given.")
        assert said.endswith("python train.py " + " ".join(f"{key}=..." for key in needed))
        complete(compose(f"experiment={name}", *(f"{key}=/given" for key in needed)))


def test_one_of_two_is_named_and_toy_data_stand_in_for_data_alone(compose):
    assert refusal(lambda: complete(compose("experiment=style", "data.root=/films"))).startswith("style.image is not")
    said = refusal(lambda: complete(compose("experiment=style", "debug=fdr")))
    assert said.startswith("style.image is not given.")
    complete(compose("debug=fdr"))


def test_a_reference_that_leads_nowhere_is_named(compose):
    said = refusal(lambda: complete(compose("data=single_image")))
    assert said.startswith("data.image is taken from image, which is not given.")
    said = refusal(lambda: complete(compose("data.root=${oc.env:VFI_NO_SUCH_VARIABLE}")))
    assert said.startswith("data.root cannot be worked out: Environment variable 'VFI_NO_SUCH_VARIABLE' not found.")
    said = refusal(lambda: complete(compose("data=image_pairs", "data.pairs=${nothing}")))
    assert said.startswith("data.pairs is taken from nothing")


def test_what_is_missing_is_found_through_references_without_resolving_them():
    cfg = OmegaConf.create({"a": {"b": "${c.d}", "e": ["${nowhere}"]}, "c": {"d": "???"}, "f": "???"})
    assert missing(cfg) == ["c.d", "f"]
    refusal(lambda: check_given(cfg))
