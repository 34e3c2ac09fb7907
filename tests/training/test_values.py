"""Values that cannot be used are refused before anything is built: not given, or of another kind than the default."""

import copy
from functools import partial

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vfi_pipeline.commands.signatures import parameters_of, permits
from vfi_pipeline.commands.train import choices, complete
from vfi_pipeline.commands.train_values import check_given, check_kinds, missing
from vfi_pipeline.errors import USAGE, UserError
from vfi_pipeline.training.command import words_for_hydra

NEEDED = {
    "none": ["data.root"], "flow": ["data.root"], "style": ["data.root", "style.image"], "single_image": ["image"],
    "smile_gan": ["data.source", "data.target"],
}  # fmt: skip
"""Experiment -> what it needs; the others need nothing, or say so themselves (pairs, or two folders)."""


COMPOSED = {}


@pytest.fixture
def compose(root):
    def composed(*typed):
        if typed not in COMPOSED:
            GlobalHydra.instance().clear()
            with hydra.initialize_config_dir(str(root / "conf"), version_base="1.3"):
                COMPOSED[typed] = hydra.compose("train", words_for_hydra([*typed, "run_dir=run"], root / "conf"))
        return copy.deepcopy(COMPOSED[typed])

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


def checked(compose, *typed):
    check_kinds(compose(*typed), compose(*choices(typed)))


