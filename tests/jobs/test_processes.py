"""Worker processes of this machine: one for each device, each with its share of the processors."""

from __future__ import annotations

import sys
import time

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import method
from vfi_pipeline.jobs.options import read_options
from vfi_pipeline.jobs.processes import Processes
from vfi_pipeline.jobs.workers import open_executor

ECHO = [sys.executable, "-c", "import os, sys; print(*sys.argv[2:], os.environ.get('OMP_NUM_THREADS'))"]


def until_ended(executor: Processes, count: int) -> dict[str, str]:
    said: dict[str, str] = {}
    deadline = time.monotonic() + 60
    while len(said) < count and time.monotonic() < deadline:
        said |= executor.ended()
        time.sleep(0.02)
    return said


def test_each_device_gets_a_worker_and_a_lost_ones_device_goes_to_the_next(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "logs").mkdir()
    executor = Processes(2, ["cuda:0", "cuda:1"], 3, ECHO)
    executor.start(tmp_path, ["a", "b"])
    said = until_ended(executor, 2)
    executor.start(tmp_path, ["c"])
    said |= until_ended(executor, 1)

    assert [said[name].split()[1] for name in "abc"] == ["device=cuda:0", "device=cuda:1", "device=cuda:0"]
    assert all(words.split()[-1] == "3" for words in said.values())


def test_a_worker_that_does_not_stop_is_ended(tmp_path):
    (tmp_path / "logs").mkdir()
    executor = Processes(1, program=[sys.executable, "-c", "import time; time.sleep(600)"])
    executor.start(tmp_path, ["a"])
    begin = time.monotonic()
    executor.stop()

    assert time.monotonic() - begin < 60 and executor.ended() == {}


@pytest.mark.parametrize(
    ("words", "devices", "kind"),
    [
        ({"devices": "all"}, ["cuda:0", "cuda:1", "cuda:2"], "cuda"),
        ({"devices": "[cuda:0,cuda:2]"}, ["cuda:0", "cuda:2"], "cuda"),
        ({"devices": "cpu"}, ["cpu"], "cpu"),
    ],
)
def test_the_devices_of_this_machine(monkeypatch, words, devices, kind):
    monkeypatch.setattr(method, "device_count", lambda name: 3 if name == "cuda" else 0)
    options = read_options(("a.mkv",), {"multi": "2", **words})

    assert method.devices_of(options) == devices and method.device_kind(options) == kind
    executor = open_executor(options, kind)()
    assert executor.workers == len(devices)


def test_all_devices_of_a_machine_without_gpus_are_its_cpu(monkeypatch):
    monkeypatch.setattr(method, "device_count", lambda name: 0)

    assert method.devices_of(read_options(("a.mkv",), {"multi": "2", "devices": "all"})) == ["cpu"]


@pytest.mark.parametrize(("count", "remedy"), [(0, "devices=cpu."), (2, "devices=cuda:0.")])
def test_devices_that_are_not_there_are_named_by_their_own_option(monkeypatch, count, remedy):
    monkeypatch.setattr(method, "device_count", lambda name: count)
    with pytest.raises(UserError) as caught:
        method.devices_of(read_options(("a.mkv",), {"multi": "2", "devices": "[cuda:0,cuda:2]"}))

    assert caught.value.args[1] == remedy


def test_what_machines_elsewhere_have_is_theirs_to_say(monkeypatch):
    monkeypatch.setattr(method, "device_count", lambda name: 0)
    options = read_options(("a.mkv",), {"multi": "2", "executor": "slurm", "device": "cuda"})

    assert method.device_kind(options) == "cuda"
