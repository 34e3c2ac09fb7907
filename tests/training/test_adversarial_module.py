"""WGAN-GP in turns: fresh batches, one optimiser step each, and nothing leaks from one network to the other."""

import pytest
import tiny
import torch
from pytorch_lightning import Callback

from vfi_pipeline.data.batch import Triplet, Unpaired
from vfi_pipeline.training.adversarial_module import pictures


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
    one, two = (module.look(Unpaired(source, torch.rand(2, 1, 16, 16))) for _ in range(2))
    assert torch.equal(one.made, two.made) and one.true is None


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


def test_the_models_gradient_is_clipped_on_demand(tmp_path):
    norms = []

    class Norms(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            pass

        def on_train_batch_end(self, trainer, pl_module, *_):
            grads = [p.grad.norm() for p in pl_module.model.parameters() if p.grad is not None]
            if grads and not pl_module.turn_of_critic or grads:
                norms.append(torch.stack(grads).norm().item())

    trainer = tiny.trainer(tmp_path, steps=4, callbacks=[Norms()])
    trainer.fit(tiny.adversarial(n_critic=1, clip=1e-4), datamodule=tiny.digits(paired=False))
    assert norms and max(norms) <= 1.01e-4


def test_no_critic_steps_are_refused():
    with pytest.raises(ValueError, match="n_critic is 0"):
        tiny.adversarial(n_critic=0)
