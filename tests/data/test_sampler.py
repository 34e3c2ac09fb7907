"""Steps and samples: the same samples at the same step, resumed or not, on one process or several."""

import pytest
import pytorch_lightning as pl
import torch

from vfi_pipeline.data.batch import Unpaired
from vfi_pipeline.data.modules import Batches, Digits
from vfi_pipeline.data.sampler import Mixed, Shuffled, StepSampler
from vfi_pipeline.errors import UserError


class Counters(torch.utils.data.Dataset):
    """Its sample is its counter."""

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def __len__(self) -> int:
        return 7

    def __getitem__(self, counter: int) -> Unpaired:
        return Unpaired(torch.tensor(float(counter + self.offset)), torch.zeros(()))


class Counting(Batches):
    def train_set(self):
        return Counters()

    def val_set(self):
        return Counters()


class Recorder(pl.LightningModule):
    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.weight, self.seen, self.stop_at = torch.nn.Parameter(torch.zeros(1)), [], stop_at

    def training_step(self, batch, index):
        if self.stop_at is not None and len(self.seen) == self.stop_at:
            raise RuntimeError("pulled the plug")
        self.seen.append(batch.source.tolist())
        return (self.weight * batch.source.mean()).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-9)


def trainer(root, **options):
    return pl.Trainer(
        default_root_dir=root,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"enable_checkpointing": False} | options),
    )


def test_processes_join_to_the_batches_of_one():
    whole = list(StepSampler(6, 4))
    parts = [list(StepSampler(6, 4, rank=rank, world=3)) for rank in range(3)]

    joined = [c for n in range(4) for part in parts for c in part[2 * n : 2 * n + 2]]

    assert joined == whole == list(range(24))
    assert len(StepSampler(6, 4, rank=0, world=3)) == 8


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match="cannot be shared by 4 processes"):
        StepSampler(6, 4, world=4)


@pytest.mark.parametrize("workers", [0, 2])
def test_training_sees_every_batch_once_over_epochs(tmp_path, workers):
    module = Recorder()

    trainer(tmp_path, max_steps=9).fit(module, datamodule=Counting(batch_size=2, steps=4, workers=workers))

    assert module.seen == [[2.0 * n, 2.0 * n + 1] for n in range(9)]


@pytest.mark.parametrize("kept", [3, 4, 6])
def test_a_resumed_run_goes_on_with_the_next_batch(tmp_path, kept):
    """Stopped in the middle or at the end of an epoch, after a checkpoint written every step."""
    checkpoint = pl.callbacks.ModelCheckpoint(
        tmp_path, every_n_train_steps=1, save_last=True, save_top_k=1, filename="x"
    )
    broken = Recorder(stop_at=kept)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        trainer(tmp_path, max_steps=11, enable_checkpointing=True, callbacks=[checkpoint]).fit(
            broken, datamodule=Counting(batch_size=2, steps=4, workers=2)
        )
    resumed = Recorder()

    run = trainer(tmp_path, max_steps=11)
    run.fit(resumed, datamodule=Counting(batch_size=2, steps=4), ckpt_path=tmp_path / "last.ckpt")

    assert broken.seen + resumed.seen == [[2.0 * n, 2.0 * n + 1] for n in range(11)]
    whole = trainer(tmp_path, max_steps=11)
    whole.fit(Recorder(), datamodule=Counting(batch_size=2, steps=4))
    assert run.current_epoch == whole.current_epoch and run.global_step == 11


def test_limited_epochs_do_not_repeat_their_batches(tmp_path):
    module = Recorder()

    trainer(tmp_path, max_steps=6, limit_train_batches=2).fit(module, datamodule=Counting(batch_size=1, steps=4))

    assert module.seen == [[float(n)] for n in range(6)]


def test_a_finite_set_is_shuffled_anew_each_round():
    shuffled = Shuffled(Counters(), seed=1)

    rounds = [[int(shuffled[7 * r + k].source) for k in range(7)] for r in range(3)]

    assert all(sorted(order) == list(range(7)) for order in rounds) and rounds[0] != rounds[1]
    assert rounds[2] == [int(Shuffled(Counters(), seed=1)[14 + k].source) for k in range(7)]


def test_sets_mix_in_their_shares():
    mixed = Mixed([Counters(), Counters(10_000)], [3, 1])

    drawn = [float(mixed[k].source) >= 10_000 for k in range(800)]

    assert sum(drawn) / 800 == pytest.approx(0.25, abs=0.05)
    assert float(mixed[5].source) % 10_000 == 5


def test_validation_covers_every_sample(tmp_path):
    seen = []

    class Check(Recorder):
        def validation_step(self, batch, index):
            seen.extend(batch.source.tolist())

    trainer(tmp_path).validate(Check(), datamodule=Counting(batch_size=4), verbose=False)

    assert sorted(seen) == list(range(7))


def test_the_digit_module_gives_pairs_and_strangers():
    strangers = next(iter(Digits(batch_size=5).train_dataloader()))
    pairs = next(iter(Digits(paired=True, batch_size=5, size=32).val_dataloader()))

    assert strangers.source.shape == (5, 1, 16, 16)
    assert pairs.first.shape == (5, 1, 32, 32) and pairs.targets.shape == (5, 0, 1, 32, 32)
    assert Digits().fingerprint() == Digits().fingerprint() != Digits(size=32).fingerprint()
