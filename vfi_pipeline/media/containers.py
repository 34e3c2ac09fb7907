"""Pure: what becomes of each stream of the source in the container that was asked for, and why."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfi_pipeline.media.encoders import Encoding
from vfi_pipeline.media.info import SourceInfo


@dataclass(frozen=True)
class StreamFate:
    """What happens to one stream that is not the working video. ``action``: ``copy``, ``convert`` (to ``codec``), ``lost``.

    ``why`` tells the loss (also of a conversion), ``remedy`` what to type instead; both empty when nothing is lost.
    """

    index: int
    kind: str
    source_codec: str
    action: str
    codec: str
    why: str = ""
    remedy: str = ""
    label: str = ""  # "audio 1 (aac, eng)"


@dataclass(frozen=True)
class StreamPlan:
    """The fates of all streams but the working video, in the order of the output; and of chapters and tags."""

    suffix: str
    fates: tuple[StreamFate, ...] = ()
    chapters: int = 0
    notes: tuple[str, ...] = ()
    audio: str = "keep"  # keep, drop, stretch, silence

    @property
    def kept(self) -> tuple[StreamFate, ...]:
        return tuple(fate for fate in self.fates if fate.action != "lost")

    @property
    def lost(self) -> tuple[StreamFate, ...]:
        return tuple(fate for fate in self.fates if fate.action == "lost")

    def lines(self) -> list[str]:
        """One line per stream, for the plan that is shown before the work starts."""
        raise NotImplementedError


def stream_plan(
    info: SourceInfo,
    target: Path,
    encoding: Encoding,
    *,
    audio: str = "keep",
    subtitles: str = "keep",
    stretch: Fraction = Fraction(1),
) -> StreamPlan:
    """The fate of every stream of ``info`` in ``target``'s container.

    Args:
        audio: ``keep`` (only where ``stretch`` is 1), ``drop``, ``stretch`` (keeps the pitch) or ``silence``.
        subtitles: ``keep`` or ``drop``.
        stretch: duration of the output over that of the source; slow motion by 4 is 4.
    """
    raise NotImplementedError