@pytest.mark.parametrize(
    "typed, said",
    [
        (["optimizer.lr=abc"], "optimizer.lr=abc is no number.\n  Try: optimizer.lr= a number, such as 0.0003."),
        (["optimizer.lr='0.1'"], "optimizer.lr='0.1' is no number."),
        (["optimizer.lr=null"], "optimizer.lr=null is no number."),
        (["optimizer.lr=true"], "optimizer.lr=true is no number."),
        (["optimizer.lr=[1,2]"], "optimizer.lr=[1,2] is no number."),
        (["optimizer.betas=[0.9,abc]"], "optimizer.betas=[0.9,abc] is no list of numbers."),
        (["optimizer.betas=0.9"], "optimizer.betas=0.9 is no list of numbers.\n  Try: optimizer.betas= numbers"),
        (["objective.folding=abc"], "objective.folding=abc is no number."),
        (["objective.auxiliary.one_sided=abc"], "objective.auxiliary.one_sided=abc is no number."),
        (["objective.auxiliary={one_sided: abc}"], "objective.auxiliary.one_sided=abc is no number."),
        (["objective.auxiliary=abc"], "objective.auxiliary=abc is no group of values."),
        (["seed=abc"], "seed=abc is no number."),
        (["test=abc"], "test=abc is neither true nor false."),
        (["trainer.deterministic=yes"], "trainer.deterministic=yes is neither true nor false."),
        (["trainer.gradient_clip_val=abc"], "trainer.gradient_clip_val=abc is no number."),
        (["trainer.max_steps=abc"], "trainer.max_steps=abc is no number.\n  Try: trainer.max_steps= a number"),
        (["callbacks.ema.decay=abc"], "callbacks.ema.decay=abc is no number."),
        (["callbacks.clock.minutes=abc"], "callbacks.clock.minutes=abc is no number."),
        (["field.unet.widths=[32,x]"], "field.unet.widths=[32,x] is no list of numbers."),
        (["field.unet.decoder=abc"], "field.unet.decoder=abc is no list of numbers."),
        (["net.solver.steps=2.5"], "net.solver.steps=2.5 is no whole number."),
        (["net.solver.adjoint=maybe"], "net.solver.adjoint=maybe is neither true nor false."),
        (["net.guide_span=abc"], "net.guide_span=abc is no number."),
        (["scheduler.warmup=abc"], "scheduler.warmup=abc is no number."),
        (["training.ends=abc"], "training.ends=abc is no list of numbers."),
        (["data.batch_size=abc"], "data.batch_size=abc is no number."),
        (["data.longest=abc"], "data.longest=abc is no number."),
        (["data.longest=480.5"], "data.longest=480.5 is no whole number."),
        (["data.most_s=long"], "data.most_s=long is no number."),
        (["data.window=abc"], "data.window=abc is no number."),
        (["data.val_crop=abc"], "data.val_crop=abc is no number."),
        (["data.spans=4"], "data.spans=4 is no list of numbers."),
        (["data=clips", "data.grow=abc"], "data.grow=abc is no number."),
        (["data=clips", "data.around=abc"], "data.around=abc is neither true nor false."),
        (["data=clips", "data.scenes=abc"], "data.scenes=abc is no number."),
        (["data=image_pairs", "data.flip=abc"], "data.flip=abc is no number."),
        (["data=image_pairs", "data.size=abc"], "data.size=abc is no number."),
        (["data=synthetic", "data.recipe.fastest=abc"], "data.recipe.fastest=abc is no number."),
        (["data=synthetic", "data.pool=abc"], "data.pool=abc is no number."),
        (["experiment=digits_gan", "training.clip=abc"], "training.clip=abc is no number."),
        (["experiment=digits_gan", "training.n_critic=abc"], "training.n_critic=abc is no number."),
        (["experiment=digits_gan", "training.critic_optimizer.lr=abc"], "training.critic_optimizer.lr=abc is no"),
        (["experiment=flow", "objective.velocity=abc"], "objective.velocity=abc is no number."),
        (["experiment=flow", "net.radii=[1,b]"], "net.radii=[1,b] is no list of numbers."),
        (["experiment=flow", "net.gate=maybe"], "net.gate=maybe is neither true nor false."),
        (["experiment=style", "training.size=abc"], "training.size=abc is no number."),
        (["experiment=single_image", "data.reach=abc"], "data.reach=abc is no number."),
        (["debug=fdr", "toy.size=abc"], "toy.size=abc is no number."),
        (["+teacher@training.teacher=privileged", "training.teacher.weight=abc"], "training.teacher.weight=abc is"),
        (["logger=wandb", "logger.offline=maybe"], "logger.offline=maybe is neither true nor false."),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_value_of_another_kind_is_refused_by_its_name(compose, typed, said):
    assert refusal(lambda: checked(compose, *typed)).startswith(said)


@pytest.mark.parametrize(
    "typed",
    [
        ["optimizer.lr=1e-3", "optimizer.lr=1", "optimizer.weight_decay=0", "optimizer.betas=[0,0.99]"],
        [
            "objective.folding=0",
            "objective.auxiliary.one_sided=1",
            "objective.auxiliary={}",
            "objective.auxiliary=null",
        ],
        ["steps=100", "minutes=9", "minutes=0.5", "monitor=null", "test=false", "test=0", "seed=null", "name=5"],
        ["trainer.devices=auto", "trainer.devices=[0,1]", "trainer.devices=-1", "trainer.precision=16", "trainer=ddp"],
        ["trainer.gradient_clip_val=null", "trainer.limit_val_batches=2", "trainer.limit_val_batches=null"],
        ["trainer.deterministic=warn", "trainer.val_check_interval=0.5", "trainer.inference_mode=null"],
        ["trainer.val_check_interval=${checkpoint_every}", "trainer.max_steps=7"],
        ["+trainer.limit_test_batches=2", "+trainer.strategy=ddp", "~callbacks.panels", "callbacks.ema=null"],
        ["callbacks.ema=false", "callbacks=early_stopping", "logger=none"],
        ["scheduler.warmup=0.05", "scheduler.warmup=10", "scheduler.final=0"],
        ["data.root=[/a,/b]", "data.root=/a", "data.longest=480", "data.longest=480.0", "data.most_s=null"],
        ["data.most_s=60", "data.val_share=0", "data.least_motion=1", "data.around=true", "data.grow=1"],
        ["data.augmentation={_target_: vfi_pipeline.data.augment.Augmentation}", "data.recipe={fastest: 0.1}"],
        ["+data.augmentation.crop=96", "data.cache=/tmp", "data.val_root=5"],
        ["data=clips", "data.stages=[{begin: 0.5, crop: 64, batch_size: 2}]", "data.batches=device"],
        ["data=image_pairs", "data.size=[64,48]", "data.size=null", "data.size=32", "data.group=5", "data.jitter=0"],
        ["data=vimeo90k", "data.spans=[2,4]", "data.middles=2"],
        ["data=synthetic", "data.pool=100", "data.recipe.layers=[1,2]", "data.val_times=[0.5]", "data.textures=/a"],
        ["data=digits", "data.source=5", "data.mnist=/m.npz", "data.channels=1"],
        ["field.unet.decoder=[8,8]", "field.unet.norm=none", "net.guide_span=640", "net.solver.method=rk4"],
        ["net.solver.rtol=1e-5", "net.solver.steps=8", "training.ends=[]", "training.ends=[0,1.0]"],
        ["training.capture=true", "training.capture=auto", "training.lpips=false"],
        ["experiment=style", "style.image=5", "training.sizes=2", "net.init_from=mosaic", "optimizer.lr=0.1"],
        ["experiment=digits_gan", "training.clip=1", "trainer.gradient_clip_val=1.0", "referee=null", "toy=null"],
        ["logger=wandb", "logger.tags=[a,b]", "logger.offline=true", "logger.entity=me", "logger.name=x"],
        ["+perceptual@objective.network=features", "objective.perceptual=0.1", "objective.network.layers=[conv1_2]"],
    ],
    ids=lambda words: words[0],
)
def test_what_can_be_used_is_not_refused(compose, typed):
    groups = choices(typed)
    for word in typed:
        if word not in groups:
            checked(compose, *groups, word)
    checked(compose, *groups)


def test_what_presets_hold_may_be_typed(root, compose):
    """Every value that an experiment sets is permitted beside the choices of groups alone that the experiment makes."""
    for path in sorted((root / "conf" / "experiment").glob("*.yaml")):
        preset = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        groups = [
            f"{key.removeprefix('override /')}={option}"
            for part in preset.get("defaults", [])
            for key, option in part.items()
        ]
        cfg, plain = compose(f"experiment={path.stem}"), compose(*groups)
        check_kinds(cfg, plain)


def test_annotations_are_found_through_options_that_are_handed_on():
    pairs = parameters_of("vfi_pipeline.data.modules.Pairs")
    assert {"pairs", "size", "flip", "batch_size"} <= set(pairs) and permits(pairs["size"], [4, 4])
    films = parameters_of("vfi_pipeline.data.modules.clips")
    assert films["synthetic"] is float and permits(films["longest"], None) and not permits(films["longest"], "abc")
    assert parameters_of("vfi_pipeline.losses.triplet_objective")["**"] is float
    assert "blocks" in parameters_of("vfi_pipeline.models.style.style_transfer")
    assert parameters_of("no.such.thing") == {}
