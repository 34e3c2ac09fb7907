"""What a run leaves behind: an offline W&B run is read back, record by record."""

import csv
import json
import logging
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import tiny
import torch
from PIL import Image
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping

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
    assert not loggers.wandb_key()
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert loggers.wandb_key()


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

    monkeypatch.setattr(loggers, "Tensorboard", missing)
    with pytest.raises(UserError, match="pip install tensorboardX"):
        loggers.tensorboard_logger(str(tmp_path))


def online(monkeypatch, url):
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", url)


def test_a_key_without_a_network_trains_offline_within_seconds(tmp_path, no_key, monkeypatch, caplog):
    online(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    with caplog.at_level(logging.INFO):
        began = time.monotonic()
        logger = loggers.wandb_logger(str(tmp_path))
        assert time.monotonic() - began < 20
        fit(tmp_path, logger, test=False)
    assert "offline, since http://127.0.0.1:9 cannot be reached" in caplog.text
    assert f"WANDB_RESUME=allow wandb sync {tmp_path / 'wandb'}" in caplog.text
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_a_server_that_refuses_the_run_is_no_reason_to_stop(tmp_path, no_key, monkeypatch, caplog):
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(401, "no such key")

        do_POST = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    online(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    with caplog.at_level(logging.INFO):
        logger = loggers.wandb_logger(str(tmp_path))
    server.shutdown()
    assert "does not accept the key" in caplog.text and logger.offline_part


@pytest.mark.parametrize("mode", ["disabled", "offline", "dryrun"])
def test_wandb_mode_is_respected(tmp_path, no_key, monkeypatch, mode):
    online(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_MODE", mode)
    logger = loggers.wandb_logger(str(tmp_path), offline=False)
    assert (logger is None) == (mode == "disabled")
    assert mode == "disabled" or logger.offline_part


def records(folder):
    """The records of each part of a run that was logged offline, in the order of their beginning."""
    from wandb.proto import wandb_internal_pb2

    parts = []
    for path in sorted(folder.glob("offline-run-*/run-*.wandb")):
        parts.append([])
        for data in chunks(when_written(path)):
            parts[-1].append(wandb_internal_pb2.Record())
            parts[-1][-1].ParseFromString(data)
    return parts


def test_a_run_that_goes_on_offline_is_one_run_whose_steps_go_on(tmp_path, no_key):
    class Stop(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 8:
                raise ConnectionAbortedError

    trainer = tiny.trainer(tmp_path, logger=loggers.wandb_logger(str(tmp_path)), callbacks=[Stop()])
    with pytest.raises(ConnectionAbortedError):
        train(trainer, tiny.paired(), tiny.digits(), CONFIG, tmp_path)
    loggers.finish(trainer.loggers)
    found = find_resume(tmp_path)
    time.sleep(1)  # wandb names a part by its second
    logger = loggers.wandb_logger(str(tmp_path), run_id=found.run_id, logged=found.logged)
    train(tiny.trainer(tmp_path, logger=logger), tiny.paired(), tiny.digits(), CONFIG, tmp_path, found)
    first, second = records(tmp_path / "wandb")
    assert {r.run.run_id for part in (first, second) for r in part if r.run.run_id} == {found.run_id}
    steps = [
        [int(item.value_json) for r in part for item in r.history.item if list(item.nested_key) == ["_step"]]
        for part in (first, second)
    ]
    assert steps[0] == list(range(len(steps[0])))
    # The second part begins where the checkpoint had stopped: what came after it is written again.
    assert steps[1] == list(range(found.logged, found.logged + len(steps[1]))) and 0 < found.logged <= len(steps[0])
    assert steps[1][-1] > steps[0][-1]


def test_weights_and_final_figures_are_artifact_and_summary(tmp_path, no_key):
    def referee(model, data):
        assert model.channels == 1 and data.size == 16
        return {"referee/called_4": 0.5}

    fit(tmp_path, loggers.wandb_logger(str(tmp_path)), name="tiny", referee=referee)
    (part,) = records(tmp_path / "wandb")
    (artifact,) = [r.artifact for r in part if r.WhichOneof("record_type") == "artifact"]
    assert artifact.type == "model" and artifact.name.startswith("tiny-")
    assert {entry.path for entry in artifact.manifest.contents} == {"tiny.safetensors", "tiny.md"}
    assert json.loads(artifact.metadata)["referee/called_4"] == 0.5
    summary = {i.key: json.loads(i.value_json) for r in part for i in r.summary.update if i.key}
    assert summary["referee/called_4"] == 0.5 and summary["export/steps"] == tiny.STEPS and "test/psnr" in summary
    _, card = load_model(tmp_path / "export" / "tiny.safetensors")
    assert card.metrics["referee/called_4"] == 0.5


@pytest.mark.parametrize("every", [1, 3])
def test_each_player_is_logged_at_its_own_steps_alone(tmp_path, every):
    """The critic has two steps, the model the third: 2, 5, 8, 11. With every = 3 Lightning looks at these only."""
    logger = loggers.csv_logger(str(tmp_path))
    trainer = tiny.trainer(tmp_path, logger=logger, log_every_n_steps=every)
    train(trainer, tiny.adversarial(), tiny.digits(False), CONFIG, tmp_path, test=False)
    with open(tmp_path / "csv" / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    seen = {
        name: [int(row["step"]) for row in rows if row[f"train/{name}"]]
        for name in ("model_loss", "critic_loss", "grad_norm/model", "grad_norm/critic", "nfe", "wasserstein")
    }
    critic = [0, 1, 3, 4, 6, 7, 9, 10] if every == 1 else [0, 3, 6, 9]
    assert seen["model_loss"] == seen["grad_norm/model"] == seen["nfe"] == [2, 5, 8, 11]
    assert seen["critic_loss"] == seen["grad_norm/critic"] == seen["wasserstein"] == critic


def test_an_early_end_says_so_in_one_line(tmp_path, caplog):
    class Never(EarlyStopping):
        pass

    callbacks = [Never(monitor="val/psnr", mode="max", patience=1, min_delta=50.0)]
    with caplog.at_level(logging.INFO):
        fit_with = tiny.trainer(tmp_path, callbacks=callbacks, steps=40)
        train(fit_with, tiny.paired(), tiny.digits(), CONFIG, tmp_path, test=False)
    (line,) = [message for message in caplog.messages if "Stopped early" in message]
    assert "step 8 of 40" in line and "val/psnr has not gained for 1 validations: it is " in line


def test_a_limit_of_the_trainer_says_so_too(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(
            tiny.trainer(tmp_path, steps=4000, max_time="00:00:00:01"), tiny.paired(), tiny.digits(), CONFIG, tmp_path,
            test=False,
        )  # fmt: skip
    assert any("Stopped early at step" in message and "max_time" in message for message in caplog.messages)
