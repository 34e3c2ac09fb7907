"""Animations as tensors: kinds, what does not fit, and files of version 0.6."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from vfi_pipeline.animation.legacy_maps import MODULES, TABLE, translated
from vfi_pipeline.animation.maps import KINDS, animation_of, state_of
from vfi_pipeline.animation.motion_animation import MotionAnimation
from vfi_pipeline.animation.saved_motion import StationaryMotion
from vfi_pipeline.apps.maps import OLD_FORMAT, read_maps
from vfi_pipeline.errors import BAD_INPUT, UserError
from vfi_pipeline.geometry import pixel_grid
from vfi_pipeline.models.flow_fields import FlowMotion, MotionFields
from vfi_pipeline.ode import Solver

HEIGHT, WIDTH = 12, 16


def scene(dx: float, dy: float) -> torch.Tensor:
    """What tests/goldens/maps_0.6/make.py animates."""
    x, y = pixel_grid(HEIGHT, WIDTH, like=torch.empty(0)).unbind(dim=1)
    x, y = x - dx, y - dy
    waves = [torch.sin(x / 5 + k) * torch.cos(y / 6 - k) + 0.4 * torch.sin((x + y) / 9) for k in range(3)]
    return (0.5 + 0.3 * torch.stack(waves, dim=1)).clamp(0, 1)


FIRST, LAST = scene(0, 0), (0.9 * scene(3, -2)).clamp(0, 1)

OLD_KINDS = {
    "far": "picture_fit",
    "morph_flow": "morph",
    "morph_original": "original_morph",
    "flow": "flow",
    "field": "stationary",
    "field_first": "stationary",
    "sampled": "sampled",
    "fit": "sampled",
}


@pytest.mark.parametrize("name", OLD_KINDS)
def test_files_of_version_0_6_make_the_frames_that_it_made(root, name):
    folder = root / "tests" / "goldens" / "maps_0.6"
    then = load_file(folder / "frames_at_0.3.safetensors")[name].float()
    (maps,) = read_maps(folder / f"{name}.maps.safetensors", 1)

    frame = animation_of(maps.kind, maps.state, FIRST, LAST).frame(0.3)

    assert maps.kind == OLD_KINDS[name] and maps.pictures == ("a.png", "b.png")
    assert (255 * frame - then).abs().max() < 0.6  # they were rounded to codes of 255
    assert (255 * FIRST - then).abs().mean() > 2


def test_a_flow_of_before_version_0_3_has_no_acceleration(root):
    (maps,) = read_maps(root / "tests" / "goldens" / "maps_0.6" / "flow.maps.safetensors", 1)
    new = ("acceleration", "visibility_rate")
    old = {f"flow.{name}": value for name, value in maps.state.items() if name not in new}
    old["flow.drift"] = maps.state["visibility_rate"]

    kind, state = translated("vfi_pipeline.models.animation", old)

    assert kind == "flow" and not state["acceleration"].any()
    assert torch.equal(state["visibility_rate"], maps.state["visibility_rate"])


def test_the_table_leads_to_known_kinds():
    assert {kind for kind, _ in TABLE.values()} == set(KINDS)
    assert MODULES == {f"vfi_pipeline.models.{name}" for name in ("animation", "far", "morph")}


@pytest.mark.parametrize("module", ["os", "vfi_pipeline.errors", "", "vfi_pipeline.models.checkpoint"])
def test_an_old_file_cannot_name_any_module(tmp_path, module):
    header = {"format": OLD_FORMAT, "gaps": json.dumps([{"home": module, "pictures": ["a", "b"]}])}
    save_file({"0.far.velocity": torch.zeros(1, 2, 3, 3)}, tmp_path / "o.safetensors", header)
    with pytest.raises(UserError, match="kind that this version does not know") as caught:
        read_maps(tmp_path / "o.safetensors", 1)
    assert caught.value.code == BAD_INPUT
    assert repr(module) in str(caught.value) and "leave out maps=" in str(caught.value)


@pytest.mark.parametrize("module, prefix", [("vfi_pipeline.models.far", "fit"), ("vfi_pipeline.models.animation", "x")])
def test_old_names_that_no_version_wrote_are_refused(module, prefix):
    with pytest.raises(ValueError, match="no kind of maps"):
        translated(module, {f"{prefix}.velocity": torch.zeros(1, 2, 3, 3)})


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="'os'.*picture_fit, morph"):
        animation_of("os", {}, FIRST, LAST)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [{}, {"velocity": torch.zeros(2)}, {"span": torch.zeros(2).double()}])
def test_a_state_that_does_not_fit_its_kind_is_told(kind, state):
    with pytest.raises(ValueError, match="maps"):
        animation_of(kind, state, FIRST, LAST)


@pytest.mark.parametrize("name", ["fit", "far", "flow", "sampled", "field", "morph_flow", "morph_original"])
def test_an_old_file_that_lacks_a_map_is_told(root, name):
    (maps,) = read_maps(root / "tests" / "goldens" / "maps_0.6" / f"{name}.maps.safetensors", 1)
    lacking = dict(maps.state)
    lacking.pop(next(iter(sorted(lacking))))
    with pytest.raises(ValueError, match="do not fit their kind"):
        animation_of(maps.kind, lacking, FIRST, LAST)


def test_an_animation_of_no_kind_cannot_be_kept():
    with pytest.raises(ValueError, match="object cannot be kept"):
        state_of(object())


@pytest.mark.parametrize("confidence", [None, 0.7])
def test_a_learned_motion_is_kept_with_all_its_fields(confidence):
    torch.manual_seed(0)
    parts = [torch.randn(1, channels, 7, 9) for channels in (2, 2, 1, 1, 2)]
    believed = None if confidence is None else torch.full((1, 1, 7, 9), confidence)
    motion = FlowMotion(MotionFields(*parts, believed), (6.0, 8.0), Solver("rk4", 3))
    animation = MotionAnimation(motion, FIRST, LAST)

    kind, state = state_of(animation)
    again = animation_of(kind, state, FIRST, LAST)

    assert kind == "flow" and ("confidence" in state) == (confidence is not None)
    assert torch.equal(again.frame(0.4), animation.frame(0.4))
    assert again.motion.solver == motion.solver and again.motion.size == motion.size


def test_a_tolerance_survives():
    solver = Solver("dopri5", 4, rtol=1e-5, atol=1e-4)
    v = torch.randn(1, 2, 5, 6)
    kind, state = state_of(MotionAnimation(StationaryMotion(v, None, solver), FIRST, LAST))
    again = animation_of(kind, state, FIRST, LAST).motion

    assert kind == "stationary" and again.solver == solver and again.w is None and torch.equal(again.v, v)
