"""The figures of two pictures reach the page as they were printed, and replace their own section alone."""

from __future__ import annotations

import pytest

from benchmarks import pairs


def test_what_is_printed_stands_in_the_page(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(pairs, "stereo_table", lambda: ["stereo  median", "1/4  fit  0.148"])
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- pairs: begin -->\nold\n<!-- pairs: end -->\n\n## After\n")

    assert pairs.main(["--only", "stereo", "--page", str(page)]) == 0

    text = page.read_text()
    assert capsys.readouterr().out.strip() in text and "old" not in text and text.endswith("## After\n")
    assert "`python -m benchmarks.pairs --only stereo --page" in text


def test_a_table_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        pairs.main(["--only", "stero"])
    assert "no table 'stero'" in capsys.readouterr().err
