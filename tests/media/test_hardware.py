"""Decoding on a device, by an ffmpeg that stands in for one with a device: the pictures of software, or software."""

from __future__ import annotations

import logging
import stat
import sys
from fractions import Fraction
from pathlib import Path

import clips
import numpy as np
import pytest

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.media import ffmpeg, hardware
from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_numbered

H264 = ["-c:v", "libx264", "-g", "12", "-bf", "2", "-preset", "ultrafast"]

STAND_IN = """#!{python}
import os, sys
words = sys.argv[1:]
if words[-1:] == ["-hwaccels"]:
    print("Hardware acceleration methods:\\ncuda\\nvaapi")
    sys.exit()
if "-hwaccel" in words:
    with open({record!r}, "a") as file:
        file.write("\\x1f".join(words) + "\\n")
    words[words.index("-hwaccel") + 1] = "none"
    at = words.index("pipe:1")
    words[at:at] = {extra!r}
{more}
os.execv({real!r}, [{real!r}, *words])
"""


@pytest.fixture
def device(tmp_path, monkeypatch):
    """``device(extra, more)``: an ffmpeg whose decoder on a device is software with ``extra`` output options."""
    real, record = ffmpeg.ffmpeg_path(), tmp_path / "told"

    def made(extra=(), more=""):
        program = tmp_path / "ffmpeg"
        program.write_text(
            STAND_IN.format(python=sys.executable, record=str(record), extra=list(extra), real=real, more=more)
        )
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("VFI_FFMPEG", str(program))
        forget()
        return record

    yield made
    monkeypatch.undo()
    forget()


def forget():
    for known in (ffmpeg.ffmpeg_path, ffmpeg.hwaccels, ffmpeg.hwaccel_works):
        known.cache_clear()
    hardware.forget()


def read(path: Path, first=0, stop=None, decode="off", **options):
    with read_numbered(probe(path), first, stop, decode=decode, **options) as frames:
        return list(frames)


def facts(frames):
    return [(k, frame.time, frame.colour, frame.format) for k, frame in frames]


def assert_same(made, expected):
    assert facts(made) == facts(expected)
    for (_, one), (_, other) in zip(made, expected):
        assert all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes))


def calls(record: Path) -> list[list[str]]:
    return [line.split("\x1f") for line in record.read_text().splitlines()] if record.exists() else []


@pytest.mark.parametrize(
    "name, ours, stored, codec",
    [
        ("a.mp4", "yuv420p", "nv12", H264),
        ("a.mkv", "yuv420p10le", "yuv420p10le", ["-c:v", "libx265", "-x265-params", "log-level=none"]),
        ("a.ts", "yuv420p", "nv12", H264),
        ("a.mkv", "yuv444p", "yuv444p", H264),
    ],
)
def test_frames_are_those_of_software_in_the_devices_own_formats(tmp_path, device, caplog, name, ours, stored, codec):
    path = clips.make_clip(tmp_path / name, size=(64, 48), pix_fmt=ours, frames=40, codec=codec)
    expected = read(path)
    record = device(["-pix_fmt", stored])

    with caplog.at_level(logging.WARNING):
        for first, stop in ((0, None), (0, 5), (17, 31), (39, 40), (12, 13)):
            assert_same(read(path, first, stop, "cuda"), expected[first:stop])

    assert caplog.messages == []
    seeks = len(calls(record)) - 1 - 2  # compared once, read from the beginning twice
    assert seeks == 3 or (name == "a.ts" and seeks > 3)  # a transport stream has no list of keyframes to go by
    for words in calls(record):
        assert words[words.index("-hwaccel") + 1] == "cuda" and words.index("-hwaccel") < words.index("-i")


def test_times_of_any_kind_are_kept(tmp_path, device):
    path = clips.vfr_clip(tmp_path / "vfr.mkv")
    expected = read(path)
    device()
    assert_same(read(path, decode="cuda"), expected)
    assert_same(read(path, 3, 7, "cuda"), expected[3:7])


