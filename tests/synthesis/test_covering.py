"""What a device makes of overlays and masks is what the host makes of them."""

from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.models.motion import IntermediateMotion
from vfi_pipeline.synthesis import compose, covering
from vfi_pipeline.synthesis.mask import Mask, keep
from vfi_pipeline.synthesis.overlay import hidden_part, moving, within

CPU = torch.device("cpu")
PADDED = Scaling((96, 64), (80, 60), (0, 6, 80, 48), tuple(map(Fraction, (0, 0, 96, 64))))


def motion(cells, seed, scale):
    """Smooth motion whose strength goes from a part of a pixel to several, so that its gate is open here and there."""
    g = torch.Generator().manual_seed(seed)
    flow = F.interpolate(torch.randn(1, 2, 3, 4, generator=g), cells, mode="bilinear") * scale
    return IntermediateMotion(0.5, -flow, flow, torch.full((1, 1, *cells), 0.5))


@pytest.mark.parametrize("cells, size", [((18, 32), (720, 1280)), ((90, 160), (360, 640)), ((7, 130), (70, 1300))])
def test_the_gate_is_the_hosts(cells, size):
    answers = set()
    for seed in range(6):
        for scale in (0.0, 0.05, 0.4, 1.0, 3.0):
            each = motion(cells, seed, scale * cells[1] / size[1] * 4)
            expected = moving(each, size[1], size[0])
            made = covering.moving_gate(each, size[1], size[0])[0, 0]
            if expected is None:
                assert not made.any()
            else:
                assert np.array_equal(made.numpy(), (expected > 0).astype(np.float32))
            answers.add("closed" if expected is None else "open" if expected.all() else "in part")
    assert len(answers) > 1


def test_what_counts_of_a_pairs_overlays_is_what_the_host_takes():
    lasting, changed = (np.zeros((64, 96), np.uint8) for _ in range(2))
    lasting[40:60, 5:90], changed[4:9, 70:80] = 255, 255
    cover = covering.PairCover((lasting, None), (changed, None), (64, 96), CPU)
    for seed in range(8):
        each = motion((16, 24), seed, 1.0)
        gate = moving(each, 96, 64)
        first, last = cover.covered(each)
        expected = None if gate is None else within(lasting, gate)
        expected = hidden_part(expected, (64, 96), CPU)
        if gate is not None:
            expected = torch.maximum(expected, hidden_part(changed, (64, 96), CPU))
        assert torch.equal(first, expected) and not last.any()
    assert cover.has(0) and not cover.has(1)


def noise(name, width, height, seed):
    rng = np.random.default_rng(seed)
    form = pixel_format(name)
    planes = tuple(
        rng.integers(0, form.peak + 1, form.plane_size(k, width, height)).astype(form.dtype)
        for k in range(len(form.planes))
    )
    return Frame(planes, form, width, height)


@pytest.mark.parametrize("scaling", [None, PADDED])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "gbrap12le", "gray16le", "yuv411p"])
def test_a_mask_keeps_what_it_keeps_on_the_host(name, scaling):
    values = np.clip(np.random.default_rng(3).random((64, 96)) * 3 - 1, 0, 1).astype(np.float32)
    size = (96, 64) if scaling is None else scaling.place[2:]
    made, source = noise(name, *size, 1), noise(name, *size, 2)
    layout = compose.layout_of(made)
    placed = None if scaling is None else Scaling((96, 64), size, (0, 0, *size), scaling.window)
    expected = keep(made, source, Mask(values).on_canvas(placed))

    for weights in (
        Mask(values).on_device(layout, scaling, CPU),
        covering.plane_weights(torch.from_numpy(values)[None, None], layout, scaling),
    ):
        codes = covering.kept(compose.to_codes(made), compose.to_codes(source), weights, layout)
        frame = compose.Arriving(codes, layout, made, Fraction(0)).frame()
        for ours, theirs in zip(frame.planes, expected.planes):
            assert np.abs(ours.astype(int) - theirs).max() <= (1 if made.format.depth <= 12 else 8)
    whole = [torch.ones_like(weight) for weight in weights]
    assert all(map(torch.equal, covering.kept(compose.to_codes(made), compose.to_codes(source), whole, layout),
                   compose.to_codes(source)))  # fmt: skip
