"""The command from end to end: what comes in, what comes out."""

from __future__ import annotations

import json
import os
from fractions import Fraction as F
from pathlib import Path

import clips
import numpy as np
import pytest

from vfi_pipeline.media import ffmpeg, probe
from vfi_pipeline.media.index import index
from vfi_pipeline.media.reader import read_frames


def facts(path):
    """(SourceInfo, presentation times) of an output."""
    info = probe.probe(path)
    return info, index(info).times


def pictures(path):
    """All frames of an output."""
    with read_frames(probe.probe(path)) as frames:
        return list(frames)


def leftovers(folder: Path):
    return [path.name for path in folder.rglob("*") if "vfi-work" in path.name or path.name in (".hydra", "outputs")]


# ------------------------------------------------------------------------------------------------------ timing


def test_film_rate_becomes_sixty_and_keeps_its_duration(good, tmp_path):
    clips.make_clip(tmp_path / "film.mp4", rate="24000/1001", frames=24, audio=("eng",))
    result = good("input=film.mp4", "fps=60")
    info, times = facts(tmp_path / "film_60fps.mp4")
    assert info.video.rate == 60 and len(times) == 61  # 1.001 s x 60, and what has started is shown
    assert [times.time(k) - times.first for k in (1, 60)] == [F(1, 60), F(1)]
    assert "61 frames at 60 fps" in result.out and "verified" in result.out
    assert leftovers(tmp_path) == []


def test_doubling_copies_every_source_frame_bit_for_bit(good, tmp_path):
    source = clips.make_clip(tmp_path / "a.mkv", rate="24", frames=9)
    good("input=a.mkv", "multi=2", "codec=ffv1", "output=b.mkv")
    before, after = clips.describe(source)["md5"], clips.describe(tmp_path / "b.mkv")["md5"]
    assert len(after) == 18
    assert after[::2] == before
    assert after[17] == before[8]  # the last frame is held for its own duration
    assert not set(after[1:17:2]) & set(before)


def test_variable_rate_comes_out_even(good, tmp_path):
    source = clips.vfr_clip(tmp_path / "phone.mp4")
    good("input=phone.mp4", "fps=60")
    span = index(probe.probe(source)).times.span
    _, times = facts(tmp_path / "phone_60fps.mp4")
    assert {times.pts[k + 1] - times.pts[k] for k in range(len(times) - 1)} == {1 / (60 * times.time_base)}
    assert span <= times.span < span + F(1, 60)


def test_a_lower_rate(good, tmp_path):
    clips.make_clip(tmp_path / "a.mp4", rate=30, frames=30)
    good("input=a.mp4", "fps=25")
    info, times = facts(tmp_path / "a_25fps.mp4")
    assert info.video.rate == 25 and len(times) == 25


@pytest.mark.parametrize(("audio", "streams"), [("drop", 0), ("stretch", 1), ("silence", 1)])
def test_slow_motion_lasts_longer_and_the_sound_as_asked(good, tmp_path, audio, streams):
    clips.make_clip(tmp_path / "a.mp4", rate=25, frames=10, audio=("eng",))
    good("input=a.mp4", "slowmo=4", f"audio={audio}")
    info, times = facts(tmp_path / "a_slow4x.mp4")
    assert info.video.rate == 25 and len(times) == 40
    sound = [stream for stream in info.others if stream.kind == "audio"]
    assert len(sound) == streams
    assert all(abs(stream.duration - F(8, 5)) < F(1, 10) for stream in sound)


def test_a_trim_starts_and_ends_where_asked(good, tmp_path):
    source = clips.make_clip(tmp_path / "a.mkv", rate=25, frames=25, audio=("eng",))
    good("input=a.mkv", "multi=2", "start=0.2", "end=0:00:00.6", "codec=ffv1", "output=b.mkv")
    before, after = clips.describe(source)["md5"], clips.describe(tmp_path / "b.mkv")["md5"]
    assert after[::2] == before[5:15] and len(after) == 20


