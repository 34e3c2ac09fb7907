"""A pair's way on a device, from the pictures that the model sees to rounded planes: nothing waits for the device.

No GPU is needed: the tensors are fake (``fake_device``), so every operator is seen and none is computed.
"""

from contextlib import nullcontext, suppress
from fractions import Fraction

import pytest
import torch
from fake_device import fake_cuda

from vfi_pipeline.estimation.window import Window
from vfi_pipeline.media.frames import pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models import flow as flow_module
from vfi_pipeline.models import flow_fields
from vfi_pipeline.models.flow import FlowModel
from vfi_pipeline.models.flow_interpolator import FlowInterpolator
from vfi_pipeline.models.motion import IntermediateMotion, PendingReport
from vfi_pipeline.synthesis import compose

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")

TINY = {
    "widths": (8, 8, 8), "hidden": (6, 6, 6), "context_channels": (4, 4), "radii": (0, 1, 3), "match": (4, 4, 4),
    "stem": 4, "depth": (1, 1, 1), "refinement": {"hidden": 6, "context_channels": 4},
}  # fmt: skip

FORMATS = ["yuv420p", "yuv422p10le", "yuv411p", "gray", "gray16le", "gbrp", "gbrap12le", "yuva420p", "yuva444p16le"]


def on(device):
    """Where tensors are made; the host's are made outside of the fake device."""
    return torch.device(device)


def layout_of(name, width, height):
    return compose.layout_of_format(name, width, height)


def sources(layout):
    return [torch.rand(1, len(group.planes), *layout.plane_size(group)) for group in layout.groups]


def motion(cells=(9, 16)):
    flow = torch.rand(1, 2, *cells)
    return IntermediateMotion(0.5, flow, -flow, torch.rand(1, 1, *cells), torch.rand(1, 1, *cells))


def model(device, monkeypatch):
    whole = FlowInterpolator(**TINY)
    # What is made on the device is there already, and fake parameters cannot be moved.
    monkeypatch.setattr(FlowInterpolator, "to", lambda self, *_, **__: self)
    return FlowModel(whole, device=device)


def made(flow, pictures, times, layout, planes, batch=False):
    """The rounded planes at ``times``, as the stream makes them; ``batch``: all pairs are estimated as one."""
    before, first, last, after = pictures
    window = Window.of(first, last, before, after, 1.5, 0.5)
    if batch:
        flow.prepare_pairs(window.pairs())
    between = flow.motion(window)
    with torch.inference_mode():
        return [compose.rounded(compose.planes(*planes, [each], layout), layout) for each in between.at(times)], between


@pytest.mark.parametrize("size, batch", [((61, 90), False), ((64, 96), True)])
def test_nothing_between_the_guides_and_the_rounded_planes_waits_for_the_device(monkeypatch, size, batch):
    layout = layout_of("yuv420p", 2 * size[1], 2 * size[0])
    with fake_cuda() as watch, on("cuda"):
        flow = model("cuda", monkeypatch)
        pictures = [torch.rand(1, 3, *size) for _ in range(4)]
        planes = sources(layout), sources(layout)
        with watch:
            made(flow, pictures, [0.25, 0.5], layout, planes, batch)
        # The first pair of a size makes the constants of that size on the host; it may not read anything back.
        assert [fault for fault in watch.faults if "reads" in fault] == []
        watch.faults.clear()
        with watch:
            frames, _ = made(flow, pictures, [0.1, 0.7, 1 / 3], layout, planes, batch)

    assert watch.faults == []
    assert {plane.device.type for frame in frames for plane in frame} == {"cuda"}


