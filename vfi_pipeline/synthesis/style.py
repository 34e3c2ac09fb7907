"""Source frames in a style, each made once, in order, from the stylised frame before it.

Detectors and motion estimate see the film's own frames; what is shown, and what made frames are composed of, are these.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from vfi_pipeline.geometry import resize_flow
from vfi_pipeline.media.frames import Frame
from vfi_pipeline.models.style import advected
from vfi_pipeline.synthesis.compose import layout_of, rounded, to_frame, to_tensors
from vfi_pipeline.synthesis.guide import device_guide, guide
from vfi_pipeline.synthesis.rgb import mixed_values, to_rgb, values_from_rgb, values_with_luma

log = logging.getLogger(__name__)


class Painter(Protocol):
    """Makes the stylised picture of a frame."""

    looks_back: bool
    """Whether it wants to see the stylised frame before."""

    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        """(1, 3 or more, h, w) in [0, 1] for source frame ``index``, seen as ``image`` (1, 3, h, w).

        ``expected`` is what it painted for the frame before, moved here; ``confidence`` (1, 1, h, w) in [0, 1]. The
        first three channels are what is shown; others are moved along with it.
        """


class NetworkPainter:
    """Paints by a trained network, see ``models.style``.

    Args:
        settle: a shot's first frame, which has none before it, is painted after itself so many times: what follows
            does not drift away from it.
    """

    def __init__(self, network: Callable[..., Tensor], looks_back: bool = True, settle: int = 4) -> None:
        self.network, self.looks_back, self.settle = network, looks_back, settle

    @torch.inference_mode()
    def paint(self, index: int, image: Tensor, expected: Tensor | None, confidence: Tensor | None) -> Tensor:
        painted = self.network(image, expected, confidence)
        if expected is None and self.looks_back:
            everywhere = torch.ones_like(image[:, :1])
            for _ in range(self.settle):
                painted = self.network(image, painted, everywhere)
        return painted


@dataclass(frozen=True)
class StyleSettings:
    """How stylised frames are shown.

    Attributes:
        strength: 0 .. 1 of the way from the film's own frame to the painted one.
        keep_colour: only brightness is painted.
        size: longest side, px, at which frames are painted; None paints at their own.
        preview: PNG that shows the latest painted frame.
        adds: what is painted is a change, ``(1 + change) / 2``: it is added to the frame, whose own detail stays.
    """

    strength: float = 1.0
    keep_colour: bool = False
    size: int | None = None
    preview: Path | None = None
    adds: bool = False


Flows = Callable[[], tuple[Tensor, Tensor]]
"""() -> (backward, forward) flow between a frame and the one before, (1, 2, h, w) px of any grid that covers both."""


class Stylist:
    """Shows the frames of a film in a style. One for all segments: a segment goes on where the one before it ended.

    Args:
        painter: makes the pictures.
        settings: how they are shown.
        device: of the painter.
        memory: folder in which the ends of segments are kept for a later start; None keeps none.
        apart: every segment begins anew, whatever was painted before it.
    """

    def __init__(
        self, painter: Painter, settings: StyleSettings = StyleSettings(), device: str = "cpu",
        memory: Path | None = None, apart: bool = False,
    ) -> None:  # fmt: skip
        self.painter, self.settings, self.device, self.memory = painter, settings, device, memory
        self.apart = apart
        # Painted pictures (1, 3, h, w), float16: finer than 10 bits, and the same when they are read from the memory.
        # On the painter's device; from the memory they come on the host.
        self._known: dict[int, Tensor] = {}

    def shown(
        self,
        index: int,
        frame: Frame,
        before: int | None = None,
        flows: Flows | None = None,
        values: Callable[[], Sequence[Tensor]] | None = None,
    ) -> Frame | list[Tensor]:
        """Source frame ``index`` in the style.

        Args:
            before: the source frame that leads to this one; None after a cut, or where nothing is known of it.
            flows: the motion between the two.
            values: the frame's planes on a device, where they are there already; see ``planes.to_tensors``.

        Returns:
            A frame; where there are ``values``, its codes on their device, see ``planes.rounded``: nothing waits for
            the painter then.
        """
        source = None if values is None else values()
        if not self.settings.strength:
            return frame if source is None else rounded(source, layout_of(frame))
        if index not in self._known:
            self._paint(index, frame, before, flows, source)
        own = to_tensors(frame) if source is None else source
        shown = self._in_format(self._known[index].to(own[0].device).float(), frame, own)
        if source is not None:
            return rounded(shown, layout_of(frame))
        return to_frame(shown, layout_of(frame), frame, frame.time)

    def _paint(
        self, index: int, frame: Frame, before: int | None, flows: Flows | None, source: Sequence[Tensor] | None
    ) -> None:
        """Paints the frame, and remembers the picture."""
        image = self.seen(frame, source).to(self.device)
        expected = confidence = None
        earlier = None if before is None else self._known.get(before)
        if earlier is not None and flows is not None and self.painter.looks_back:
            backward, forward = (resize_flow(flow.to(self.device), *image.shape[-2:]) for flow in flows())
            expected, confidence = advected(earlier.to(self.device).float(), backward, forward)
        picture = self.painter.paint(index, image, expected, confidence).to(self.device).clamp(0, 1)
        self._remember(index, picture)
        if self.settings.preview is not None:
            write_picture(self.settings.preview, _added(image, picture) if self.settings.adds else picture[:, :3])

    def repeat(self, index: int, before: int) -> None:
        """Source frame ``index`` shows the same as ``before``: it is painted the same, not anew."""
        if before in self._known:
            self._known[index] = self._known[before]
            self._forget()

    def knows(self, index: int) -> bool:
        """Whether source frame ``index`` is one that the next can be painted from."""
        return index in self._known

    def seen(self, frame: Frame, values: Sequence[Tensor] | None = None) -> Tensor:
        """The frame as the painter sees it, (1, 3, h, w).

        ``values`` are its planes on a device, see ``planes.to_tensors``: it is converted there, not uploaded again.
        """
        size = self.settings.size
        if size is None or size >= max(frame.width, frame.height):
            return to_rgb(frame, values)
        return guide(frame, size) if values is None else device_guide(frame, values, size)

    def segment_ends(self, number: int) -> None:
        """Keeps what the next segment goes on from."""
        if self.memory is not None and self._known and not self.apart:
            self.memory.mkdir(exist_ok=True)
            content = save({str(index): picture.cpu().clone() for index, picture in self._known.items()})
            draft = self.memory / f"segment_{number:05d}.part"
            draft.write_bytes(content)
            os.replace(draft, self.memory / f"segment_{number:05d}.safetensors")

    def segment_begins(self, number: int) -> None:
        """Recalls the end of the segment before, whoever made it: a job that was stopped goes on as if it was not."""
        if self.apart:
            self._known = {}
        if self.apart or self.memory is None:
            return
        try:
            path = self.memory / f"segment_{number - 1:05d}.safetensors"
            self._known = {int(name): picture for name, picture in load_file(path).items()}
        except FileNotFoundError:
            self._known = {}
        except (SafetensorError, OSError, ValueError):
            log.warning("%s is damaged: the style begins anew in segment %d.", path, number)
            self._known = {}

    def _remember(self, index: int, picture: Tensor) -> None:
        self._known[index] = picture.half().contiguous()
        self._forget()

    def _forget(self) -> None:
        for old in sorted(self._known)[:-2]:  # a pair's two frames are all that the next one can begin with
            del self._known[old]

    def _in_format(self, picture: Tensor, frame: Frame, source: Sequence[Tensor]) -> list[Tensor]:
        """A painted picture as code values of the film's format, whole numbers; ``source`` are the frame's own."""
        picture = picture[:, :3]
        if self.settings.adds:
            return values_from_rgb(_added(to_rgb(frame, source), picture), frame, source)
        if picture.shape[-2:] != (frame.height, frame.width):
            picture = F.interpolate(
                picture, (frame.height, frame.width), mode="bicubic", align_corners=False
            ).clamp(0, 1)  # fmt: skip
        painted = values_from_rgb(picture, frame, source)
        if self.settings.keep_colour:
            painted = values_with_luma(painted, source, frame)
        return mixed_values(painted, source, frame, self.settings.strength)


def _added(image: Tensor, painted: Tensor) -> Tensor:
    """``image`` (1, 3, H, W) and the change that was painted, at its size."""
    change = 2 * painted[:, :3] - 1
    if change.shape[-2:] != image.shape[-2:]:
        change = F.interpolate(change, image.shape[-2:], mode="bicubic", align_corners=False)
    return (image + change).clamp(0, 1)


def write_picture(path: Path, picture: Tensor) -> None:
    """(1, 3, h, w) in [0, 1] as PNG, under a draft name and renamed."""
    codes = (picture[0].clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    done, data = cv2.imencode(".png", np.ascontiguousarray(codes[..., ::-1]))
    assert done
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(data.tobytes())
    os.replace(draft, path)


def read_picture(path: Path) -> Tensor | None:
    """What ``write_picture`` wrote, (1, 3, h, w) in [0, 1]; None if it is not there or damaged."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except FileNotFoundError:
        return None
    codes = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if codes is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(codes[..., ::-1])).permute(2, 0, 1)[None].float() / 255
