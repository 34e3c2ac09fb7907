"""How the frames between are made."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from vfi_pipeline.media.scaling import Scaling
from vfi_pipeline.shots import cuts, duplicates
from vfi_pipeline.synthesis.mask import Mask
from vfi_pipeline.synthesis.style import Stylist

AT_CUT = ("hold", "blend")


@dataclass(frozen=True)
class Options:
    """How the frames between are made.

    Attributes:
        scene: look for hard cuts (``cuts`` overrides).
        scene_threshold: 0 .. 1; a pair whose cut score is above it is a cut: lower finds more, see ``shots.cuts``.
        cuts: source indices of the first frame of each new shot; given, nothing is looked for. ``()`` means none.
        at_cut: ``hold`` shows the frame before the cut until the cut; ``blend`` cross-fades.
        dedup: re-time repeated frames (film on twos): made frames span from one new picture to the next.
        dedup_threshold: 0 .. 1; larger takes more for a repeat, see ``shots.duplicates``.
        dedup_max_span_s: a picture that stays longer than this, in seconds, is held, not stretched.
        mask: what stays as it is in the nearer source frame, see ``synthesis.mask``.
        style: shows the source frames in a style, and made frames with them; see ``synthesis.style``.
        overlay: leave what stays over a moving picture where it is, see ``synthesis.overlay``.
        max_gap_s: a frame whose next one comes later than this, in seconds, is held; None holds none.
        exposure_s: motion blur: each output is the mean over so many seconds of the source, see
            ``synthesis.exposure``; None: moments.
        scaling: the outputs have another size than the source, see ``media.scaling``.
        device: torch device for the guide and the composition.
        times_per_solve: times of one pair asked from the model in one call: bounds a thousandfold slow motion's memory.
        batch: pairs whose motion is estimated as one batch; None: as many as a CUDA device has room for, 1 elsewhere.
        prefetch: outputs that are begun before they are asked for. 0 does one thing after another.
        prefetch_bytes: those outputs hold no more than this: eight of 8 bits in 4K, two in 8K.
    """

    scene: bool = True
    scene_threshold: float = cuts.THRESHOLD
    cuts: tuple[int, ...] | None = None
    at_cut: str = "hold"
    dedup: bool = False
    dedup_threshold: float = duplicates.THRESHOLD
    dedup_max_span_s: float = 0.25
    mask: Mask | None = None
    style: Stylist | None = None
    overlay: bool = True
    max_gap_s: Fraction | None = None
    exposure_s: Fraction | None = None
    scaling: Scaling | None = None
    device: str = "cpu"
    times_per_solve: int = 8
    batch: int | None = None
    prefetch: int = 16
    prefetch_bytes: int = 1 << 27

    def __post_init__(self) -> None:
        if self.at_cut not in AT_CUT:
            raise ValueError(f"at_cut is one of {', '.join(AT_CUT)}, got {self.at_cut!r}.")
