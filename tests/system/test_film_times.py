"""The end and the times of the source, from the command to the checked result."""

from __future__ import annotations

from fractions import Fraction as F
from pathlib import Path

import clips
import numpy as np
import pytest

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.index import index
from vfi_pipeline.media.probe import probe
from vfi_pipeline.media.reader import read_frames


def length(path: Path) -> tuple[int, F]:
    times = index(probe(path)).times
    return len(times), times.span


def remuxed(source: Path, target: Path, *options: str) -> Path:
    words = [*clips.ALWAYS, "-i", ffmpeg.file_url(source), "-map", "0", "-c", "copy", *options]
    ffmpeg.run([*words, ffmpeg.file_url(target)], f"making {target.name}")
    return target


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_last_picture_stays_as_long_as_it_did(good, tmp_path, suffix):
    film = clips.make_clip(tmp_path / "film.mp4", rate=24, frames=24, audio=("eng",), audio_duration=3)
    hold = "setts=duration=if(eq(N\\,23)\\,49/24/TB\\,DURATION)"
    remuxed(film, tmp_path / f"held{suffix}", "-bsf:v", hold)
    made = good(f"input=held{suffix}", "multi=2", "output=out.mp4", "report=r.json")
    assert "144 frames at 48 fps, 3.000 s, verified" in made.out
    shown = good(f"input=held{suffix}", "multi=2", "output=b.mp4", "dry_run=true").out
    assert "the last picture stays for 2.042 s" in shown and "0:00:03" in shown


def test_an_animation_keeps_its_last_delay(good, tmp_path):
    clips.gif_clip(tmp_path / "a.gif", [10] * 7 + [200])
    assert "54 frames at 20 fps, 2.700 s, verified" in good("input=a.gif", "multi=2").out
    clips.gif_clip(tmp_path / "long.gif", [10] * 7 + [2000])  # more than ten seconds
    assert "207 frames at 10 fps, 20.700 s" in good("input=long.gif", "multi=1", "output=b.gif").out


def test_one_wild_time_stamp_is_told_and_the_film_stays_a_second(good, tmp_path, caplog):
    film = clips.make_clip(tmp_path / "film.mkv", frames=25, audio=("eng",))
    remuxed(film, tmp_path / "wild.mkv", "-bsf:v", "setts=pts=if(eq(N\\,12)\\,PTS+40/TB\\,PTS)")
    good("input=wild.mkv", "multi=2", "codec=ffv1", "output=out.mkv")
    told = [record.getMessage() for record in caplog.records]
    assert "a time stamp is wrong: frame 12 is stamped 40.480 s, and is shown at 0.480 s" in told
    assert any("the time stamps span 40.520 s, the film that is planned 1.000 s" in line for line in told)
    assert length(tmp_path / "out.mkv") == (50, 1)
    assert clips.describe(tmp_path / "out.mkv")["md5"][::2] == clips.describe(film)["md5"]


def test_a_time_stamp_before_all_others_does_not_move_the_sound(good, tmp_path):
    film = clips.make_clip(tmp_path / "film.ts", frames=25, audio=("eng",), codec=["-c:v", "mpeg2video", "-bf", "0"])
    words = ["-copyts", "-bsf:v", "setts=pts=if(eq(N\\,12)\\,PTS+40/TB\\,PTS)", "-muxdelay", "0", "-muxpreload", "0"]
    remuxed(film, tmp_path / "wild.ts", *words)
    good("input=wild.ts", "multi=2", "output=out.mkv")
    before, after = probe(film), probe(tmp_path / "out.mkv")
    apart = [info.others[0].start - info.video.start for info in (before, after)]
    assert abs(apart[0] - apart[1]) < F(1, 20)


