"""A run by the clock: its end, its rate and its stages follow the time, over all starts."""

import time
from functools import partial
from types import SimpleNamespace

import pytest
import tiny
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.training import run_clock
from vfi_pipeline.training.run_clock import RunClock
from vfi_pipeline.training.schedules import staircase, warmup_constant, warmup_cosine


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when the test says so."""
    now = SimpleNamespace(t=100.0)
    monkeypatch.setattr(run_clock.time, "monotonic", lambda: now.t)
    return now


def fit(clock, run_dir, minutes, per_step=1.0, ckpt_path=None, module=None, **options):
    class Ticks(RunClock):
        def on_train_batch_start(self, *_):
            clock.t += per_step

    module = module or tiny.paired()
    ticks = Ticks(minutes, str(run_dir), options.pop("checkpoint_s", 60.0))
    options = {"max_steps": -1, "val_check_interval": 1000, "num_sanity_val_steps": 0} | options
    trainer = tiny.trainer(run_dir, callbacks=[ticks], **options)
    trainer.fit(module, datamodule=tiny.digits(), ckpt_path=ckpt_path)
    return trainer, ticks


def test_a_run_ends_at_its_minutes_with_the_rate_at_its_end_and_validated(clock, tmp_path):
    trainer, ticks = fit(clock, tmp_path, 0.5)

    assert trainer.global_step == 25  # 30 s less 5 for the export
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)
    assert "val/psnr" in trainer.callback_metrics and ticks.share() == 1.0


def test_a_run_that_was_killed_has_the_minutes_that_are_left(clock, tmp_path):
    fit(clock, tmp_path / "cut", 0.5, max_steps=10, every=10)
    trainer, _ = fit(clock, tmp_path / "rest", 0.5, ckpt_path=str(tmp_path / "cut/checkpoints/last.ckpt"))

    assert trainer.global_step == 25


def test_a_checkpoint_is_at_most_a_minute_old(clock, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(tiny.pl.Trainer, "save_checkpoint", lambda self, path, *_: saved.append(self.global_step))

    fit(clock, tmp_path, 5, per_step=10.0, every=10_000)

    assert saved == [6, 12, 18, 24]


def test_the_time_of_validation_is_kept_from_the_end(clock, tmp_path, monkeypatch):
    step = tiny.TripletModule.validation_step
    monkeypatch.setattr(
        tiny.TripletModule, "validation_step", lambda *a: (setattr(clock, "t", clock.t + 3), step(*a))[0]
    )
    began = clock.t
    _, ticks = fit(clock, tmp_path, 1, val_check_interval=10, limit_val_batches=1)

    # One more, of the test, is still to come, and the export.
    assert 60 - 3 - run_clock.EXPORT_S - 4 <= clock.t - began <= 60 - 3 - run_clock.EXPORT_S + 1


def test_a_clock_without_minutes_leaves_the_steps_alone(clock, tmp_path):
    trainer, _ = fit(clock, tmp_path, None, max_steps=tiny.STEPS)
    assert trainer.global_step == tiny.STEPS


def test_a_rate_that_counts_steps_is_refused(clock, tmp_path):
    module = tiny.paired()
    module.scheduler = partial(staircase, steps=100)
    with pytest.raises(UserError, match="follows the steps"):
        fit(clock, tmp_path, 1, module=module)


@pytest.mark.parametrize("minutes", [0, -1])
def test_no_time_is_refused(minutes, tmp_path):
    with pytest.raises(UserError, match="no time to train"):
        RunClock(minutes, str(tmp_path))


def rates(schedule, count, share=None):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    made = schedule(optimizer)
    found = []
    for step in range(count):
        if share is not None:
            made.run_share = lambda step=step: share(step)
            made.step()
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if share is None:
            made.step()
    return found


def test_a_cosine_falls_with_the_steps_or_with_the_share_of_the_run():
    by_steps = rates(partial(warmup_cosine, steps=8), 9)
    by_time = rates(partial(warmup_cosine, steps=1000), 9, share=lambda step: step / 8)

    assert by_steps == pytest.approx(by_time) and by_steps[4] == pytest.approx(0.5) and by_steps[8] < 1e-9


def test_a_warm_up_ends_after_a_tenth_of_the_time():
    found = rates(partial(warmup_cosine, steps=1000, warmup=500), 10, share=lambda step: step / 10)
    assert found[0] < 0.01 and found[1] > 0.9


@pytest.mark.parametrize("schedule", [warmup_cosine, warmup_constant])
def test_a_warm_up_below_one_is_a_share_of_the_run(schedule):
    found = rates(partial(schedule, steps=20, warmup=0.1), 5)
    assert found[:2] == pytest.approx([1 / 3, 2 / 3]) and found[2] == pytest.approx(1.0)


@pytest.mark.parametrize("warmup", [-1, 20, 200])
def test_a_warm_up_that_does_not_fit_is_refused(warmup):
    with pytest.raises(UserError, match="does not fit into 20"):
        rates(partial(warmup_cosine, steps=20, warmup=warmup), 1)


def test_what_a_schedule_saves_holds_no_clock():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = warmup_cosine(optimizer, 10)
    schedule.run_share = time.monotonic
    assert "run_share" not in schedule.state_dict()
