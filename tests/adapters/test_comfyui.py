"""The nodes, as ComfyUI calls them: a stub of its interface checks and runs them."""

from __future__ import annotations

import sys
import types
import weakref

import pytest
import torch
from clips import make_clip

from vfi_pipeline import comfyui
from vfi_pipeline.adapters import comfyui as nodes
from vfi_pipeline.errors import UserError
from vfi_pipeline.media import probe

KINDS = {"IMAGE": torch.Tensor, "INT": int, "FLOAT": float, "BOOLEAN": bool, "STRING": str}


def execute(name: str, **given):
    """Calls a node as ComfyUI's executor does: the inputs it declares, with their defaults, by name."""
    node = comfyui.NODE_CLASS_MAPPINGS[name]
    declared = node.INPUT_TYPES()
    inputs = {}
    for key, (kind, *more) in {**declared["required"], **declared.get("optional", {})}.items():
        if isinstance(kind, list):
            inputs[key] = given.get(key, kind[0])
            assert inputs[key] in kind
        elif key in given or more:
            inputs[key] = given.get(key, more[0]["default"] if more else None)
            assert isinstance(inputs[key], KINDS[kind])
    assert set(given) <= set(inputs)
    result = getattr(node(), node.FUNCTION)(**inputs)
    values = result["result"] if isinstance(result, dict) else result
    assert len(values) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return values[0]


def batch(count: int = 5, height: int = 24, width: int = 36) -> torch.Tensor:
    ramp = torch.linspace(0, 1, width).expand(height, width)
    return torch.stack([torch.stack([ramp, ramp / 2 + 0.01 * k, 1 - ramp], -1) for k in range(count)])


def test_the_nodes_have_what_comfyui_asks_of_them():
    assert comfyui.NODE_CLASS_MAPPINGS.keys() == comfyui.NODE_DISPLAY_NAME_MAPPINGS.keys()
    for node in comfyui.NODE_CLASS_MAPPINGS.values():
        assert callable(getattr(node, node.FUNCTION)) and node.CATEGORY
        (models,) = node.INPUT_TYPES()["required"]["model"]
        assert models[0] == "flow" and {"blend", "hold"} <= set(models) and not {"fit", "morph"} & set(models)


def test_a_batch_becomes_a_longer_one():
    images = batch()
    longer = execute("VFIInterpolateImages", images=images, multi=3, model="blend", scene=False)

    assert longer.shape == (15, 24, 36, 3) and longer.dtype == torch.float32
    assert torch.equal(longer[::3], images)
    mixed = (2 * images[0] + images[1]) / 3
    assert (longer[1] - mixed).abs().max() < 2 / 65535
    assert torch.equal(longer[13], images[4]) and torch.equal(longer[14], images[4])


def test_cuts_are_held():
    noise = torch.rand(8, 48, 64, 3, generator=torch.Generator().manual_seed(0))
    images = torch.cat([batch(8, 48, 64), noise[:1].expand(8, -1, -1, -1)])
    longer = execute("VFIInterpolateImages", images=images, multi=2, model="blend")

    assert torch.equal(longer[15], images[7])


def test_pictures_go_through_one_at_a_time(monkeypatch):
    alive, most = weakref.WeakSet(), 0
    made = nodes.Frame

    def counted(*args, **kwargs):
        nonlocal most
        frame = made(*args, **kwargs)
        alive.add(planes := frame.planes[0])
        most = max(most, len(alive))
        assert planes is frame.planes[0]
        return frame

    class Numbers:
        """A set of arrays by identity: arrays have no hash."""

        def __init__(self):
            self.refs = {}

        def add(self, array):
            self.refs[id(array)] = weakref.ref(array, lambda _, key=id(array): self.refs.pop(key, None))

        def __len__(self):
            return len(self.refs)

    alive = Numbers()
    monkeypatch.setattr(nodes, "Frame", counted)
    execute("VFIInterpolateImages", images=batch(200, 8, 8), multi=2, model="blend")
    assert most < 60


@pytest.fixture
def comfy(monkeypatch):
    """ComfyUI's progress bar and its cancel button."""
    host = types.SimpleNamespace(total=None, updates=0, cancel_at=None)

    class Interrupted(Exception):
        pass

    class ProgressBar:
        def __init__(self, total):
            host.total = total

        def update(self, value):
            host.updates += value

    def throw():
        if host.cancel_at is not None and host.updates >= host.cancel_at:
            raise Interrupted

    host.Interrupted = Interrupted
    for name, members in {
        "comfy": {}, "comfy.utils": {"ProgressBar": ProgressBar},
        "comfy.model_management": {"throw_exception_if_processing_interrupted": throw},
    }.items():  # fmt: skip
        module = types.ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return host


def test_progress_is_told(comfy):
    execute("VFIInterpolateImages", images=batch(), multi=2, model="blend")
    assert (comfy.total, comfy.updates) == (10, 10)


def test_cancelling_ends_the_node(comfy):
    comfy.cancel_at = 3
    with pytest.raises(comfy.Interrupted):
        execute("VFIInterpolateImages", images=batch(), multi=2, model="blend")
    assert comfy.updates == 3


@pytest.mark.parametrize("shape", [(0, 8, 8, 3), (2, 8, 8, 4), (8, 8, 3)])
def test_other_tensors_are_refused(shape):
    with pytest.raises(UserError, match="A batch of RGB images is needed"):
        execute("VFIInterpolateImages", images=torch.zeros(shape), multi=2, model="blend")


def test_a_film_goes_from_file_to_file(tmp_path):
    make_clip(tmp_path / "a.mkv", frames=4, audio=("mono",))
    written = execute("VFIInterpolateFilm", path=str(tmp_path / "a.mkv"), fps="2x", model="blend")
    again = execute(
        "VFIInterpolateFilm", path=str(tmp_path / "a.mkv"), fps="30", model="hold", output=str(tmp_path / "b.mkv")
    )

    assert written == str(tmp_path / "a_50fps.mkv") and again == str(tmp_path / "b.mkv")
    assert probe.probe(tmp_path / "b.mkv").video.rate == 30
