"""``vfi doctor``: what it finds, what it says, and when it says that films cannot be made."""

from __future__ import annotations

import json

import pytest
import torch

from vfi_pipeline import commands, extras
from vfi_pipeline.apps import doctor
from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg
from vfi_pipeline.models import shipped


@pytest.fixture
def quick(monkeypatch):
    """Without trying the encoders of devices, which takes seconds."""
    monkeypatch.setattr(
        doctor, "hardware_encoders", lambda: {"h264_nvenc": True, "hevc_nvenc": False, "av1_qsv": False}
    )
    monkeypatch.setattr(doctor, "hardware_decoders", lambda: {"cuda": True, "vaapi": False, "qsv": False})


@pytest.fixture
def fresh():
    """ffmpeg is looked for again, before and after."""
    for found in (ffmpeg.ffmpeg_path, ffmpeg.version, ffmpeg.encoders):
        found.cache_clear()
    yield
    for found in (ffmpeg.ffmpeg_path, ffmpeg.version, ffmpeg.encoders):
        found.cache_clear()


@pytest.mark.slow
def test_a_machine_that_makes_films(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert commands.main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)

    assert facts["ok"] and not facts["problems"]
    assert facts["torch"]["version"] == torch.__version__ and facts["trial"]["frames"] == 12
    assert facts["ffmpeg"] == {"path": ffmpeg.ffmpeg_path(), "version": ffmpeg.version()}
    assert facts["defaults"]["model"] == "flow" and facts["defaults"]["encoder"] in ffmpeg.encoders()
    assert facts["disk"]["free_bytes"] > 0 and facts["memory"]["total_bytes"] > 0
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_the_table_has_two_columns_and_ends_with_the_verdict(quick, tmp_path):
    facts = doctor.examine(tmp_path, trial=False)
    lines = doctor.table(facts).splitlines()

    assert lines[-1] == "Films can be made."
    assert all(len(line) <= doctor.WIDTH or " " not in line[doctor.COLUMN :] for line in lines)
    assert any(line.startswith("ffmpeg        ") and ffmpeg.version() in line for line in lines)
    assert "on a device   h264_nvenc works; those of nvenc, qsv do not start here" in lines
    assert "decoding      decode=cuda starts; vaapi, qsv do not start here" in lines
    assert any(line.startswith("by default    model=flow") for line in lines)


def test_what_decodes_on_a_device_is_what_ffmpeg_lists_and_starts(monkeypatch):
    monkeypatch.setattr(ffmpeg, "hwaccels", lambda: frozenset({"cuda", "vulkan", "opencl"}))
    monkeypatch.setattr(ffmpeg, "hwaccel_works", lambda method: method == "vulkan")

    assert doctor.hardware_decoders() == {"cuda": False, "vulkan": True}
    assert doctor._decoders_text({}) == "by software alone"
    assert doctor._decoders_text({"cuda": False}) == "cuda does not start here"


def test_without_ffmpeg_films_cannot_be_made(quick, fresh, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VFI_FFMPEG", str(tmp_path / "none"))
    assert commands.main(["doctor"]) == 4
    said = capsys.readouterr().out

    assert said.endswith("Films cannot be made here yet.\n")
    assert said.count("PROBLEM") == 1 and "an ffmpeg that starts." in said and "Try         unset VFI_FFMPEG" in said


def test_weights_that_are_damaged_or_gone_are_a_problem(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    facts = doctor.examine(tmp_path)

    assert not facts["ok"] and "trial" in facts and facts["trial"] is None
    assert "weights=flow" in facts["problems"][0]["problem"] and facts["problems"][0]["remedy"]


def test_a_torch_that_does_not_load_is_a_problem(quick, tmp_path, monkeypatch):
    def broken():
        raise OSError("libtorch.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "torch_facts", broken)
    facts = doctor.examine(tmp_path)

    assert facts["problems"] == [
        {
            "problem": "OSError: libtorch.so: cannot open shared object file",
            "remedy": "pip install --force-reinstall torch",
        }
    ]
    assert "PyTorch       none that works" in doctor.table(facts)


def test_a_missing_extra_is_no_problem_and_comes_with_its_line(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda name: ["gradio"] if name == "app" else [])
    facts = doctor.examine(tmp_path, trial=False)

    assert facts["ok"]
    assert 'extra app     gradio missing: pip install "vfi-pipeline[app]"' in doctor.table(facts)


def test_little_room_is_told(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "free_bytes", lambda folder: 10**9)
    monkeypatch.setattr(doctor, "memory_facts", lambda: {"total_bytes": 2 * 10**9, "available_bytes": 10**9})
    facts = doctor.examine(tmp_path, trial=False)

    told = [note["problem"] for note in facts["notes"]]
    assert f"1.0 GB are free in {tmp_path}." in told and "1.0 GB of memory are available." in told


def test_other_words_are_refused():
    with pytest.raises(UserError, match="does not know nonsense"):
        from vfi_pipeline.commands.doctor import main

        main(["nonsense"])
