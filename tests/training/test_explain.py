"""Mistakes reach the user as a problem and a remedy, wherever they surface; faults of the program stay faults."""

import pytest
import tiny
import torch
from torch.utils.data import DataLoader, Dataset

from vfi_pipeline.data.digits import load_digits
from vfi_pipeline.data.modules import Digits
from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, USAGE, UserError
from vfi_pipeline.nets.critic import Critic
from vfi_pipeline.training.explain import explain


def caught(action):
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def test_our_own_words_inside_training_are_the_message():
    error = explain(caught(lambda: Critic(1, (8, 8, 8))(torch.zeros(1, 1, 16, 16))), running=True)
    assert isinstance(error, UserError) and error.code == USAGE
    assert str(error).startswith("A critic of 3 strided layers needs pictures of 32 px or more")
    assert "Try: " in str(error) and str(error).count("\n") == 1


def test_a_librarys_word_on_a_value_is_the_message():
    error = explain(caught(lambda: torch.optim.Adam([torch.zeros(1)], lr=-1)), running=True)
    assert isinstance(error, UserError) and "Invalid learning rate: -1" in str(error)


@pytest.mark.parametrize("fault", [lambda: int("x"), lambda: len(5), lambda: {}["x"], lambda: torch.zeros(2) @ None])
def test_a_fault_of_the_program_stays_one(fault):
    error = caught(fault)
    assert explain(error, running=True) is error


class Broken(Dataset):
    def __init__(self, digit):
        self.digit = digit

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if self.digit is None:
            raise KeyError("ours")
        return load_digits(16).of(self.digit) if self.digit > 9 else Critic(1, (8, 8, 8))(torch.zeros(1, 1, 16, 16))


def test_a_loader_process_passes_its_message_on():
    error = caught(lambda: next(iter(DataLoader(Broken(11), num_workers=1))))
    assert "Traceback" in str(error)  # this is what would have been printed
    error = explain(error, running=True)
    assert isinstance(error, UserError) and error.code == BAD_INPUT
    assert error.args[:2] == ("No picture of a 11 is left for train.", "Digits are 0 to 9; give more of each.")
    error = explain(caught(lambda: next(iter(DataLoader(Broken(3), num_workers=1)))), running=True)
    assert isinstance(error, UserError) and "A critic of 3 strided layers" in str(error)
    error = caught(lambda: next(iter(DataLoader(Broken(None), num_workers=1))))
    assert explain(error, running=True) is error


def test_a_full_gpu_and_a_dead_loader_say_what_to_lower():
    full = explain(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), running=True)
    assert isinstance(full, UserError) and full.code == ENVIRONMENT and "data.batch_size" in str(full)
    dead = explain(RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), running=True)
    assert isinstance(dead, UserError) and "data.workers" in str(dead)


@pytest.mark.parametrize("make, pairs", [(tiny.paired, True), (tiny.adversarial, False)], ids=["paired", "wgan-gp"])
def test_a_run_that_diverges_says_so(tmp_path, make, pairs):
    """Left alone, the gradient of a lookup at NaN ends the process without a word (torch's grid_sample on a CPU)."""
    module = make()
    with torch.no_grad():
        for parameter in module.model.parameters():
            parameter.fill_(float("nan"))
    trainer = tiny.trainer(tmp_path, num_sanity_val_steps=0)
    with pytest.raises(UserError, match=r"diverged: the loss at step \d+ is nan.\n.*optimizer.lr"):
        trainer.fit(module, datamodule=tiny.digits(pairs))


@pytest.mark.parametrize("option", [{"batch_size": 0}, {"steps": 0}, {"workers": -1}, {"batch_size": 1.5}])
def test_loader_options_that_cannot_be_are_named(option):
    with pytest.raises(UserError, match=f"data.{next(iter(option))}="):
        Digits(**option)


def test_a_metric_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    trainer = tiny.trainer(tmp_path)
    trainer.callbacks[-1].monitor = "val/nothing"
    error = explain(caught(lambda: trainer.fit(tiny.paired(), datamodule=tiny.digits())), running=True)
    assert isinstance(error, UserError) and "val/nothing" in error.args[0] and "val/psnr" in error.args[1]