def test_a_device_that_shows_other_pictures_is_not_believed(tmp_path, device, caplog):
    path = clips.make_clip(tmp_path / "a.mp4", frames=20, codec=H264)
    expected = read(path)
    record = device(["-vf", "negate"])

    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_same(read(path, decode="cuda"), expected)

    assert caplog.messages == [
        "a.mp4: decode=cuda: the device decodes another picture than software; software decodes it."
    ]
    assert len(calls(record)) == 1


@pytest.mark.parametrize("kept", [9, 15])
def test_where_a_device_stops_software_goes_on(tmp_path, device, caplog, kept):
    path = clips.make_clip(tmp_path / "a.mp4", frames=24, rate="25", codec=H264)
    expected = read(path)
    device(["-frames:v", str(kept)], "if words.count('-frames:v') > 1: del words[at : at + 2]")

    with caplog.at_level(logging.WARNING):
        assert_same(read(path, decode="cuda"), expected)

    assert caplog.messages == [f"a.mp4: decode=cuda: it loses the frame at {kept / 25:.3f} s; software decodes it."]


def test_a_device_that_does_not_start_costs_a_line(tmp_path, device, caplog):
    path = clips.make_clip(tmp_path / "a.mp4", frames=12, codec=H264)
    expected = read(path)
    device(more="if '-hwaccel' in sys.argv: sys.exit('Device creation failed: -1.')")

    with caplog.at_level(logging.WARNING):
        assert_same(read(path, 2, 9, decode="cuda"), expected[2:9])

    assert caplog.messages == ["a.mp4: decode=cuda: ffmpeg failed: Device creation failed: -1; software decodes it."]


def test_films_that_a_pipe_does_not_tell_all_of_are_left_to_software(tmp_path, device, caplog):
    woven = clips.make_clip(tmp_path / "a.mkv", frames=12, codec=H264)
    clear = clips.webm_alpha_clip(tmp_path / "b.webm")
    expected = read(woven, deinterlace=True), read(clear)
    record = device()

    with caplog.at_level(logging.WARNING):
        assert_same(read(woven, decode="cuda", deinterlace=True), expected[0])
        assert_same(read(clear, decode="cuda"), expected[1])

    assert calls(record) == []
    assert any("b.webm: decode=cuda: devices do not decode alpha" in line for line in caplog.messages)
    assert any("a.mkv: decode=cuda: fields are taken apart" in line for line in caplog.messages)


def test_an_ffmpeg_without_it_is_named_with_what_it_has(device):
    device()
    hardware.check_listed("cuda"), hardware.check_listed("off")
    with pytest.raises(UserError, match="decode=vulkan: .* was built without it") as refused:
        hardware.check_listed("vulkan")
    assert refused.value.code == ENVIRONMENT
    assert "decode=cuda or decode=vaapi" in refused.value.args[1] and "decode=off" in refused.value.args[1]


def test_what_ffmpeg_is_told(tmp_path):
    path = clips.make_clip(tmp_path / "a.mp4", frames=6, codec=H264)
    info = probe(path)
    words = hardware.command("vaapi", info, index(info).times.time_base, Fraction(200001, 90000), 10**6).words()
    opened, closed = words[: words.index("-i")], words[words.index("-i") + 2 :]

    assert words[words.index("-i") + 1] == ffmpeg.file_url(path)
    for option, value in (("-hwaccel", "vaapi"), ("-ss", "2.222233"), ("-max_pixels", "1000000"),
                          ("-protocol_whitelist", ffmpeg.PROTOCOLS),
                          ("-format_whitelist", ffmpeg.DEMUXERS)):  # fmt: skip
        assert opened[opened.index(option) + 1] == value
    assert {"-copyts", "-noautorotate", "-noaccurate_seek"} <= set(opened)
    assert "-noautoscale" in closed
    base = index(info).times.time_base
    for option, value in (("-map", "0:0"), ("-fps_mode", "passthrough"), ("-c:v", "rawvideo"),
                          ("-enc_time_base", f"{base.numerator}/{base.denominator}")):  # fmt: skip
        assert closed[closed.index(option) + 1] == value


def test_the_listing_is_ffmpegs_own():
    assert ffmpeg.hwaccels() and all(" " not in name and ":" not in name for name in ffmpeg.hwaccels())
    assert not ffmpeg.hwaccel_works("no_such_device")
