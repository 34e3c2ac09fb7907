"""``make bench-gpu`` on small frames and the CPU: it needs no more than a GPU machine has, and it measures right."""

import json
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import torch

from benchmarks import gpu
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.models.flow import load_flow
from vfi_pipeline.synthesis.guide import guide

BARE = """
import sys
for name in ("av", "ffmpeg", "imageio_ffmpeg", "hydra", "omegaconf", "lightning", "scipy", "lpips", "PIL", "skimage",
             "yaml", "matplotlib", "wandb", "torchvision", "torchdiffeq"):
    sys.modules[name] = None
from benchmarks import gpu
gpu.SHARE_DEVICE = 1e-6
raise SystemExit(gpu.main(sys.argv[1:]))
"""


def test_it_runs_without_ffmpeg_pyav_hydra_and_lightning_and_says_what_is_left_out(root, tmp_path):
    target = tmp_path / "made" / "gpu.json"
    words = ["--device", "cpu", "--sizes", "64x48,96x64", "--rates", "2,3", "--seconds", "1000", "--output", target]
    words += ["--page", tmp_path / "page.md"]
    run = subprocess.run([sys.executable, "-c", BARE, *map(str, words)], cwd=root, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

    found = json.loads(target.read_text("utf-8"))
    assert [(each["width"], each["rate"]) for each in found["rates"]] == [(64, 2), (64, 3), (96, 2), (96, 3)]
    assert all(each["made_per_s"] > 0 and each["made"] > 0 and each["first_frame_s"] > 0 for each in found["rates"])
    assert {"motion", "compose", "guide"} <= set(found["rates"][0]["host_s_per_made"])
    assert len(found["stages"]) == 2 and all(ms > 0 for ms in found["stages"][0]["ms"].values())
    assert found["launches"]["operators"] > 500
    assert found["parity"]["fp32_max_difference"] == 0 and found["parity"]["holds"]
    assert found["parity"]["codes"] == 0 and found["parity"]["kernel"] is False
    assert [line.partition(":")[0] for line in found["left_out"]] == ["file to null"]
    assert "made frames/s" in run.stdout and "left out: file to null" in run.stdout
    assert [path.name for path in target.parent.iterdir()] == ["gpu.json"]
    page = (tmp_path / "page.md").read_text("utf-8")
    rates = {line.split(" | ")[0]: line for line in page.splitlines() if line.startswith("| ") and " | cpu | " in line}
    assert list(rates) == ["| 64x48, 2x", "| 64x48, 3x", "| 96x64, 2x", "| 96x64, 3x"]
    assert f"| {found['rates'][0]['made_per_s']:.1f} |" in rates["| 64x48, 2x"] and "Left out: file to null" in page


def test_the_drawn_film_moves_as_it_says_and_goes_on_without_end():
    frames = gpu.drawn_frames(400, 240)
    model = load_flow("flow")
    moved = model.motion(Window.of(*(guide(each, 512) for each in frames[:2]))).at([0.5])[0]
    row = moved.flow_to_first[0, 0, -20:-10, 60:140]  # cells of 2 px; 4 px a frame to the left
    assert abs(float(row.mean()) - 1.0) < 0.1 or abs(float(row.mean()) + 1.0) < 0.1

    indices, shown = zip(*islice(gpu.film(frames), 40))
    assert indices == tuple(range(40))
    assert all(not np.array_equal(a.planes[0], b.planes[0]) for a, b in zip(shown, shown[1:]))
    assert [(slot.source, str(slot.t)) for slot in islice(gpu.slots(3), 5)] == [
        (0, "0"), (0, "1/3"), (0, "2/3"), (1, "0"), (1, "1/3"),
    ]  # fmt: skip


def test_a_film_is_read_from_a_file_with_and_without_the_machines_decoder(monkeypatch):
    """Where no device decodes it, no rate of software's goes by the device's name."""
    from vfi_pipeline.media import hardware, reader

    real = reader.read_frames
    tried = []
    monkeypatch.setattr(hardware, "check_listed", tried.append)
    model = load_flow("flow")
    with gpu.film_file(gpu.drawn_frames(96, 64)) as path:
        plain = gpu.file_to_nothing(model, path, "cpu", 0.5)
        with pytest.raises(gpu.UserError, match="decode=cuda"):
            gpu.file_to_nothing(model, path, "cpu", 0.5, "cuda")
        monkeypatch.setattr(hardware, "is_usable", lambda *_: True)
        monkeypatch.setattr(reader, "read_frames", lambda info, decode: real(info) if decode == "cuda" else None)
        there = gpu.file_to_nothing(model, path, "cpu", 0.5, "cuda")

    assert (plain["width"], plain["decode"]) == (96, "off") and plain["made_per_s"] > 0
    assert (there["width"], there["decode"]) == (96, "cuda") and there["made"] > 0
    assert tried == ["cuda", "cuda"]


def test_parity_that_does_not_hold_is_said():
    frames = gpu.drawn_frames(128, 96, 4)

    def load(precision, where):
        model, chance = load_flow("flow"), torch.Generator().manual_seed(0)
        if precision != "fp32":
            with torch.no_grad():
                for parameter in model.model.net.parameters():
                    parameter.add_(torch.randn(parameter.shape, generator=chance), alpha=0.3)
        return model

    found = gpu.parity(load, frames, "cpu")
    assert found["fp32_max_difference"] == 0 and found["fp16_db"] < 45 and not found["holds"]


@pytest.mark.parametrize(
    "words, said", [(["--sizes", "12"], "12"), (["--rates", "1"], "1"), (["--device", "cuda:99"], "cuda:99")]
)
def test_what_cannot_be_done_is_said_with_a_remedy(words, said, capsys, tmp_path):
    assert gpu.main([*words, "--output", str(tmp_path / "gpu.json")]) != 0
    told = capsys.readouterr().err
    assert said in told and "Try:" in told and not list(tmp_path.iterdir())
