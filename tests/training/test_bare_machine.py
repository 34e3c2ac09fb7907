"""Training on a machine that was rented bare: PyTorch, Lightning, Hydra, torchdiffeq, OpenCV, safetensors, PyAV."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from films import panning, write_film

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="makes links")]

ROOT = Path(__file__).resolve().parents[2]
NOT_THERE = (
    "wandb", "lpips", "tensorboard", "torchvision", "skimage", "scikit_", "sklearn", "matplotlib", "mpl_toolkits",
    "pil", "pillow", "ffmpeg", "imageio", "gradio", "ray", "submitit", "h5py", "playwright",
)  # fmt: skip


@pytest.fixture
def packages(tmp_path):
    """What is installed here, without what such a machine lacks."""
    folder = tmp_path / "packages"
    folder.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if not path.name.lower().startswith(NOT_THERE):
            (folder / path.name).symlink_to(path)
    return folder


def test_the_flow_network_trains_on_the_device_with_nothing_else_installed(tmp_path, packages):
    (tmp_path / "films").mkdir()
    for number in range(3):
        write_film(tmp_path / "films" / f"{number}.mkv", panning(12, speed=3, height=80, width=96, seed=number))
    words = [
        "experiment=flow", "net=flow_small", "trainer=cpu", f"data.root={tmp_path / 'films'}", "data.batches=device",
        "training.capture=true", "steps=4", "validate_every=2", "data.crop=64", "data.val_crop=64",
        "data.batch_size=2", "data.val_samples=2", "data.scenes=2", "logger=csv", f"hydra.run.dir={tmp_path / 'run'}",
        f"data.cache={tmp_path / 'cache'}",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)])}

    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "train.py"), *words], env=environment, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "run" / "export" / "flow.safetensors").is_file()
    said = done.stdout + done.stderr
    assert "Pillow is not installed: there are no panels" in said
    assert "synthetic scenes show frames of the films alone" in said
