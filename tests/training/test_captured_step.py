"""A captured step gives the numbers of an ordinary one, and asks nothing of the host."""

import copy
import csv
from functools import partial
from pathlib import Path

import pytest
import tiny
import torch
from fake_device import fake_cuda

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.errors import UserError
from vfi_pipeline.losses import triplet_objective
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.training.captured_step import WARM_UP, CapturedStep, LateFigures, set_capturable
from vfi_pipeline.training.triplet_module import TripletModule

NET = {
    "widths": (8, 8, 8), "hidden": (6, 6, 6), "context_channels": (4, 4), "radii": (0, 1, 3), "match": (4, 4, 4),
    "stem": 4, "depth": (1, 1, 1), "refinement": {"hidden": 6, "context_channels": 4},
}  # fmt: skip


def weights(module):
    return {name: value.clone() for name, value in module.model.state_dict().items()}


def fit(run_dir, capture, **options):
    module = tiny.paired(capture=capture)
    trainer = tiny.trainer(run_dir, **options)
    trainer.fit(module, datamodule=tiny.digits(), ckpt_path=options.pop("ckpt_path", None))
    return module, trainer


@pytest.mark.parametrize("clip", [None, 0.05])
def test_a_run_of_captured_steps_has_the_weights_of_ordinary_ones(tmp_path, clip):
    plain, _ = fit(tmp_path / "a", False, gradient_clip_val=clip)
    captured, trainer = fit(tmp_path / "b", True, gradient_clip_val=clip)

    assert trainer.global_step == tiny.STEPS
    for name, value in weights(plain).items():
        assert torch.equal(value, weights(captured)[name]), name
    assert "train/l2" in trainer.callback_metrics and "train/grad_norm" in trainer.callback_metrics


def test_captured_steps_are_logged_as_ordinary_ones(tmp_path):
    rows = {}
    for capture in (False, True):
        logger = tiny.pl.loggers.CSVLogger(tmp_path, name=str(capture))
        fit(tmp_path / str(capture), capture, logger=logger, log_every_n_steps=3, gradient_clip_val=0.05)
        with open(Path(logger.log_dir) / "metrics.csv") as file:
            shown = [row for row in csv.DictReader(file) if row.get("train/l2")]
        rows[capture] = [(row["step"], row["train/l2"], row["train/total"], row["train/nfe"]) for row in shown]

    assert len(rows[True]) == 4 and rows[True] == rows[False]


def test_figures_are_handed_out_when_they_arrive_and_in_order():
    class Event:
        there = False

        def query(self):
            return self.there

        def synchronize(self):
            self.there = True

    event = Event()
    events = iter((event, None))
    late = LateFigures(lambda values: (values, next(events)))
    late.ask(1, {"total": torch.tensor(0.5), "nfe": 16})
    late.ask(2, {"total": torch.tensor(0.25), "nfe": 16})

    assert list(late.arrived()) == []
    event.there = True
    assert list(late.arrived()) == [(1, {"nfe": 16.0, "total": 0.5}), (2, {"nfe": 16.0, "total": 0.25})]
    assert list(late.arrived(wait=True)) == []


def test_a_captured_run_that_diverges_is_refused(tmp_path):
    module = tiny.paired(capture=True)
    module.optimizer = partial(torch.optim.Adam, lr=1e30)
    with pytest.raises(UserError, match="Training diverged"):
        tiny.trainer(tmp_path, log_every_n_steps=2).fit(module, datamodule=tiny.digits())


def test_a_run_goes_on_with_the_other_kind_of_steps(tmp_path):
    whole, _ = fit(tmp_path / "whole", False)
    fit(tmp_path / "cut", True, max_steps=6)

    module = tiny.paired(capture=False)
    trainer = tiny.trainer(tmp_path / "rest")
    trainer.fit(module, datamodule=tiny.digits(), ckpt_path=str(tmp_path / "cut/checkpoints/last.ckpt"))

    assert all(torch.equal(value, weights(whole)[name]) for name, value in weights(module).items())


@pytest.mark.parametrize(
    "options, reason",
    [
        ({"accumulate_grad_batches": 2}, "gradients are accumulated"),
        ({"gradient_clip_val": 1.0, "gradient_clip_algorithm": "value"}, "clipped by value"),
        ({"precision": "64-true"}, "precision=64-true"),
    ],
)
def test_what_cannot_be_captured_is_refused_where_it_was_asked_for(tmp_path, options, reason):
    with pytest.raises(UserError, match=reason):
        fit(tmp_path, True, **options)


