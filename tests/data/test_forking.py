"""Loader processes are forked: what the training process has done before must not hang them."""

import cv2
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from vfi_pipeline.data.modules.base import before_forking

PICTURE = np.random.default_rng(0).random((600, 600, 3), dtype=np.float32)


class Blurred(Dataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> float:
        return float(cv2.GaussianBlur(PICTURE, (31, 31), 5).mean() + cv2.resize(PICTURE, (900, 900)).mean())


@pytest.mark.timeout(120)
def test_loader_processes_run_opencv_after_the_parent_did():
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        expected = Blurred()[0]  # starts OpenCV's threads here
        batches = list(DataLoader(Blurred(), 2, num_workers=before_forking(2)))
    finally:
        cv2.setNumThreads(threads)

    assert len(batches) == 2 and all(abs(float(x) - expected) < 1e-5 for batch in batches for x in batch)
