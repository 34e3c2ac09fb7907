"""A run that was stopped and goes on is the run that was not: weights, averages, rates, random numbers, data."""

import errno
import importlib
import pickle
import random
import resource
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hydra.utils import instantiate
from pytorch_lightning import Callback

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, INTERRUPTED, UserError
from vfi_pipeline.models.checkpoint import save_model
from vfi_pipeline.training.callbacks import EMA
from vfi_pipeline.training.explain import explain
from vfi_pipeline.training.resume import (
    MOVED,
    AtomicCheckpoints,
    Resume,
    RunState,
    check_same,
    find_resume,
    random_state,
    read_checkpoint,
    restored_settings,
    set_random_state,
    with_new_names,
)
from vfi_pipeline.training.session import train

KINDS = {"paired": (tiny.paired, True), "adversarial": (tiny.adversarial, False)}


class Trace(Callback):
    """Writes down what every step saw and did."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        weights = sum(p.detach().double().abs().sum().item() for p in pl_module.parameters())
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append((trainer.global_step, batch[0].sum().item(), rate, weights, torch.rand(1).item()))


class PowerCut(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise ConnectionAbortedError("power cut")


def run(kind, folder, cut=None, resume=None, steps=tiny.STEPS, **options):
    make, pairs = KINDS[kind]
    trace, module = Trace(), make()
    extra = [RunState({"a": 1}, "d"), trace] + ([PowerCut(cut)] if cut is not None else [])
    trainer = tiny.trainer(folder, steps=steps, every=5, callbacks=extra, **options)
    torch.manual_seed(99 if resume else 5)  # a resumed run starts with other random numbers in every generator
    random.seed(99), np.random.seed(99)
    if not resume:
        random.seed(5), np.random.seed(5)
    try:
        trainer.fit(module, datamodule=tiny.digits(pairs, steps=4), ckpt_path=resume)
    except ConnectionAbortedError:
        pass
    ema = next(c for c in trainer.callbacks if isinstance(c, EMA))
    return module, trace.rows, ema


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("cut", [5, 8, 11])
def test_a_cut_run_goes_on_as_if_nothing_had_happened(tmp_path, kind, cut):
    """Checkpoints at steps 5 and 10, epochs of 4 batches: every cut falls somewhere else in its epoch."""
    whole, rows, average = run(kind, tmp_path / "whole")
    _, before, _ = run(kind, tmp_path / "cut", cut=cut)
    resumed, after, resumed_average = run(kind, tmp_path / "cut", resume=tmp_path / "cut" / "checkpoints" / "last.ckpt")
    saved = cut // 5 * 5
    assert before == rows[:cut] and after == rows[saved:]
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, two), name
    assert all(torch.equal(one, resumed_average.average[name]) for name, one in average.average.items())


def test_a_finished_run_can_be_made_longer(tmp_path):
    run("paired", tmp_path, steps=10)
    _, rows, _ = run("paired", tmp_path, resume=tmp_path / "checkpoints" / "last.ckpt", steps=12)
    assert [row[0] for row in rows] == [11, 12]


def test_ctrl_c_ends_with_its_own_code_and_tells_how_to_go_on(tmp_path):
    class CtrlC(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 7:
                raise KeyboardInterrupt

    trainer = tiny.trainer(tmp_path, callbacks=[CtrlC()])
    with pytest.raises(UserError, match=r"Stopped at step 7; it goes on from step \d+\.\n.*ckpt_path=") as caught:
        train(trainer, tiny.paired(), tiny.digits(), {}, tmp_path)
    assert caught.value.code == INTERRUPTED and find_resume(tmp_path).step == 6


def test_a_run_made_longer_may_have_a_schedule_that_follows():
    written = {"steps": 10, "scheduler": {"steps": "${steps}", "warmup": 2}}
    resume = Resume(Path("last.ckpt"), Path("."), None, written, "", 10)
    check_same(resume, {"steps": 20, "scheduler": {"steps": "${steps}", "warmup": 2}}, "")
    with pytest.raises(UserError, match="scheduler.warmup: was 2, now 3"):
        check_same(resume, {"steps": 20, "scheduler": {"steps": "${steps}", "warmup": 3}}, "")


def test_what_changes_no_result_may_change():
    """Loaders, caches, how often is saved, where the data lie: the fingerprint says whether they are the same data."""
    old = {
        "checkpoint_every": 500,
        "data": {"root": "/old", "workers": 0, "cache": None, "seed": 0, "memory_gb": 8.0},
        "logger": {"name": "csv"},
        "training": {"lpips": True, "ends": [1.0]},
    }
    new = {
        "checkpoint_every": 10,
        "data": {"root": ["/new", "/other"], "workers": 4, "cache": "/c", "seed": 0, "memory_gb": 1.0},
        "logger": None,
        "training": {"lpips": False, "ends": [1.0]},
    }
    resume = Resume(Path("x/checkpoints/last.ckpt"), Path("x"), None, old, "abc", 10)
    check_same(resume, new, "abc")
    for changed in ({"data": {**new["data"], "seed": 1}}, {"training": {"ends": []}}):
        with pytest.raises(UserError, match="was .*, now "):
            check_same(resume, {**new, **changed}, "abc")
    with pytest.raises(UserError, match="fingerprint"):
        check_same(resume, new, "xyz")


def test_a_run_that_goes_on_has_its_own_settings_but_for_what_was_typed():
    old = {"net": {"sides": "first"}, "optimizer": {"lr": 1}, "run_dir": "/a", "data": {"size": 16}}
    resume = Resume(Path("last.ckpt"), Path("."), None, old, "", 1)
    now = {"net": {"sides": "both"}, "optimizer": {"lr": 2}, "run_dir": "/b", "data": {"size": 32}, "new": 1}
    mixed = restored_settings(now, resume, ["optimizer.lr", "data"])
    assert mixed == {**now, "net": {"sides": "first"}}
    assert restored_settings(now, resume, ["experiment"]) == now


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path):
    """The largest size of a file stands for the end of the disk: writing fails in the middle in either case."""
    run("paired", tmp_path, steps=5)
    last = tmp_path / "checkpoints" / "last.ckpt"
    before, soft, hard = last.read_bytes(), *resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(UserError, match=r"last.ckpt could not be written .* the one before is whole") as caught:
            AtomicCheckpoints().save_checkpoint(read_checkpoint(last), last)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, hard))
        with pytest.raises(UserError, match="could not be written") as exported:
            save_model(tmp_path / "export" / "x.safetensors", tiny.model())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.code == exported.value.code == ENVIRONMENT
    assert f"ckpt_path={tmp_path}" in str(caught.value) and last.read_bytes() == before
    assert [path.name for path in last.parent.iterdir()] == ["last.ckpt"]
    assert not list((tmp_path / "export").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "media/panel.png"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail] write failed: No space left on device"),
    ],
    ids=["disk", "quota", "a library's words"],
)
def test_a_full_disk_is_named_wherever_it_shows(error):
    found = explain(error, running=True)
    assert isinstance(found, UserError) and found.code == ENVIRONMENT and "disk is full" in str(found)


def test_random_states_come_back_exactly():
    state = random_state()
    first = [random.random(), float(np.random.rand()), torch.rand(3).tolist()]
    np.random.randn()
    set_random_state(state)
    assert [random.random(), float(np.random.rand()), torch.rand(3).tolist()] == first


def test_a_checkpoint_is_found_by_its_run_folder(tmp_path):
    run("paired", tmp_path, steps=5)
    found = find_resume(tmp_path)
    assert found == find_resume(tmp_path / "checkpoints" / "last.ckpt")
    assert (found.step, found.run_dir, found.config, found.data) == (5, tmp_path.resolve(), {"a": 1}, "d")


def test_a_run_of_an_older_version_names_objects_where_they_lie_now():
    config = {"referee": {"_target_": "vfi_pipeline.bench.digits.referee"}, "parts": [{"_target_": "a.b"}], "n": 1}

    renamed = with_new_names(config)

    assert renamed == {**config, "referee": {"_target_": "vfi_pipeline.evaluation.digits.referee"}}
    for new in MOVED.values():
        module, _, name = new.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))


def test_an_objective_of_version_0_6_is_the_same_now():
    settings = {"_target_": "vfi_pipeline.losses.TripletObjective", "l2": 1.0, "margin": 0.1, "sharpness": 10.0}
    config = {"training": {"objective": {**settings, "decibels": 0.01, "extras": {"one_sided": 0.5}}}}

    objective = instantiate(with_new_names(config)["training"]["objective"])

    assert {term.name: term.weight for term in objective.terms} == {"l2": 1.0, "negative_psnr": 0.01}
    assert objective.auxiliary == {"one_sided": 0.5}
    assert with_new_names({"extras": 1, "parts": [{"decibels": 2}]}) == {"extras": 1, "parts": [{"decibels": 2}]}


def test_changed_settings_or_data_are_refused_by_name(tmp_path):
    old = {"net": {"sides": "both", "steps": 4}, "steps": 100, "trainer": {"devices": 1}}
    resume = Resume(tmp_path / "last.ckpt", tmp_path, None, old, "abc", 7)
    check_same(resume, {**old, "steps": 200, "trainer": {"devices": 8}, "logger": "csv"}, "abc")
    with pytest.raises(UserError, match=r"net.sides: was both, now first") as caught:
        check_same(resume, {**old, "net": {"sides": "first", "steps": 4}}, "abc")
    assert caught.value.code == BAD_INPUT
    with pytest.raises(UserError, match="data: was abc, now xyz"):
        check_same(resume, old, "xyz")


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.parametrize(
    "content",
    [b"", b"junk", pickle.dumps(Evil()), None],
    ids=["empty", "junk", "pickle", "torch.save with code"],
)
def test_damaged_or_hostile_checkpoints_are_refused(tmp_path, content):
    path = tmp_path / "last.ckpt"
    if content is None:
        torch.save({"state_dict": {}, "x": Evil()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match="no readable checkpoint") as caught:
        read_checkpoint(path)
    assert caught.value.code == BAD_INPUT


def test_a_truncated_checkpoint_is_refused(tmp_path):
    run("paired", tmp_path, steps=5)
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="no readable checkpoint"):
        find_resume(tmp_path)


def test_missing_and_foreign_checkpoints_are_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        find_resume(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match="not written by train.py"):
        find_resume(tmp_path)
