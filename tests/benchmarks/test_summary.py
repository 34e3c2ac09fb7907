"""The README's table: it holds what the runs' files hold, and replaces itself alone."""

import json

import pytest

from benchmarks import summary

RECORD = {
    "command": "python evaluate.py input=a",
    "means": [
        {"method": "flow", "rate": 2, "psnr": 31.925, "ssim": 0.92034},
        {"method": "blend", "rate": 2, "psnr": 25.65, "ssim": 0.71821},
        {"method": "flow", "rate": 8, "psnr": 24.591, "ssim": 0.7471},
    ],
}


def test_every_set_and_factor_is_a_row():
    rows = summary.summary({"unseen": RECORD}).splitlines()

    assert rows[0] == "| | | **ours** | cross-fade |"
    assert rows[2:4] == ["| unseen | 2x | 31.93 / 0.9203 | 25.65 / 0.7182 |", "| unseen | 8x | 24.59 / 0.7471 | - |"]
    assert rows[-1] == "    python evaluate.py input=a"


def test_the_page_keeps_its_other_words(tmp_path):
    page, results = tmp_path / "README.md", tmp_path / "results.json"
    page.write_text("# Title\n\n<!-- summary: begin -->\nold\n<!-- summary: end -->\n\n## After\n")
    results.write_text(json.dumps(RECORD))
    summary.main([str(page), f"unseen={results}"])

    text = page.read_text()
    assert text.startswith("# Title\n") and text.endswith("\n## After\n") and "old" not in text and "31.93" in text


def test_a_run_that_did_not_end_is_no_figure():
    with pytest.raises(ValueError, match="dev did not end"):
        summary.summary({"dev": {**RECORD, "unfinished": True}})
