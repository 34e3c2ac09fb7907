"""Which device ``device=`` names, what is said where it is not there, and where it lacks an operator."""

import importlib.util
import os
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from clips import make_clip
from fake_device import fake_cuda
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import gpu
from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.geometry import sample
from vfi_pipeline.jobs import devices
from vfi_pipeline.jobs.method import resolve_device
from vfi_pipeline.jobs.space import explained


@pytest.fixture
def machine(monkeypatch):
    """Makes a machine with so many devices of each kind."""

    def has(cuda=0, xpu=0, mps=0):
        for module, count in ((torch.cuda, cuda), (torch.xpu, xpu)):
            monkeypatch.setattr(module, "is_available", lambda count=count: count > 0)
            monkeypatch.setattr(module, "device_count", lambda count=count: count)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps > 0)

    return has


@pytest.mark.parametrize(
    "devices, chosen",
    [({}, "cpu"), ({"mps": 1}, "mps"), ({"xpu": 2}, "xpu"), ({"cuda": 1}, "cuda"), ({"cuda": 1, "xpu": 1}, "cuda")],
)
def test_auto_takes_the_device_that_is_there(machine, devices, chosen):
    machine(**devices)
    assert resolve_device("auto") == gpu.available("auto") == chosen
    assert resolve_device("cpu") == "cpu"
    assert chosen == "cpu" or resolve_device(chosen) == chosen


@pytest.mark.parametrize(
    "devices, asked, remedy",
    [
        ({}, "cuda", "device=cpu"), ({}, "mps", "device=cpu"), ({}, "xpu:0", "device=cpu"),
        ({"mps": 1}, "cuda:0", "device=cpu"), ({"xpu": 2}, "xpu:2", "device=xpu:0"),
        ({"cuda": 1}, "cuda:1", "device=cuda:0"),
    ],
)  # fmt: skip
def test_a_device_that_is_not_there_is_named_with_one_that_is(machine, devices, asked, remedy):
    machine(**devices)
    with pytest.raises(UserError, match=f"(?s){asked}.*Try: .*{remedy}") as raised:
        resolve_device(asked)
    assert raised.value.code == ENVIRONMENT


VERSION = """from typing import Optional
__version__ = '2.15.0'
cuda: Optional[str] = {cuda}
hip: Optional[str] = {hip}
xpu: Optional[str] = {xpu}
"""


def version(cuda=None, hip=None, xpu=None) -> str:
    return VERSION.format(cuda=repr(cuda), hip=repr(hip), xpu=repr(xpu))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (version(), []),
        (version(cuda="13.2"), ["cuda"]),
        (version(hip="7.0"), ["hip"]),
        (version(xpu="20250101"), ["xpu"]),
        ("__version__ = '9'\n", None),
    ],
)
def test_what_torch_was_built_for_is_read_without_loading_it(text, kinds):
    assert devices.kinds_of(text) == kinds


@pytest.mark.parametrize(
    ("text", "nodes", "none"),
    [
        (version(), ["nvidia0"], True),
        (version(cuda="13.2"), ["null", "tty"], True),
        (version(cuda="13.2"), ["nvidia0"], False),
        (version(cuda="13.2"), ["nvidiactl"], False),
        (version(cuda="13.2"), ["dxg"], False),
        (version(cuda="13.2"), ["dri"], True),
        (version(hip="7.0"), ["kfd"], False),
        (version(xpu="2025"), ["dri"], False),
        ("written in another way", [], False),
    ],
)
def test_a_machine_without_a_gpu_is_known_by_its_kernel(tmp_path, monkeypatch, text, nodes, none):
    for node in nodes:
        (tmp_path / "dev" / node).mkdir(parents=True)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").touch()
    (tmp_path / "torch" / "version.py").write_text(text)
    spec = importlib.util.spec_from_file_location("torch", tmp_path / "torch" / "__init__.py")
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.setattr(devices.sys, "modules", {})

    assert devices.no_device(tmp_path / "dev") is none


def test_once_torch_is_loaded_it_is_asked(tmp_path):
    assert not devices.no_device(tmp_path)


def test_decoding_begins_before_torch_is_loaded(tmp_path, root):
    make_clip(tmp_path / "a.mkv", frames=6)
    code = """
import sys
import interpolate
from vfi_pipeline.jobs import frame_maker
run = frame_maker.Pipeline.run
def started(self, segments):
    assert "torch" not in sys.modules
    sys.stderr.write("decoding begins")
    run(self, segments)
frame_maker.Pipeline.run = started
sys.exit(interpolate.main(["input=a.mkv", "multi=2", "model=blend", "device=cpu"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)}, timeout=200,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "decoding begins" in done.stderr


LACKING = [
    NotImplementedError(
        "The operator 'aten::scatter_reduce.two_out' is not currently implemented for the MPS device. If you want this "
        "op to be considered for addition please comment on https://github.com/pytorch/pytorch/issues/141287"
    ),
    NotImplementedError("Could not run 'aten::as_strided' with arguments from the 'XPU' backend. This could"),
    RuntimeError("MPS: Unsupported Border padding mode"),
    TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."),
]


@pytest.mark.parametrize("error", LACKING, ids=["operator", "backend", "mode", "type"])
def test_what_a_device_lacks_is_told_in_a_line_with_the_cpu_as_the_remedy(error):
    with pytest.raises(UserError, match="device=cpu; the same command") as raised, explained(None, None):
        raise error
    problem, _, code = raised.value.args
    assert code == ENVIRONMENT and "\n" not in problem and len(problem) < 200
    assert str(error).split(". ")[0].rstrip(".") in problem


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied on mps"),
        RuntimeError("CUDA error: operation not supported"),
        ValueError("mps is not supported"),
        KeyError("xpu"),
    ],
)
def test_faults_of_our_own_are_not_put_down_to_the_device(error):
    with pytest.raises(type(error)), explained(None, None):
        raise error


def test_the_border_is_that_of_other_devices_on_apples():
    field, far = torch.rand(2, 3, 7, 11), torch.randn(2, 5, 6, 2) * 3
    border = F.grid_sample(field, far, padding_mode="border", align_corners=True)
    clamped = F.grid_sample(field, far.clamp(-1, 1), padding_mode="zeros", align_corners=True)
    torch.testing.assert_close(clamped, border)

    class Calls(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "grid_sampler" in func.name():
                padding.append(args[3])
            return func(*args, **(kwargs or {}))

    padding: list[int] = []  # 0 zeros, 1 border
    for device in ("mps", "cuda"):
        # PyTorch for other systems does not know how Apple's operator works; it is seen before that matters.
        with fake_cuda(), torch.device(device), Calls(), suppress(RuntimeError):
            sample(torch.rand(1, 1, 4, 5), torch.rand(1, 2, 4, 5))
    assert padding == [0, 1]
