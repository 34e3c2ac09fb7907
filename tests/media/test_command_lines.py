"""Every command line that a film brings about, against goldens: order aside, word for word.

``VFI_REMAKE_GOLDENS=1`` writes tests/goldens/command_lines.json anew. It is of one version of ffmpeg, since what an
encoder takes differs from one to the next; with another, the test is skipped.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

import clips
import pytest

import interpolate
import vfi_pipeline
from vfi_pipeline.media import ffmpeg, rehearsal

GOLDEN = Path(__file__).resolve().parent.parent / "goldens" / "command_lines.json"

RICH = {"frames": 6, "audio": ("eng", "eng"), "subtitles": ("eng",), "chapters": 2, "tags": {"title": "A film"}}
JOBS = {
    "matroska": (["input=rich.mkv", "output=out.mkv"], "rich.mkv"),
    "mp4 with a cover": (["input=rich.mkv", "output=out.mp4", "codec=h264"], "rich.mkv"),
    "hevc in mov": (["input=rich.mp4", "output=out.mov", "codec=hevc"], "rich.mp4"),
    "vp9 with alpha": (["input=alpha.webm", "output=out.webm"], "alpha.webm"),
    "av1": (["input=plain.mkv", "output=out.mkv", "codec=av1"], "plain.mkv"),
    "prores": (["input=plain.mkv", "output=out.mov", "codec=prores"], "plain.mkv"),
    "transport stream": (["input=rich.mp4", "output=out.ts"], "rich.mp4"),
    "cut": (["input=rich.mkv", "output=out.mkv", "start=0.05", "end=0.2"], "rich.mkv"),
    "slowed down": (["input=rich.mkv", "output=out.mp4", "slowmo=2", "audio=stretch"], "rich.mkv"),
    "lossless": (["input=turned.mp4", "output=out.mkv", "codec=ffv1"], "turned.mp4"),
    "gif": (["input=plain.mkv", "output=out.gif"], "plain.mkv"),
    "webp": (["input=plain.mkv", "output=out.webp"], "plain.mkv"),
    "apng": (["input=deep.mkv", "output=out.apng"], "deep.mkv"),
    "png": (["input=plain.mkv", "output=pictures/%04d.png"], "plain.mkv"),
    "jpeg": (["input=turned.mp4", "output=pictures/%04d.jpg"], "turned.mp4"),
    "tiff": (["input=deep.mkv", "output=pictures/%04d.tiff"], "deep.mkv"),
}
ALWAYS = {"-y", "-nostdin", "-hide_banner"}
GLOBAL = {"-nostats", "-copyts"}  # of no file, wherever they stand
SAME = {"-video_size": "-s"}  # two names of one option


def make(name: str, folder: Path) -> None:
    small = {"frames": 6, "size": (64, 48)}
    if name == "rich.mkv":
        clips.make_clip(folder / name, **RICH, cover=True, font=True)
    elif name == "rich.mp4":
        clips.make_clip(folder / name, **RICH)
    elif name == "alpha.webm":
        clips.webm_alpha_clip(folder / name, **small)
    elif name == "turned.mp4":
        clips.make_clip(folder / name, **small, rotation=90, mirrored=True, sample_aspect="4/3")
    elif name == "deep.mkv":
        clips.make_clip(folder / name, **small, pix_fmt="yuv420p10le")
    else:
        clips.make_clip(folder / name, **small)


def canonical(words: list[str], folder: Path) -> dict[str, list]:
    """A command line as its inputs, in order, and its output: each with its options, sorted."""
    plain = [
        re.sub(r"[^ ',=]*" + re.escape(str(folder)), "DIR", word).replace(ffmpeg.DEMUXERS, "MEDIA") for word in words
    ]
    plain = [word.replace(f"vfi-pipeline/{vfi_pipeline.__version__}", "vfi-pipeline/VERSION") for word in plain]
    trial = re.escape(tempfile.gettempdir()) + r"/vfi-trial-\w+"
    plain = [SAME.get(word, re.sub(rf"(file:)?{trial}", "TRIAL", word)) for word in plain]
    parts: dict[str, list] = {"globals": [], "inputs": [], "output": []}
    options: list[list[str]] = []
    waiting = iter(plain)
    for word in waiting:
        if word in ALWAYS:
            continue
        if word == "-loglevel":
            next(waiting)
        elif word in GLOBAL:
            parts["globals"].append(word)
        elif word == "-display_hflip:v:0":
            options.append([word])
        elif word == "-i":
            parts["inputs"].append([" ".join(option) for option in sorted(options)] + [next(waiting)])
            options = []
        elif word.startswith("-") and word != "-":
            options.append([word, next(waiting)])
        else:
            parts["output"].append(word)
    # Repeated options keep their order among themselves: "-map" counts streams, the last "-metadata" of a key holds.
    ordered = sorted(options, key=lambda option: option[0])
    parts["output"] = [*(" ".join(option) for option in ordered), *parts["output"]]
    return parts


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """What is given to ffmpeg, as it is given."""
    lines = []
    start = ffmpeg.open_process

    def record(spec, *rest, **options):
        words = ffmpeg.arguments(spec, options.get("loglevel", "error"))
        if "-i" in words:
            lines.append(canonical(words, tmp_path))
        return start(spec, *rest, **options)

    monkeypatch.setattr(ffmpeg, "open_process", record)
    monkeypatch.chdir(tmp_path)
    # No trial of an earlier job of this process answers for one of this job.
    monkeypatch.setattr(rehearsal, "trials", {})
    rehearsal.trial_folder.cache_clear()
    yield lines
    rehearsal.trial_folder.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_the_words_are_those_of_the_golden(name, recorded, tmp_path):
    words, source = JOBS[name]
    if GOLDEN.is_file() and json.loads(GOLDEN.read_text("utf-8"))["ffmpeg"] != ffmpeg.version():
        if os.environ.get("VFI_REMAKE_GOLDENS") != "1":
            pytest.skip("the golden is of another version of ffmpeg")
    make(source, tmp_path)
    recorded.clear()
    if "rate" not in " ".join(words) and not any(word.startswith("slowmo") for word in words):
        words = [*words, "multi=2"]

    assert interpolate.main([*words, "model=hold", "resume=false"]) == 0
    if os.environ.get("VFI_REMAKE_GOLDENS") == "1":
        kept = json.loads(GOLDEN.read_text("utf-8")) if GOLDEN.is_file() else {"jobs": {}}
        kept |= {"command": "make goldens", "ffmpeg": ffmpeg.version()}
        kept["jobs"][name] = recorded
        GOLDEN.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")

    assert json.loads(json.dumps(recorded)) == json.loads(GOLDEN.read_text("utf-8"))["jobs"][name]
