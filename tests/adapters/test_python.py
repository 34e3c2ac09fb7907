"""Films from Python: the same frames as the command's, at the right times, and nothing loaded by the import."""

from __future__ import annotations

import gc
import subprocess
import sys
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip, planes, vfr_clip
from films import panning, write_film

import vfi_pipeline
from vfi_pipeline.media import probe
from vfi_pipeline.media.reader import picture_times, read_frames


def test_importing_the_package_loads_and_changes_nothing(root):
    code = """
import os, sys
before, environment = set(sys.modules), dict(os.environ)
import vfi_pipeline
new = {name.split(".")[0] for name in set(sys.modules) - before}
assert new <= {"vfi_pipeline", *sys.stdlib_module_names}, new
assert [name for name in sys.modules if name.startswith("vfi_pipeline")] == ["vfi_pipeline"]
assert dict(os.environ) == environment
assert {"frames", "interpolate", "UserError", "vapoursynth", "comfyui"} <= set(dir(vfi_pipeline))
assert vfi_pipeline.UserError.__module__ == "vfi_pipeline.errors" and "torch" not in sys.modules
try:
    vfi_pipeline.nonsense
except AttributeError as error:
    assert "nonsense" in str(error)
else:
    raise SystemExit("no error")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_frames_are_the_sources_own_and_their_means_between(tmp_path):
    pictures = panning(4)
    write_film(tmp_path / "a.mkv", pictures, "25")
    got = list(vfi_pipeline.frames(tmp_path / "a.mkv", fps=50, model="blend", scene=False))

    assert [frame.time for frame in got] == [Fraction(n, 50) for n in range(8)]
    assert all(frame.rgb.dtype == np.uint8 and frame.rgb.shape == pictures[0].shape for frame in got)
    for k in range(4):
        np.testing.assert_array_equal(got[2 * k].rgb, pictures[k])
    for k in range(3):
        mean = (pictures[k].astype(int) + pictures[k + 1]) / 2
        assert np.abs(got[2 * k + 1].rgb - mean).max() <= 0.5
    np.testing.assert_array_equal(got[7].rgb, pictures[3])  # the last frame stays for its own time


def test_other_types_keep_what_bytes_cannot(tmp_path):
    make_clip(tmp_path / "a.mkv", frames=2, pix_fmt="gbrp10le", content="ramp")
    green, blue, red = planes(0, pix_fmt="gbrp10le", content="ramp")
    rgb = np.stack([red, green, blue], -1) / 1023

    (sixteen, _) = vfi_pipeline.frames(tmp_path / "a.mkv", multi=1, dtype="uint16")
    (floats, _) = vfi_pipeline.frames(tmp_path / "a.mkv", multi=1, dtype=np.float32)
    assert sixteen.rgb.dtype == np.uint16 and np.abs(sixteen.rgb - 65535 * rgb).max() <= 0.51
    assert floats.rgb.dtype == np.float32 and np.abs(floats.rgb - rgb).max() < 1e-6
    with pytest.raises(ValueError, match="uint8, uint16, float32, not as int64"):
        vfi_pipeline.frames(tmp_path / "a.mkv", multi=1, dtype=np.int64)


def test_times_follow_a_variable_rate_from_the_films_start(tmp_path):
    path = vfr_clip(tmp_path / "a.mkv")
    info = probe.probe(path)
    times = picture_times(info)
    got = [frame.time for frame in vfi_pipeline.frames(path, fps="30000/1001", model="hold", max_gap="off")]

    assert got == [times.first - info.start + n * Fraction(1001, 30000) for n in range(len(got))]
    assert got[-1] < times.end - info.start <= got[-1] + Fraction(1001, 30000)


def test_frames_are_upright(tmp_path):
    make_clip(tmp_path / "a.mp4", frames=2, pix_fmt="yuv420p", content="grey", rotation=90)
    first = next(vfi_pipeline.frames(tmp_path / "a.mp4", multi=1))

    assert first.rgb.shape == (64, 48, 3)


def test_a_stretch_of_the_film_is_what_the_whole_has_there(tmp_path):
    write_film(tmp_path / "a.mkv", panning(12), "25")
    whole = dict(vfi_pipeline.frames(tmp_path / "a.mkv", fps=50, model="blend"))
    part = dict(vfi_pipeline.frames(tmp_path / "a.mkv", fps=50, model="blend", start="0.2", end="0.3"))

    assert sorted(part) == [Fraction(n, 50) for n in range(10, 15)]
    for time, rgb in part.items():
        np.testing.assert_array_equal(rgb, whole[time])


def test_leaving_the_loop_closes_the_file(tmp_path, monkeypatch):
    from vfi_pipeline.media import reader

    write_film(tmp_path / "a.mkv", panning(4), "25")
    closed = []
    real = reader.read_numbered

    @contextmanager
    def read_numbered(*given, **named):
        with real(*given, **named) as source:
            try:
                yield source
            finally:
                closed.append(given[0].path)

    monkeypatch.setattr(reader, "read_numbered", read_numbered)
    for _ in vfi_pipeline.frames(tmp_path / "a.mkv", multi=2, model="blend"):
        break
    gc.collect()
    assert closed == [tmp_path / "a.mkv"]


def test_interpolate_writes_what_the_command_writes(tmp_path):
    make_clip(tmp_path / "a.mkv", frames=6, audio=("mono",))
    written = vfi_pipeline.interpolate(tmp_path / "a.mkv", fps=50, model="blend", codec="ffv1")

    assert written == tmp_path / "a_50fps.mkv"
    info = probe.probe(written)
    assert [stream.kind for stream in info.others] == ["audio"]
    with read_frames(info) as shown:
        films = [frame.planes for frame in shown]
    assert len(films) == 12
    for plane, truth in zip(films[2], planes(1, content="motion")):
        np.testing.assert_array_equal(plane, truth)
    with pytest.raises(vfi_pipeline.UserError, match="exists already"):
        vfi_pipeline.interpolate(tmp_path / "a.mkv", fps=50, model="blend", codec="ffv1")
    assert vfi_pipeline.interpolate(
        str(tmp_path / "a.mkv"), multi=2, model="blend", codec="ffv1", overwrite=True, output=tmp_path / "b.mkv"
    ) == Path(tmp_path / "b.mkv")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "How smooth"),
        ({"fps": 60, "fsp": 3}, "no option of films 'fsp'"),
        ({"fps": 60, "duration": 3}, "no option of films 'duration'"),
        ({"fps": 60, "model": "flwo"}, "no model 'flwo'"),
        ({"fps": 60, "model": "fit"}, "pairs of pictures"),
        ({"fps": 60, "model": "blend", "model.x": 1}, "has no setting 'x'"),
        ({"fps": -3}, "fps=-3"),
        ({"fps": 60, "multi": 2}, "both given"),
        ({"at": 0.1}, "at= names single frames"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(tmp_path, options, problem):
    make_clip(tmp_path / "a.mkv", frames=2)
    with pytest.raises(vfi_pipeline.UserError, match=problem):
        vfi_pipeline.frames(tmp_path / "a.mkv", **options)


def test_a_film_that_is_not_there(tmp_path):
    with pytest.raises(vfi_pipeline.UserError, match="none.mkv"):
        vfi_pipeline.frames(tmp_path / "none.mkv", fps=60)
    with pytest.raises(vfi_pipeline.UserError, match="none.mkv"):
        vfi_pipeline.interpolate(tmp_path / "none.mkv", fps=60)


@pytest.mark.parametrize("name", ["output", "crf", "codec", "report"])
def test_frames_take_nothing_that_is_about_a_file(tmp_path, name):
    with pytest.raises(vfi_pipeline.UserError, match=f"{name}= is about a file"):
        vfi_pipeline.frames(make_clip(tmp_path / "a.mkv", frames=2), fps=50, **{name: "x"})
