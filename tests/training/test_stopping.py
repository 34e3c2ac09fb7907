"""An end that was asked for: the step is finished, what is saved goes on exactly, and nothing is waited for in vain."""

import os
import signal

import pytest
import tiny
import torch
from pytorch_lightning import Callback

from vfi_pipeline.errors import INTERRUPTED, UserError
from vfi_pipeline.training import stopping
from vfi_pipeline.training.resume import find_resume
from vfi_pipeline.training.session import train
from vfi_pipeline.training.stopping import Stopped, StopRequest, stop_requests


class Signal(Callback):
    """Sends this process a signal in the middle of a step, or of a validation."""

    def __init__(self, step, number=signal.SIGTERM, validating=False):
        self.step, self.number, self.validating = step, number, validating

    def on_before_backward(self, trainer, *_):
        if trainer.global_step == self.step and not self.validating:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer, *_):
        if trainer.global_step == self.step and self.validating and not trainer.sanity_checking:
            os.kill(os.getpid(), self.number)


def run(folder, *callbacks, resume=None, **options):
    trainer = tiny.trainer(folder, every=100, callbacks=callbacks, limit_val_batches=2, **options)
    with stop_requests("again.") as stop:
        torch.manual_seed(1)
        module = tiny.paired()
        train(trainer, module, tiny.digits(), {}, folder, resume, test=False, stop=stop)
    return module


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_before_the_first_checkpoint_saves_and_the_line_works(tmp_path, number):
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("ignored here, as under nohup, and so it stays")
    with pytest.raises(UserError, match=r"Stopped at step 3; it goes on from step 3\.\n.*ckpt_path=\S+$") as caught:
        run(tmp_path, Signal(2, number))
    assert caught.value.code == INTERRUPTED
    assert find_resume(tmp_path).step == 3


@pytest.mark.parametrize("validating", [False, True])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(tmp_path, validating):
    """Validation is every 4 steps: the second signal comes in the middle of one, when averaged weights are in place."""
    whole = run(tmp_path / "whole")
    with pytest.raises(UserError, match="Stopped at step 4" if validating else "Stopped at step 6"):
        run(tmp_path / "cut", Signal(4 if validating else 5, validating=validating))
    resumed = run(tmp_path / "cut", resume=find_resume(tmp_path / "cut"))
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, two), name


@pytest.mark.parametrize("kind", ["paired", "adversarial"])
def test_a_run_that_accumulates_gradients_stops_behind_a_whole_step(tmp_path, kind):
    def fit(folder, *callbacks, resume=None):
        options = {"accumulate_grad_batches": 3} if kind == "paired" else {}
        trainer = tiny.trainer(folder, steps=6, every=100, callbacks=callbacks, **options)
        with stop_requests("again.") as stop:
            torch.manual_seed(1)
            module = tiny.paired() if kind == "paired" else tiny.adversarial(accumulate=3)
            data = tiny.digits(kind == "paired", steps=40)
            train(trainer, module, data, {}, folder, resume, test=False, stop=stop)
        return module

    class InTheMiddle(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if batch_idx == 7:  # the second batch of the third step
                os.kill(os.getpid(), signal.SIGTERM)

    whole = fit(tmp_path / "whole")
    with pytest.raises(UserError, match=r"Stopped at step 3; it goes on from step 3\."):
        fit(tmp_path / "cut", InTheMiddle())
    resumed = fit(tmp_path / "cut", resume=find_resume(tmp_path / "cut"))
    for (name, one), two in zip(whole.state_dict().items(), resumed.state_dict().values()):
        assert torch.equal(one, two), name


def test_a_signal_before_the_first_step_ends_at_once():
    with pytest.raises(UserError, match=r"before the first step.\n  Try: again") as caught:
        with stop_requests("again."):
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()  # the signal is here already, or comes now
    assert caught.value.code == INTERRUPTED


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests("again."):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_second_signal_does_not_wait(monkeypatch):
    clock = iter([0.0, 0.2, 5.0])
    monkeypatch.setattr(stopping.time, "monotonic", lambda: next(clock))
    request = StopRequest()
    request.orderly = True
    request.handle(signal.SIGINT)
    request.handle(signal.SIGINT)  # the same wish, told twice
    with pytest.raises(Stopped):
        request.handle(signal.SIGINT)


def test_a_slurm_job_is_queued_again(tmp_path, monkeypatch):
    program = tmp_path / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" > {tmp_path / "said"}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    assert not stopping.queue_again()
    monkeypatch.setenv("SLURM_JOB_ID", "12; rm -rf x")
    assert not stopping.queue_again()
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(UserError):
        run(tmp_path / "run", Signal(2, signal.SIGUSR1))
    assert (tmp_path / "said").read_text() == "requeue 12\n"
