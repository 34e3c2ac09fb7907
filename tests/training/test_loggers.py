"""What a run leaves behind: an offline W&B run is read back, record by record."""

import csv
import json
import logging
import struct
import time

import pytest
import tiny
import torch
from PIL import Image
from pytorch_lightning import Callback

from vfi_pipeline.errors import UserError
from vfi_pipeline.estimation.window import Window
from vfi_pipeline.models.checkpoint import load_model
from vfi_pipeline.training import loggers
from vfi_pipeline.training.resume import find_resume
from vfi_pipeline.training.session import train


@pytest.fixture()
def no_key(monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


def offline_records(folder):
    """(numbers by name -> list of values, configuration) of an offline run's file."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("offline-run-*/run-*.wandb")
    history, config = {}, {}
    for data in chunks(when_written(path)):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for item in record.history.item:
            history.setdefault(item.key or "/".join(item.nested_key), []).append(json.loads(item.value_json))
        for part in (record.config.update, record.run.config.update):
            for item in part:
                config[item.key or item.nested_key[0]] = json.loads(item.value_json)
    return history, config


def when_written(path):
    """The file's bytes once wandb's own process has written them: on a busy machine that is after the run's end."""
    size, until = -1, time.monotonic() + 60
    while time.monotonic() < until and (path.stat().st_size <= 7 or path.stat().st_size != size):
        size = path.stat().st_size
        time.sleep(0.5)
    return path.read_bytes()


def chunks(content):
    """The records of a .wandb file: LevelDB's log format (blocks of 32 KiB; crc, length, type) after a header."""
    place, parts = 7, []
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:  # a block's tail too short for a header is padding
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts.append(content[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield b"".join(parts)
            parts = []


CONFIG = {"net": {"sides": "first"}, "steps": tiny.STEPS}


def fit(run_dir, logger, kind="paired", **options):
    module = tiny.paired() if kind == "paired" else tiny.adversarial()
    return train(
        tiny.trainer(run_dir, logger=logger), module, tiny.digits(kind == "paired"), CONFIG, run_dir, **options
    )


def test_an_offline_run_holds_losses_metrics_pictures_and_facts(tmp_path, no_key):
    logger = loggers.wandb_logger(str(tmp_path), name="test")
    fit(tmp_path, logger)
    history, config = offline_records(tmp_path / "wandb")
    for name in ("train/total", "train/l2", "train/folding", "train/grad_norm", "train/lr", "train/samples_per_s"):
        assert len(history[name]) >= 3, name
    for name in ("val/psnr", "val/ssim", "val/nfe", "val/folded", "val/outside", "test/psnr"):
        assert history[name], name
    assert history["train/lr"][-1] < history["train/lr"][2]
    panel, animation = history["val/panel/filenames"][0], history["val/animation/videos"][0]
    files = next((tmp_path / "wandb").glob("offline-run-*/files"))
    with Image.open(files / panel[0]) as picture:
        assert picture.size[0] > 2.5 * picture.size[1]  # two rows of six tiles
    with Image.open(files / animation[0]["path"]) as film:
        assert film.n_frames == 4  # three frames, forth and back
    assert config["config"]["net"] == {"sides": "first"}
    assert config["data"]["fingerprint"] and config["run"]["versions"]["torch"]
    assert set(config["run"]["git"]) <= {"commit", "changed"}


def test_the_wandb_id_survives_in_the_checkpoint(tmp_path, no_key):
    fit(tmp_path, loggers.wandb_logger(str(tmp_path)), test=False)
    found = find_resume(tmp_path)
    assert found.run_id and list((tmp_path / "wandb").glob(f"offline-run-*-{found.run_id}"))
    assert loggers.wandb_logger(str(tmp_path / "2"), run_id=found.run_id).version == found.run_id


def test_a_key_means_online_and_wandb_mode_wins(monkeypatch, no_key):
    assert not loggers._has_key()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert loggers._has_key()


def test_the_csv_of_a_resumed_run_stands_beside_the_first(tmp_path):
    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 8:
                raise ConnectionAbortedError

    trainer = tiny.trainer(tmp_path, logger=loggers.csv_logger(str(tmp_path)), callbacks=[Stop()])
    with pytest.raises(ConnectionAbortedError):
        train(trainer, tiny.paired(), tiny.digits(), CONFIG, tmp_path)
    trainer.loggers[0].save()
    resume = find_resume(tmp_path)
    trainer = tiny.trainer(tmp_path, logger=loggers.csv_logger(str(tmp_path), resume.run_id))
    train(trainer, tiny.paired(), tiny.digits(), CONFIG, tmp_path, resume)
    steps = []
    for path in (tmp_path / "csv" / "metrics.csv", tmp_path / "csv" / "resumed_1" / "metrics.csv"):
        with open(path) as file:
            steps.append([int(row["step"]) for row in csv.DictReader(file) if row["train/total"]])
    assert steps[0][0] == 0 and steps[1][0] == 6 and steps[1][-1] == tiny.STEPS - 1


@pytest.mark.parametrize("kind", ["paired", "adversarial"])
def test_the_end_of_a_run_is_a_tested_export_that_films_can_use(tmp_path, kind, caplog):
    with caplog.at_level(logging.INFO):
        metrics = fit(tmp_path, False, kind, name="tiny")
    model, card = load_model(tmp_path / "export" / "tiny.safetensors")
    assert (
        card.name == "tiny" and card.metrics == pytest.approx(metrics) and card.data["set"].startswith("scikit-learn")
    )
    assert card.training["steps"] == tiny.STEPS and "command" in card.training
    made = model.motion(Window.of(*torch.rand(2, 1, 3, 16, 16).unbind(0))).at([0.25, 0.5])
    assert made[0].flow_to_first.shape == (1, 2, 16, 16)
    assert (tmp_path / "export" / "tiny.md").read_text().startswith("# tiny")
    assert json.loads((tmp_path / "run.json").read_text())["config"] == CONFIG
    assert ("test/psnr" in metrics) == (kind == "paired")
    assert any("step 12/12" in line for line in caplog.messages)


def test_the_averaged_weights_are_exported(tmp_path):
    module = tiny.paired()
    train(tiny.trainer(tmp_path), module, tiny.digits(), CONFIG, tmp_path, test=False, name="x")
    exported, _ = load_model(tmp_path / "export" / "x.safetensors")
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    average = checkpoint["callbacks"]["EMA"]["average"]
    raw = {k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k.startswith("model.")}
    assert all(torch.equal(v, average[k]) for k, v in exported.state_dict().items())
    assert any(not torch.equal(v, raw[k]) for k, v in exported.state_dict().items())


def tensorboard_tags(folder):
    """Kinds of the values by tag. The files are framed records: length, checksum of it, an Event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    tags = {}
    for path in folder.glob("events.out.*"):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            for value in event.summary.value:
                tags.setdefault(value.tag, []).append(value.WhichOneof("value"))
            place += 16 + length
    return tags


def test_tensorboard_holds_numbers_and_pictures(tmp_path):
    fit(tmp_path, loggers.tensorboard_logger(str(tmp_path)))
    tags = tensorboard_tags(tmp_path / "tensorboard")
    assert len(tags["train/total"]) >= 3 and tags["test/psnr"] and tags["train/lr"]
    assert tags["val/panel"][0] == "image"


def test_a_test_right_after_a_short_training_replaces_none_of_its_numbers(tmp_path):
    logger = loggers.tensorboard_logger(str(tmp_path))
    for name in ("train/total", "test/psnr", "test/ssim"):
        logger.log_metrics({name: 1.0}, step=1)
        logger.finalize("success")
    assert {"train/total", "test/psnr", "test/ssim"} <= tensorboard_tags(tmp_path / "tensorboard").keys()


def test_tensorboard_is_named_where_it_is_missing(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("Neither `tensorboard` nor `tensorboardX` is available.")

    monkeypatch.setattr(loggers, "_Tensorboard", missing)
    with pytest.raises(UserError, match="pip install tensorboardX"):
        loggers.tensorboard_logger(str(tmp_path))
