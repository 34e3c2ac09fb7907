"""Every "Try:" of reading, naming and writing, done as it says, gets what it promises."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

from vfi_pipeline.media import ffmpeg
from vfi_pipeline.media.probe import probe


def remedy(result) -> str:
    """The line behind "Try:" of a refused command."""
    assert result.code != 0
    return result.err.split("Try: ", 1)[1].splitlines()[0].rstrip(".")


def words(text: str) -> list[str]:
    """The options in a remedy, as a shell reads them."""
    return [word.rstrip(".,;") for word in shlex.split(text.replace("(", " ").replace(")", " ")) if "=" in word]


def done(good, job, text, *chosen: int):
    """Runs ``job`` with options of the remedy in place of its own; ``chosen``: which of them, else the first."""
    options = words(text)
    for place in chosen or (0,):
        named = options[place].split("=")[0]
        kept = [word for word in job if not word.startswith(f"{named}=")]
        good(*kept, options[place], "overwrite=true")


def told(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize(
    ("size", "job", "count"),
    [
        ((63, 47), ("codec=h264", "pix_fmt=yuv420p", "output=out.mkv"), 1),
        ((63, 47), ("codec=h264", "pix_fmt=yuv420p", "output=out.mp4"), 1),
        ((63, 47), ("codec=hevc", "pix_fmt=yuv420p", "output=out.mov"), 1),
        ((64, 48), ("codec=prores", "output=out.mp4"), 1),
        ((64, 48), ("codec=ffv1", "output=out.ts"), 1),
        ((64, 48), ("codec=h264", "output=out.webm"), 1),
    ],
)
def test_codecs_that_do_not_fit(command, good, tmp_path, size, job, count):
    clips.make_clip(tmp_path / "a.mkv", frames=3, size=size)
    job = ("input=a.mkv", "multi=2", "model=hold", *job)
    text = remedy(command(*job))
    done(good, job, text)
    for other in re.findall(r"or (codec=\w+)", text):  # these go without the pixel format that was asked for
        good(*(word for word in job if not word.startswith(("codec=", "pix_fmt="))), other, "overwrite=true")
    ending = re.search(r"ends in (\.\w+)", text)
    if ending:
        good(*(word for word in job if not word.startswith("output=")), f"output=b{ending[1]}")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".mov", ".ts", ".m4v"])
@pytest.mark.parametrize("pix_fmt", ["gbrp", "gbrp16le", "yuv422p12le", "gbrap"])
def test_what_a_codec_loses_is_kept_by_what_is_named(good, tmp_path, caplog, suffix, pix_fmt):
    from vfi_pipeline.media.encoders import choose_encoding
    from vfi_pipeline.media.encoding import VideoSpec
    from vfi_pipeline.media.pixel_formats import shape

    spec = VideoSpec.of(probe(clips.make_clip(tmp_path / "a.mkv", frames=1, pix_fmt=pix_fmt)).video, 25)
    first = choose_encoding(spec, Path(f"a{suffix}"))
    for note in first.notes:
        target = Path("a.mkv" if "ends in .mkv" in note else f"a{suffix}")
        if "codec=ffv1" in note:
            exact = choose_encoding(spec, target, "ffv1")
            assert exact.lossless and not exact.notes
        if "pix_fmt=yuv444p" in note:
            assert shape(choose_encoding(spec, Path(f"a{suffix}"), pix_fmt="yuv444p").pixel_format).sub == (1, 1)
        if "Transparency is lost" in note:
            for ending in (".webm", ".mov"):
                assert choose_encoding(spec, Path(f"a{ending}")).has_alpha


def test_names_and_folders(command, good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=2)
    clips.make_clip(tmp_path / "b.mkv", frames=2)
    one = ("input=a.mkv", "multi=2", "model=hold")
    two = ("a.mkv", "b.mkv", "multi=2", "model=hold")

    done(good, two, remedy(command(*two, "output=all.mp4")))
    assert len(list((tmp_path / "all").iterdir())) == 2
    text = remedy(command(*one, "output=my film"))
    done(good, one, text, 0, 1)
    assert (tmp_path / "my film.mkv").is_file() and (tmp_path / "my film").is_dir()

    text = remedy(command(*one, "output=deep er/down/x.mkv"))
    assert shlex.split(text)[:2] == ["mkdir", "-p"]
    Path(shlex.split(text)[2]).mkdir(parents=True)
    good(*one, "output=deep er/down/x.mkv")

    done(good, one, remedy(command(*one, "output=two words.png")))
    assert (tmp_path / "two words_000004.png").is_file()

    good(*one, "output=there.mkv")
    done(good, (*one, "output=there.mkv"), remedy(command(*one, "output=there.mkv")))


def test_rates_and_times(command, good, tmp_path):
    clips.gif_clip(tmp_path / "a.gif", [4] * 6)
    text = remedy(command("input=a.gif", "multi=4", "output=out.gif"))
    good("input=a.gif", words(text)[0], "output=out.gif")
    for ending in re.findall(r"\.\w+", text):
        good("input=a.gif", "multi=4", f"output=out{ending}")
    clips.make_clip(tmp_path / "a.mkv", frames=25)
    job = ("input=a.mkv", "multi=2", "model=hold", "output=out.mkv")
    done(good, (*job, "start=0.5"), remedy(command(*job, "start=0.5", "end=0.2")))
    done(good, ("input=a.mkv", "multi=2", "output=b.mkv"), remedy(command("input=a.mkv", "multi=2", "fps=60")), 0)


def test_limits_and_streams(command, good, tmp_path):
    clips.make_clip(tmp_path / "a.mkv", frames=3)
    job = ("input=a.mkv", "multi=2", "model=hold", "output=out.mkv")
    done(good, (*job, "max_pixels=100"), remedy(command(*job, "max_pixels=100")))
    done(good, (*job, "stream=7"), remedy(command(*job, "stream=7")).split(" (")[0])


def test_pictures_of_a_format_that_is_not_read(command, good, tmp_path, monkeypatch):
    (tmp_path / "far away").mkdir()
    path = tmp_path / "far away" / "it's bayer.nut"
    raw = ["-f", "rawvideo", "-pixel_format", "bayer_rggb8", "-video_size", "64x48", "-framerate", "25", "-i", "pipe:0"]
    sound = ["-f", "lavfi", "-i", "sine=duration=0.2", "-map", "0", "-map", "1", "-c:v", "copy"]
    frames = np.random.default_rng(0).integers(0, 256, 5 * 64 * 48, np.uint8).tobytes()
    ffmpeg.run([*clips.ALWAYS, *raw, *sound, ffmpeg.file_url(path)], "making Bayer pictures", stdin=frames)
    text = remedy(command("input=far away/it's bayer.nut", "multi=2", "model=hold", "output=out.mkv"))
    line, _, then = text.partition(" and input=")
    program, *arguments = shlex.split(line)
    assert program in ("ffmpeg", ffmpeg.ffmpeg_path())
    ffmpeg.run(["-v", "error", *arguments], "doing what the remedy says")
    good(f"input={then}", "multi=2", "model=hold", "output=out.mkv")
    assert [stream.kind for stream in probe(tmp_path / "out.mkv").others] == ["audio"]


def test_covers_and_fonts_go_where_the_remedy_says(good, tmp_path, caplog):
    film = clips.make_clip(tmp_path / "film.mkv", frames=3, cover=True, font=True, subtitles=("eng",), chapters=2)
    assert {stream.kind for stream in probe(film).others} == {"video", "attachment", "subtitle"}
    for suffix in (".mov", ".webm", ".ts", ".nut"):
        caplog.clear()
        good("input=film.mkv", "multi=2", "model=hold", f"output=out{suffix}")
        for line in told(caplog):
            assert "LOST" not in line or "Try: an output that ends in .mkv" in line or ".mp4" in line, line
    caplog.clear()
    good("input=film.mkv", "multi=2", "model=hold", "output=out.mkv")
    assert told(caplog) == []


def test_pictures_left_out_can_be_worked_on_as_told(good, tmp_path, caplog):
    folder = tmp_path / "a folder"
    folder.mkdir()
    clips.make_clip(folder / "a.mkv", frames=2)
    for n in range(2):
        Image.fromarray(np.full((24, 32), 90 * n, np.uint8)).save(folder / f"{n}.png")
    (folder / "more").mkdir()
    clips.make_clip(folder / "more" / "b.mkv", frames=2)
    good("input=a folder", "multi=2", "model=hold")
    pattern, inside = (re.search(r"Try: (.*)", line)[1] for line in told(caplog) if "Try: " in line)  # type: ignore[index]
    good(f"input={shlex.split(pattern)[4].rstrip(',')}", "fps=25", "model=hold", "output=pictures.mkv")
    good("input=a folder", words(inside)[0], "multi=2", "model=hold", "output=all/")
    assert len(list((tmp_path / "all").iterdir())) == 2
