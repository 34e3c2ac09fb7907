"""A job's description as JSON: what comes back is what went out, and nothing else is taken for it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from fractions import Fraction as F
from pathlib import Path

import clips
import pytest

from vfi_pipeline.jobs.method import ModelChoice
from vfi_pipeline.jobs.options import Options, read_options
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.prepare import prepare, rehearsed
from vfi_pipeline.jobs.sources import Film, films
from vfi_pipeline.jobs.typed_json import decode, encode
from vfi_pipeline.media.timeline import Moments


def through(kind, value):
    return decode(kind, json.loads(json.dumps(encode(value))))


@pytest.mark.parametrize(
    "words",
    [
        {"fps": "59.94", "size": "2x"},
        {"multi": "5/2", "start": "0.1", "end": "0.4", "size": "80x60", "cuts": "[3,7]"},
        {"slowmo": "4", "shutter": "180", "audio": "stretch"},
        {"at": "[0.1,0.3]", "output": "x_%03d.png"},
    ],
    ids=["fps", "trim", "slow", "moments"],
)
@pytest.mark.parametrize("source", ["full", "vfr"])
def test_a_real_plan_comes_back_as_it_was(tmp_path, monkeypatch, source, words):
    monkeypatch.chdir(tmp_path)
    clip = clips.full_clip(Path("full.mkv")) if source == "full" else clips.vfr_clip(Path("vfr.mkv"))
    options = read_options((str(clip),), words)
    (film,) = films(options.inputs)
    plan = rehearsed(prepare(film, options, ModelChoice("blend", lambda share: None), [], False))

    back = through(Plan, plan)

    absolute = tmp_path / clip
    assert back.info.path == absolute and back.target == plan.target
    assert list(back.timeline.slots()) == list(plan.timeline.slots()) and back.timeline.count == plan.timeline.count
    assert type(back.timeline) is type(plan.timeline) and isinstance(back.timeline, Moments) == ("at" in words)
    for name in ("segments", "spec", "encoding", "streams", "timing", "cuts", "max_gap_s", "scaling", "exposure_s"):
        assert getattr(back, name) == getattr(plan, name), name
    assert encode(back) == encode(plan)
    assert through(Options, options) == options
    assert through(Film, film).files == (absolute,)


def test_even_times_stay_a_range(tmp_path):
    clip = clips.make_clip(tmp_path / "a.mp4", frames=30)
    options = read_options((str(clip),), {"multi": "2"})
    plan = prepare(films(options.inputs)[0], options, ModelChoice("blend", lambda share: None), [], False)

    assert through(Plan, plan).timeline.times.pts == plan.timeline.times.pts


@dataclass(frozen=True)
class Sample:
    number: int
    share: F | None
    name: str = ""
    path: Path | None = None
    raw: bytes = b""
    size: tuple[int, int] | F | None = None
    table: dict[str, str] = field(default_factory=dict)
    _private: int = 3


def test_each_kind_of_value_comes_back():
    sample = Sample(3, F(1001, 24000), 'a "b"\n\udcff', Path("/x/\u00e4 \udcfe"), b"\x00\xff", F(3, 2), {"k": "v"})

    assert through(Sample, sample) == sample
    assert through(Sample, Sample(1, None, size=(4, 3))) == Sample(1, None, size=(4, 3))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": "3"}, "Sample.number is a str"),
        ({"number": True}, "Sample.number is a bool"),
        ({"share": "1/0"}, "Sample.share"),
        ({"share": "__import__('os')"}, "Sample.share"),
        ({"raw": "?"}, "Sample.raw"),
        ({"table": {"k": 1}}, "Sample.table.k"),
        ({"size": [1, 2, 3]}, "Sample.size"),
        ({"more": 1}, "more"),
    ],
)
def test_anything_else_is_refused_by_name(change, told):
    plain = encode(Sample(3, F(1, 2))) | change

    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        decode(Sample, plain)


def test_what_has_no_place_in_json_is_not_written():
    with pytest.raises(TypeError):
        encode(Sample(3, F(1, 2), table=object()))  # type: ignore[arg-type]