def test_an_optimiser_that_needs_the_host_is_not_captured(tmp_path):
    module = tiny.paired(capture=True)
    module.optimizer = partial(torch.optim.LBFGS, max_iter=1)
    with pytest.raises(UserError, match="LBFGS keeps its state on the host"):
        tiny.trainer(tmp_path).fit(module, datamodule=tiny.digits())


def test_another_word_for_capture_is_refused():
    with pytest.raises(UserError, match="training.capture=yes"):
        tiny.paired(capture="yes")


def test_a_schedule_changes_the_rate_that_a_graph_reads():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter], lr=0.5)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    parameter.sum().backward()
    optimizer.step()

    set_capturable(optimizer, True)
    rate = optimizer.param_groups[0]["lr"]
    schedule.step()

    assert rate is optimizer.param_groups[0]["lr"] and rate.item() == 0.25
    set_capturable(optimizer, False)
    assert optimizer.param_groups[0] | {"params": 0} == optimizer.param_groups[0] | {
        "params": 0, "lr": 0.25, "capturable": False
    }  # fmt: skip


class Replayer:
    """Records on a CPU: a replay does the work again and fills the same tensors."""

    def __init__(self, parameters, refuses=False):
        self.parameters, self.refuses, self.replays = parameters, refuses, 0

    def prepare(self, optimizer):
        self.optimizer = optimizer

    def warm_up(self, work):
        return work()

    def record(self, work):
        """Runs the work for its tensors and takes its effect back: a graph that is recorded is not run."""
        if self.refuses:
            raise RuntimeError("operation not permitted")
        before = copy.deepcopy([p.data for p in self.parameters]), copy.deepcopy(self.optimizer.state_dict())
        figures = work()
        for parameter, value in zip(self.parameters, before[0]):
            parameter.data.copy_(value)
        self.optimizer.load_state_dict(before[1])

        def replay():
            self.replays += 1
            for name, value in work().items():
                if isinstance(value, torch.Tensor):
                    figures[name].copy_(value)

        return figures, replay


def test_steps_are_recorded_once_for_each_shape_and_replayed():
    torch.manual_seed(0)
    batches = [torch.rand(4, 3) for _ in range(6)] + [torch.rand(2, 3) for _ in range(5)]

    def run(recorder=None):
        torch.manual_seed(1)
        line = torch.nn.Linear(3, 1)
        optimizer = torch.optim.Adam(line.parameters(), lr=0.1)
        recorder = recorder and recorder(list(line.parameters()))
        step = CapturedStep(lambda batch: {"total": (line(batch.first) - 1).square().mean()}, optimizer, 0.5, recorder)
        losses = []
        for x in batches:
            losses.append(step(Triplet(x, x[:, None], x, x[:, :1]))["total"].item())
        return losses, [p.detach().clone() for p in line.parameters()], recorder

    plain, captured = run(), run(Replayer)

    assert captured[0] == plain[0] and all(torch.equal(a, b) for a, b in zip(captured[1], plain[1]))
    assert captured[2].replays == len(batches) - 2 * WARM_UP


def test_a_step_that_cannot_be_recorded_goes_on_as_an_ordinary_one(caplog):
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    recorder = Replayer([parameter], refuses=True)
    step = CapturedStep(lambda batch: {"total": (parameter * batch.first).square().sum()}, optimizer, None, recorder)
    x = torch.ones(3)

    losses = [step(Triplet(x, x, x, x))["total"].item() for _ in range(8)]

    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 8 and not step.records
    assert caplog.text.count("operation not permitted") == 1


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("scenes", [False, True])
def test_the_loss_of_the_flow_network_never_waits_for_the_device(scenes):
    objective = triplet_objective(
        charbonnier=1.0, laplacian=1.0, census=0.05, census_shrink=4, negative_psnr=0.01, velocity=0.005, folding=0.1,
        margin=0.05, edge_smooth=0.004, sharpness=30.0, out_of_grid=0.1, smooth=0.1,
        auxiliary={"one_sided": 0.15, "coarse": 0.25, "coarse_sided": 0.075},
    )  # fmt: skip
    with fake_cuda() as watch, torch.device("cuda"):
        model = FlowInterpolator(**NET).train()
        module = TripletModule(model, objective, partial(torch.optim.AdamW, lr=1e-3), ends=[], lpips=False)
        velocity = torch.rand(2, 2, 64, 64) if scenes else None
        batch = Triplet(*(torch.rand(2, *s) for s in ((3, 64, 64), (1, 3, 64, 64), (3, 64, 64), (1,))), velocity)
        with watch:
            module.figures(batch)
        assert [fault for fault in watch.faults if "reads" in fault] == []
        watch.faults.clear()  # constants of this size are on the device now
        with watch:
            module.figures(batch)

    assert watch.faults == []
