"""The frame that comes out is the same by every way of computing it: half precision, a batch, the cache, a GPU."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vfi_pipeline.estimation.window import Window
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.models.flow import FlowModel, load_flow
from vfi_pipeline.synthesis import compose
from vfi_pipeline.synthesis.guide import guide

LEAST_DB = 45.0


@pytest.fixture(scope="module")
def frames():
    """Three frames of a textured picture that moves by 3 px a frame, with a patch that moves the other way."""
    torch.manual_seed(3)
    scene = F.interpolate(torch.rand(1, 3, 20, 30), (160, 240), mode="bicubic").clamp(0, 1)[0].numpy()
    patch = F.interpolate(torch.rand(1, 3, 8, 8), (40, 40), mode="bicubic").clamp(0, 1)[0].numpy()
    made = []
    for k in range(3):
        picture = scene[:, 16:144, 3 * k : 3 * k + 192].copy()
        picture[:, 44:84, 90 - 4 * k : 130 - 4 * k] = patch
        codes = (picture * 255).round().astype(np.uint8)
        planes = tuple(np.ascontiguousarray(codes[c]) for c in (1, 2, 0))
        made.append(Frame(planes, pixel_format("gbrp"), 192, 128, Fraction(k, 24), Colour(matrix="gbr", range="pc")))
    return made


def shipped(**options):
    return load_flow("flow", **options)


def look(frame, model):
    return guide(frame, model.guide_span)


def shown(model, first, last, t=0.5, device="cpu"):
    """The made frame as (3, H, W) in [0, 1], not rounded to codes."""
    between = model.motion(Window.of(look(first, model), look(last, model))).at([t])[0]
    layout = compose.layout_of(first)
    with torch.inference_mode():
        sources = compose.to_tensors(first, device), compose.to_tensors(last, device)
        return compose.planes(*sources, [between], layout)[0][0].cpu() / 255


def decibels(a, b):
    return -10 * math.log10(max(float((a - b).square().mean()), 1e-12))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_makes_the_same_frame(frames, precision):
    full = shown(shipped(precision="fp32"), *frames[:2])
    assert decibels(shown(shipped(precision=precision), *frames[:2]), full) > LEAST_DB


def test_a_batch_of_pairs_and_times_makes_the_frames_of_each_alone(frames):
    model, layout = shipped(), compose.layout_of(frames[0])
    pairs = [frames[:2], frames[1:]]
    between = [model.motion(Window.of(*(look(f, model) for f in pair))).at([0.3])[0] for pair in pairs]
    with torch.inference_mode():
        first, last = (
            [torch.cat(group) for group in zip(*(compose.to_tensors(pair[k]) for pair in pairs))] for k in (0, 1)
        )
        batched = compose.planes(first, last, between, layout)[0] / 255
    for row, pair in enumerate(pairs):
        assert decibels(batched[row], shown(model, *pair, t=0.3)) > 100


def test_two_pairs_estimated_at_once_are_each_alone(frames):
    """The whole estimate, batched, as a GPU would be fed."""
    model = shipped()
    with torch.inference_mode():
        encoded = [model.encode(look(frame, model)) for frame in frames]

        def batch(rows):
            features = [torch.cat(level) for level in zip(*(encoded[row].features for row in rows))]
            return features, torch.cat([encoded[row].working for row in rows])

        (one, first), (two, last) = batch((0, 1)), batch((1, 2))
        both = model.model.estimate((one, two), (first, last), encoded[0].size).fields
        for row in range(2):
            (one, first), (two, last) = batch((row,)), batch((row + 1,))
            alone = model.model.estimate((one, two), (first, last), encoded[0].size).fields
            for name, value in vars(alone).items():
                torch.testing.assert_close(getattr(both, name)[row : row + 1], value, atol=5e-3, rtol=5e-3)


@pytest.mark.gpu
def test_a_gpu_makes_the_frame_of_the_cpu(frames):
    here = shown(shipped(precision="fp32"), *frames[:2])
    there = shown(shipped(precision="fp32", device="cuda"), *frames[:2], device="cuda")
    assert (here - there).abs().max() < 1e-3
    for precision in ("bf16", "fp16"):
        half = shown(shipped(precision=precision, device="cuda"), *frames[:2], device="cuda")
        assert decibels(half, here) > LEAST_DB


def test_the_parity_above_can_fail(frames):
    full = shown(shipped(), *frames[:2])
    model, chance = shipped(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.model.net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=chance), alpha=0.3)
    assert decibels(shown(FlowModel(model.model), *frames[:2]), full) < 60
