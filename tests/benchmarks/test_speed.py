"""The speed run in small: every table is filled, what fails or comes too late is named, other sections stay."""

import json
from fractions import Fraction

import numpy as np
import pytest

from benchmarks import speed
from vfi_pipeline.errors import UserError
from vfi_pipeline.evaluation import page
from vfi_pipeline.media.frames import Frame, pixel_format
from vfi_pipeline.models.blend import Blend
from vfi_pipeline.models.flow import load_flow

SMALL = speed.Film(160, 96, 18)


def noise(count, size=(64, 48)):
    rng = np.random.default_rng(1)
    fmt = pixel_format("yuv420p")

    def planes():
        return tuple(rng.integers(0, 255, fmt.plane_size(k, *size), dtype=np.uint8) for k in range(len(fmt.planes)))

    return [Frame(planes(), fmt, *size, Fraction(k, speed.RATE)) for k in range(count)]


@pytest.mark.slow
def test_a_run_fills_every_table_and_its_section(tmp_path):
    target = tmp_path / "BENCHMARKS.md"
    page.write_section(target, "large", "Large jobs", "kept")

    text = speed.report(
        tmp_path, {"blend": Blend()}, "python evaluate.py", lambda line: None, target, film=SMALL,
        held=(("64x48", 6, "6 s"),),
    )  # fmt: skip

    for words in ("A made frame, 160x96", "Once a pair", "File to file", "Where the time goes", "### Memory", "6 s |"):
        assert words in text
    assert "Not measured" not in text
    for name in ("**ours**, `model=blend`", "ffmpeg minterpolate", "DIS flow, blended", "floor"):
        assert f"| {name}" in text
    found = json.loads((tmp_path / "speed.json").read_text())
    assert {(cost["method"], cost["ours"], cost["rate"]) for cost in found["costs"]} == {
        (name, ours, rate)
        for name, ours in (("blend", True), ("blend", False), ("dis-fast", False), ("minterpolate", False))
        for rate in (2, 8)
    }
    assert all(row["frames"] / row["wall"] > 0 for row in found["ends"])
    written = target.read_text()
    assert "kept" in written and text.strip() in written


def test_what_fails_or_comes_too_late_is_named_and_the_rest_is_kept(tmp_path, monkeypatch):
    def fails(*args):
        raise UserError("No such thing.", "leave it.")
        yield

    def quick(path, model, work, figures):
        figures.profile = {name: {"wall": 1.0, "cpu": 1.0, "frames": 2} for name in ("decode", "encode")}
        yield

    monkeypatch.setattr(speed, "drawn_film", lambda folder, film: folder / "film.mp4")
    monkeypatch.setattr(speed, "per_frame", fails)
    monkeypatch.setattr(speed, "profile", quick)
    monkeypatch.setattr(speed, "end_to_end", lambda *args: iter(()))
    monkeypatch.setattr(speed, "memory", lambda *args: iter(()))
    text = speed.report(tmp_path, {"blend": Blend()}, "bench", lambda line: None, film=SMALL)
    assert "Not measured: a made frame (No such thing.)." in text and "Where the time goes" in text
    late = speed.report(tmp_path, {"blend": Blend()}, "bench", lambda line: None, minutes=0, film=SMALL)
    assert late.count("were over") == 4 and "###" not in late


def test_the_stages_of_our_own_way_add_up_to_what_it_took():
    stages, spent, made = speed.run_stream(load_flow("flow"), noise(3), rate=8, prefetch=0)
    assert made == 2 * 7
    assert set(stages) == {"guide", "network", "ode", "compose"} and all(part > 0 for part in stages.values())
    assert 0.5 * spent.wall < sum(stages.values()) < spent.wall


def test_a_section_is_replaced_alone(tmp_path):
    target = tmp_path / "page.md"
    for name in ("one", "two", "three"):
        page.write_section(target, name, name.title(), f"first {name}")
    before = target.read_text()
    page.write_section(target, "two", "Two", "second two")
    assert target.read_text() == before.replace("first two", "second two")
    assert before.startswith("# Benchmarks") and before.count("\n## ") == 3


def test_a_section_keeps_the_indentation_of_its_first_line(tmp_path):
    page.write_section(tmp_path / "page.md", "one", "One", "\n    make one\n    make two\n\n")
    assert "## One\n\n    make one\n    make two\n<!--" in (tmp_path / "page.md").read_text()


def test_ratios_are_taken_against_the_same_factor():
    figures = speed.Figures(costs=[
        speed.Cost("flow", 2, 0.1, 0.15, ours=True), speed.Cost("minterpolate", 2, 0.5, 0.5),
        speed.Cost("flow", 8, 0.03, 0.05, ours=True), speed.Cost("minterpolate", 8, 0.3, 0.3),
    ])  # fmt: skip
    row = next(line for line in speed.tables(figures, SMALL, "flow").splitlines() if line.startswith("| **ours**"))
    assert row == "| **ours**, `model=flow` | 0.1000 (0.1500) | 0.20 | 0.0300 (0.0500) | 0.10 | 0.30 |"
