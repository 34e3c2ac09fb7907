"""Two nodes for ComfyUI. ``custom_nodes/vfi/__init__.py`` holds one line: ``from vfi_pipeline.comfyui import *``.

*VFI: images* takes a batch of pictures and gives a longer one. Frames go through one at a time into the result, so that
beside the two batches no more than a few dozen pictures are held. *VFI: film* goes from file to file, with sound, and
holds no batch at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vfi_pipeline.adapters.python import interpolate as write_film
from vfi_pipeline.adapters.random_access import stream_options
from vfi_pipeline.configuration import model_names
from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.request import film_request
from vfi_pipeline.media.frames import Colour, Frame, pixel_format
from vfi_pipeline.media.timeline import SourceTimes, Timeline
from vfi_pipeline.synthesis import stream

CATEGORY = "image/animation"
PAIR_MODELS = ("fit", "morph", "node")  # of pictures, or with weights of one's own
MODELS = [name for name in ("flow", *model_names()) if name not in PAIR_MODELS]
DEEP = pixel_format("gbrp16le")


class InterpolateImages:
    """A batch of images (N, H, W, 3), float in [0, 1], becomes ``ceil(N * multi)`` of them."""

    CATEGORY = CATEGORY
    FUNCTION = "interpolate"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("images",)
    DESCRIPTION = "More frames between the images; the given ones stay as they are. Cuts are found and held."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": ("IMAGE",),
                "multi": ("INT", {"default": 2, "min": 1, "max": 64, "tooltip": "so many times the frames"}),
                "model": (list(dict.fromkeys(MODELS)),),
            },
            "optional": {
                "scene": ("BOOLEAN", {"default": True, "tooltip": "find cuts, and make nothing across them"}),
                "scale": ("FLOAT", {"default": 1.0, "min": 0.05, "max": 4.0, "step": 0.05}),
                "device": ("STRING", {"default": "auto"}),
            },
        }

    def interpolate(
        self, images: Tensor, multi: int, model: str, scene: bool = True, scale: float = 1.0, device: str = "auto"
    ) -> tuple[Tensor]:
        """The node's function.

        Returns:
            ``(images,)``: (N * multi, H, W, 3) float32 on the CPU. Given images keep their values, made ones are
            rounded to 1/65535.

        Raises:
            UserError: for anything but a batch of RGB images.
        """
        if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
            raise UserError(f"A batch of RGB images is needed, not {tuple(images.shape)}.", "(N, height, width, 3).")
        request = film_request(
            ["images"], {"multi": multi, "model": model, "scene": scene, "scale": scale, "device": device}
        )
        count, height, width = images.shape[:3]
        times = SourceTimes(range(count), Fraction(1), Fraction(1))
        timeline = Timeline(times, Fraction(multi), Fraction(1), None, None)
        result = torch.empty((timeline.count, height, width, 3), dtype=torch.float32)
        step = steps(timeline.count)
        outputs = stream.interpolate(
            source_frames(images),
            timeline.slots(),
            request.model_choice.build(),
            stream_options(request.options),
            times,
        )
        for number, output in enumerate(outputs):
            slot = output.slot
            if output.made:
                green, blue, red = (torch.from_numpy(plane.astype(np.float32)) for plane in output.frame.planes)
                torch.stack([red, green, blue], -1, out=result[number]).div_(DEEP.peak)
            else:
                result[number] = images[slot.source]
            step()
        return (result,)


class InterpolateFilm:
    """A film becomes a film, from file to file."""

    CATEGORY = CATEGORY
    FUNCTION = "interpolate"
    OUTPUT_NODE = True
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    DESCRIPTION = "Raises a film's frame rate, sound and all, and gives the result's path; stopped, it goes on later."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "path": ("STRING", {"default": ""}),
                "fps": ("STRING", {"default": "60", "tooltip": "60, 59.94, 60000/1001; or 2x for twice the rate"}),
                "model": (list(dict.fromkeys(MODELS)),),
            },
            "optional": {
                "output": ("STRING", {"default": "", "tooltip": "a file or a folder; empty: beside the film"}),
                "overwrite": ("BOOLEAN", {"default": False}),
            },
        }

    def interpolate(self, path: str, fps: str, model: str, output: str = "", overwrite: bool = False) -> dict[str, Any]:
        """The node's function: what ComfyUI shows, and ``(path,)``."""
        timing = {"multi": fps[:-1]} if fps.endswith("x") else {"fps": fps}
        written = str(write_film(path, **timing, model=model, output=output or None, overwrite=overwrite))
        return {"ui": {"text": [written]}, "result": (written,)}


def source_frames(images: Tensor) -> Iterator[tuple[int, Frame]]:
    """The batch as numbered frames of 16 bit, each made when it is asked for."""
    for index in range(len(images)):
        codes = images[index].detach().cpu().numpy().astype(np.float64).clip(0, 1) * DEEP.peak
        codes = np.floor(codes + 0.5).astype(DEEP.dtype)
        planes = tuple(np.ascontiguousarray(codes[..., channel]) for channel in (1, 2, 0))
        height, width = codes.shape[:2]
        yield index, Frame(planes, DEEP, width, height, Fraction(index), Colour(matrix="gbr", range="pc"))


def steps(total: int) -> Callable[[], None]:
    """Tells ComfyUI of each frame, and ends the node where the user has cancelled; does nothing elsewhere."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar
    except ImportError:
        return lambda: None
    bar = ProgressBar(total)

    def step() -> None:
        throw_exception_if_processing_interrupted()
        bar.update(1)

    return step


NODE_CLASS_MAPPINGS = {"VFIInterpolateImages": InterpolateImages, "VFIInterpolateFilm": InterpolateFilm}
NODE_DISPLAY_NAME_MAPPINGS = {"VFIInterpolateImages": "VFI: images", "VFIInterpolateFilm": "VFI: film"}
