"""Facts that must not drift unseen, kept in tests/goldens as JSON; ``make goldens`` writes them anew."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scene import demo_scene

GOLDENS = Path(__file__).resolve().parent / "goldens"


def demo_film() -> dict[str, list[float]]:
    """Mean and spread of red, green and blue in the demo's film, in bytes: the figures quoted from it depend on it."""
    scene = demo_scene(160, 90)
    facts = {}
    for moment in (0.0, 0.4, 0.8, 1.2, 1.55, 1.6, 2.4, 2.95):
        picture = scene.draw(moment).reshape(-1, 3).astype(float)
        facts[f"{moment:.2f} s"] = [round(float(x), 2) for x in (*picture.mean(axis=0), *picture.std(axis=0))]
    return facts


FACTS: dict[str, Callable[[], dict[str, list[float]]]] = {"demo_film": demo_film}


@pytest.mark.parametrize("name", FACTS)
def test_golden(name):
    path, found = GOLDENS / f"{name}.json", FACTS[name]()
    if os.environ.get("VFI_REMAKE_GOLDENS") == "1":
        path.write_text(json.dumps({"command": "make goldens", "facts": found}, indent=1) + "\n", "utf-8")
    kept = json.loads(path.read_text("utf-8"))["facts"]

    assert kept.keys() == found.keys()
    for key, values in kept.items():
        assert np.allclose(found[key], values, atol=0.05), f"{name}, {key}: {found[key]}, but kept {values}"
