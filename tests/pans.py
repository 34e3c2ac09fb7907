"""A camera that pans over a photograph, its true motion as a model, and text that stays."""

from fractions import Fraction

import cv2
import torch
from photo_shots import frame

from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.motion import IntermediateMotion, MotionReport
from vfi_pipeline.synthesis import stream

SPEED = 6.0
PLAIN = stream.Options(scene=False)


def lettered(rgb, text, at=(20, 90), scale=0.6):
    """The picture with ``text`` in white, outlined in black."""
    rgb = rgb.copy()
    for colour, width in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(rgb, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
    return rgb


class Pan(Blend):
    """The camera's true motion: ``SPEED`` px to the right and a little down, also where something stays."""

    guide_span = 640

    def motion(self, window):
        return self

    def at(self, times):
        way = torch.tensor([-SPEED, -0.3 * SPEED]).view(1, 2, 1, 1).expand(1, 2, 27, 48)
        weight = torch.ones(1, 1, 27, 48)
        return [IntermediateMotion(t, -t * way, (1 - t) * way, (1 - t) * weight) for t in times]

    def report(self):
        return MotionReport(1, 1.0, 0.0)


def made(pictures, options=PLAIN, model=None, start=0, stop=None, context=None):
    """The made frames of a doubled film of RGB pictures, by their number."""
    frames = [frame(picture) for picture in pictures]
    times = SourceTimes(range(len(frames)), Fraction(1, 24), Fraction(1, 24))
    line = Timeline(times, Fraction(48))
    given = enumerate(frames) if context is None else ((k, frames[k]) for k in range(*context))
    outputs = stream.interpolate(given, line.slots(start, stop), model or Pan(), options, times)
    return {output.slot.index: output.frame for output in outputs if output.made}
