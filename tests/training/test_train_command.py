"""``train.py`` as a user runs it: presets, errors in one line, two processes, kill -9, and the weights in a film."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from films import panning, write_film

from vfi_pipeline.models.checkpoint import load_model

pytestmark = pytest.mark.slow

SMALL = [
    "experiment=digits_l2",
    "data.size=16",
    "data.batch_size=8",
    "field.unet.widths=[8,8]",
    "field.unet.final=8",
    "callbacks.progress.seconds=0.2",
    "trainer.limit_val_batches=1",
    "~callbacks.panels",
]


def command(root, run_dir, *words):
    return [sys.executable, str(root / "train.py"), *words, f"hydra.run.dir={run_dir}"]


def train(root, run_dir, *words, cwd=None):
    done = subprocess.run(command(root, run_dir, *words), capture_output=True, text=True, timeout=560, cwd=cwd)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    "preset",
    [
        [],
        ["experiment=digits_gan", "logger=wandb"],
        ["experiment=smile_l2"],
        ["experiment=smile_gan"],
        ["experiment=flow", "net=flow_small"],
    ],
    ids=["toy", "digits_gan", "smile_l2", "smile_gan", "flow"],
)
def test_the_quick_check_trains_tests_and_exports(root, tmp_path, preset):
    code, said = train(root, tmp_path / "run", *preset, "debug=fdr", cwd=tmp_path)
    assert code == 0, said
    assert "step 6/6" in said and list((tmp_path / "run" / "export").glob("*.safetensors"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["config"]["steps"] == 6


def test_the_default_models_recipe_runs_on_any_films(root, tmp_path):
    """Real triplets and synthetic scenes of known motion, in one batch."""
    (tmp_path / "films").mkdir()
    for name, speed in (("a.mkv", 2), ("b.mkv", 4)):
        write_film(tmp_path / "films" / name, panning(14, speed, seed=speed))
    words = [
        "experiment=flow", f"data.root={tmp_path / 'films'}", f"data.cache={tmp_path / 'cache'}", "data.crop=64",
        "data.val_crop=64", "data.val_samples=2", "data.batch_size=4", "data.synthetic=0.5", "data.val_share=0.3",
        "steps=3", "scheduler.warmup=1", "validate_every=3", "logger=csv", "net.init_from=flow", "trainer=cpu",
    ]  # fmt: skip
    code, said = train(root, tmp_path / "run", *words, cwd=tmp_path)
    assert code == 0, said
    model, _ = load_model(tmp_path / "run" / "export" / "flow.safetensors")
    assert model.config()["kind"] == "flow"


@pytest.mark.parametrize(
    "words, problem, code",
    [
        ([], "data.root is not given", 2),
        (["experiment=style", "data.root=/films"], "style.image is not given", 2),
        (["data.root={tmp}/none"], "none", 3),
        (["debug=fdr", "field.conditioning=neither"], "No conditioning 'neither'", 2),
        (["debug=fdr", "scheduler.warmup=99"], "does not fit into 6", 2),
        (["debug=fdr", "ckpt_path={tmp}/none.ckpt"], "does not exist", 3),
        (["data.rot=/films"], "Could not override 'data.rot'. Key 'rot' is not in struct", 2),
        (["trainer.limit_test_batches=1"], "+trainer.limit_test_batches= adds it", 2),
        (["data=nothing"], "Could not find 'data/nothing'", 2),
        (["epochs=3"], "did you mean steps=?", 2),
        (["--epochs", "3"], "did you mean steps=?", 2),
        (["name=a=b"], "goes in quotes", 2),
        (["debug=fdr", "validate_every=0"], "validate_every=0 is not a number of steps", 2),
        (["debug=fdr", "experiment=digits_gan", "data.size=8"], "A critic of 2 strided layers needs pictures of 16", 2),
    ],
    ids=[
        "no data",
        "no picture",
        "wrong folder",
        "wrong value",
        "wrong warm-up",
        "no checkpoint",
        "misspelt",
        "of other choices",
        "no such choice",
        "of another program",
        "in its style",
        "a sign of Hydra's",
        "no steps",
        "only in training",
    ],  # fmt: skip
)
def test_mistakes_are_one_line_and_a_remedy(root, tmp_path, words, problem, code):
    got, said = train(root, tmp_path / "run", *(word.format(tmp=tmp_path) for word in words))
    assert problem in said and "Try: " in said and "Traceback" not in said, said
    assert got == code


@pytest.mark.parametrize("words", [["--help"], ["--cfg", "job"]])
def test_help_and_values_are_shown_and_nothing_is_made(root, tmp_path, words):
    done = subprocess.run(
        [sys.executable, str(root / "train.py"), *words], capture_output=True, text=True, timeout=100, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert ("smile_gan" if words == ["--help"] else "validate_every") in done.stdout
    assert not list(tmp_path.iterdir())


def final_weights(run_dir):
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint["global_step"], checkpoint["state_dict"], checkpoint["callbacks"]["EMA"]["average"]


def test_a_killed_run_resumes_to_the_same_weights(root, tmp_path):
    words = [*SMALL, "steps=60", "checkpoint_every=10", "validate_every=25", "test=false"]
    assert train(root, tmp_path / "whole", *words)[0] == 0
    process = subprocess.Popen(
        command(root, tmp_path / "cut", *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    last, seen = tmp_path / "cut" / "checkpoints" / "last.ckpt", time.monotonic()
    while not last.exists() and time.monotonic() - seen < 400 and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert final_weights(tmp_path / "cut")[0] < 60
    code, said = train(root, tmp_path / "new", *words, f"ckpt_path={tmp_path / 'cut'}")
    assert code == 0, said
    for one, two in zip(final_weights(tmp_path / "whole"), final_weights(tmp_path / "cut")):
        if isinstance(one, dict):
            assert all(torch.equal(value, two[name]) for name, value in one.items())
        else:
            assert one == two == 60
    code, said = train(root, tmp_path / "new", *words, f"ckpt_path={tmp_path / 'cut'}", "net.sides=group")
    assert code == 3 and "net.sides: was first, now group" in said


def test_two_processes_take_the_same_number_of_steps(root, tmp_path):
    losses = []
    for name, trainer in (("one", "cpu"), ("two", "ddp_sim")):
        code, said = train(
            root, tmp_path / name, *SMALL, "steps=8", f"trainer={trainer}", "trainer.log_every_n_steps=1"
        )
        assert code == 0, said
        with open(tmp_path / name / "csv" / "metrics.csv") as file:
            rows = [row for row in csv.DictReader(file) if row["train/grad_norm"]]
        losses.append([float(row["train/grad_norm"]) for row in rows])
    assert len(losses[0]) == len(losses[1]) == 8 and losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_a_folder_with_a_run_is_not_trained_into_again_and_ckpt_path_alone_goes_on(root, tmp_path):
    words = [*SMALL, "steps=6", "checkpoint_every=3", "validate_every=3", "test=false", "logger=none"]
    assert train(root, tmp_path / "a=b, c", *words)[0] == 0
    before = final_weights(tmp_path / "a=b, c")
    code, said = train(root, tmp_path / "a=b, c", *words)
    assert code == 4 and "finished at step 6 of 6" in said and "Traceback" not in said, said
    assert final_weights(tmp_path / "a=b, c")[0] == before[0] == 6
    goes_on = [sys.executable, str(root / "train.py"), f"ckpt_path={tmp_path / 'a=b, c'}"]
    done = subprocess.run([*goes_on, "steps=8", "data.workers=1", "checkpoint_every=4"], capture_output=True, text=True,
                          timeout=500, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert final_weights(tmp_path / "a=b, c")[0] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["a=b, c"]  # no folder that Hydra names by the time
    requeued = {**os.environ, "SLURM_JOB_ID": "3", "SLURM_JOB_NAME": "x"}
    for steps in (4, 5):
        done = subprocess.run(
            command(root, tmp_path / "job", *words, f"steps={steps}"), capture_output=True, text=True, timeout=500,
            env=requeued,
        )  # fmt: skip
        assert done.returncode == 0 and final_weights(tmp_path / "job")[0] == steps, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_first_checkpoint_saves_and_the_printed_line_works(root, tmp_path, number):
    words = [*SMALL, "steps=4000", "data.workers=1", "test=false", "logger=none"]
    process = subprocess.Popen(
        command(root, tmp_path / "run", *words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    said = []
    for line in process.stdout:
        said.append(line)
        if "step 1" in line and number:
            os.killpg(process.pid, number)  # as a terminal and SLURM do: to all processes of the run
            number = 0
    assert process.wait(60) == 130, said
    line = next(line for line in said if "Try: python train.py" in line)
    words = line.split("Try: python train.py ")[1].strip()  # all of the line: it can be pasted
    step = final_weights(tmp_path / "run")[0]
    done = subprocess.run(
        f"{sys.executable} {root / 'train.py'} {words} steps={step + 2}", shell=True, capture_output=True, text=True,
        timeout=500, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert final_weights(tmp_path / "run")[0] == step + 2


def test_a_refused_combination_of_a_sweep_does_not_end_the_others(root, tmp_path):
    words = ["-m", *SMALL, "steps=4", "logger=none", "test=false", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    done = subprocess.run(
        [sys.executable, str(root / "train.py"), *words, "field=nothing,svf", "scheduler.warmup=99,1"],
        capture_output=True, text=True, timeout=500, cwd=tmp_path,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 2 and "1 of 4 combinations finished" in said and "Traceback" not in said, said
    assert [path.parts[-3] for path in (tmp_path / "sweep").glob("*/export/*.safetensors")] == ["3"]
    assert "does not fit into 4" in (tmp_path / "sweep" / "summary.md").read_text()


def test_a_sweep_runs_every_combination(root, tmp_path):
    words = ["-m", *SMALL, "steps=4", "logger=none", "field=svf,time", f"hydra.sweep.dir={tmp_path / 'sweep'}"]
    code, said = train(root, tmp_path / "unused", *words)
    assert code == 0, said
    assert len(list((tmp_path / "sweep").glob("*/export/digits_l2.safetensors"))) == 2


def test_exported_weights_run_a_film(root, tmp_path):
    import av
    import numpy as np

    code, said = train(root, tmp_path / "run", "debug=fdr", "logger=none")
    assert code == 0, said
    with av.open(str(tmp_path / "clip.mp4"), "w") as film:
        stream = film.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(4):
            picture = np.full((64, 96, 3), 40, np.uint8)
            picture[20:40, 10 + 8 * index : 30 + 8 * index] = 220
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    weights = next((tmp_path / "run" / "export").glob("*.safetensors"))
    words = ["interpolate.py", "input=clip.mp4", "output=out.mp4", "multi=2", f"weights={weights}"]
    done = subprocess.run(
        [sys.executable, str(root / words[0]), *words[1:]], capture_output=True, text=True, cwd=tmp_path, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert sum(1 for _ in film.decode(video=0)) == 8
