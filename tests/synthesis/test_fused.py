"""The fused kernel, run by Triton's interpreter, makes the frames of the plain expression."""

import importlib.util
import math
import os
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vfi_pipeline.geometry import constant  # noqa: F401  so that a broken package is not taken for a missing Triton
from vfi_pipeline.media.frames import pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis import compose

triton = pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build")

SOURCE = Path(compose.__file__).with_name("fused.py")
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p10le", "yuv444p12le", "gray", "gray16le",
           "gbrp", "gbrp10le"]  # fmt: skip
CLEAR = ["yuva420p", "yuva422p10le", "gbrap", "gbrap12le"]


@pytest.fixture(scope="module")
def fused():
    """The module as the interpreter runs it: Triton looks at the variable when functions are decorated."""
    before = os.environ.get("TRITON_INTERPRET")
    os.environ["TRITON_INTERPRET"] = "1"
    try:
        spec = importlib.util.spec_from_file_location("fused_interpreted", SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        os.environ.pop("TRITON_INTERPRET") if before is None else os.environ.update(TRITON_INTERPRET=before)


def codes(layout, group, batch):
    high = layout.format.peak + 1
    random = torch.randint(0, high, (batch, len(group.planes), *layout.plane_size(group)))
    return random.to(torch.uint8) if layout.format.depth <= 8 else random.to(torch.int32).to(torch.int16)


def motions(count, cells, reach, confidence):
    return [
        IntermediateMotion(
            0.5, *((torch.rand(1, 2, *cells) - 0.5) * 2 * reach for _ in range(2)), torch.rand(1, 1, *cells),
            torch.rand(1, 1, *cells) if confidence else None,
        )
        for _ in range(count)
    ]  # fmt: skip


def scaling_to(width, height, window=None):
    """From 46 x 31, all of it or ``window`` of it, beside a bar of 8 px at the left."""
    window = window or (0, 0, 46, 31)
    return Scaling((46, 31), (width + 8, height), (8, 0, width, height), tuple(map(Fraction, window)))


SCALINGS = {
    "larger": scaling_to(70, 48),
    "smaller": scaling_to(22, 15),
    "cut": scaling_to(32, 24, (6, 0, 34, 26)),
    "wide": scaling_to(60, 12),
}


def covers(height, width, batch=1):
    """Two overlays with soft rims, that cover about a tenth."""
    rows = []
    for left in (0.2, 0.5):
        y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)[None]
        distance = torch.maximum((x - left).abs() * 4, (y - 0.6).abs() * 4)
        rows.append((2 - 3 * distance).clamp(0, 1)[None, None].expand(batch, 1, -1, -1).contiguous())
    return rows[0], rows[1]


def check(fused, layout, batch, frames, cells, reach, confidence, block=None, scaling=None, covered=None):
    """The kernel beside the plain expression, on noise: the hardest picture for both."""
    moves = motions(batch, cells, reach, confidence)
    made_layout = layout
    if scaling is not None:
        made_layout = compose.layout_of_format(layout.format.name, *scaling.place[2:])
    raw = [[codes(layout, group, frames) for group in layout.groups] for _ in range(2)]
    values = [[compose.as_values(group) for group in groups] for groups in raw]
    ready = [compose.readable(groups, layout, scaling) for groups in values]
    expected = compose.rounded(compose.planes(*ready, moves, made_layout, covered, scaling), made_layout)

    read = [kernel_sources(groups, layout, scaling) for groups in raw]
    field = compose.motion_field(moves, torch.device("cpu"), covered is not None, scaling)
    source = None
    if scaling is not None:
        (across, left), (down, top) = scaling.to_source
        source = fused.Source(scaling.source[::-1], (across, down), (left, top))
    made = [
        fused.composed(
            first,
            last,
            field,
            compose.kernel_plane(group, made_layout),
            covered,
            source,
            block or one_program(group, made_layout),
        )
        for first, last, group in zip(*read, made_layout.groups)
    ]

    for one, other in zip(made, expected):
        assert one.dtype == other.dtype and one.shape == other.shape
        difference = (compose.as_values(one) - compose.as_values(other)).abs()
        seldom = 0.005 if layout.format.depth <= 12 else 0.03  # float32 positions are as fine as 16 bits
        assert difference.max() <= 1 and (difference > 0).sum() <= max(2, seldom * difference.numel())
        assert pixel_format(layout.format.name).dtype.itemsize == one.element_size()


def one_program(group, layout):
    """A block that holds the plane: the interpreter's time goes by operations, of which each program makes all."""
    return 1 << max(4, (math.prod(layout.plane_size(group)) - 1).bit_length())


