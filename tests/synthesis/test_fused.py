"""The fused kernel, run by Triton's interpreter, makes the frames of the plain expression."""

import importlib.util
import os
from pathlib import Path

import pytest
import torch

from vfi_pipeline.geometry import constant  # noqa: F401  so that a broken package is not taken for a missing Triton
from vfi_pipeline.media.frames import Colour, pixel_format
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis import compose

pytest.importorskip("triton", reason="Triton comes with PyTorch's CUDA build")

SOURCE = Path(compose.__file__).with_name("fused.py")
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv420p10le", "yuv444p12le", "gray", "gray16le",
           "gbrp", "gbrp10le"]  # fmt: skip


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


def as_float(tensor):
    return tensor.float() if tensor.dtype == torch.uint8 else (tensor.to(torch.int32) & 0xFFFF).float()


def motions(count, cells, reach, confidence):
    return [
        IntermediateMotion(
            0.5, *((torch.rand(1, 2, *cells) - 0.5) * 2 * reach for _ in range(2)), torch.rand(1, 1, *cells),
            torch.rand(1, 1, *cells) if confidence else None,
        )
        for _ in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize("siting", ["left", "center", "topleft", "bottom"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_equal_within_a_code_value(fused, name, siting):
    torch.manual_seed(0)
    check(fused, compose._layout(name, 90, 61, siting), 2, 1, (9, 13), 3.0, True)


@pytest.mark.parametrize("size", [(8, 8), (2, 2), (300, 20), (33, 47)])
@pytest.mark.parametrize("cells", [(1, 1), (4, 7), (31, 45)])
@pytest.mark.parametrize("confidence", [False, True])
def test_every_size_and_grid_is_equal_within_a_code_value(fused, size, cells, confidence):
    torch.manual_seed(1)
    check(fused, compose._layout("yuv420p", *size, Colour().chroma_location or "left"), 2, 1, cells, 2.0, confidence)


@pytest.mark.parametrize("reach", [0.0, 0.3, 40.0])
def test_several_pairs_and_moves_far_out_of_the_frame(fused, reach):
    torch.manual_seed(2)
    check(fused, compose._layout("yuv420p10le", 64, 48, "left"), 3, 3, (12, 16), reach, True)


def check(fused, layout, batch, sources, cells, reach, confidence, block=1 << 13):
    moves = motions(batch, cells, reach, confidence)
    raw = [[codes(layout, group, sources) for group in layout.groups] for _ in range(2)]
    known = compose.rounded(
        compose.planes(*([as_float(tensor) for tensor in groups] for groups in raw), moves, layout), layout
    )
    field = compose.motion_field(moves, torch.device("cpu"))

    made = [
        fused.composed(first, last, field, (layout.height, layout.width), group.sub, group.offset, block)
        for first, last, group in zip(*raw, layout.groups)
    ]

    for one, other in zip(made, known):
        assert one.dtype == other.dtype and one.shape == other.shape
        difference = (as_float(one) - as_float(other)).abs()
        seldom = 0.02 if layout.format.depth <= 12 else 0.1  # float32 positions are as fine as 16 bits
        assert difference.max() <= 1 and (difference > 0).float().mean() < seldom
        assert pixel_format(layout.format.name).dtype.itemsize == one.element_size()


def test_a_plane_may_take_several_programs(fused):
    torch.manual_seed(3)
    check(fused, compose._layout("gray", 19, 13, "left"), 1, 1, (4, 5), 2.0, True, block=64)
