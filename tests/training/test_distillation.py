"""A teacher in training: who learns from whom, what is exported, captured steps, resume and several processes."""

import sys
from functools import partial

import pytest
import tiny
import torch
from fake_device import fake_cuda
from films import panning, write_film
from safetensors.torch import load_file

from vfi_pipeline.data.batch import Triplet
from vfi_pipeline.data.modules import clips
from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import warp
from vfi_pipeline.losses import triplet_objective
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.prediction import Motion
from vfi_pipeline.nets.teacher import PrivilegedTeacher
from vfi_pipeline.training.callbacks import EMA
from vfi_pipeline.training.distillation import Distillation, LucasKanadeTeacher
from vfi_pipeline.training.session import export
from vfi_pipeline.training.triplet_module import TripletModule

NET = {
    "widths": (6, 6), "hidden": (4, 4), "context_channels": (4,), "radii": (1, 2), "match": (4, 4), "stem": 4,
    "depth": (1, 1), "refinement": {"hidden": 4, "context_channels": 4},
}  # fmt: skip


def network_teacher(**options):
    teacher = PrivilegedTeacher(4, 1)
    for half in (teacher.head.same, teacher.head.other):
        torch.nn.init.normal_(half.weight, std=0.05)
    return Distillation(teacher, **{"margin": 0.0, **options})


TEACHERS = {
    "network": network_teacher,
    "lucas_kanade": lambda **options: Distillation(LucasKanadeTeacher(), **{"margin": 0.0, **options}),
    "none": lambda **options: None,
}


def module(kind="network", capture=False, seed=0, net=None, **options) -> TripletModule:
    torch.manual_seed(seed)
    model, teacher = FlowInterpolator(**NET, **(net or {})), TEACHERS[kind](**options)
    objective = triplet_objective(charbonnier=1.0, auxiliary={"one_sided": 0.2})
    return TripletModule(
        model, objective, partial(torch.optim.Adam, lr=1e-3), ends=[], lpips=False, capture=capture, teacher=teacher
    )


def batch(size=16, count=2, targets=1):
    torch.manual_seed(3)
    wide = torch.nn.functional.interpolate(torch.rand(count, 3, 12, 16), (size + 16, size + 32), mode="bicubic")
    frames = [wide.clamp(0, 1)[..., 8 : 8 + size, k : k + size].contiguous() for k in (8, *range(9, 9 + targets), 12)]
    t = torch.linspace(0, 1, targets + 2)[1:-1].expand(count, -1)
    return Triplet(frames[0], torch.stack(frames[1:-1], dim=1), frames[-1], t)


def gradients(made: TripletModule, of: torch.nn.Module, term: str) -> list[torch.Tensor]:
    made.zero_grad()
    made.figures(batch())[term].backward()
    return [p.grad for p in of.parameters() if p.grad is not None and p.grad.any()]


def test_the_model_learns_from_the_distance_and_the_teacher_from_its_own_frame():
    made = module()
    figures = made.figures(batch())

    assert float(figures["distillation"]) > 0 and float(figures["teacher"]) > 0
    assert gradients(made, made.model, "distillation") and not gradients(made, made.teacher, "distillation")
    assert gradients(made, made.teacher, "teacher") and not gradients(made, made.model, "teacher")


@pytest.mark.parametrize("kind", ["network", "lucas_kanade"])
def test_the_total_is_the_models_own_and_the_weighted_terms(kind):
    taught, alone = module(kind, weight=0.25), module("none")
    figures, plain = taught.figures(batch(targets=2)), alone.figures(batch(targets=2))

    expected = plain["total"] + 0.25 * figures["distillation"] + figures.get("teacher", 0.0)
    torch.testing.assert_close(figures["total"], expected)
    torch.testing.assert_close(figures["charbonnier"], plain["charbonnier"])


def test_a_teacher_of_no_weight_is_left_out():
    assert module(weight=0.0).teacher is None


