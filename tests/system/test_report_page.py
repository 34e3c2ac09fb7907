"""``report=out.html`` of real jobs: the moments' pictures are the film's and the result's own."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from films import panning, write_film
from PIL import Image

SMALL = ("model=flow", "model.guide_span=96", "model.network_span=64", "report=out.html")


def pictures(text: str) -> dict[str, np.ndarray]:
    """Caption -> picture, of a page."""
    found = re.findall(r'base64,([^"]+)"><figcaption>([^<]*)<', text)
    return {label: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))).astype(int) for data, label in found}


@pytest.mark.parametrize(("output", "timing"), [("b.mkv", "multi=3"), ("b.png", "multi=3"), ("b.gif", "multi=2")])
def test_the_strips_show_sources_and_what_is_in_the_result(good, tmp_path, output, timing):
    film = panning(6)
    write_film(tmp_path / "a.mkv", film, "10")
    target = "frames/%04d.png" if output == "b.png" else output
    good("input=a.mkv", timing, f"output={target}", "scene=off", *SMALL)
    facts = json.loads((tmp_path / "out.json").read_text())["films"][0]
    text = (tmp_path / "out.html").read_text()
    shown = pictures(text)

    assert [entry["frame"] for entry in facts["least_certain"]] and len(facts["least_certain"]) == 5
    assert {f"source {k}" for k in range(6)} <= set(shown)
    for k in range(6):
        assert np.abs(shown[f"source {k}"] - film[k]).mean() < 6  # JPEG
    made = [label for label in shown if label.startswith("made")]
    assert len(made) == (10 if timing == "multi=3" else 5)
    for label in made:
        moment = 10 * float(label.split()[1])
        k = int(moment + 1e-6)
        nearest = film[k] if moment - k < 0.5 else film[k + 1]
        assert np.abs(shown[label] - nearest).mean() < 40 and shown[label].shape == film[0].shape
        assert not np.array_equal(shown[label], shown[f"source {k}"])
    assert facts["stages_s"]["motion"] > 0 and facts["seconds"] > 0


def test_a_model_without_an_estimate_and_a_plan(good, tmp_path):
    write_film(tmp_path / "a.mkv", panning(3), "10")
    good("input=a.mkv", "multi=2", "output=b.mkv", "report=plan.html", "dry_run=true")
    good("input=a.mkv", "multi=2", "output=b.mkv", "report=out.html")

    assert "planned" in (tmp_path / "plan.html").read_text()
    assert "This model estimates no motion" in (tmp_path / "out.html").read_text()


def test_of_a_batch_each_film_is_told_failed_ones_too(command, tmp_path):
    write_film(tmp_path / "a.mkv", panning(3), "10")
    (tmp_path / "b.mkv").write_bytes(b"no film")
    result = command("a.mkv", "b.mkv", "multi=2", "report=out.html")
    text = (tmp_path / "out.html").read_text()

    assert result.code == 3
    assert "<h1>2 films</h1>" in text and "<h2>a.mkv</h2>" in text and "Failed: " in text


def test_what_was_found_before_a_stop_is_told_too(command, good, tmp_path, monkeypatch):
    from vfi_pipeline.jobs import local

    write_film(tmp_path / "a.mkv", panning(12), "10")
    words = ("input=a.mkv", "multi=2", "output=b.mkv", "segment=0.4", "scene=off", *SMALL)
    real = local.interpolate_segments

    def half(task):
        real(replace(task, segments=task.segments[:1]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(local, "interpolate_segments", half)
    assert command(*words).code == 4
    monkeypatch.setattr(local, "interpolate_segments", real)
    good(*words)
    facts = json.loads((tmp_path / "out.json").read_text())["films"][0]

    assert (
        min(entry["frame"] for entry in facts["least_certain"]) < 4 <= max(e["frame"] for e in facts["least_certain"])
    )
