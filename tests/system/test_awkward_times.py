"""Films with awkward clocks and streams, from the command to the checked result."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import clips
import pytest
from outputs import packet_times

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe

TS = ["-c:v", "mpeg2video", "-bf", "0", "-q:v", "2"]
JOB = ("multi=2", "model=hold")


def copied(source: Path, target: Path, *options: str) -> Path:
    words = [*clips.ALWAYS, "-copyts", "-i", ffmpeg.file_url(source), "-map", "0", "-c", "copy", *options]
    ffmpeg.run([*words, ffmpeg.file_url(target)], f"making {target.name}")
    return target


def length(path: Path) -> tuple[int, Fraction]:
    times = index(probe(path)).times
    return len(times), times.span


def test_a_clock_that_wraps_in_the_middle(command, tmp_path):
    """MPEG-TS counts 33 bits of 1/90000 s: after 26.5 hours it starts anew."""
    wrap = 2**33 / 90000
    plain = clips.make_clip(tmp_path / "plain.ts", frames=50, codec=TS, audio=("eng",))
    words = ["-output_ts_offset", f"{wrap - 1:.3f}", "-muxdelay", "0", "-muxpreload", "0"]
    film = copied(plain, tmp_path / "wraps.ts", *words)
    raw = [int(stamp) for stamp in clips.describe(film)["pts"]]
    assert len(raw) == 50
    made = command("input=wraps.ts", *JOB, "output=out.mkv")
    assert made.code == 0, made.err
    assert length(tmp_path / "out.mkv") == (100, Fraction(2))
    video, audio = packet_times(tmp_path / "out.mkv"), packet_times(tmp_path / "out.mkv", "audio")
    before = packet_times(plain)[0] - packet_times(plain, "audio")[0]
    assert abs((video[0] - audio[0]) - before) < Fraction(1, 25)
    assert abs(audio[-1] - video[-1]) < Fraction(1, 5)


def test_stamps_before_zero(command, tmp_path):
    plain = clips.make_clip(tmp_path / "plain.mkv", frames=10, audio=("eng",))
    early = ["-output_ts_offset", "-0.2", "-avoid_negative_ts", "disabled"]
    copied(plain, tmp_path / "early.mkv", *early)
    assert probe(tmp_path / "early.mkv").video.start < 0
    assert command("input=early.mkv", *JOB, "output=out.mkv", "codec=ffv1").code == 0
    assert length(tmp_path / "out.mkv") == (20, Fraction(2, 5))
    assert clips.describe(tmp_path / "out.mkv")["md5"][::2] == clips.describe(plain)["md5"]


def test_frames_that_last_no_time_at_all(command, tmp_path):
    """Two frames with one time stamp: the first is shown, the second never is."""
    plain = clips.make_clip(tmp_path / "plain.mkv", frames=10, content="noise")
    still = "setts=ts=if(eq(N\\,4)\\,TS-40\\,TS)"
    copied(plain, tmp_path / "twice.mkv", "-bsf:v", still)
    assert command("input=twice.mkv", *JOB, "output=out.mkv", "codec=ffv1").code == 0
    source, made = clips.describe(plain)["md5"], clips.describe(tmp_path / "out.mkv")["md5"]
    assert len(made) == 20
    assert source[3] in made and source[4] not in made and source[5] in made


def test_no_stamps_at_all(command, tmp_path):
    """A raw stream has no clock: frames are counted at its nominal rate."""
    film = clips.make_clip(tmp_path / "a.mp4", frames=12, codec=["-c:v", "libx264", "-preset", "ultrafast"])
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), "-map", "0:v", "-c", "copy", "-f", "h264"]
    ffmpeg.run([*words, ffmpeg.file_url(tmp_path / "a.h264")], "making a raw stream")
    assert command("input=a.h264", *JOB, "output=out.mkv").code == 0
    assert length(tmp_path / "out.mkv") == (24, Fraction(12, 25))


def test_a_picture_that_changes_its_size_is_refused_with_the_time_and_the_way_round(command, tmp_path):
    few = {"frames": 25, "codec": TS}
    parts = [clips.make_clip(tmp_path / f"{w}.ts", size=(w, 48), **few).read_bytes() for w in (64, 96)]
    (tmp_path / "both.ts").write_bytes(b"".join(parts))
    refused = command("input=both.ts", *JOB, "output=out.mkv")
    assert refused.code == 3 and "the picture changes from 64x48" in refused.err and "end=" in refused.err
    assert not (tmp_path / "out.mkv").exists()
    end = refused.err.split("end=")[1].split()[0]
    made = command("input=both.ts", *JOB, f"end={end}", "output=out.mkv", "resume=false")
    assert made.code == 0, made.err
    assert 44 <= length(tmp_path / "out.mkv")[0] <= 48  # what leads to the first frame of another size is left out


def test_the_stream_that_is_asked_for(command, tmp_path):
    clips.make_clip(tmp_path / "small.mkv", frames=6, size=(32, 24))
    clips.make_clip(tmp_path / "large.mkv", frames=6, size=(64, 48), audio=("eng",))
    words = [*clips.ALWAYS]
    for name in ("small.mkv", "large.mkv"):
        words += ["-i", ffmpeg.file_url(tmp_path / name)]
    words += ["-map", "0:v", "-map", "1", "-c", "copy", ffmpeg.file_url(tmp_path / "two.mkv")]
    ffmpeg.run(words, "joining streams")
    for choice, size in ((("stream=0",), (32, 24)), (("stream=1",), (64, 48))):
        assert command("input=two.mkv", *JOB, *choice, "output=out.mkv", "overwrite=true").code == 0
        video = probe(tmp_path / "out.mkv").video
        assert (video.width, video.height) == size
    wrong = command("input=two.mkv", *JOB, "stream=2", "output=other.mkv")
    assert (
        wrong.code == 2 and "type audio" in wrong.err and "stream=0 or stream=1, of 0 (32x24), 1 (64x48)" in wrong.err
    )


@pytest.mark.parametrize("what", ["sound", "cover"])
def test_no_moving_pictures(command, tmp_path, what):
    film = clips.make_clip(tmp_path / "film.mp4", frames=5, audio=("eng",), cover=True)
    keep = ["-map", "0:a"] + (["-map", "0:v:1", "-disposition:v:0", "attached_pic"] if what == "cover" else [])
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(film), *keep, "-c", "copy", ffmpeg.file_url(tmp_path / "a.m4a")]
    ffmpeg.run(words, "leaving the film out")
    refused = command("input=a.m4a", *JOB, "output=out.mkv")
    assert refused.code == 3 and ("only a cover picture" if what == "cover" else "only audio") in refused.err
    assert not (tmp_path / "out.mkv").exists()


def test_a_cut_off_file_is_refused_with_the_time_or_used_as_far_as_it_goes(command, tmp_path):
    film = clips.make_clip(tmp_path / "a.mp4", frames=40, content="noise", extra=["-movflags", "+faststart"])
    film.write_bytes(film.read_bytes()[: int(film.stat().st_size * 0.55)])
    refused = command("input=a.mp4", *JOB, "output=out.mkv")
    assert refused.code == 3 and "is damaged from 0." in refused.err and "allow_damaged=true" in refused.err
    breaks = Fraction(refused.err.split("from ")[1].split(" s on")[0])
    assert command("input=a.mp4", *JOB, "output=out.mkv", "allow_damaged=true").code == 0
    count, span = length(tmp_path / "out.mkv")
    assert abs(span - breaks) < Fraction(1, 500) and count == round(span * 50)