def test_displacements_count_in_pixels_of_the_frame():
    class Known(torch.nn.Module):
        """Moves both sides by a cell to the right, which makes the true frame."""

        def forward(self, first, last, target, flow_to_first, flow_to_last, weight):
            step = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
            return flow_to_first + step, flow_to_last + step, weight

    frame = batch(32, 1).first
    still = torch.zeros(1, 1, 2, 16, 16)
    moved = warp(frame, torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32))
    motion = Motion(frame[:, None], still, still[0], 0, flow_to_last=still, blend_weight=torch.ones(1, 1, 1, 16, 16))

    terms = Distillation(Known(), weight=0.5, margin=-1.0)(motion, frame, frame, moved[:, None])

    # A cell of a grid of half the size is 2 px, and a margin of -1 asks the teacher everywhere.
    assert float(terms["distillation"]) == pytest.approx(2.0, abs=2e-3)
    assert float(terms["total"]) == pytest.approx(1.0, abs=1e-3) and "teacher" not in terms


def test_aligned_displacements_make_a_better_frame_than_the_models():
    sample = batch(32, 1)
    made = module("lucas_kanade")
    with torch.no_grad():
        motion = made.model(sample.first, sample.last, sample.t)
        to_first, to_last, weight = made.teacher.teacher(
            sample.first, sample.last, sample.targets[:, 0], motion.flow[:, 0], motion.flow_to_last[:, 0],
            motion.blend_weight[:, 0],
        )  # fmt: skip
    up = torch.nn.functional.interpolate(torch.cat((motion.flow[:, 0], to_first)) * 2, (32, 32), mode="bilinear")
    before, after = ((warp(sample.first, flow[None]) - sample.targets[:, 0]).abs().mean() for flow in up)

    assert after < 0.8 * before and torch.equal(weight, motion.blend_weight[:, 0])


@pytest.mark.parametrize("kind", ["network", "lucas_kanade"])
def test_data_without_frames_between_and_models_of_one_side_are_refused(kind):
    made = module(kind)
    pair = batch()._replace(targets=torch.zeros(2, 0, 3, 16, 16), t=torch.zeros(2, 0))
    made.ends = [1.0]
    assert "distillation" in made.figures(pair)  # the last frame, at t = 1, is a target like others
    empty = made.model(pair.first, pair.last, torch.zeros(2, 0))
    with pytest.raises(UserError, match="the data hold none"):
        made.teacher(empty, pair.first, pair.last, pair.targets)
    one_sided = tiny.model()
    grey = torch.rand(2, 1, 16, 16)
    with pytest.raises(UserError, match="needs a model that blends both frames"):
        made.teacher(one_sided(grey, grey, torch.ones(2, 1)), grey, grey, grey[:, None])


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    for number in range(3):
        write_film(root / f"{number}.mkv", panning(12, speed=1 + number, height=48, width=96, seed=number))
    return root


def data(films, **options):
    typed = {"crop": 16, "val_crop": 16, "spans": (2, 3), "val_samples": 2, "batch_size": 4, "steps": 3, **options}
    return clips(str(films), cache=str(films / "cache"), **typed)


def fit(made, run_dir, films, resume=None, around=None, **options):
    trainer = tiny.trainer(run_dir, **{"steps": 5, "every": 3, **options})
    trainer.fit(made, datamodule=data(films, around=around), ckpt_path=resume)
    return trainer


