"""What ``synthesis.rgb`` makes of code values, as whole frames on the host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from vfi_pipeline.media.frames import Frame
from vfi_pipeline.synthesis import rgb
from vfi_pipeline.synthesis.compose import layout_of, to_frame, to_tensors


def from_rgb(picture: Tensor, like: Frame) -> Frame:
    return _as_frame(rgb.values_from_rgb(picture, like, to_tensors(like)), like)


def with_luma_of(painted: Frame, source: Frame) -> Frame:
    return _as_frame(rgb.values_with_luma(to_tensors(painted), to_tensors(source), source), source)


def mixed(painted: Frame, source: Frame, strength: float) -> Frame:
    return _as_frame(rgb.mixed_values(to_tensors(painted), to_tensors(source), source, strength), source)


def _as_frame(values: Sequence[Tensor], like: Frame) -> Frame:
    return replace(like, planes=to_frame(values, layout_of(like), like, like.time).planes)
