"""Frames between those of a clip in any order, for hosts that ask for one frame at a time and again.

``synthesis.stream`` reads a film once, from its beginning. Here every frame is made of the source frames around its
pair alone, ``BEFORE`` and ``AFTER`` of them, which is what the detector of cuts looks at: whatever is asked for first,
the same frame comes out, and the one that the stream would make.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from vfi_pipeline.jobs.method import resolve_device
from vfi_pipeline.jobs.options import Options
from vfi_pipeline.jobs.request import Request
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.media.timeline import Slot
from vfi_pipeline.models.motion import MotionModel
from vfi_pipeline.shots import cuts
from vfi_pipeline.synthesis import stream
from vfi_pipeline.synthesis.render import PairRenderer
from vfi_pipeline.synthesis.schedule import InCallersThread
from vfi_pipeline.synthesis.statistics import Statistics
from vfi_pipeline.synthesis.windows import KeyFrame, KeyWindow

BEFORE = cuts.RULE.lookback + 1 + cuts.RULE.lookahead
"""Source frames before a pair's first one that are needed, where the clip has them: a verdict on that frame looks at
``lookback`` pairs before it, and a flash that ends there began up to ``lookahead`` frames earlier."""

AFTER = 2 + cuts.RULE.lookahead
"""Source frames behind a pair's first one: the pair's last, the one after it, and those its verdict waits for."""

_KEPT = 64
"""Signatures and verdicts that are kept, of the frames asked for last."""


def stream_options(options: Options, **more: Any) -> stream.Options:
    """The settings of a stream of frames that come from no file."""
    return stream.Options(
        scene=options.scene, scene_threshold=options.scene_threshold, at_cut=options.cut, dedup=options.dedup,
        overlay=options.overlay, device=resolve_device(options.device), **more,
    )  # fmt: skip


class RandomAccess:
    """Makes frames of one clip. May be called from several threads; one frame is made at a time."""

    def __init__(self, model: MotionModel, options: stream.Options) -> None:
        # A repeat or a logo is told by a longer stretch of film than is at hand here.
        self.options = replace(options, dedup=False, overlay=False)
        self._renderer = PairRenderer(model, self.options, Statistics(), InCallersThread())
        self._signatures: dict[int, cuts.Signature] = {}
        self._verdicts: dict[int, tuple[bool, ...]] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, request: Request) -> RandomAccess:
        """With the model and the options that were asked for; loads the weights."""
        return cls(request.model_choice.build(), stream_options(request.options))

    def frame(self, k: int, t: Fraction, around: Mapping[int, Frame]) -> Frame:
        """The frame at ``t`` in [0, 1) between the source frames ``k`` and ``k + 1``.

        Args:
            around: source frames by index: of ``k - BEFORE`` to ``k + AFTER`` those that the clip has.

        Returns:
            A frame of the clip's format; at ``t == 0``, at the clip's end and over a cut (unless ``at_cut`` is
            ``blend``) the source frame ``k`` itself.
        """
        if not t or k + 1 not in around:
            return around[k]
        with self._lock:
            begins = self._begins(k, around)
            keys = {
                index: KeyFrame(index, around[index], starts, Fraction(index))
                for index, starts in zip(range(k, k + 3), begins)
                if index in around
            }
            before = KeyFrame(k - 1, around[k - 1], False, Fraction(k - 1)) if k - 1 in around else None
            window = KeyWindow(before, keys[k], keys[k + 1], keys.get(k + 2))
            (pending,) = self._renderer.render(window, [Slot(0, Fraction(0), k, t)])
            return pending.finished(Statistics()).frame

    def _begins(self, k: int, around: Mapping[int, Frame]) -> tuple[bool, ...]:
        """Whether shots begin with ``k``, ``k + 1`` and ``k + 2``."""
        if not self.options.scene:
            return False, False, False
        if k not in self._verdicts:
            near = [index for index in range(k - BEFORE, k + AFTER + 1) if index in around]
            for index in near:
                if index not in self._signatures:
                    self._signatures[index] = cuts.signature(around[index])
            detector = cuts.CutDetector(self.options.scene_threshold)
            verdicts = [verdict for index in near for verdict in detector.push(self._signatures[index])]
            starts = dict(zip(near, [*verdicts, *detector.flush()]))
            self._verdicts[k] = tuple(starts.get(index, False) for index in (k, k + 1, k + 2))
            for kept in (self._signatures, self._verdicts):
                while len(kept) > _KEPT:
                    del kept[next(iter(kept))]
        return self._verdicts[k]
