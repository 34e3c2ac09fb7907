"""Two drawn films that test parts of Ruder's method: long-term consistency and several passes.

    python -m benchmarks.style_checks picture=mosaic.jpg page=docs/style.md

*Hidden*: a board hides a wall for five frames; how much does the wall differ before and after? *Pan*: the
camera moves over gravel, whose contrast is the same everywhere; how much less contrast have borders than the centre?
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.style import SCRIPT, frames_of
from benchmarks.words import words_of
from vfi_pipeline.estimation.lucas_kanade import luma
from vfi_pipeline.evaluation.page import circumstances, write_section
from vfi_pipeline.media.ffmpeg import ffmpeg_path

log = logging.getLogger(__name__)

HEIGHT, WIDTH = 96, 128
REGION = (slice(32, 64), slice(48, 80))
"""What the board hides in frames 1 to 5 and shows in 0 and 6."""


def hidden_film() -> np.ndarray:
    """(7, H, W, 3) uint8: a still photograph, and a board that lies over ``REGION`` in frames 1 to 5."""
    from skimage.data import coffee

    wall = _shrunk(coffee(), WIDTH)
    frames = np.stack([wall] * 7)
    rows, columns = REGION
    board = np.indices((rows.stop - rows.start + 8, columns.stop - columns.start + 8)).sum(0) % 8 * 12 + 60
    for k in range(1, 6):
        at = np.s_[rows.start - 4 : rows.stop + 4, columns.start - 4 + k - 3 : columns.stop + 4 + k - 3]
        frames[k][at] = board[..., None] * np.array([1.0, 0.7, 0.5])
    return frames


def pan_film(frames: int = 12, speed: int = 8) -> np.ndarray:
    """(frames, H, W, 3) uint8: a camera that moves right over gravel by ``speed`` px a frame."""
    from skimage.data import gravel

    width = WIDTH + speed * frames
    wide = np.repeat(_shrunk(gravel()[: 2 * HEIGHT, : 2 * width], width)[..., None], 3, axis=-1)
    return np.stack([wide[:, speed * k : speed * k + WIDTH] for k in range(frames)])


def returned(frames: Sequence[Tensor]) -> float:
    """Root mean square difference, of 255, of ``REGION`` in the last frame and in the first."""
    rows, columns = REGION
    change = (frames[-1] - frames[0])[..., rows, columns]
    return 255 * float(change.square().mean().sqrt())


def contrast_gap(frames: Sequence[Tensor], border: int = 10) -> float:
    """How much smaller the deviation of luma is in the border than in the centre, as a share; mean over frames."""
    gaps = []
    for frame in frames:
        bright = luma(frame)[0, 0]
        inside = torch.zeros_like(bright, dtype=torch.bool)
        inside[border:-border, border:-border] = True
        centre, rim = float(bright[inside].std()), float(bright[~inside].std())
        gaps.append(1 - rim / max(centre, 1e-6))
    return float(np.mean(gaps))


def stylised_film(folder: Path, name: str, film: np.ndarray, picture: str, *words: str) -> list[Tensor]:
    """The frames of ``film`` in the style, by ``interpolate.py``; not made again where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / f"{name.split('_')[0]}.mkv", folder / f"{name}.mkv"
    if not source.is_file():
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "24", "-i", "-"]
        lossless = ["-c:v", "ffv1", "-pix_fmt", "bgr0", str(source)]
        subprocess.run([ffmpeg_path(), "-y", "-loglevel", "error", *raw, *lossless], input=film.tobytes(), check=True)
    if not target.is_file():
        fixed = [f"input={source}", f"output={target}", "codec=ffv1", "multi=1", "scene=off", f"style={picture}"]
        subprocess.run([sys.executable, str(SCRIPT), *fixed, "style_size=192", *words], check=True)
    return frames_of(target)


def _shrunk(picture: np.ndarray, width: int) -> np.ndarray:
    return np.array(Image.fromarray(picture).resize((width, HEIGHT), Image.Resampling.BOX))


def main(words: Sequence[str] | None = None) -> None:
    """The command; see the module's docstring."""
    words = words_of(__doc__, words, needs=("picture",))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    folder, picture = Path(options.get("output", "outputs/style_checks")), options["picture"]
    rows = [
        ("hidden for five frames: change, of 255", "each frame alone", "hidden_alone", ["long_term=off"], returned),
        ("", "`long_term=[1]`", "hidden_short", ["long_term=[1]"], returned),
        ("", "`long_term=[1,2,4,6]`", "hidden_long", ["long_term=[1,2,4,6]"], returned),
        ("pan: contrast that borders lack", "each frame alone", "pan_alone", ["long_term=off"], contrast_gap),
        ("", "one pass", "pan_one", ["long_term=[1]"], contrast_gap),
        ("", "`passes=6`", "pan_six", ["long_term=[1]", "passes=6"], contrast_gap),
    ]
    lines = ["| | | |", "|--|--|--:|"]
    own = [torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255 for frame in pan_film()]
    for title, name, file, more, measure in rows:
        film = hidden_film() if file.startswith("hidden") else pan_film()
        value = measure(stylised_film(folder, file, film, picture, *more))
        lines.append(f"| {title} | {name} | {value:.3g} |")
        log.info(lines[-1])
    lines.append(f"| | the film itself | {contrast_gap(own):.3g} |")
    if "page" in options:
        note = circumstances(["python", "-m", "benchmarks.style_checks", *words])
        write_section(Path(options["page"]), "style_checks", "What each part does", "\n".join(lines) + f"\n\n{note}")


if __name__ == "__main__":
    main()