# ----------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize(
    ("pix_fmt", "size"),
    [
        ("yuv420p10le", (64, 48)),
        ("yuv422p10le", (64, 48)),
        ("yuv444p", (63, 47)),
        ("gray", (64, 48)),
        ("gbrp", (50, 38)),
    ],
)
def test_formats_and_odd_sizes_stay(good, tmp_path, pix_fmt, size):
    source = clips.make_clip(tmp_path / "a.mkv", frames=5, pix_fmt=pix_fmt, size=size)
    good("input=a.mkv", "multi=2", "codec=ffv1")
    info, _ = facts(tmp_path / "a_50fps.mkv")
    assert (info.video.width, info.video.height) == size
    assert info.video.working_format == probe.probe(source).video.working_format == pix_fmt
    assert clips.describe(tmp_path / "a_50fps.mkv")["md5"][::2] == clips.describe(source)["md5"]


def test_ten_bit_stays_ten_bit_with_the_default_codec(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=5, pix_fmt="yuv420p10le", content="ramp", size=(1024, 16))
    good("input=a.mkv", "multi=2", "output=b.mp4")
    frame = pictures(tmp_path / "b.mp4")[1]
    assert frame.format.name == "yuv420p10le"
    assert len(np.unique(frame.planes[0])) > 256


def test_grey_stays_the_same_grey_in_made_frames(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=4, content="grey")
    good("input=a.mkv", "multi=3", "codec=ffv1")
    means = [frame.planes[0].mean() for frame in pictures(tmp_path / "a_75fps.mkv")]
    assert max(means) == min(means) == 128


def test_rotation_and_sample_aspect_are_kept(good, tmp_path):
    clips.make_clip(tmp_path / "phone.mp4", frames=4, rotation=90, sample_aspect="4/3")
    good("input=phone.mp4", "multi=2")
    info, _ = facts(tmp_path / "phone_50fps.mp4")
    assert (info.video.width, info.video.height, info.video.rotation) == (64, 48, 90)
    assert info.video.sample_aspect == F(4, 3)


def test_no_made_frame_mixes_two_shots(good, tmp_path):
    clips.cut_clip(tmp_path / "cuts.mkv", shot=8, shots=3)
    result = good("input=cuts.mkv", "multi=4", "codec=ffv1", "output=out.mkv")
    levels = [int(np.median(frame.planes[0])) for frame in pictures(tmp_path / "out.mkv")]
    assert sorted(set(levels)) == [40, 60, 210]
    assert [levels.index(level) for level in (40, 210, 60)] == [0, 32, 64]
    found = json.loads((tmp_path / "out.cuts.json").read_text())
    assert [cut["frame"] for cut in found["cuts"]] == [8, 16]
    assert "2 cuts found" in result.out

    # The list, edited, is what counts the next time; without it and without looking, shots are mixed.
    found["cuts"] = found["cuts"][:1]
    (tmp_path / "edited.json").write_text(json.dumps(found))
    good("input=cuts.mkv", "multi=4", "codec=ffv1", "output=edited.mkv", "cuts=edited.json")
    levels = [int(np.median(frame.planes[0])) for frame in pictures(tmp_path / "edited.mkv")]
    assert 210 < max(levels[28:32]) + 200 and set(levels[29:32]) == {40}
    assert len(set(levels[60:64])) == 4
    good("input=cuts.mkv", "multi=4", "codec=ffv1", "output=mixed.mkv", "--no-scene")
    assert len({int(np.median(frame.planes[0])) for frame in pictures(tmp_path / "mixed.mkv")}) > 6


def test_a_cut_may_be_blended(good, tmp_path):
    clips.cut_clip(tmp_path / "cuts.mkv", shot=8, shots=2)
    good("input=cuts.mkv", "multi=2", "codec=ffv1", "cut=blend", "output=out.mkv")
    levels = [int(np.median(frame.planes[0])) for frame in pictures(tmp_path / "out.mkv")]
    assert levels[14:17] == [40, 125, 210]


def test_film_on_twos_is_retimed(good, tmp_path):
    clips.duplicated_clip(tmp_path / "twos.mkv", frames=8, each=2)
    good("input=twos.mkv", "multi=1", "codec=ffv1", "dedup=on", "output=out.mkv")
    after = clips.describe(tmp_path / "out.mkv")["md5"]
    before = clips.describe(tmp_path / "twos.mkv")["md5"]
    assert len(after) == len(before) == 16
    assert after[0:14:2] == before[0:14:2]
    assert not set(after[1:14:2]) & set(before)  # every repeat became an in-between


