"""Two processes with half a batch each have the gradients of one process with the whole batch."""

import sys

import pytest
import tiny
import torch
from pytorch_lightning import Callback

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")


class KeepGradients(Callback):
    """Writes what every optimiser step got, as the first process sees it."""

    def __init__(self, path):
        self.path, self.steps = path, []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        grads = {n: p.grad.detach().clone() for n, p in pl_module.named_parameters() if p.grad is not None}
        self.steps.append(grads)

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            torch.save({"steps": self.steps, "global_step": trainer.global_step}, self.path)


class Mixed:
    """The gradient penalty's random points, given by the picture and not by the process that draws them."""

    def draw_mix(self, source):
        return (source.flatten(1).sum(dim=1) * 7.3) % 1


def gradients(tmp_path, make, paired, processes):
    path = tmp_path / f"{processes}.pt"
    module = make()
    module.draw_mix = Mixed().draw_mix.__get__(module)
    strategy = (
        {}
        if processes == 1
        else {
            "devices": 2,
            "strategy": "ddp_fork" if paired else "ddp_fork_find_unused_parameters_true",
        }
    )
    trainer = tiny.trainer(
        tmp_path / str(processes), steps=6, callbacks=[KeepGradients(path)], num_sanity_val_steps=0, **strategy
    )
    trainer.fit(module, datamodule=tiny.digits(paired, batch_size=8, steps=4))
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("make, paired", [(tiny.paired, True), (tiny.adversarial, False)], ids=["l2", "wgan-gp"])
def test_two_processes_compute_the_gradients_of_the_joined_batch(tmp_path, make, paired):
    one, two = (gradients(tmp_path, make, paired, n) for n in (1, 2))
    assert one["global_step"] == two["global_step"] == 6
    assert len(one["steps"]) == len(two["steps"]) == 6
    for step, (alone, shared) in enumerate(zip(one["steps"], two["steps"])):
        trained = [n for n in alone if not n.startswith("critic")] if step == 2 else list(alone)
        assert trained, step
        for name in trained:
            scale = alone[name].abs().max()
            assert torch.allclose(alone[name], shared[name], rtol=2e-3, atol=2e-4 * float(scale) + 1e-7), (step, name)
