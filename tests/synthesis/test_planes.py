"""Copies between host and device: streams of their own, in the right order; no GPU is needed to see the order."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.synthesis import planes

CUDA = torch.device("cuda")


@pytest.fixture
def cuda(monkeypatch):
    """Streams that note what is done on them, and tensors of the host that take themselves for the device's."""
    done = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def wait_stream(self, other):
            done.append(f"{self.name} waits for {other.name}")

    class Event:
        def record(self, stream):
            done.append(f"event on {stream.name}")

        def synchronize(self):
            done.append("host waits for the event")

    computing = Stream("computing")
    current = [computing]
    numbers = iter(("copying", "copying back"))

    @contextmanager
    def stream(which):
        current.append(which)
        yield
        current.pop()

    class Pinned(torch.Tensor):
        def to(self, device, non_blocking=False):
            done.append(f"to the device on {current[-1].name}{'' if non_blocking else ', waited for'}")
            return self.as_subclass(There)

        def copy_(self, source, non_blocking=False):
            done.append(f"to the host on {current[-1].name}{'' if non_blocking else ', waited for'}")
            return self.as_subclass(torch.Tensor).copy_(source.as_subclass(torch.Tensor))

    class There(torch.Tensor):
        is_cuda = True

        @property
        def device(self):
            return CUDA

        def record_stream(self, which):
            done.append(f"kept for {which.name}")

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self.as_subclass(Pinned))
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(
        is_available=lambda: True, Stream=lambda device: Stream(next(numbers)), Event=Event,
        current_stream=lambda device: current[-1], stream=stream,
    ))  # fmt: skip
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *a, pin_memory=False, **k: empty(*a, **k).as_subclass(
        Pinned if pin_memory else torch.Tensor))  # fmt: skip
    planes._upload_stream.cache_clear()
    planes._download_stream.cache_clear()
    yield SimpleNamespace(done=done, There=There)
    planes._upload_stream.cache_clear()
    planes._download_stream.cache_clear()


def test_uploads_have_a_stream_of_their_own_for_which_only_what_follows_waits(cuda):
    planes.to_device(torch.arange(4), CUDA)
    planes.to_device(torch.arange(4), CUDA)

    once = ["to the device on copying", "computing waits for copying", "kept for computing"]
    assert cuda.done == once + once


@pytest.mark.parametrize("name", ["yuv420p", "gbrap16le"])
def test_frames_are_copied_once_on_the_host_into_page_locked_memory(cuda, monkeypatch, name):
    layout = pixel_format(name)
    random = np.random.default_rng(0)
    frame = Frame(
        tuple(
            random.integers(0, layout.peak + 1, layout.plane_size(k, 18, 10)).astype(layout.dtype)
            for k in range(len(layout.planes))
        ),
        layout, 18, 10,
    )  # fmt: skip
    known = planes.to_codes(frame)
    monkeypatch.setattr(np, "stack", None)

    codes = planes.to_codes(frame, CUDA)

    assert all(torch.equal(a.as_subclass(torch.Tensor), b) for a, b in zip(codes, known, strict=True))
    assert cuda.done.count("to the device on copying") == len(planes.layout_of(frame).groups)


def test_downloads_begin_when_the_frame_is_made_and_are_waited_for_when_it_is_asked_for(cuda):
    number = planes.ArrivingNumber(torch.tensor(2.5).as_subclass(cuda.There))
    begun = list(cuda.done)

    assert number.value() == 2.5
    assert begun == [
        "copying waits for computing", "to the host on copying", "event on copying", "kept for copying",
    ]  # fmt: skip
    assert cuda.done[len(begun) :] == ["host waits for the event"]


def test_elsewhere_a_copy_is_a_copy():
    assert torch.equal(planes.to_device(torch.arange(3), torch.device("cpu")), torch.arange(3))
    assert planes.ArrivingNumber(torch.tensor(2.5)).value() == 2.5
