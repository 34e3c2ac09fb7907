"""The shared faces (``shared/faces/README.md``) as two folders of PNGs, for the smile experiments. Not to ship.

    python tests/faces.py ../shared/faces FOLDER

writes ``paired/neutral`` and ``paired/smiling`` (every neutral picture with every smiling one of the same person, named
alike: 28 people have both) and ``neutral``, ``smiling`` (all labelled pictures of all 40).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def load(root: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 64, 64) uint8 pictures that are labelled, (N,) whether they smile, (N,) person."""
    from scipy.io import loadmat

    pictures = loadmat(root / "olivettifaces.mat")["faces"].T.reshape(-1, 64, 64).transpose(0, 2, 1)
    labels = {int(number): smiles for number, smiles in json.loads((root / "smile.json").read_text()).items()}
    numbers = np.array(sorted(labels))
    return pictures[numbers], np.array([labels[n] for n in numbers]), numbers // 10


def write_sets(root: Path, out: Path) -> None:
    """The folders that the module's docstring names."""
    pictures, smiles, person = load(root)
    for who in np.unique(person):
        neutral, smiling = (pictures[(person == who) & (smiles == label)] for label in (False, True))
        for name, found in (("neutral", neutral), ("smiling", smiling)):
            for k, picture in enumerate(found):
                _save(out / name / f"p{who:02d}_{name[0]}{k}.png", picture)
        for k, picture in enumerate(neutral):
            for j, other in enumerate(smiling):
                _save(out / "paired" / "neutral" / f"p{who:02d}_{k}_{j}.png", picture)
                _save(out / "paired" / "smiling" / f"p{who:02d}_{k}_{j}.png", other)


def _save(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)


if __name__ == "__main__":
    write_sets(Path(sys.argv[1]), Path(sys.argv[2]))
