"""The flow model's contract: swap symmetry in t, work shared between windows, any size, ends of the interval."""

import json
from fractions import Fraction

import pytest
import torch
from fake_graphs import Graphs

from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.lucas_kanade import LucasKanade
from vfi_pipeline.estimation.window import Observation, Window
from vfi_pipeline.geometry import resize_flow, warp
from vfi_pipeline.models import shipped
from vfi_pipeline.models.checkpoint import load_model, save_model
from vfi_pipeline.models.flow import FlowModel, flow_interpolator, load_flow
from vfi_pipeline.models.flow_fields import FlowMotion, MotionFields, maps_at
from vfi_pipeline.models.flow_interpolator import EstimateSettings, FlowInterpolator
from vfi_pipeline.models.prediction import Neighbours
from vfi_pipeline.ode import Solver

TINY = {
    "widths": (8, 8, 8), "hidden": (6, 6, 6), "context_channels": (4, 4), "radii": (0, 1, 2), "match": (4, 4, 4),
    "stem": 4, "depth": (1, 1, 1), "refinement": {"hidden": 6, "context_channels": 4},
}  # fmt: skip


def tiny(**options) -> FlowInterpolator:
    """A small network with livelier fields than the careful initialisation gives."""
    torch.manual_seed(5)
    whole = FlowInterpolator(**TINY, **options)
    for parameter in whole.net.parameters():
        parameter.data.mul_(1.2)
    for half in (whole.refinement.head.same, whole.refinement.head.other):
        torch.nn.init.normal_(half.weight, std=0.2)
    return whole


@pytest.fixture(scope="module")
def model() -> FlowModel:
    return FlowModel(tiny())


def pictures(height: int, width: int, count: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.rand(1, 3, height, width) for _ in range(count)]


