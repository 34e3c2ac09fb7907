"""``report=out.html``: which moments are shown, that nothing of a stranger's becomes HTML, and what stands where."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.jobs import report
from vfi_pipeline.jobs.journal import Done, Journal
from vfi_pipeline.jobs.least_certain import Moment, Picture, least_certain
from vfi_pipeline.jobs.report_page import page
from vfi_pipeline.media.timeline import SourceTimes
from vfi_pipeline.models.motion import MotionReport
from vfi_pipeline.synthesis.statistics import LEAST_CERTAIN, NEIGHBOURS, Statistics

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\u202e\x00\udcff.mkv"


class Read(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def film(**facts):
    done = {
        "input": "/films/a.mkv", "output": "/films/a_60fps.mkv", "state": "done", "frames": 60, "rate": "60",
        "duration_s": 1.0, "made": 40, "copied": 20, "held": 0, "duplicates": 0, "confidence": 0.5, "folded": 0.01,
        "min_det": -0.2, "cuts": [12, 30], "stages_s": {"motion": 3.0, "read": 130.0}, "notes": [], "lost": [],
        "streams": [], "seconds": 75.0,
    }  # fmt: skip
    return {**done, **facts}


def document(*films, **facts):
    return {"version": "1", "command": "vfi interpolate a.mkv", "films": list(films), "left_out": [], **facts}


def test_nothing_of_a_strangers_becomes_an_element():
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 8)).save(jpeg, "JPEG")
    facts = film(
        input=f"/films/{HOSTILE}", output=HOSTILE, notes=[HOSTILE], lost=[HOSTILE], streams=[HOSTILE], cuts=[HOSTILE],
        stages_s={HOSTILE: 1.0}, state=HOSTILE, rate=HOSTILE,
    )  # fmt: skip
    moments = [[Moment(0.5, 0.1, (Picture(HOSTILE, True, jpeg.getvalue()),))], []]
    failed = {"input": HOSTILE, "state": "failed", "problem": HOSTILE}
    text = page(
        document(facts, failed, command=HOSTILE, version=HOSTILE, left_out=[{"path": HOSTILE, "why": HOSTILE}]),
        moments, HOSTILE,
    )  # fmt: skip
    read = Read(text)

    assert {name for name, _ in read.elements} <= {
        "html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "pre", "table", "tr", "th", "td",
        "div", "figure", "img", "figcaption", "br",
    }  # fmt: skip
    assert all(not key.startswith("on") for _, given in read.elements for key in given)
    sources = [given["src"] for name, given in read.elements if name == "img"]
    assert len(sources) == 1 and sources[0].startswith("data:image/jpeg;base64,")
    assert read.text.count("<script>alert(1)</script>") > 8  # it is shown
    assert "\x00" not in text and "\u202e" not in text and text.encode()
    policies = [given.get("content") for _, given in read.elements if given.get("http-equiv")]
    assert policies and policies[0].startswith("default-src 'none'")
    assert "http:" not in text and "https:" not in text and "url(" not in text


def test_the_page_tells_what_was_done():
    read = Read(page(document(film()), [()], "out.json"))

    for told in (
        "vfi interpolate a.mkv", "/films/a_60fps.mkv", "40 made, 20 from the source", "0.50 in the motion", "12, 30",
        "1.00 % of the area, smallest Jacobian determinant -0.200", "0:02:10", "out.json", "0:01:15",
    ):  # fmt: skip
        assert told in read.text, told
    assert read.text.index("0:02:10") < read.text.index("3.0 s")  # the longest first


def test_a_film_that_failed_is_told():
    read = Read(
        page(document(film(), {"input": "b.mkv", "state": "failed", "problem": "no video"}), [(), ()], "o.json")
    )
    assert "2 films" in read.text and "Failed: no video" in read.text


def plan(count: int = 200, rate: int = 25, start: Fraction = Fraction(2)):
    times = SourceTimes(range(2 * rate, 2 * rate + count), Fraction(1, rate), Fraction(1, rate))
    return SimpleNamespace(timeline=SimpleNamespace(times=times), info=SimpleNamespace(start=start))


def test_the_least_certain_moments_lie_apart():
    pairs = [(k, 0.1 + 0.001 * abs(k - 60)) for k in range(40, 80)] + [(150, 0.5), (170, 0.4), (199, 0.9), (5, 0.2)]
    found = least_certain(plan(), pairs)

    assert [entry["frame"] for entry in found] == [60, 47, 73, 5, 170]
    assert found[0]["time"] == pytest.approx(60 / 25)
    confidences = [entry["confidence"] for entry in found]
    assert confidences == sorted(confidences)


def test_of_a_short_film_there_are_as_many():
    assert [e["frame"] for e in least_certain(plan(6), [(k, 0.1 * k) for k in range(5)])] == [0, 1, 2, 3, 4]
    assert [e["frame"] for e in least_certain(plan(6), [(3, 0.3), (3, 0.3)])] == [3]
    assert least_certain(plan(6), []) == []


def test_statistics_remember_the_least_certain_pair_of_every_few():
    facts = Statistics()
    confidences = np.random.default_rng(0).random(400)
    for pair, confidence in enumerate(confidences):
        facts.record(pair, MotionReport(2, 1.0, 0.0, 1.0))
        facts.record(pair, MotionReport(4, 1.0, 0.0, float(confidence)))  # what is known at more times takes its place
    least = np.sort(confidences.reshape(-1, NEIGHBOURS).min(1))[:LEAST_CERTAIN]

    assert sorted(value for _, value in facts.uncertain) == pytest.approx(least)
    assert all(confidences[pair] == value for pair, value in facts.uncertain)


def test_of_few_pairs_all_are_remembered():
    facts = Statistics()
    for pair in range(6):
        facts.record(pair, MotionReport(2, 1.0, 0.0, 0.1 * pair))
    assert facts.uncertain == [(pair, 0.1 * pair) for pair in range(6)]


def test_a_model_without_an_estimate_has_none():
    facts = Statistics()
    facts.record(3, MotionReport(0, 1.0, 0.0, 0.0))
    assert facts.uncertain == []


def test_they_survive_in_the_journal_and_are_missing_in_old_ones(tmp_path):
    journal = Journal(tmp_path / "journal.json", {}, "x")
    journal.record(0, Done(3, "1", "a", uncertain=[(4, 0.25)]))
    assert Journal.load(journal.path).done[0].uncertain == [(4, 0.25)]

    old = json.loads(journal.path.read_text())
    del old["segments"]["0"]["uncertain"]
    journal.path.write_text(json.dumps(old))
    assert Journal.load(journal.path).done[0].uncertain == []


def test_json_lies_beside_the_page_and_replaces_nobodys_file(tmp_path):
    (tmp_path / "b.json").write_text('{"mine": 1}')
    for name in ("a", "b"):
        for _ in range(2):
            report.write(str(tmp_path / f"{name}.html"), [film()], (), "the command")

    assert json.loads((tmp_path / "a.json").read_text())["films"][0]["made"] == 40
    assert json.loads((tmp_path / "b.json").read_text()) == {"mine": 1}
    assert [path.name for path in tmp_path.glob("b*.json") if path.name != "b.json"] == ["b.report.json"]
    assert "b.report.json" in (tmp_path / "b.html").read_text()


def test_a_plain_report_is_json_alone(tmp_path):
    report.write(str(tmp_path / "a.json"), [film()], (), "the command")

    assert json.loads((tmp_path / "a.json").read_text())["command"] == "the command"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
