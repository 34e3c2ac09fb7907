"""Films woven of fields from pictures that are known: true fields, telecined film, fields out of step."""

from __future__ import annotations

from pathlib import Path

import clips
import numpy as np

from vfi_pipeline.media import ffmpeg

SIZE = (160, 96)


def film(count: int, step: float = 3.0) -> list[np.ndarray]:
    """Luma of a texture that moves ``step`` px a picture, sideways and a little downwards."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(float)
    made = []
    for n in range(count):
        u, v = x - step * n, y - 0.4 * step * n
        wave = np.sin(u / 6.1) * np.cos(v / 7.3) + 0.7 * np.sin((u + 1.7 * v) / 11.3)
        made.append(np.clip(126 + 62 * wave, 16, 235).astype(np.uint8))
    return made


def woven(pictures: list[np.ndarray], pattern: list[tuple[int, int]], top_first: bool = True) -> list[np.ndarray]:
    """Frames of two fields: ``pattern`` says from which pictures the earlier and the later field are."""
    made = []
    for early, late in pattern:
        frame = pictures[early].copy()
        frame[int(top_first) :: 2] = pictures[late][int(top_first) :: 2]
        made.append(frame)
    return made


def fields_of(count: int) -> list[tuple[int, int]]:
    return [(2 * n, 2 * n + 1) for n in range(count)]


def telecined(count: int) -> list[tuple[int, int]]:
    """2:3 pulldown of ``count`` frames: two of five are woven of two pictures."""
    shown = [picture for n in range(count) for picture in [n] * (2 + n % 2)]
    return list(zip(shown[::2], shown[1::2]))


def write(path: Path, frames: list[np.ndarray], rate: str, flagged: str | None = None) -> Path:
    """FFV1 or, where it is to be flagged, lossless x264, interlaced."""
    data = b"".join(frame.tobytes() + bytes([128]) * (SIZE[0] * SIZE[1] // 2) for frame in frames)
    command = [*clips.ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{SIZE[0]}x{SIZE[1]}"]
    command += ["-framerate", rate, "-i", "pipe:0"]
    if flagged:
        command += ["-vf", f"setfield={flagged}", "-c:v", "libx264", "-qp", "0", "-flags", "+ilme+ildct"]
    else:
        command += ["-c:v", "ffv1"]
    ffmpeg.run([*command, ffmpeg.file_url(path)], doing="weaving", stdin=data)
    return path