def close(one: torch.Tensor, other: torch.Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(one, other, atol=atol, rtol=1e-3)


def test_swapped_windows_give_the_same_picture_at_one_minus_t(model):
    before, a, b, after = pictures(64, 96, 4)
    one = model.motion(Window.of(a, b, before, after, 1.5, 0.5)).at([0.3])[0]
    other = model.motion(Window.of(b, a, after, before, 0.5, 1.5)).at([0.7])[0]

    assert one.flow_to_first.abs().max() > 0.05
    close(one.flow_to_first, other.flow_to_last, 2e-3)
    close(one.blend_weight, 1 - other.blend_weight, 1e-3)
    close(one.confidence, other.confidence, 1e-3)


def test_what_windows_share_is_computed_once_and_changes_no_bit(model, monkeypatch):
    frames = pictures(64, 96, 4)
    encoded, estimated = [], []
    encode, estimate = model.encode, model.estimate
    monkeypatch.setattr(model, "encode", lambda guide: encoded.append(1) or encode(guide))
    monkeypatch.setattr(model, "estimate", lambda a, b: estimated.append((a.index, b.index)) or estimate(a, b))
    observations = [Observation.of(frame, k) for k, frame in enumerate(frames)]

    model.motion(Window(*observations[:2], None, observations[2]))
    shared = model.motion(Window(*observations[1:3], observations[0], observations[3])).at([0.4])[0]
    assert len(encoded) == 4 and sorted(estimated) == [(0, 1), (1, 2), (2, 3)]

    fresh = model.motion(Window.of(frames[1], frames[2], frames[0], frames[3])).at([0.4])[0]
    for name in ("flow_to_first", "flow_to_last", "blend_weight", "confidence"):
        assert torch.equal(getattr(shared, name), getattr(fresh, name))


def test_two_models_do_not_share_what_they_computed(model):
    a, b = (Observation.of(frame, k) for k, frame in enumerate(pictures(64, 96)))
    other = FlowModel(model.model, network_span=48)
    one, two = (m.motion(Window(a, b)).at([0.5])[0] for m in (model, other))
    assert not torch.allclose(one.flow_to_first, two.flow_to_first)


@pytest.mark.parametrize("height, width", [(64, 96), (61, 90), (36, 130), (5, 7), (1, 1), (17, 300)])
@pytest.mark.parametrize("network_span", [448, 40])
def test_any_size_gives_maps_that_cover_the_frame(height, width, network_span):
    sized = FlowModel(tiny(), network_span=network_span)
    motion = sized.motion(Window.of(*pictures(height, width))).at([0.5])[0]

    assert motion.flow_to_first.shape[-2:] == (max(1, round(height / 2)), max(1, round(width / 2)))
    parts = (motion.flow_to_first, motion.flow_to_last, motion.blend_weight, motion.confidence)
    assert all(torch.isfinite(x).all() for x in parts)
    assert all(0 <= float(x.min()) and float(x.max()) <= 1 for x in parts[2:])


def test_the_networks_picture_may_have_another_size_than_the_working_one():
    """A shift is a shift at either size: the network's velocities arrive in cells of the working grid."""
    whole = tiny()
    for level in whole.net.levels:
        for half in (level.head.same, level.head.other):
            torch.nn.init.zeros_(half.weight)
        torch.nn.init.zeros_(level.head.same.bias)
    whole.net.levels[0].head.same.bias.data[:2] = torch.tensor([2.0, -1.0])  # away from the own frame, in cells of 4 px
    for half in (whole.refinement.head.same, whole.refinement.head.other):
        torch.nn.init.zeros_(half.weight)
    grey = torch.full((1, 3, 96, 192), 0.5)
    for guide, span, enlargement, scale in ((192, 192, 1, 1.0), (192, 96, 1.25, 2.0), (256, 192, 1.25, 0.8)):
        fields = FlowModel(whole, guide, span, enlargement).motion(Window.of(grey, grey)).fields
        inner = fields.first[..., 8:-8, 8:-8].flatten(2)
        close(inner.mean(dim=2)[0], torch.tensor([2.0, -1.0]) * 2 * scale, 0.05)


def test_the_ends_of_the_interval_are_the_sources(model):
    start, end = model.motion(Window.of(*pictures(64, 96))).at([0.0, 1.0])

    assert start.flow_to_first.abs().max() == 0 and (start.blend_weight == 1).all()
    assert end.flow_to_last.abs().max() == 0 and (end.blend_weight == 0).all()


def test_all_times_come_from_one_solve(model):
    window = Window.of(*pictures(64, 96))
    motion = model.motion(window)
    together = motion.at([0.25, 0.5, 0.75])
    alone = model.motion(window).at([0.5])[0]

    close(together[1].flow_to_first, alone.flow_to_first)
    assert 0 < motion.report().nfe <= 2 * 4  # both fields in one solve, midpoint, at most four steps


@pytest.mark.parametrize("height, width", [(64, 96), (61, 90)])
def test_times_read_as_one_batch_are_those_read_one_by_one(model, height, width):
    """As on a device; (61, 90): the grid extends past the frame."""
    times = [0.2, 0.5, 1 / 3]
    motion = model.motion(Window.of(*pictures(height, width, 4)))
    single, batched = (FlowMotion(motion.fields, motion.size, motion.solver, count) for count in (1, len(times)))
    for one, other in zip(single.at(times), batched.at(times)):
        assert one.t == other.t
        for name in ("flow_to_first", "flow_to_last", "blend_weight", "confidence"):
            close(getattr(one, name), getattr(other, name))
    reports = single.report(), batched.report()
    assert reports[0].nfe == reports[1].nfe
    assert reports[0].min_det == pytest.approx(reports[1].min_det, abs=1e-4)
    assert reports[0].folded == pytest.approx(reports[1].folded, abs=1e-6)


@pytest.mark.parametrize("height, width", [(64, 96), (61, 90)])
def test_what_a_device_reads_from_the_fields_is_what_a_cpu_reads_bit_for_bit(model, height, width):
    """On a device times are tensors, and all are read by one function."""
    times = [0.0, 0.2, 0.5, 1 / 3, 1.0]
    motion = model.motion(Window.of(*pictures(height, width, 4)))
    there = FlowMotion(motion.fields, motion.size, motion.solver)

    for one, other in zip(motion.at(times), there._on_device(times, {*times, *(1 - t for t in times)}), strict=True):
        assert one.t == other.t
        for name in ("flow_to_first", "flow_to_last", "blend_weight", "confidence"):
            assert torch.equal(getattr(one, name), getattr(other, name))
    one, other = motion.report(), there.report()
    assert (one.min_det, one.folded, one.confidence) == (other.min_det, other.folded, other.confidence)


class Elsewhere(torch.Tensor):
    """A tensor of the host that says it lies on a CUDA device."""

    @property
    def device(self):
        return torch.device("cuda")


@pytest.fixture
def recorded(monkeypatch):
    """A model whose functions are replayed on the host."""
    graphs = Graphs()
    flow = FlowModel(tiny(), record=graphs.record)
    for replayed in (flow._estimator, flow._accelerator, flow._reader):
        usual = replayed.__call__

        def call(tensors, value=None, usual=usual):
            return [x.as_subclass(torch.Tensor) for x in usual([x.as_subclass(Elsewhere) for x in tensors], value)]

        monkeypatch.setattr(replayed, "function", _plain(replayed.function))
        name = next(name for name, held in vars(flow).items() if held is replayed)
        monkeypatch.setattr(flow, name, call)
    monkeypatch.setattr(FlowMotion, "_on_cpu", FlowMotion._on_device)
    return flow, graphs


def _plain(function):
    return lambda tensors, value: function([x.as_subclass(torch.Tensor) for x in tensors], value)


def test_replayed_pairs_are_those_computed_at_once(recorded, model):
    flow, graphs = recorded
    for number in range(7):
        four = [0.5 + 0.5 * (number + 1) / 8 * (x - 0.5) for x in pictures(48, 64, 4)]
        window, times = Window.of(*four, 1.0 + number / 10, 0.9), [0.1 * number + 0.05, 0.1 * number + 0.3]
        replayed, direct = flow.motion(window), model.motion(window)
        for one, other in zip(replayed.at(times), direct.at(times), strict=True):
            assert torch.equal(one.flow_to_first, other.flow_to_first)
            assert torch.equal(one.flow_to_last, other.flow_to_last)
            assert torch.equal(one.blend_weight, other.blend_weight) and torch.equal(one.confidence, other.confidence)
        assert replayed.report() == direct.report()
    assert len([count for count in graphs.replays if count]) >= 3  # estimate, acceleration, and what is read


@pytest.mark.parametrize(
    "source, target", [(24, 48), (24, 192), (24, 60), (25, 60), (Fraction(24000, 1001), 60), (30, 144), (24, 25)]
)
def test_a_film_of_any_rate_is_read_by_few_graphs(recorded, source, target):
    """As many as there are numbers of times and of steps, not one for each time."""
    flow, graphs = recorded
    motion = flow.motion(Window.of(*pictures(16, 16)))
    graphs.replays.clear()
    step, reads = Fraction(source) / Fraction(target), 0
    for pair in range(120):
        times = [k * step - pair for k in range(int((pair + 1) / step) + 1) if pair < k * step < pair + 1]
        if times:
            motion.at([float(t) for t in times])
            reads += 1
    assert len(graphs.replays) <= 5  # of 8 that are kept
    assert sum(graphs.replays) >= reads - 5 * 3


def fields_of(velocity: torch.Tensor, confidence: float | None = None) -> MotionFields:
    nothing = torch.zeros_like(velocity[:, :1])
    logit = None if confidence is None else torch.full_like(nothing, confidence)
    return MotionFields(velocity, velocity, nothing, nothing, torch.zeros_like(velocity), logit)


def test_constant_velocity_moves_by_t_times_v():
    velocity = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    motion = FlowMotion(fields_of(velocity, 0.0), (20, 30)).at([0.25])[0]
    batch = maps_at(fields_of(velocity), torch.tensor([0.25]))

    inner = (..., slice(4, -4), slice(4, -4))
    close(motion.flow_to_first[inner], -0.25 * velocity[inner])
    close(motion.flow_to_last[inner], 0.75 * velocity[inner])
    close(motion.blend_weight, torch.full((1, 1, 20, 30), 0.75))
    close(motion.confidence, torch.full((1, 1, 20, 30), 0.5))
    close(batch.flow_to_first[inner], motion.flow_to_first[inner])
    assert batch.confidence is None


def test_what_is_known_half_way_moves_with_the_pixels():
    velocity = torch.zeros(1, 2, 16, 32)
    velocity[:, 0] = 8.0
    fields = fields_of(velocity, -9.0)
    fields.confidence[..., 12:20] = 9.0
    fields.visibility[..., 12:20] = 9.0
    early, late = FlowMotion(fields, (16, 32)).at([0.25, 0.75])
    for motion, moved in ((early, -2), (late, 2)):
        assert (motion.confidence[0, 0, 8] > 0.5).nonzero().flatten().tolist() == list(range(12 + moved, 20 + moved))
        assert (motion.blend_weight[0, 0, 8] > 0.99).nonzero().flatten().tolist() == list(range(12 + moved, 20 + moved))


def test_a_moving_edge_meets_itself_in_the_middle():
    first = torch.zeros(1, 1, 16, 24)
    first[..., 8:] = 1
    last = torch.roll(first, 4, dims=3)
    velocity = torch.zeros(1, 2, 16, 24)
    velocity[:, 0] = 4
    motion = FlowMotion(fields_of(velocity), (16, 24)).at([0.5])[0]

    inner = (..., slice(4, -4))
    close(warp(first, motion.flow_to_first)[inner], warp(last, motion.flow_to_last)[inner])


def test_the_acceleration_bends_both_paths_alike_and_leaves_the_ends():
    still = torch.zeros(1, 2, 8, 8)
    fields = MotionFields(still, still, still[:, :1], still[:, :1], still + torch.tensor([8.0, -4.0]).view(1, 2, 1, 1))
    start, half, end = FlowMotion(fields, (8, 8)).at([0.0, 0.5, 1.0])
    assert start.flow_to_first.abs().max() == 0 == end.flow_to_last.abs().max()
    for flow in (half.flow_to_first, half.flow_to_last):
        close(flow[0, :, 4, 4], torch.tensor([1.0, -0.5]))  # t (1 - t) / 2 = 1/8


def test_half_precision_stays_near_full(model):
    a, b = pictures(64, 96)
    full = model.motion(Window.of(a, b)).at([0.5])[0]
    half = FlowModel(model.model, dtype=torch.bfloat16).motion(Window.of(a, b)).at([0.5])[0]

    assert half.flow_to_first.dtype == torch.float32
    one, two = (warp(a, resize_flow(u.flow_to_first, 64, 96)) for u in (full, half))
    assert ((one - two) ** 2).mean() < 10**-4
    assert not torch.equal(full.flow_to_first, half.flow_to_first)


def test_the_trainable_whole_makes_the_same_maps_as_the_film_model():
    # Without Lucas-Kanade: on noise in place of pictures it has flat spots, where it magnifies rounding.
    # Fine steps: the film model shares a solve between the times, so it steps elsewhere.
    whole = tiny(settings=EstimateSettings(lucas_kanade=LucasKanade(steps=()), solver=Solver("rk4", steps=24)))
    a, b = pictures(64, 96)
    with torch.no_grad():
        motion = whole(a, b, torch.tensor([[0.25, 0.5]]))
    made = FlowModel(whole, enlargement=1).motion(Window.of(a, b)).at([0.25, 0.5])

    assert motion.frame.shape == (1, 2, 3, 64, 96) and motion.path.shape == (4, 1, 2, 32, 48)
    for index, at in enumerate(made):
        close(motion.flow[:, index], at.flow_to_first, 2e-2)
    assert {"one_sided/first", "coarse/0", "coarse_sided/1/last"} <= set(motion.auxiliary)


def test_a_batch_of_pairs_is_each_pair_alone():
    whole = tiny()
    a, b, c = pictures(64, 96, 3)
    t = torch.tensor([[0.25], [0.75]])
    with torch.no_grad():
        both = whole(torch.cat((a, b)), torch.cat((b, c)), t)
        alone = [whole(x, y, t[k : k + 1]) for k, (x, y) in enumerate(((a, b), (b, c)))]
    for row, one in enumerate(alone):
        close(both.frame[row], one.frame[0], 1e-3)


def test_learning_reaches_the_network_and_the_refinement():
    whole = tiny().train()
    a, b, c = pictures(64, 96, 3)
    loss = (whole(a, b, torch.tensor([[0.5]])).frame[:, 0] - c).square().mean()
    loss.backward()
    for part in (whole.net.encoder, whole.net.levels, whole.refinement):
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0


def test_pictures_that_do_not_fit_the_network_are_refused_in_words(model):
    with pytest.raises(ValueError, match="multiples of 16"):
        model.model(*pictures(60, 96), torch.tensor([[0.5]]))


def test_weights_go_through_a_file_with_their_settings(tmp_path):
    whole = tiny(settings=EstimateSettings(solver=Solver("rk4", steps=3)), guide_span=320, network_span=160)
    save_model(tmp_path / "small.safetensors", whole)
    read = load_flow(str(tmp_path / "small.safetensors"))

    assert (read.guide_span, read.network_span, read.model.settings) == (320, 160, whole.settings)
    window = Window.of(*pictures(64, 96))
    one = FlowModel(whole).motion(window).at([0.5])[0]
    assert torch.equal(read.motion(window).at([0.5])[0].flow_to_first, one.flow_to_first)
    assert (load_flow(str(tmp_path / "small.safetensors"), 640, 448).guide_span) == 640


def test_training_goes_on_from_weights_of_the_same_shape_only(tmp_path):
    whole = tiny()
    save_model(tmp_path / "small.safetensors", whole)
    again = flow_interpolator(init_from=str(tmp_path / "small.safetensors"), **TINY)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), again.parameters()))
    with pytest.raises(UserError, match="another network"):
        flow_interpolator(init_from=str(tmp_path / "small.safetensors"), **{**TINY, "stem": 8})


