"""Small films for the data tests: RGB pictures written without loss."""

import subprocess
from pathlib import Path

import numpy as np

from vfi_pipeline.media.ffmpeg import ffmpeg_path


def texture(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """A soft random picture, (height, width, 3) uint8, larger than a motion needs: blobs of about 8 px."""
    coarse = np.random.default_rng(seed).random((height // 8 + 2, width // 8 + 2, 3))
    fine = np.kron(coarse, np.ones((8, 8, 1)))
    for axis in (0, 1):
        fine = sum(np.roll(fine, k, axis) for k in range(-3, 4)) / 7
    return np.round(255 * fine[4 : 4 + height, 4 : 4 + width]).astype(np.uint8)


def panning(frames: int, speed: int = 3, height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    """(frames, height, width, 3): the picture's content moves left by ``speed`` px per frame."""
    wide = texture(height, width + speed * frames, seed)
    return np.stack([wide[:, speed * k : speed * k + width] for k in range(frames)])


def write_film(path: Path, pictures: np.ndarray, rate: str = "25") -> Path:
    """Writes (N, H, W, 3) uint8 pictures as lossless RGB."""
    height, width = pictures.shape[1:3]
    subprocess.run(
        [
            ffmpeg_path(),
            "-y",
            "-loglevel",
            "error",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-s",
            f"{width}x{height}",
            "-r",
            rate,
            "-i",
            "-",
            "-c:v",
            "ffv1",
            "-g",
            "12",
            "-pix_fmt",
            "bgr0",
            str(path),
        ],
        input=np.ascontiguousarray(pictures).tobytes(),
        check=True,
    )
    return path