def test_a_last_picture_far_away_is_refused_with_two_remedies_that_work(command, good, tmp_path):
    film = clips.make_clip(tmp_path / "film.mkv", frames=25)
    remuxed(film, tmp_path / "lone.mkv", "-bsf:v", "setts=pts=if(eq(N\\,24)\\,PTS+40/TB\\,PTS)")
    refused = command("input=lone.mkv", "fps=25", "output=out.mkv")
    assert refused.code == 3 and "its last picture is stamped 40.960 s" in refused.err
    without, meant = (word.split("=")[1].rstrip(".,") for word in refused.err.split() if word.startswith("end="))
    good("input=lone.mkv", "fps=25", f"end={without}", "output=without.mkv")
    good("input=lone.mkv", "fps=25", f"end={meant}", "output=meant.mkv")
    assert length(tmp_path / "without.mkv") == (24, F(24, 25))
    assert length(tmp_path / "meant.mkv") == (1025, 41)


def soft_telecine(path: Path, frames: int = 48, step: int = 8) -> Path:
    """A bar that moves ``step`` px a frame, at 24000/1001, stamped as repeat_first_field shows it: 3, 2 fields."""
    size = (512, 64)
    data = bytearray()
    for n in range(frames):
        luma = np.full(size[::-1], 40, np.uint8)
        luma[:, 40 + step * n : 56 + step * n] = 220
        data += luma.tobytes() + bytes([128]) * (size[0] * size[1] // 2)
    command = [*clips.ALWAYS, "-f", "rawvideo", "-pixel_format", "yuv420p", "-video_size", f"{size[0]}x{size[1]}"]
    command += ["-framerate", "24000/1001", "-i", "pipe:0", "-c:v", "mpeg2video", "-qscale:v", "2", "-bf", "0"]
    command += ["-vf", "settb=1001/120000,setpts=2*(floor(N/2)*5+mod(N\\,2)*3)", "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "1001/120000", ffmpeg.file_url(path)]
    ffmpeg.run(command, "making soft telecine", stdin=bytes(data))
    return path


def bar(frame) -> float:
    """Where the bar's middle is."""
    weight = frame.planes[0].astype(float).mean(axis=0) - 40
    return float((weight * np.arange(weight.size)).sum() / weight.sum())


@pytest.mark.parametrize("name", ["soft.mkv", "soft.ts", "soft.mp4"])
def test_film_shown_in_fields_is_even_film(good, tmp_path, name, caplog):
    soft_telecine(tmp_path / name)
    good(f"input={name}", "fps=60", "output=out.mkv", "codec=ffv1")
    assert any("2:3 fields: taken as even film time at 23.976 fps" in record.getMessage() for record in caplog.records)
    with read_frames(probe(tmp_path / "out.mkv")) as frames:
        places = [bar(frame) for frame in frames]
    steps = np.diff(places[:-4])
    assert len(places) == 121 and abs(steps - 8 * 24000 / 1001 / 60).max() < 0.05
    good(f"input={name}", "multi=2", "output=double.mkv")
    info = probe(tmp_path / "double.mkv")
    assert info.video.rate == F(48000, 1001) and len(index(info).times) == 96


@pytest.mark.parametrize("suffix", [".mkv", ".ts"])
def test_a_wild_time_stamp_of_the_sound_is_named(good, tmp_path, caplog, suffix):
    film = clips.make_clip(tmp_path / "film.mp4", frames=50, audio=("eng",))
    move = "setts=ts=if(eq(N\\,40)\\,TS+40/TB\\,TS)"
    remuxed(film, tmp_path / f"wild{suffix}", "-bsf:a", move)
    good(f"input=wild{suffix}", "multi=2", "output=out.mkv", "model=hold")
    told = [record.getMessage() for record in caplog.records]
    assert any("its time stamps" in line and line.endswith("Try: audio=drop to leave it out") for line in told)
    good(f"input=wild{suffix}", "multi=2", "output=silent.mkv", "model=hold", "audio=drop")
    info = probe(tmp_path / "silent.mkv")
    assert info.others == () and info.duration is not None and info.duration < 3