def test_weights_of_the_search_are_refused_by_name(tmp_path):
    whole = tiny()
    config = {"kind": "flow", "guide_span": 640, "start": True, "quiet": 3.0, **whole.net.settings}
    whole.config = lambda: config
    save_model(tmp_path / "old.safetensors", whole)
    with pytest.raises(UserError, match="a search that ended with version 0.6.0"):
        load_model(tmp_path / "old.safetensors")


def test_the_shipped_weights_load_and_are_checked(tmp_path, monkeypatch):
    assert load_flow("flow").name == "flow"
    index = json.loads((shipped.FOLDER / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({"flow": {**index["flow"], "sha256": "00"}}))
    (tmp_path / index["flow"]["file"]).write_bytes((shipped.FOLDER / index["flow"]["file"]).read_bytes())
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="SHA-256"):
        load_flow("flow")


def test_unknown_weights_name_the_known_ones():
    with pytest.raises(UserError, match="one of: flow"):
        load_flow("no-such-weights")


def test_training_with_the_frames_around_takes_the_acceleration_that_films_take():
    # As above without Lucas-Kanade, for its flat spots.
    whole = tiny(settings=EstimateSettings(lucas_kanade=LucasKanade(steps=()), solver=Solver("rk4", steps=24)))
    before, a, b, after, c = pictures(64, 96, 5)
    spans = (1.5, 0.5)
    with torch.no_grad():
        around = Neighbours(torch.stack((before, after), dim=1), torch.tensor([spans]))
        motion, alone = whole(a, b, torch.tensor([[0.5]]), around), whole(a, b, torch.tensor([[0.5]]))
        # Two samples of a batch keep to their own neighbours.
        both = Neighbours(
            torch.stack((torch.cat((before, c)), torch.cat((after, a))), dim=1), torch.tensor([spans] * 2)
        )
        batch = whole(torch.cat((a, b)), torch.cat((b, c)), torch.full((2, 1), 0.5), both)
    made = FlowModel(whole, enlargement=1).motion(Window.of(a, b, before, after, *spans)).at([0.5])[0]

    assert (motion.flow - alone.flow).abs().max() > 0.02
    close(motion.flow[:, 0], made.flow_to_first, 2e-2)
    close(motion.flow_to_last[:, 0], made.flow_to_last, 2e-2)
    close(motion.blend_weight[:, 0], made.blend_weight, 1e-2)
    close(batch.flow[0], motion.flow[0], 2e-3)


