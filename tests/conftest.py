"""What every test gets: one torch thread, fixed seeds, no Hypothesis deadline, and the shared clips where they are."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

# Before torch is imported, and inherited by the commands that system tests start: the machine's cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("WANDB_MODE", "offline")

import numpy as np
import pytest
import torch
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)
settings.register_profile("suite", deadline=None, max_examples=25, derandomize=True, database=None)
# HYPOTHESIS_PROFILE=explore looks for new counterexamples instead of repeating the same ones.
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """Every test starts from the same random state, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(params=[0o022, 0o027])
def file_mode(request: pytest.FixtureRequest) -> Iterator[int]:
    """The mode of new files under two umasks: 0o644, readable by all, and 0o640, by the group alone."""
    before = os.umask(request.param)
    yield 0o666 & ~request.param
    os.umask(before)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``shared`` beside the repository, with real clips; the test is skipped where there is none."""
    folder = ROOT.parent / "shared"
    if not (folder / "clips").is_dir():
        pytest.skip("no folder ../shared with clips beside the repository")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips ``gpu`` tests where there is no CUDA device, unless ``VFI_REQUIRE_GPU=1`` wants them to fail."""
    if torch.cuda.is_available() or os.environ.get("VFI_REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