def test_a_mask_keeps_what_is_under_it(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3, pix_fmt="gray")
    from PIL import Image

    mask = np.zeros((48, 64), np.uint8)
    mask[:, :32] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    good("input=a.mkv", "multi=2", "codec=ffv1", "mask=mask.png", "output=out.mkv")
    first, made, *_ = (frame.planes[0] for frame in pictures(tmp_path / "out.mkv"))
    assert (made[:, :30] == first[:, :30]).all()
    assert (made[:, 34:] != first[:, 34:]).any()


# ------------------------------------------------------------------------------------------------ everything else


def test_sound_subtitles_chapters_and_tags_come_along(good, tmp_path):
    clips.full_clip(tmp_path / "film.mkv")
    good("input=film.mkv", "fps=60")
    info, _ = facts(tmp_path / "film_60fps.mkv")
    kinds = [(stream.kind, stream.language) for stream in info.others]
    assert kinds == [("audio", "eng"), ("audio", "ger"), ("subtitle", "eng"), ("subtitle", "fre")]
    assert info.chapters == 3
    assert {key.lower(): value for key, value in info.tags.items()}["title"] == "A film"


def test_what_a_container_cannot_hold_is_named_before_the_work(command, tmp_path):
    clips.make_clip(tmp_path / "film.mkv", frames=5, font=True)
    result = command("input=film.mkv", "multi=2", "output=film.mp4", "dry_run=true")
    assert result.code == 0 and result.out.count("attachment 1") == 1
    assert not (tmp_path / "film.mp4").exists()


def test_losses_are_told_before_the_work_and_chapters_that_are_kept_are_none(good, tmp_path, caplog):
    clips.make_clip(tmp_path / "film.mkv", frames=5, font=True, chapters=2)
    good("input=film.mkv", "multi=2", "output=film.mp4")
    told = [record.getMessage() for record in caplog.records]
    assert "LOST" in told[0] and "attachment" in told[0] and ".mkv" in told[0]
    assert not any("chapters" in line for line in told)

    shown = good("input=film.mkv", "multi=2", "output=b.mkv", "dry_run=true").out
    assert shown.count("2 chapters") == 1


def test_images_in_and_images_out(good, tmp_path):
    clips.make_pictures(tmp_path / "shots", frames=11, pattern="im{n}.png")  # im2 before im10
    good("input=shots", "input_fps=24", "multi=2", "output=smooth/%05d.png")
    made = sorted((tmp_path / "smooth").iterdir())
    assert [path.name for path in made] == [f"{n:05d}.png" for n in range(1, 23)]
    from PIL import Image

    for n in range(11):
        source = np.asarray(Image.open(tmp_path / "shots" / f"im{n + 1}.png"))
        assert (np.asarray(Image.open(made[2 * n])) == source).all()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("given", ["shots/im%d.png", "shots/im*.png", "shots"])
def test_image_sequences_by_pattern_glob_or_folder(good, tmp_path, given):
    clips.make_pictures(tmp_path / "shots", frames=3, pattern="im{n}.png")
    good(f"input={given}", "fps=50", "output=out.mkv", "codec=ffv1")
    assert len(index(probe.probe(tmp_path / "out.mkv")).times) == 6


def test_two_stills_become_a_film(good, tmp_path):
    clips.make_pictures(tmp_path, frames=2, pattern="still{n}.png")
    good("still2.png", "still1.png", "multi=4", "output=out.mkv", "codec=ffv1", "scene=off")
    frames = pictures(tmp_path / "out.mkv")
    assert len(frames) == 8
    g, b, r = clips.planes(1, clips.SIZE, "gbrp", "motion")
    assert (frames[0].planes[0] == g).all()  # in the order given


def test_gif_stays_a_gif(good, tmp_path):
    clips.gif_clip(tmp_path / "a.gif")
    good("input=a.gif", "fps=20")
    info, times = facts(tmp_path / "a_20fps.gif")
    assert info.container == "gif"
    assert abs(times.span - F(45, 100)) <= F(1, 20)


# -------------------------------------------------------------------------------------------------------- names

