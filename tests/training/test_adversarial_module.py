"""WGAN-GP in turns: fresh batches, one optimiser step each, and nothing leaks from one network to the other."""

from contextlib import nullcontext
from functools import partial

import pytest
import tiny
import torch
from pytorch_lightning import Callback
from pytorch_lightning.plugins import MixedPrecision

from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.training.adversarial_module import pictures
from vfi_pipeline.training.resume import AtomicCheckpoints


def copies(module):
    return {n: p.detach().clone() for n, p in module.named_parameters()}


class Watch(Callback):
    """Notes whose weights each batch changed, and which pictures it held."""

    def __init__(self):
        self.turns, self.seen = [], []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.before = copies(pl_module)
        self.seen.append(batch.source.sum().item())

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        changed = {n.split(".")[0] for n, p in pl_module.named_parameters() if not torch.equal(p, self.before[n])}
        self.turns.append("+".join(sorted(changed)))


def test_critic_and_model_take_turns_on_fresh_pictures(tmp_path):
    watch, module = Watch(), tiny.adversarial(n_critic=2)
    trainer = tiny.trainer(tmp_path, steps=9, callbacks=[watch])
    trainer.fit(module, datamodule=tiny.digits(paired=False))
    assert watch.turns == ["critic", "critic", "model"] * 3
    assert len(set(watch.seen)) == 9 and trainer.global_step == 9


def test_it_logs_both_networks_by_name(tmp_path):
    trainer = tiny.trainer(tmp_path)
    trainer.fit(tiny.adversarial(), datamodule=tiny.digits(paired=False))
    names = set(trainer.callback_metrics)
    assert {"train/critic_loss", "train/model_loss", "train/wasserstein", "train/gradient_penalty"} <= names
    assert {
        "train/gradient_norm",
        "train/adversarial",
        "train/folding",
        "val/wasserstein",
        "val/gradient_norm",
    } <= names
    assert {"train/grad_norm/critic", "train/grad_norm/model", "val/folded", "train/nfe"} <= names


def test_the_target_is_never_shown_to_the_model():
    module = tiny.adversarial()
    source = torch.rand(2, 1, 16, 16)
    one, two = (module.panel_sample(Unpaired(source, torch.rand(2, 1, 16, 16))) for _ in range(2))
    assert torch.equal(one.frame, two.frame) and one.target is None


def test_triplets_serve_as_unpaired_pictures():
    first, last = torch.rand(2, 3, 1, 16, 16).unbind(0)
    triplet = Triplet(first, torch.zeros(3, 0, 1, 16, 16), last, torch.zeros(3, 0))
    assert pictures(triplet) == (first, last) and pictures(Unpaired(last, first)) == (last, first)


def test_the_model_learns_what_the_critic_rewards(tmp_path):
    """A critic that likes bright left halves: the model must move pixels there."""

    class Left(torch.nn.Module):
        def forward(self, image):
            return 50 * image[..., :6].mean(dim=(1, 2, 3)).unsqueeze(1)

    module = tiny.adversarial(n_critic=1)
    module.critic = Left()
    source = torch.rand(8, 1, 16, 16) * torch.linspace(0, 1, 16)  # dark on the left
    optimizer = torch.optim.Adam(module.model.parameters(), 1e-2)
    before = module.warped(source).frame[..., :6].mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        (-module.critic(module.warped(source).frame[:, 0]).mean()).backward()
        optimizer.step()
    assert module.warped(source).frame[..., :6].mean().item() > 1.2 * before


def test_no_critic_steps_are_refused():
    with pytest.raises(ValueError, match="n_critic is 0"):
        tiny.adversarial(n_critic=0)


class Norms(torch.optim.SGD):
    """Notes the norm of the gradient that each step follows."""

    seen: list[float] = []

    def step(self, closure=None):
        if closure is not None:
            closure()  # Lightning's hooks run in it
        grads = [p.grad.norm() for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.seen.append(float(torch.stack(grads).norm()))
        return super().step()


@pytest.mark.parametrize("scaled", [False, True], ids=["fp32", "scaled as in 16-mixed"])
def test_gradients_are_clipped_at_their_true_size(tmp_path, monkeypatch, scaled):
    """A scaler makes the gradients 4096 times larger until the step; clipped by then, nothing would be left of them."""
    monkeypatch.setattr(Norms, "seen", [])
    options = {}
    if scaled:
        scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
        plugin = MixedPrecision("16-mixed", "cpu", scaler)
        # The scaling is what is tested; half precision itself is slow on a CPU, and not everywhere to be had.
        monkeypatch.setattr(plugin, "autocast_context_manager", nullcontext)
        options["plugins"] = [AtomicCheckpoints(), plugin]
    module = tiny.adversarial(n_critic=1, clip=1e-4)
    module.optimizer = partial(Norms, lr=1e-3)
    trainer = tiny.trainer(tmp_path, steps=8, **options)
    trainer.fit(module, datamodule=tiny.digits(paired=False))
    assert len(Norms.seen) == 4 and Norms.seen == pytest.approx([1e-4] * 4, rel=1e-2)


def test_accumulated_gradients_are_those_of_the_joined_batch(tmp_path):
    """Samples k B ... of two batches of 4 are those of one batch of 8: the same weights come out."""
    found = []
    for accumulate, size in ((1, 8), (2, 4)):
        module = tiny.adversarial(n_critic=2, accumulate=accumulate)
        module.draw_mix = lambda source: (source.flatten(1).sum(dim=1) * 7.3) % 1
        # Not Adam: a bias before a normalisation has no gradient but rounding, of which Adam makes whole steps.
        module.optimizer = module.critic_optimizer = partial(torch.optim.SGD, lr=0.05)
        trainer = tiny.trainer(tmp_path / str(size), steps=6, num_sanity_val_steps=0)
        trainer.fit(module, datamodule=tiny.digits(False, batch_size=size, steps=50))
        assert trainer.global_step == 6
        found.append(copies(module))
    for name, one in found[0].items():
        assert torch.allclose(one, found[1][name], rtol=1e-3, atol=2e-5), name