def same(one: torch.nn.Module, two: torch.nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_the_teacher_learns_and_is_no_part_of_the_export_nor_of_the_averaged_weights(tmp_path, films):
    made = module()
    begun = [p.detach().clone() for p in made.teacher.parameters()]
    trainer = fit(made, tmp_path, films)
    path = export(made, {"run": {}, "data": {}}, {}, tmp_path, "taught")

    assert all(not torch.equal(a, b) for a, b in zip(begun, made.teacher.parameters()))
    assert set(load_file(path)) == set(module("none").model.state_dict())
    average = next(c for c in trainer.callbacks if isinstance(c, EMA)).average
    assert set(average) == set(made.model.state_dict())
    assert "train/teacher" in trainer.callback_metrics and "val/teacher" not in trainer.callback_metrics


def test_the_same_run_without_a_teacher_is_another_one(tmp_path, films):
    taught, alone = module(), module("none")
    fit(taught, tmp_path / "a", films), fit(alone, tmp_path / "b", films)

    assert not same(taught.model, alone.model)


@pytest.mark.parametrize("kind", ["network", "lucas_kanade"])
@pytest.mark.parametrize("around", [None, True])
def test_a_cut_run_and_captured_steps_give_the_weights_of_a_whole_run(tmp_path, films, kind, around):
    net = {"gate": True}
    whole, cut, captured = module(kind, net=net), module(kind, net=net), module(kind, True, net=net)
    fit(whole, tmp_path / "whole", films, around=around)
    fit(cut, tmp_path / "cut", films, around=around, max_steps=3)
    resumed = module(kind, seed=9, net=net)
    fit(resumed, tmp_path / "rest", films, str(tmp_path / "cut/checkpoints/last.ckpt"), around)
    fit(captured, tmp_path / "captured", films, around=around)

    assert same(whole, resumed) and same(whole, captured)


class KeepGradients(tiny.pl.Callback):
    """Writes what every step got, as the first process sees it."""

    def __init__(self, path):
        self.path, self.steps = path, []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.steps.append({n: p.grad.detach().clone() for n, p in pl_module.named_parameters()})

    def on_train_end(self, trainer, pl_module):
        if trainer.is_global_zero:
            torch.save(self.steps, self.path)


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_two_processes_learn_as_one_with_the_joint_batch(tmp_path, films):
    steps = []
    for processes in (1, 2):
        path = tmp_path / f"{processes}.pt"
        several = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
        options = {"callbacks": [KeepGradients(path)], "num_sanity_val_steps": 0, **several}
        fit(module(net={"gate": True}), tmp_path / str(processes), films, around=True, **{"steps": 3, **options})
        steps.append(torch.load(path, weights_only=True))

    assert len(steps[0]) == len(steps[1]) == 3
    for alone, shared in zip(*steps):
        assert any(name.startswith("teacher.") for name in alone) and any("gate" in name for name in alone)
        for name, value in alone.items():
            assert torch.allclose(value, shared[name], rtol=2e-3, atol=1e-6 + 2e-4 * float(value.abs().max())), name


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
@pytest.mark.parametrize("kind", sorted(TEACHERS))
def test_no_part_of_the_loss_waits_for_the_device(kind):
    with fake_cuda() as watch, torch.device("cuda"):
        made = module(kind, net={"gate": True})
        shapes = ((3, 32, 32), (1, 3, 32, 32), (3, 32, 32), (1,))
        sample = Triplet(*(torch.rand(2, *s) for s in shapes), None, torch.rand(2, 2, 3, 32, 32), torch.ones(2, 2))
        with watch:
            made.figures(sample)
        assert [fault for fault in watch.faults if "reads" in fault] == []
        watch.faults.clear()  # constants of this size are on the device now
        with watch:
            made.figures(sample)

    assert watch.faults == []


def test_frames_around_are_refused_for_a_model_that_looks_at_pairs_alone():
    made = tiny.paired()
    sample = batch()._replace(around=torch.rand(2, 2, 3, 16, 16), spans=torch.ones(2, 2))
    with pytest.raises(UserError, match="WarpingODE looks at a pair alone"):
        made.figures(sample)


def test_a_word_in_place_of_a_teacher_is_refused_with_what_to_write():
    with pytest.raises(UserError, match="training.teacher=privileged is no teacher") as refused:
        TripletModule(FlowInterpolator(**NET), triplet_objective(), torch.optim.Adam, teacher="privileged")
    assert "+teacher@training.teacher=privileged" in refused.value.args[1]