def kernel_sources(groups, layout, scaling):
    """What a device with the kernel is given: ``compose.sources`` there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compose, "is_fused", lambda device: True)
        return compose.sources(groups, layout, scaling)


@pytest.mark.parametrize("siting", ["left", "center", "topleft", "bottom"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_equal_within_a_code_value(fused, name, siting):
    torch.manual_seed(0)
    check(fused, compose.layout_of_format(name, 90, 61, siting), 2, 1, (9, 13), 3.0, True)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (300, 20), (33, 47)])
@pytest.mark.parametrize("cells", [(1, 1), (4, 7), (31, 45)])
@pytest.mark.parametrize("confidence", [False, True])
def test_every_size_and_grid_is_equal_within_a_code_value(fused, size, cells, confidence):
    torch.manual_seed(1)
    check(fused, compose.layout_of_format("yuv420p", *size), 2, 1, cells, 2.0, confidence)


@pytest.mark.parametrize("covered", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 7), (13, 11)])
@pytest.mark.parametrize(
    "name",
    ["yuv410p", "yuv440p", "yuv440p12le", "gray14le", "yuv420p14le", "yuv422p16le", "yuv444p16le", "gbrp9le",
     "gbrp16le", "yuva420p16le", "yuva444p", "gbrap14le"],
)  # fmt: skip
def test_formats_that_are_rare_in_sizes_that_are_odd(fused, name, size, covered):
    torch.manual_seed(8)
    layout = compose.layout_of_format(name, *size, "topleft")
    check(fused, layout, 2, 1, (3, 4), 15.0, True, covered=covers(size[1], size[0]) if covered else None)


@pytest.mark.slow
@pytest.mark.parametrize("cells", [(1, 1), (6, 9), (240, 427)])
@pytest.mark.parametrize("name", ["yuv420p", "yuv411p", "yuva420p10le", "gbrp12le"])
def test_frames_as_large_as_films(fused, name, cells):
    torch.manual_seed(9)
    check(fused, compose.layout_of_format(name, 853, 481), 1, 1, cells, 2.0, True)


@pytest.mark.parametrize("reach", [0.0, 0.3, 40.0])
def test_several_pairs_and_moves_far_out_of_the_frame(fused, reach):
    torch.manual_seed(2)
    check(fused, compose.layout_of_format("yuv420p10le", 64, 48), 3, 3, (12, 16), reach, True)


@pytest.mark.parametrize("confidence", [False, True])
@pytest.mark.parametrize("name", CLEAR)
def test_colours_are_weighted_by_their_opacity(fused, name, confidence):
    torch.manual_seed(4)
    check(fused, compose.layout_of_format(name, 46, 31), 2, 1, (9, 13), 3.0, confidence)


@pytest.mark.parametrize("reach, confidence", [(0.3, True), (3.0, False), (3.0, True), (40.0, True)])
@pytest.mark.parametrize("name", ["yuv420p", "gbrp10le", "yuva420p"])
def test_nothing_is_pulled_from_under_an_overlay(fused, name, reach, confidence):
    torch.manual_seed(5)
    layout = compose.layout_of_format(name, 46, 31)
    check(fused, layout, 1, 1, (9, 13), reach, confidence, covered=covers(31, 46))


SCALED = [*(("yuv420p", how) for how in SCALINGS), ("gbrp10le", "smaller"), ("yuva422p10le", "cut")]


@pytest.mark.parametrize("name, how", SCALED)
def test_another_size_is_read_by_the_same_cubic_filter(fused, name, how):
    torch.manual_seed(6)
    check(fused, compose.layout_of_format(name, 46, 31), 1, 1, (9, 13), 3.0, True, scaling=SCALINGS[how])


@pytest.mark.parametrize(
    "name, confidence",
    [("yuv420p", False), *(pytest.param(name, True, marks=pytest.mark.slow) for name in ("gbrap", "yuva422p10le"))],
)
def test_overlays_opacity_and_another_size_together(fused, name, confidence):
    torch.manual_seed(7)
    layout, covered = compose.layout_of_format(name, 46, 31), covers(31, 46)
    check(fused, layout, 2, 2, (9, 13), 4.0, confidence, scaling=SCALINGS["cut"], covered=covered)


def test_the_kernel_runs_on_the_device_of_its_planes(fused, monkeypatch):
    """Triton takes the current one, which with ``devices=all`` is another."""
    asked, real = [], fused.on_device
    monkeypatch.setattr(fused, "on_device", lambda device: asked.append(device) or real(device))
    check(fused, compose.layout_of_format("yuv420p", 19, 13), 1, 1, (4, 5), 2.0, True)
    assert asked == 2 * [torch.device("cpu")]


def test_a_plane_may_take_several_programs(fused):
    torch.manual_seed(3)
    check(fused, compose.layout_of_format("gray", 19, 13), 1, 1, (4, 5), 2.0, True, block=64)


def compiled_kernel():
    """The kernel as a GPU's compiler sees it, whatever the fixture above has told Triton."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        spec = importlib.util.spec_from_file_location("fused_compiled", SOURCE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module._kernel


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, settings",
    [
        (0, {}),
        (1, {"WIDE": True, "COVERED": True}),
        (2, {"SCALED": True, "COVERED": True, "WEIGHTED": True}),
        # Triton makes constants of arguments that are 1.
        (0, dict.fromkeys(("width", "height", "luma_width", "luma_height", "cells_x", "cells_y"), 1)),
    ],
)
def test_the_kernel_compiles_for_a_gpu_that_is_not_here(kind, settings):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    types = {"first": ("*u8", "*i16", "*fp32")[kind], "out": "*i16" if settings.get("WIDE") else "*u8"}
    types |= {"last": types["first"], **dict.fromkeys(("field", "cover_first", "cover_last"), "*fp32")}
    values = {
        "CHANNELS": 2, "FIELDS": 6, "SUB_X": 2, "SUB_Y": 2, "LOW_X": 0, "LOW_Y": 0, "TAPS_X": 1, "TAPS_Y": 2,
        "KIND": kind, "WIDE": False, "SCALED": False, "COVERED": False, "WEIGHTED": False, "ALPHA": -1, "BLOCK": 256,
        **settings,
    }  # fmt: skip
    kernel = compiled_kernel()
    names = kernel.arg_names
    numbers = ("share", "offset", "scale", "shift")
    signature = {
        name: "constexpr" if name in values else types.get(name, "fp32" if name.startswith(numbers) else "i32")
        for name in names
    }
    made = triton.compile(
        ASTSource(kernel, signature, {(names.index(name),): value for name, value in values.items()}),
        target=GPUTarget("cuda", 90, 32),
    )
    assert len(made.asm["cubin"]) > 1000