NAMES = [
    "with space.mkv", "quote'd \"name\".mkv", "ünï 视频 ☃.mkv", "-dash.mkv", "a=b,c[1]{x}$HOME;`id`.mkv",
    "100%d%05d done.mkv",
    "concat:a|b.mkv", "file:x.mkv", "line\nbreak.mkv", "line\r\nbreak #1?'.mkv",
    "~tilde.mkv", "#x.mkv", "*.mkv", "null", "${x}.mkv",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_any_name_is_only_a_name(good, tmp_path, name):
    clips.make_clip(tmp_path / "plain.mkv", frames=2).rename(tmp_path / name)
    good(f"input={name}", "multi=2", f"output=out {name}.mkv")
    assert sorted(os.listdir(tmp_path)) == sorted([name, f"out {name}.mkv"])
    assert len(clips.describe(tmp_path / f"out {name}.mkv")["md5"]) == 4


def test_paths_are_relative_to_where_the_user_stands(good, tmp_path, monkeypatch):
    (tmp_path / "far" / "away").mkdir(parents=True)
    clips.make_clip(tmp_path / "far" / "a.mkv", frames=2)
    monkeypatch.chdir(tmp_path / "far" / "away")
    good("input=../a.mkv", "multi=2", "output=new/", "name={stem}-{multi}x-{model}.{ext}", "model=blend")
    assert os.listdir(tmp_path / "far" / "away") == ["new"]
    assert os.listdir("new") == ["a-2x-blend.mkv"]


# --------------------------------------------------------------------------------------------- batches and plans


def test_in_a_batch_one_failure_does_not_stop_the_rest(command, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mkv", "c.mkv"):
        clips.make_clip(tmp_path / "in" / name, frames=2)
    (tmp_path / "in" / "b.mp4").write_text("no film")
    (tmp_path / "in" / "notes.txt").write_text("ignored")
    result = command("input=in", "multi=2", "output=out/")
    assert result.code == 3
    assert sorted(os.listdir(tmp_path / "out")) == ["a_50fps.mkv", "c_50fps.mkv"]
    assert "3 films: 2 done, 0 skipped, 1 failed" in result.out and "failed   b.mp4" in result.out
    again = command("input=in", "multi=2", "output=out/")
    assert again.code == 3 and "0 done, 2 skipped, 1 failed" in again.out


def test_two_inputs_that_would_share_a_name_are_told(command, tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        clips.make_clip(tmp_path / folder / "a.mkv", frames=2)
    result = command("x/a.mkv", "y/a.mkv", "multi=2", "output=out/")
    assert result.code == 2 and "would both become" in result.out


def test_a_dry_run_tells_the_plan_and_writes_nothing(good, tmp_path):
    clips.full_clip(tmp_path / "film.mkv")
    result = good("input=film.mkv", "fps=60", "dry_run=true", "segment=0.25")
    assert os.listdir(tmp_path) == ["film.mkv"]
    for text in ("61 frames", "segments  4; 0 done, 4 left", "audio", "subtitle", "disk", "film_60fps.mkv"):
        assert text in result.out


def test_a_benchmark_writes_nothing(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=4)
    result = good("input=a.mkv", "multi=2", "benchmark=true")
    assert os.listdir(tmp_path) == ["a.mkv"]
    assert "frames/s" in result.out


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("multi=2",), 2, "No input"),
        (("input=a.mkv",), 2, "How smooth"),
        (("input=a.mkv", "fps=60", "multi=2"), 2, "both given"),
        (("input=a.mkv", "fps=fast"), 2, "is not a frame rate"),
        (("input=a.mkv", "multi=2", "crf=x"), 2, "crf=x"),
        (("input=a.mkv", "multi=2", "codec=nosuch"), 2, "nosuch"),
        (("input=a.mkv", "multi=2", "modle=fit"), 2, "model"),
        (("input=a.mkv", "multi=2", "model=fitt"), 2, "no model 'fitt'"),
        (("input=a.mkv", "multi=2", "model=blend", "model.steps=3"), 2, "no setting"),
        (("input=a.mkv", "multi=2", "output=a.mkv", "overwrite=true"), 2, "is the input"),
        (("input=a.mkv", "multi=2", "output=soft.mkv", "overwrite=true"), 2, "is the input"),
        (("input=a.mkv", "multi=2", "output=hard.mkv", "overwrite=true"), 2, "is the input"),
        (("input=a.mkv", "multi=2", "output=there.mkv"), 4, "exists already"),
        (("input=a.mkv", "multi=2", "output=nowhere/b.mkv"), 4, "does not exist"),
        (("input=a.mkv", "multi=2", "output=b"), 2, "no ending"),
        (("input=a.mkv", "multi=2", "output=b.xyz"), 2, "xyz"),
        (("input=a.mkv", "multi=2", "output=b.png"), 2, "cannot all be called"),
        (("input=a.mkv", "multi=2", "start=9"), 2, "ends at"),
        (("input=a.mkv", "multi=2", "start=1", "end=0.5"), 2, "not after the start"),
        (("input=a.mkv", "multi=2", "cuts=none.json"), 3, "none.json"),
        (("input=a.mkv", "multi=2", "cuts=a.mkv"), 3, "not JSON"),
        (("input=a.mkv", "multi=2", "mask=none.png"), 3, "none.png"),
        (("input=a.mkv", "multi=2", "stream=7"), 2, "stream"),
        (("input=a.mkv", "multi=2", "max_pixels=100"), 3, "max_pixels"),
        (("input=a.mkv", "multi=2", "device=cuda:99"), 4, "cuda:99"),
        (("input=a.mkv", "multi=2", "audio=stretch"), 2, "slow motion"),
        (("input=a.mkv", "multi=2", "weights=x.safetensors"), 2, "takes no weights"),
        (("input=a.mkv", "multi=2", "name={film}.mkv"), 2, "template"),
        (("input=aa.mkv", "multi=2"), 3, "did you mean a.mkv"),
        (("input=text.mp4", "multi=2"), 3, "text.mp4"),
        (("input=empty.mp4", "multi=2"), 3, "empty"),
        (("input=nothing", "multi=2"), 3, "neither videos nor images"),
        (("input=https://example.com/a.mp4", "multi=2"), 3, "download it first"),
    ],
    ids=lambda value: "-".join(value)[:60] if isinstance(value, tuple) else "",
)
def test_every_mistake_gets_its_message_and_code(command, tmp_path, words, code, message):
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    (tmp_path / "soft.mkv").symlink_to("a.mkv")
    (tmp_path / "hard.mkv").hardlink_to(tmp_path / "a.mkv")
    (tmp_path / "there.mkv").write_text("keep me")
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "nothing").mkdir()
    before = sorted(os.listdir(tmp_path))
    result = command(*words)
    assert (result.code, sorted(os.listdir(tmp_path))) == (code, before), result.err
    assert message in result.err
    assert result.err.startswith("error: ") and "\n  Try: " in result.err
    assert (tmp_path / "there.mkv").read_text() == "keep me"


