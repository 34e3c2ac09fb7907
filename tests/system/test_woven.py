"""Interlaced and telecined films, from the command to the checked result."""

from __future__ import annotations

from fractions import Fraction as F

import clips
import numpy as np
import pytest
from weaving import fields_of, film, telecined, woven, write

from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


def lumas(path):
    with read_frames(probe(path)) as frames:
        return [frame.planes[0].astype(float) for frame in frames]


def told(caplog):
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("word", ["deinterlace=auto", "deinterlace=on"])
def test_true_fields_are_one_picture_each(good, tmp_path, word, caplog):
    pictures = film(48)
    write(tmp_path / "tv.mkv", woven(pictures, fields_of(24)), "25", "tff")
    good("input=tv.mkv", "fps=50", word, "codec=ffv1", "output=out.mkv")
    made = lumas(tmp_path / "out.mkv")
    assert len(made) == 48
    assert all(np.abs(a - b).mean() < 2 for a, b in zip(made, pictures))
    assert any(line.startswith("interlaced: one picture per field, the top one first, 50 per") for line in told(caplog))
    good("input=tv.mkv", "multi=2", word, "output=double.mkv")
    info = probe(tmp_path / "double.mkv")
    assert info.video.rate == 100 and len(index(info).times) == 96


def test_a_wrong_claim_of_the_field_order_is_no_claim(good, tmp_path):
    pictures = film(48)
    write(tmp_path / "tv.mkv", woven(pictures, fields_of(24), top_first=False), "25", "tff")
    good("input=tv.mkv", "fps=50", "codec=ffv1", "output=out.mkv")
    assert all(np.abs(a - b).mean() < 2 for a, b in zip(lumas(tmp_path / "out.mkv"), pictures))


@pytest.mark.parametrize("word", ["deinterlace=auto", "deinterlace=on", "deinterlace=off", "deinterlace=false"])
def test_progressive_film_in_an_interlaced_stream_is_taken_as_it_is(good, tmp_path, word):
    source = write(tmp_path / "psf.mkv", film(25), "25", "tff")
    assert probe(source).video.interlaced
    good("input=psf.mkv", "multi=2", word, "codec=ffv1", "output=out.mkv")
    before, after = clips.describe(source)["md5"], clips.describe(tmp_path / "out.mkv")["md5"]
    assert after[::2] == before and len(after) == 50


def test_off_means_off(good, tmp_path):
    source = write(tmp_path / "tv.mkv", woven(film(48), fields_of(24)), "25", "tff")
    good("input=tv.mkv", "multi=2", "--no-deinterlace", "codec=ffv1", "output=out.mkv")
    assert clips.describe(tmp_path / "out.mkv")["md5"][::2] == clips.describe(source)["md5"]


def test_combed_film_that_claims_nothing_is_told_with_remedies_that_work(command, good, tmp_path):
    pictures = film(48)
    source = write(tmp_path / "tv.mkv", woven(pictures, fields_of(24)), "25")
    refused = command("input=tv.mkv", "fps=50", "output=out.mkv")
    assert refused.code == 3 and "is interlaced, though it does not say so" in refused.err
    assert "deinterlace=on" in refused.err and "deinterlace=off" in refused.err
    good("input=tv.mkv", "fps=50", "deinterlace=on", "codec=ffv1", "output=out.mkv")
    assert all(np.abs(a - b).mean() < 2 for a, b in zip(lumas(tmp_path / "out.mkv"), pictures))
    good("input=tv.mkv", "fps=50", "deinterlace=off", "codec=ffv1", "output=as.mkv")
    assert clips.describe(tmp_path / "as.mkv")["md5"][::2] == clips.describe(source)["md5"]


@pytest.mark.parametrize("flagged", [None, "tff", "bff"])
@pytest.mark.parametrize("word", ["deinterlace=auto", "deinterlace=film"])
def test_hard_pulldown_is_film_again(good, tmp_path, flagged, word, caplog):
    pictures = film(64)
    write(tmp_path / "tc.mkv", woven(pictures, telecined(64)), "30000/1001", flagged)
    good("input=tc.mkv", "multi=1", word, "codec=ffv1", "output=out.mp4", "segment=0.7")
    made = lumas(tmp_path / "out.mp4")
    info = probe(tmp_path / "out.mp4")
    assert info.video.rate == F(24000, 1001) and len(made) == 64
    assert all(np.array_equal(a, b) for a, b in zip(made[1:-1], pictures[1:-1]))
    assert any("one frame in 5 left out as a repetition" in line for line in told(caplog))
    good("input=tc.mkv", "multi=2", word, "output=double.mp4")
    double = probe(tmp_path / "double.mp4")
    assert double.video.rate == F(48000, 1001) and len(index(double).times) == 128


def test_segments_of_fields_are_what_the_whole_is(good, tmp_path):
    write(tmp_path / "tv.mkv", woven(film(96), fields_of(48)), "25", "tff")
    good("input=tv.mkv", "multi=2", "codec=ffv1", "output=whole.mkv")
    good("input=tv.mkv", "multi=2", "codec=ffv1", "segment=0.3", "output=parts.mkv")
    good("input=tv.mkv", "multi=2", "codec=ffv1", "start=0.6", "end=1.2", "output=cut.mkv")
    whole, parts, cut = (clips.describe(tmp_path / f"{name}.mkv")["md5"] for name in ("whole", "parts", "cut"))
    assert whole == parts and cut == whole[60:120]


def test_another_word_is_told(command, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    refused = command("input=a.mkv", "multi=2", "deinterlace=bob")
    assert refused.code == 2 and "deinterlace=auto (looks), on (one picture per field)" in refused.err