def test_the_facts_of_many_pairs_are_read_once_and_only_when_they_are_asked_for(monkeypatch):
    layout = layout_of("gray", 180, 122)
    with fake_cuda() as watch, on("cuda"):
        flow = model("cuda", monkeypatch)
        planes = sources(layout), sources(layout)
        pairs = [
            made(flow, [torch.rand(1, 3, 61, 90) for _ in range(4)], [0.2, 0.4, 0.6, 0.8], layout, planes)[1]
            for _ in range(3)
        ]
        with watch:
            reports = [between.report() for between in pairs]
        assert watch.faults == []
        with watch, suppress(Exception):
            PendingReport.read(reports)

    assert len(watch.faults) == 1 and "rows = " in watch.faults[0]


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.mean()),
        lambda x: x.tolist(),
        lambda x: bool((x > 0).any()),
        lambda x: torch.equal(x, x),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: x.cpu(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.unique(),
    ],
)
def test_the_watch_sees_each_way_of_waiting_for_a_device(wait):
    with fake_cuda() as watch, on("cuda"):
        x = torch.rand(3)
        with watch, suppress(Exception):  # fake tensors have no values to give
            wait(x)

    assert watch.faults != []


def test_the_watch_lets_pass_what_stays_on_the_device():
    with fake_cuda() as watch, on("cuda"):
        x = torch.rand(3, 4)
        with watch:
            x[torch.arange(2)] + x.new_full((2, 4), 0.3) * 2
            torch.where(x > 0, x, torch.zeros_like(x)).index_select(0, torch.arange(2))

    assert watch.operators > 5 and watch.faults == []


@pytest.mark.slow
@pytest.mark.parametrize("where, name, waiting", [
    (flow_fields, "folding", lambda real, *a: [x if x.tolist() else x for x in real(*a)]),
    (flow_module, "estimate_acceleration", lambda real, pair, *a: real(pair, *a) if pair.forward.any() else None),
    (compose, "inside", lambda real, at, *a: real(at, *a) * at.new_tensor([1.0])),
])  # fmt: skip
def test_a_wait_that_is_put_back_into_the_path_is_seen(monkeypatch, where, name, waiting):
    real = getattr(where, name)
    layout = layout_of("yuv420p", 180, 122)
    with fake_cuda() as watch, on("cuda"):
        flow, pictures = model("cuda", monkeypatch), [torch.rand(1, 3, 61, 90) for _ in range(4)]
        planes = sources(layout), sources(layout)
        made(flow, pictures, [0.5], layout, planes)
        monkeypatch.setattr(where, name, lambda *arguments: waiting(real, *arguments))
        with watch, suppress(Exception):
            made(flow, pictures, [0.5], layout, planes)

    assert watch.faults != []


SCALING = Scaling(
    source=(180, 122), canvas=(120, 90), place=(0, 4, 120, 82),
    window=(Fraction(0), Fraction(0), Fraction(180), Fraction(122)), sample_aspect=Fraction(1),
)  # fmt: skip


@pytest.mark.parametrize("how", ["plain", "overlay", "scaled", "scaled, overlay", "batch"])
@pytest.mark.parametrize("name", FORMATS)
def test_composition_on_a_device_has_the_hosts_shapes_and_types_and_never_waits(name, how):
    scaling = SCALING if "scaled" in how else None
    source = layout_of(name, 180, 122)
    layout = source if scaling is None else layout_of(name, *scaling.place[2:])
    motions = 3 if how == "batch" else 1

    def run(watch):
        inputs = sources(source), sources(source)
        moves = [motion() for _ in range(motions)]
        hidden = (torch.rand(1, 1, 122, 180), torch.rand(1, 1, 122, 180)) if "overlay" in how else None
        with watch, torch.inference_mode():
            ready = [compose.readable(groups, source, scaling) for groups in inputs]
            return compose.rounded(compose.planes(*ready, moves, layout, hidden, scaling), layout)

    host = run(nullcontext())
    with fake_cuda() as watch, on("cuda"):
        run(watch)
        assert [fault for fault in watch.faults if "reads" in fault] == []
        watch.faults.clear()
        device = run(watch)

    assert watch.faults == []
    assert [(x.shape, x.dtype) for x in device] == [(x.shape, x.dtype) for x in host]
    assert {x.device.type for x in device} == {"cuda"}
    assert {x.element_size() for x in device} == {pixel_format(name).dtype.itemsize}