def test_overwriting_is_done_when_asked(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    (tmp_path / "b.mkv").write_text("old")
    good("input=a.mkv", "multi=2", "output=b.mkv", "overwrite=true")
    assert len(clips.describe(tmp_path / "b.mkv")["md5"]) == 6


def test_a_disk_that_is_too_full_is_told_before_the_start(command, tmp_path, monkeypatch):
    from vfi_pipeline.jobs import space

    clips.make_clip(tmp_path / "a.mkv", frames=3)
    monkeypatch.setattr(space, "free_bytes", lambda folder: 1000)
    result = command("input=a.mkv", "multi=2")
    assert result.code == 4 and "are free" in result.err and "check_space=off" in result.err
    assert command("input=a.mkv", "multi=2", "check_space=off").code == 0


def test_memory_that_runs_out_is_told(command, tmp_path, monkeypatch):
    from vfi_pipeline.jobs import local

    clips.make_clip(tmp_path / "a.mkv", frames=3)

    def starved(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")

    monkeypatch.setattr(local, "interpolate_segments", starved)
    result = command("input=a.mkv", "multi=2")
    assert result.code == 4 and "scale=0.5" in result.err
    assert os.listdir(tmp_path) == ["a.mkv"]


def test_a_bug_in_one_film_of_a_batch_leaves_the_others_their_turn(good, command, tmp_path, monkeypatch):
    from vfi_pipeline.jobs import batch

    for name in ("a.mkv", "b.mkv"):
        clips.make_clip(tmp_path / name, frames=2)
    real = batch.prepare
    monkeypatch.setattr(batch, "prepare", lambda film, *rest: 1 / 0 if film.stem == "a" else real(film, *rest))
    result = command("a.mkv", "b.mkv", "multi=2")
    assert result.code == 1 and "ZeroDivisionError" in result.out
    assert (tmp_path / "b_50fps.mkv").exists()


def test_a_stopped_batch_that_overwrites_goes_on_behind_what_it_had_made(command, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.mkv", "c.mkv"):
        clips.make_clip(tmp_path / "in" / name, frames=2)
    (tmp_path / "in" / "b.mp4").write_text("no film")
    words = ("input=in", "multi=2", "output=out/", "overwrite=true")
    assert "2 done, 0 skipped, 1 failed" in command(*words).out
    assert "0 done, 2 skipped, 1 failed" in command(*words).out
    assert "2 done, 0 skipped, 1 failed" in command(*words, "crf=20").out  # other settings

    (tmp_path / "in" / "b.mp4").unlink()
    assert "0 done, 2 skipped, 0 failed" in command(*words, "crf=20").out
    assert "2 done, 0 skipped, 0 failed" in command(*words, "crf=20").out  # the batch before was complete
    assert sorted(os.listdir(tmp_path / "out")) == ["a_50fps.mkv", "c_50fps.mkv"]


def test_the_report_holds_the_figures_of_every_film(command, tmp_path):
    (tmp_path / "in").mkdir()
    clips.make_clip(tmp_path / "in" / "a.mkv", frames=4, audio=("eng",))
    (tmp_path / "in" / "b.mp4").write_text("no film")
    command("input=in", "multi=2", "output=out/", "report=r.json", "model=flow")
    done, failed = json.loads((tmp_path / "r.json").read_text())["films"]

    assert (done["state"], done["frames"], done["copied"], done["made"], done["held"]) == ("done", 8, 5, 3, 0)
    assert done["output"] == str(tmp_path / "out" / "a_50fps.mkv") and done["rate"] == "50"
    assert done["nfe_per_pair"] == 4 and done["min_det"] > 0 == done["folded"] and 0 < done["confidence"] <= 1
    assert done["cuts"] == [] and done["lost"] == [] and "copied" in done["streams"][0]
    assert failed["state"] == "failed" and "b.mp4" in failed["problem"]

    command("in/a.mkv", "multi=2", "output=c.mkv", "report=r.json")
    (only,) = json.loads((tmp_path / "r.json").read_text())["films"]
    assert only["nfe_per_pair"] is None and only["made"] == 3


def test_sound_and_subtitles_are_left_out_when_asked(good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=4, audio=("eng",), subtitles=("ger",))
    good("input=a.mkv", "multi=2", "output=b.mkv", "subtitles=drop")
    good("input=a.mkv", "multi=2", "output=c.mkv", "audio=drop")
    kinds = [[stream.kind for stream in facts(tmp_path / name)[0].others] for name in ("b.mkv", "c.mkv")]
    assert kinds == [["audio"], ["subtitle"]]


def test_sound_of_joined_recordings_that_jumps_back_is_refused_and_the_remedy_works(command, good, tmp_path):
    part = clips.make_clip(tmp_path / "part.ts", frames=25, audio=("eng",))
    (tmp_path / "joined.ts").write_bytes(part.read_bytes() * 2)
    result = command("input=joined.ts", "multi=2")
    assert result.code == 3 and "jump back after" in result.err and "-c copy mended.mkv" in result.err

    good("input=joined.ts", "multi=2", "audio=drop", "output=silent.mkv")
    ffmpeg.run(["-i", "joined.ts", "-map", "0", "-c", "copy", "mended.mkv"], "mending")
    good("input=mended.mkv", "multi=2", "output=whole.mkv")
    for name, sound in (("silent.mkv", 0), ("whole.mkv", 1)):
        info, times = facts(tmp_path / name)
        assert abs(len(times) - 100) <= 2 and len(info.others) == sound  # sound is longer
