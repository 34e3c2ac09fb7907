"""Motion blur by the command: what is planned, made and refused."""

import json

import clips
import numpy as np
import pytest

from vfi_pipeline.media import probe
from vfi_pipeline.media.reader import read_frames


def pictures(path):
    with read_frames(probe.probe(path)) as frames:
        return list(frames)


def test_the_plan_says_that_copies_are_blurred_and_how(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="24", frames=12)
    plan = good("input=a.mkv", "fps=12", "shutter=180", "dry_run=true").out
    assert "copies of source frames too" in plan and "41.7 ms" in plan and "code values" in plan


def test_lowering_the_rate_averages_all_frames_that_the_shutter_sees(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="24", frames=16, content="noise")
    good("input=a.mkv", "fps=6", "shutter=360", "scene=off", "output=b.mkv", "codec=ffv1")  # model=blend
    source, made = pictures(tmp_path / "a.mkv"), pictures(tmp_path / "b.mkv")
    assert len(made) == 4
    # Four frames' time around frame 4, cross-faded: the trapezium rule.
    right = sum(w * source[k].planes[0].astype(float) for k, w in ((2, 0.5), (3, 1), (4, 1), (5, 1), (6, 0.5))) / 4
    assert np.abs(made[1].planes[0] - right).max() <= 1.5


def test_sound_and_length_stay_and_segments_change_nothing(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="24", frames=72, audio=("eng",))
    words = ("input=a.mkv", "fps=12", "shutter=270", "codec=ffv1")
    good(*words, "output=one.mkv")
    good(*words, "output=many.mkv", "segment=0.5", "report=r.json")
    assert clips.describe(tmp_path / "one.mkv")["md5"] == clips.describe(tmp_path / "many.mkv")["md5"]
    assert [s.kind for s in probe.probe(tmp_path / "many.mkv").others] == ["audio"]
    facts = json.loads((tmp_path / "r.json").read_text())["films"][0]
    assert facts["frames"] == 36 and any("motion blur" in note for note in facts["notes"])


def test_one_frame_at_a_moment_can_be_exposed(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="10", frames=6, content="noise", pix_fmt="gbrp")
    good("input=a.mkv", "at=0.2", "shutter=360", "scene=off", "output=one.png")
    source = [frame.planes[0].astype(float) for frame in pictures(tmp_path / "a.mkv")]
    from PIL import Image

    made = np.asarray(Image.open(tmp_path / "one.png"))[..., 1]
    right = 0.125 * source[1] + 0.75 * source[2] + 0.125 * source[3]
    assert np.abs(made - right).max() <= 1.5


@pytest.mark.parametrize("text", ["361", "-1", "fast", "1/0", "nan"])
def test_what_is_no_angle_is_refused(command, tmp_path, text):
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    result = command("input=a.mkv", "fps=60", f"shutter={text}")
    assert result.code == 2 and "angle of a shutter" in result.err and "shutter=180" in result.err


def test_off_is_off(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", rate="24", frames=4)
    good("input=a.mkv", "multi=2", "shutter=off", "output=b.mkv", "codec=ffv1")
    assert clips.describe(tmp_path / "b.mkv")["md5"][::2] == clips.describe(tmp_path / "a.mkv")["md5"]
