"""The flow model's contract: swap symmetry in t, cached features, any size, ends of the interval."""

import pytest
import torch

from vfi_pipeline.errors import UserError
from vfi_pipeline.geometry import resize_flow, warp
from vfi_pipeline.models import shipped
from vfi_pipeline.models.checkpoint import save_model
from vfi_pipeline.models.flow import FlowInterpolator, FlowModel, FlowMotion, load_flow, maps_at
from vfi_pipeline.nets.flow import FlowNet, Velocities


@pytest.fixture(scope="module")
def model() -> FlowModel:
    torch.manual_seed(5)
    net = FlowNet(
        widths=(8, 8, 8), hidden=(6, 6, 6), handed=(4, 4), radii=(0, 1, 2), match=(4, 4, 4), stem=4, depth=(1, 1, 1)
    )
    for parameter in net.parameters():  # a livelier field than the careful initialisation gives
        parameter.data.mul_(1.2)
    return FlowModel(net)


def pictures(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.rand(1, 3, height, width), torch.rand(1, 3, height, width)


def test_swapped_frames_give_the_same_picture_at_one_minus_t(model):
    a, b = pictures(64, 96)
    model.reset()
    one = model.motion(a, b).at([0.3])[0]
    model.reset()
    other = model.motion(b, a).at([0.7])[0]

    assert one.there.abs().max() > 0.05
    torch.testing.assert_close(one.there, other.back, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(one.share, 1 - other.share, atol=1e-5, rtol=1e-4)


def test_cached_features_change_no_bit(model):
    a, b = pictures(64, 96)
    c = torch.rand(1, 3, 64, 96)
    model.reset()
    model.motion(a, b)
    cached = model.motion(b, c).at([0.4])[0]
    model.reset()
    fresh = model.motion(b, c).at([0.4])[0]

    assert torch.equal(cached.there, fresh.there) and torch.equal(cached.share, fresh.share)


@pytest.mark.parametrize("height, width", [(64, 96), (61, 90), (36, 130), (5, 7), (1, 1)])
def test_any_size_gives_maps_that_cover_the_frame(model, height, width):
    a, b = pictures(height, width)
    model.reset()
    made = model.motion(a, b).at([0.5])[0]

    assert made.there.shape[-2:] == (max(1, round(height / 4)), max(1, round(width / 4)))
    assert all(torch.isfinite(x).all() for x in (made.there, made.back, made.share))


def test_the_ends_of_the_interval_are_the_sources(model):
    a, b = pictures(64, 96)
    model.reset()
    start, end = model.motion(a, b).at([0.0, 1.0])

    assert start.there.abs().max() == 0 and (start.share == 1).all()
    assert end.back.abs().max() == 0 and (end.share == 0).all()


def test_all_times_come_from_one_solve(model):
    a, b = pictures(64, 96)
    model.reset()
    motion = model.motion(a, b)
    together = motion.at([0.25, 0.5, 0.75])
    model.reset()
    alone = model.motion(a, b).at([0.5])[0]

    torch.testing.assert_close(together[1].there, alone.there, atol=1e-4, rtol=1e-4)
    assert 0 < motion.report().nfe <= 2 * 2 * 4  # two fields, midpoint, at most four steps


def test_constant_velocity_moves_by_t_times_v():
    velocity = torch.zeros(1, 2, 20, 30)
    velocity[:, 0], velocity[:, 1] = 3.0, -2.0
    nothing = torch.zeros(1, 1, 20, 30)

    made = FlowMotion(Velocities(velocity, velocity, nothing, nothing, 0 * velocity), (20, 30)).at([0.25])[0]
    batch = maps_at(Velocities(velocity, velocity, nothing, nothing, 0 * velocity), torch.tensor([0.25]))

    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(made.there[inner], -0.25 * velocity[inner])
    torch.testing.assert_close(made.back[inner], 0.75 * velocity[inner])
    torch.testing.assert_close(made.share, torch.full_like(nothing, 0.75))
    torch.testing.assert_close(batch.there[inner], made.there[inner])


def test_a_moving_edge_meets_itself_in_the_middle():
    first = torch.zeros(1, 1, 16, 24)
    first[..., 8:] = 1
    last = torch.roll(first, 4, dims=3)
    velocity = torch.zeros(1, 2, 16, 24)
    velocity[:, 0] = 4
    nothing = torch.zeros(1, 1, 16, 24)

    made = FlowMotion(Velocities(velocity, velocity, nothing, nothing, 0 * velocity), (16, 24)).at([0.5])[0]

    inner = (..., slice(4, -4))
    torch.testing.assert_close(warp(first, made.there)[inner], warp(last, made.back)[inner])


def test_half_precision_stays_near_full(model):
    a, b = pictures(64, 96)
    model.reset()
    full = model.motion(a, b).at([0.5])[0]
    half = FlowModel(model.net, dtype=torch.bfloat16).motion(a, b).at([0.5])[0]

    assert half.there.dtype == torch.float32
    one, two = (warp(a, resize_flow(u.there, 64, 96)) for u in (full, half))
    assert ((one - two) ** 2).mean() < 10**-4.5  # 45 dB
    assert not torch.equal(full.there, half.there)


def test_out_of_memory_halves_the_picture(model, monkeypatch, caplog):
    a, b = pictures(128, 192)
    small = FlowModel(model.net)
    encode = model.net.encode

    def narrow(image):
        if image.shape[-1] > 96:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(image)

    monkeypatch.setattr(model.net, "encode", narrow)
    made = small.motion(a, b).at([0.5])[0]

    assert made.there.shape[-2:] == (16, 24)
    assert "Out of memory: the motion is estimated at 96x64" in caplog.text


def test_no_memory_at_all_is_told(model, monkeypatch):
    def full(image):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(model.net, "encode", full)
    with pytest.raises(UserError, match="device=cpu"):
        FlowModel(model.net).motion(*pictures(64, 96))


def test_the_trainable_whole_makes_the_same_maps_as_the_film_model(model):
    whole = FlowInterpolator(
        widths=(8, 8, 8), hidden=(6, 6, 6), handed=(4, 4), radii=(0, 1, 2), match=(4, 4, 4), stem=4, depth=(1, 1, 1)
    )
    whole.net.load_state_dict(model.net.state_dict())
    a, b = pictures(64, 96)
    motion = whole(a, b, torch.tensor([[0.25, 0.5]]))
    model.reset()
    made = model.motion(a, b).at([0.25, 0.5])

    assert motion.frame.shape == (1, 2, 3, 64, 96) and motion.path.shape == (4, 1, 2, 16, 24)
    for index, inbetween in enumerate(made):
        torch.testing.assert_close(motion.flow[:, index], inbetween.there, atol=2e-3, rtol=1e-3)
    assert {"one_sided/first", "coarse/1"} <= set(motion.auxiliary)


def test_weights_go_through_a_file(model, tmp_path):
    whole = FlowInterpolator(
        widths=(8, 8, 8), hidden=(6, 6, 6), handed=(4, 4), radii=(0, 1, 2), match=(4, 4, 4), stem=4, depth=(1, 1, 1)
    )
    save_model(tmp_path / "small.safetensors", whole)
    read = load_flow(str(tmp_path / "small.safetensors"))

    a, b = pictures(64, 96)
    one = FlowModel(whole.net).motion(a, b).at([0.5])[0]
    assert torch.equal(read.motion(a, b).at([0.5])[0].there, one.there)


def test_the_shipped_weights_load_and_are_checked(tmp_path, monkeypatch):
    assert load_flow("flow").name == "flow"
    (tmp_path / "index.json").write_text('{"flow": {"file": "flow.safetensors", "sha256": "00"}}')
    (tmp_path / "flow.safetensors").write_bytes((shipped.FOLDER / "flow.safetensors").read_bytes())
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="SHA-256"):
        load_flow("flow")


def test_unknown_weights_name_the_known_ones():
    with pytest.raises(UserError, match="one of: flow"):
        load_flow("no-such-weights")
