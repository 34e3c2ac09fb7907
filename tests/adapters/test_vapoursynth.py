"""The VapourSynth function, where VapourSynth is (its wheels are for Python 3.12 and later)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

vs = pytest.importorskip("vapoursynth", exc_type=ImportError)

from vfi_pipeline import vapoursynth  # noqa: E402
from vfi_pipeline.errors import UserError  # noqa: E402

core = vs.core
WIDTH, HEIGHT = 64, 48


def clip(form=None, length: int = 6, fps: Fraction = Fraction(25), cut: int | None = None):
    """Frames whose every plane is a ramp that gets brighter with each; ``cut``: noise from there on."""
    form = vs.YUV420P8 if form is None else form
    blank = core.std.BlankClip(None, WIDTH, HEIGHT, form, length, fps.numerator, fps.denominator)

    def fill(n, f):
        out = f.copy()
        for plane in range(out.format.num_planes):
            np.copyto(np.asarray(out[plane]), samples(n, plane, np.asarray(out[plane]), out.format, cut))
        return out

    return core.std.ModifyFrame(blank, blank, fill)


def samples(n: int, plane: int, like, form, cut=None):
    scale = 1 << (form.bits_per_sample - 8)
    if cut is not None and n >= cut:
        return np.random.default_rng(plane).integers(0, 255 * scale, like.shape).astype(like.dtype)
    return (np.arange(like.shape[1])[None] * 2 * scale + 6 * n * scale + plane * scale + np.zeros(like.shape)).astype(
        like.dtype
    )


def shown(node, n: int) -> list:
    frame = node.get_frame(n)
    return [np.asarray(frame[plane]).astype(int) for plane in range(frame.format.num_planes)]


@pytest.mark.parametrize("form", ["YUV420P8", "YUV444P16", "YUV422P10", "GRAY8", "GRAY16", "RGB24", "RGB48"])
def test_frames_are_the_clips_own_and_their_means_between(form):
    source = clip(getattr(vs, form))
    result = vapoursynth.interpolate(source, multi=2, model="blend", scene=False)

    assert (result.num_frames, result.fps, result.format.id) == (12, Fraction(50), source.format.id)
    for n in range(6):
        for own, truth in zip(shown(result, 2 * n), shown(source, n)):
            np.testing.assert_array_equal(own, truth)
    for n in range(5):
        for made, first, last in zip(shown(result, 2 * n + 1), shown(source, n), shown(source, n + 1)):
            assert np.abs(made - (first + last) / 2).max() <= 0.5
    assert all(np.array_equal(a, b) for a, b in zip(shown(result, 11), shown(source, 5)))


@pytest.mark.parametrize(
    ("options", "rate", "count"),
    [
        ({"fps": "60000/1001"}, Fraction(60000, 1001), 15),
        ({"multi": "5/2"}, Fraction(125, 2), 15),
        ({"fps": 10}, Fraction(10), 3),
    ],
)
def test_any_rate(options, rate, count):
    source = clip()
    result = vapoursynth.interpolate(source, model="blend", scene=False, **options)

    assert (result.fps, result.num_frames) == (rate, count)
    for n in range(count):
        position = n * Fraction(25) / rate
        k, t = int(position), position % 1
        first, last = shown(source, min(k, 5)), shown(source, min(k + 1, 5))
        for made, a, b in zip(shown(result, n), first, last):
            assert np.abs(made - ((1 - float(t)) * a + float(t) * b)).max() <= 0.51, n
    props = result.get_frame(1).props
    assert Fraction(props["_DurationNum"], props["_DurationDen"]) == 1 / rate


def test_frames_asked_for_in_another_order_are_the_same():
    result = vapoursynth.interpolate(clip(length=20, cut=10), multi=2, model="blend")
    once = {n: shown(result, n) for n in (31, 3, 19, 20, 8, 39, 0)}
    again = vapoursynth.interpolate(clip(length=20, cut=10), multi=2, model="blend")
    streamed = dict(enumerate(again.frames()))

    for n, planes in once.items():
        for plane, samples in enumerate(planes):
            np.testing.assert_array_equal(np.asarray(streamed[n][plane]).astype(int), samples)
    assert all(np.array_equal(a, b) for a, b in zip(once[19], shown(clip(length=20, cut=10), 9)))  # a cut is held


def test_the_default_model_works():
    result = vapoursynth.interpolate(clip(), **{"model.guide_span": 64, "model.network_span": 64})
    assert result.num_frames == 12 and result.get_frame(1).width == WIDTH


@pytest.mark.parametrize(
    ("make", "options", "problem"),
    [
        (lambda: clip(vs.YUV444PS), {}, "YUV444PS cannot be worked on"),
        (lambda: clip(vs.RGBS), {}, "RGBS cannot be worked on"),
        (lambda: clip(), {"slowmo": 4}, "both given|takes fps= or multi="),
        (lambda: clip(), {"modle": "flow"}, "no option of films 'modle'"),
        (lambda: clip(), {"fps": 60, "multi": 2}, "both given"),
    ],
)
def test_what_does_not_fit_is_told_at_once(make, options, problem):
    with pytest.raises(UserError, match=problem):
        vapoursynth.interpolate(make(), **options)