def test_the_estimates_of_the_pairs_around_have_no_gradient():
    whole = tiny().train()
    before, a, b, after = pictures(64, 96, 4)
    frames = torch.stack((before, after), dim=1).requires_grad_()
    whole(a, b, torch.tensor([[0.5]]), Neighbours(frames, torch.ones(1, 2))).frame.sum().backward()

    assert frames.grad is None
    assert sum(float(p.grad.abs().sum()) for p in whole.net.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("opened", [True, False])
def test_an_open_gate_lets_the_steps_of_lucas_kanade_through_and_a_shut_one_none(opened):
    steps = LucasKanade() if opened else LucasKanade(steps=())
    plain, gated = tiny(settings=EstimateSettings(lucas_kanade=steps)), tiny(gate=True)
    torch.nn.init.constant_(gated.gate.same.bias, 50.0 if opened else -50.0)
    gated.load_state_dict({**gated.state_dict(), **plain.state_dict()})
    window = Window.of(*pictures(64, 96))

    made, known = (FlowModel(whole).motion(window).at([0.3])[0] for whole in (gated, plain))

    close(made.flow_to_first, known.flow_to_first)
    close(made.blend_weight, known.blend_weight)


def test_a_gate_begins_nearly_open_and_learns():
    gated = tiny(gate=True).train()
    a, b, c = pictures(64, 96, 3)
    hidden = torch.randn(2, TINY["hidden"][0], 4, 4)
    torch.testing.assert_close(
        torch.sigmoid(gated.gate(hidden).sum(0)), torch.full((1, 4, 4), 0.9526), atol=1e-4, rtol=0
    )

    (gated(a, b, torch.tensor([[0.5]])).frame[:, 0] - c).square().mean().backward()

    assert all(p.grad is not None and p.grad.any() for p in gated.gate.parameters())


def test_a_gate_is_kept_in_the_weights_file_and_may_be_added_to_weights_without_one(tmp_path):
    gated, plain = tiny(gate=True), tiny()
    torch.nn.init.normal_(gated.gate.same.weight, std=0.5)
    save_model(tmp_path / "gated.safetensors", gated)
    save_model(tmp_path / "plain.safetensors", plain)

    window = Window.of(*pictures(64, 96))
    read = load_flow(str(tmp_path / "gated.safetensors")).motion(window).at([0.5])[0]
    assert torch.equal(read.flow_to_first, FlowModel(gated).motion(window).at([0.5])[0].flow_to_first)
    assert "gate" not in plain.config()
    begun = flow_interpolator(init_from=str(tmp_path / "plain.safetensors"), gate=True, **TINY)
    assert all(torch.equal(p, q) for p, q in zip(plain.net.parameters(), begun.net.parameters()))
    with pytest.raises(UserError, match="another network"):
        flow_interpolator(init_from=str(tmp_path / "gated.safetensors"), **TINY)
