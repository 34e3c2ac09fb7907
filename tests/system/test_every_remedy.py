"""Mistakes by the dozen: what stands behind "Try:" and can be typed is typed, each way by itself, and works.

``JOBS`` are refused. Their remedies are read as a user reads them (``alternatives``), each is put into the job, and the
new job has to be planned to its end. ``test_no_remedy_is_missing`` looks through the package for remedies that hold an
option and were not met here.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import sys
from pathlib import Path

import clips
import numpy as np
import pytest
import weaving
from PIL import Image

from vfi_pipeline.errors import UserError
from vfi_pipeline.media import ffmpeg

PACKAGE = Path(__file__).resolve().parents[2] / "vfi_pipeline"
TIMING = ("fps", "multi", "slowmo", "at", "duration", "durations", "frames", "t")
FILM = ("input=a.mkv", "multi=2")
PAIR = ("input=[a.png,b.png]", "duration=1")

JOBS = r"""
input=a.mkv -r 60 | input=a.mkv fsp=60 | FILM quality=18 | FILM -b:v 5M | input = a.mkv multi=2
input=a.mkv fps= 60 | input=a.mkv fps 60 | FILM c:v=hevc | FILM ivtc=on | FILM -an | FILM resolution=96x64
FILM model=flwo | input=a.mkv --fps | input=a.mkv exp=99 | input=a.mkv fps=30 fps=60 | FILM model=blend model.x=1
FILM model=flow model.guide_span=large | FILM model._target_=x | FILM model=flow model.guide_spam=500
# values
input=a.mkv fps=fast | input=a.mkv fps=0 | input=a.mkv multi=0 | input=a.mkv slowmo=x
input=slow.mkv multi=2 start=soon
FILM size=big | FILM size=0x0 | FILM shutter=400 | FILM overwrite=maybe | FILM cut=fade | FILM crf=x | FILM crf=-3
FILM stream=x | FILM max_pixels=0 | FILM segment=0 | FILM segment=x | FILM max_gap=x | FILM overlay=x
FILM deinterlace=x | FILM device=tpu | FILM model=flow precision=fp8 | FILM scale=0 | FILM name={nonsense}.mkv
FILM audio=x | FILM subtitles=x | FILM scene_threshold=2 | input=slow.mkv at=soon | input=slow.mkv at=[1,
input=slow.mkv at= | FILM size=2x fit_size=zoom | PICTURES t=x | PICTURES t=[0.5 | PICTURES t=[0.5,]
PICTURES duration=0 | input=[a.png,b.png,c.png] durations=[0] | PAIR extrapolate=true strength=0 | PAIR size=big
PAIR sheet=s | PAIR easing=x | PAIR seed=-1 | FILM style_size=1 style=mosaic | PICTURES frames=0
# what does not go together
multi=2 | input=slow.mkv | input=slow.mkv size=2x | input=[a.png,b.png] | FILM fps=60 | input=a.mkv at=0.1 start=0
FILM audio=stretch | input=a.mkv slowmo=2 audio=keep | FILM fit_size=crop | FILM start=0.4 end=0.2
FILM start=0.4 end=0.4 | FILM end=0 | FILM start=0:09 | input=late.mkv multi=2 end=1 | input=a.mkv at=7
FILM weights=x.safetensors model=blend | FILM precision=fp16 model=blend | FILM style_strength=0.5
FILM preview=p.png
FILM style=mosaic passes=3 | FILM style=mosaic preview=no/p.png | FILM style=a.png long_term=x
FILM style=a.png preview=a.png | FILM style=mosaic preview=p.gif | input=a.mkv at=0.2 style=a.png
# films and pictures
FILM points=p.json | input=a.mkv points=p.json | input=a.mkv duration=2 | input=slow.mkv t=0.5 | FILM loop=true
FILM model=fit | input=a.mkv duration=2 model=fit | input=films/ multi=2 t=0.5 | PAIR multi=2
PICTURES frames=2 duration=1
FILM points=p.json loop=true | PICTURES loop=true | PICTURES t=0.5 hold_first=1 | PICTURES t=3 | PAIR strength=2
input=[a.png,b.png,c.png] duration=1 strength=0.5 | PAIR direction=backward
input=a.png duration=2 | input=a.png duration=2 loop=true model=hold
PICTURES frames=1
input=[a.png,b.png,c.png] durations=[1] | input=shots/ multi=2 stream=1 | input=a.mkv fps=60 input_fps=25
input=[a.png,tall.png] duration=1 | PAIR maps=none.safetensors | PAIR points=gaps.json
input=[a.png,b.png,c.png] duration=1 points=p.json | PAIR max_pixels=100 | PAIR size=9999x9999 max_pixels=10000
input=[one/,shots/] duration=1
# inputs
input=b.mkv multi=2 | input=clpi.mp4 multi=2 | input='"a.mkv"' multi=2 | input="'shots/*.png'" multi=2
input='shots/*.jpg' multi=2 | input=shots/%04d.tif multi=2 | input='shot/*.png' multi=2 | input=empty/ multi=2
input=parent/ multi=2 | input=texts/ multi=2 | input='empty/*.png' multi=2 | input= multi=2 | FILM stream=3
input=sound.mkv multi=2 stream=1 | FILM mask=no.png | FILM max_pixels=100
input=woven.mkv multi=2 size=0.5x deinterlace=off | FILM size=99999x2
input=combed.mkv multi=2 | input=[a.mkv,other/a.mkv] multi=2 output=out/ | input=lone.mkv multi=2
input=[a.mkv,clip.mp4] multi=2 output=b.mkv | input=stray.mkv multi=2
# outputs
FILM output=film | FILM output=film.xyz | FILM output=a.png | input=a.mkv at=0.2 output=b.mp4
FILM output=a.mkv overwrite=true
input=a.mkv at=[0.1,0.2] output=b.png | PICTURES t=[0,1] output=b2.png | FILM codec=banana
FILM codec=prores output=b.mp4 | FILM codec=h264 output=b.webm | FILM codec=h264 output=b.gif
FILM codec=h264 output=f/%d.png
FILM pix_fmt=gray output=b.gif | FILM crf=99 | FILM crf=99 codec=vp9 | FILM crf=20.5 codec=av1 | FILM crf=3 codec=ffv1
FILM crf=3 codec=prores output=b.mov | FILM crf=99 codec=mpeg2video | FILM crf=3 output=f/%d.png
FILM decode=videotoolbox | FILM codec=dnxhd output=b.mov | FILM crf=99 output=f/%d.jpg
FILM crf=300 output=b.webp | FILM preset=slwo output=b.mp4 | FILM preset=banana | FILM preset=slow codec=vp9
FILM preset=x codec=ffv1 | FILM preset=x output=b.gif | FILM pix_fmt=yuv420 output=b.mp4
FILM pix_fmt=banana output=b.mp4
FILM pix_fmt=x output=f/%d.png | input=odd.mkv multi=2 codec=h264 pix_fmt=yuv420p | input=a.mkv fps=60 output=b.gif
FILM size=9x90 | FILM size=99999x99999 max_pixels=9999999999 | FILM size=640x480 max_pixels=10000
FILM cuts=none.json | FILM cuts=p.json | FILM cuts=[99] | FILM cuts=[0.1,
"""
SHORT = {"FILM": "input=a.mkv multi=2", "PAIR": "input=[a.png,b.png] duration=1", "PICTURES": "input=[a.png,b.png]"}
FOLLOWED = [
    tuple(shlex.split(re.sub("FILM|PAIR|PICTURES", lambda found: SHORT[found[0]], job)))
    for line in JOBS.splitlines() if line and not line.startswith("#") for job in line.split("|")
]  # fmt: skip

ELSEWHERE = {
    "jobs/command_line.py:_dashed": "test_command_line: an option at the end of a line",
    "jobs/journal.py:_refuse_other_work": "test_resume: settings or a version that changed",
    "jobs/local.py:_refuse_changed_input": "test_resume: an input that changed",
    "jobs/lock.py:__init__": "test_lock: needs a second run",
    "jobs/lock.py:_unwritable": "test_lock: a folder that refuses",
    "jobs/names.py:make_folder": "test_remedies: not looked at by a plan",
    "jobs/names.py:refuse_overwriting": "test_remedies: told by a plan as a note",
    "jobs/space.py:check_space": "test_faults: a full disk",
    "jobs/space.py:environment_error": "test_faults: a full disk",
    "jobs/space.py:memory_error": "test_faults: a full memory",
    "jobs/space.py:device_error": "test_device_path: needs a GPU",
    "jobs/method.py:resolve_device": "test_method: needs a GPU",
    "jobs/prepare.py:_refuse_joined_sound": "test_awkward_times",
    "jobs/prepare.py:prepare": "test_hostile: a damaged film",
    "jobs/hydra_line.py:explain": "test_hydra_line: other programs",
    "jobs/sources.py:_only_results": "test_inputs",
    "apps/maps.py:_gap": "test_pictures: maps of a later version",
    "apps/moments.py:schedule": "test_pictures: weights of a Warping ODE",
    "apps/pictures.py:film_of": "what no ending tells to be a film",
    "apps/render.py:_restored": "test_pictures: maps of another kind",
    "apps/render.py:finish": "test_faults: a full disk",
    "media/assemble.py:assemble": "test_assemble: segments that are not the plan's",
    "media/assemble.py:_exists": "test_assemble: a result that appears while the job is at work",
    "media/assemble.py:_script_name": "test_assemble: a folder with a line break in its name",
    "media/assemble.py:_gather_images": "test_assemble: segments that are not the plan's",
    "media/containers.py:stream_plan": "checked when the options are read",
    "media/ffmpeg.py:run": "what the caller proposes",
    "media/ffmpeg.py:_failure": "what the caller proposes",
    "media/probe.py:_probe_container": "test_remedies: Bayer pictures",
    "media/reader.py:_damaged": "test_hostile: damage that shows when frames are decoded",
    "media/reader.py:_pictures": "test_hostile: damage that shows when frames are decoded",
    "media/reader.py:_check": "test_hostile: a film that changes its size",
    "media/verify.py:_failure": "test_verify: a result that is not as planned",
    "media/writer.py:_check": "test_writer: a picture that changes",
    "apps/edits.py:read_edit": "system/test_faces: the folder to be named is the user's",
    "apps/edits.py:check_edit": "system/test_faces: several pictures where one is edited",
    "apps/render.py:_check_drawn": "test_single_image: needs weights of one picture",
    "apps/tune.py:tune": "test_tune",
    "apps/tune.py:choose_stretch": "test_tune: a film that breaks off everywhere",
    "jobs/faces.py:read_sets": "system/test_faces: the folders to be named are the user's",
    "jobs/faces.py:read_edit": "system/test_faces",
    "jobs/method.py:instantiate": "test_work: a job that names no model",
    "jobs/option_kinds.py:_devices": "test_options: needs GPUs",
    "jobs/option_kinds.py:_settings": "test_options: needs Slurm",
    "jobs/options.py:_refuse_workers": "test_workers: work that one process does",
    "jobs/ray_cluster.py:_no_cluster": "test_workers: a Ray cluster that is not there",
    "jobs/request.py:film_request": "adapters/test_python",
    "jobs/session.py:error": "what the worker proposes",
    "jobs/session.py:find": "test_work: a folder that is no job's",
    "jobs/slurm.py:_refused": "test_workers: needs Slurm",
    "jobs/slurm.py:__init__": "test_workers: needs Slurm",
    "jobs/work.py:read": "test_work: of another program",
    "jobs/work.py:__init__": "test_work: of another program",
}


def _ffmpeg(*words: str) -> None:
    ffmpeg.run([*clips.ALWAYS, *words], "making files for tests")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with everything that the jobs and their remedies name."""
    root = tmp_path_factory.mktemp("place")
    for folder in ("shots", "one", "empty", "texts", "films", "other", "parent/inside"):
        (root / folder).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png", "picture.jpg", "shots/0001.png", "shots/0002.png", "one/1.png"):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(root / name)
    Image.fromarray(rng.integers(0, 256, (300, 30, 3), np.uint8)).save(root / "tall.png")
    film = clips.make_clip(root / "a.mkv", frames=12)
    for name in ("other/a.mkv", "films/a.mkv", "parent/inside/a.mkv", "texts/film.data", "clip.mp4"):
        shutil.copy(film, root / name)
    clips.make_clip(root / "sound.mkv", frames=12, audio=("eng",))
    clips.make_clip(root / "odd.mkv", frames=3, size=(63, 47))
    (root / "p.json").write_text("[[[12,30],[14,33]]]")
    (root / "gaps.json").write_text('{"gaps": [[[[12,30],[14,33]]], [[[12,30],[14,33]]], null]}')

    def drawn(name: str, picture: str, *words: str) -> None:
        codec = ("-fps_mode", "passthrough", "-c:v", "ffv1")
        _ffmpeg("-f", "lavfi", "-i", picture, *words, *codec, ffmpeg.file_url(root / name))

    drawn("slow.mkv", "testsrc2=size=64x48:rate=1:duration=120")
    late = ("-itsoffset", "5", "-i", ffmpeg.file_url(film), "-f", "lavfi", "-i", "sine=duration=6", "-c:v", "copy")
    _ffmpeg(*late, ffmpeg.file_url(root / "late.mkv"))
    short = "testsrc2=size=64x48:rate=25:duration=0.48,settb=1/1000"
    drawn("lone.mkv", f"{short},setpts='if(lt(N,11),N*40,N*40+100000)'")
    drawn("stray.mkv", f"{short},setpts='if(lt(N,6),N*40,N*40+4000000)'")
    fields = weaving.woven(weaving.film(40), weaving.fields_of(20))
    weaving.write(root / "woven.mkv", fields, "25", "tff")
    weaving.write(root / "combed.mkv", fields, "25")
    return root


MET: set[str] = set()


@pytest.fixture
def plan(place, monkeypatch, capsys):
    """Plans a job in ``place``; (exit code, what it said). Where errors are made is noted in ``MET``."""
    import interpolate
    from vfi_pipeline.apps import render
    from vfi_pipeline.jobs import batch

    monkeypatch.chdir(place)
    for module in (batch, render):
        monkeypatch.setattr(module, "rehearsed", lambda plan: plan)
    made = UserError.__init__

    def noted(self, *args):
        frame = sys._getframe(1)
        path = Path(frame.f_code.co_filename)
        if PACKAGE in path.parents:
            MET.add(f"{path.relative_to(PACKAGE)}:{frame.f_code.co_name}")
        made(self, *args)

    monkeypatch.setattr(UserError, "__init__", noted)

    def run(*words: str) -> tuple[int, str]:
        made_by = () if any("model" in word or "weights" in word for word in words) else ("model=blend",)
        code = interpolate.main([*words, *made_by, "dry_run=true"])
        return code, capsys.readouterr().err

    return run


def alternatives(remedy: str) -> list[tuple[set[str], list[str]]]:
    """What a remedy says to do, each way by itself: the options to leave out, and the words to type."""
    text = re.sub(r"\s+([,;])", r"\1", re.sub(r"\(([^()]|\([^()]*\))*\)", " ", remedy.rstrip(".")))
    text = re.sub(r"(file )?that \w+=\w+ wrote|another \w+=|\w+= (?=one of|with )", " ", text)
    text = re.sub(r"leave (\w+)= out", r"leave out \1=", text)
    text = re.sub(r"an output(?: name)? that ends in (\.\w+) or (\.\w+)", r"output=new\1 or output=new\2", text)
    text = re.sub(r"an output(?: name)? that ends in (\.\w+)", r"output=new\1", text)
    text = re.sub(r"(\w+)= alone", r"alone \1=", text)
    ways: list[tuple[set[str], list[str]]] = []
    base: set[str] = set()
    left, typed, leaving = set[str](), list[str](), ""
    try:
        tokens = shlex.split(text)
    except ValueError:
        tokens = text.split()

    def close() -> None:
        nonlocal left, typed
        if left != base or typed:
            ways.append((left, typed))
        left, typed = set(base), []

    for token, after in zip(tokens, [*tokens[1:], ""]):
        word = token.rstrip(",;:.") if not token.endswith("...") else token
        if word in ("out", "alone"):
            leaving = word
        elif leaving and re.fullmatch(r"[a-z_.]+=", word):
            left |= {word[:-1]} if leaving == "out" else set(TIMING) - {word[:-1]}
        elif re.match(r"[a-z_.]+=.", word) or word.startswith("--"):
            typed.append(word)
        elif word == "and" and left and not typed:
            base = set(left)
        elif word == "or":
            close()
        leaving = leaving if word in ("out", "alone", "and") or after == "and" else ""
        if token != word and after != "and":
            close()
    close()
    return ways


def following(job: tuple[str, ...], left: set[str], typed: list[str]) -> list[str]:
    """The job as a user types it again: options of the remedy in the place of their likes."""
    named = {word.lstrip("-").partition("=")[0] for word in typed} | left
    if named & set(TIMING):
        named |= set(TIMING) if any(name in TIMING for name in (w.partition("=")[0] for w in typed)) else set()
    wrong = {"input", "=", "fps", "60", "-r", "-b:v", "5M", "-an", "--fps"}
    slips = {"fsp", "quality", "c:v", "ivtc", "resolution", "exp"}
    kept = [word for word in job if word not in wrong and word.partition("=")[0] not in named | slips]
    if "model" in named:
        kept = [word for word in kept if not word.startswith("model")]
    return [word for word in kept if word != "input="] + [word for word in typed if word not in kept]


@pytest.mark.parametrize("job", FOLLOWED, ids=" ".join)
def test_a_remedy_that_can_be_typed_works(plan, place, job):
    code, said = plan(*job)
    assert code in (2, 3, 4) and said.count("  Try: ") == 1, said
    remedy = said.split("  Try: ")[1].rstrip("\n")
    assert "\n" not in remedy
    if remedy.startswith("mkdir -p "):
        Path(shlex.split(remedy)[2]).mkdir(parents=True, exist_ok=True)
        assert plan(*job)[0] == 0
    for left, typed in alternatives(remedy):
        words = following(job, left, typed)
        if not any(word.startswith("input=") for word in words) and "a.mkv" in job:
            words.append("input=a.mkv")
        code, again = plan(*words)
        assert code == 0, f"{job} was told {remedy!r}, and {words} says {again}"


def sites() -> dict[str, list[str]]:
    """file:function -> remedies with something to type, of every ``UserError`` that users of the command see."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for part in ("jobs", "media", "apps") for path in (PACKAGE / part).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError" and len(node.args) > 1:
                    told = ast.get_source_segment(source, node.args[1]) or ""
                    if re.search(r"[a-z_]+=|\w\}=|remedy", told):
                        found.setdefault(f"{path.relative_to(PACKAGE)}:{function.name}", []).append(told)
    return found


def test_no_remedy_is_missing():
    if len(MET) < 40:
        pytest.skip("the jobs above were not run")
    missing = {site: told for site, told in sites().items() if site not in MET and site not in ELSEWHERE}
    assert not missing, missing


@pytest.mark.parametrize("job", [("input=a.png", "fps=30"), ("input=one/", "multi=2"), ("input=a.png", "slowmo=2")])
def test_one_picture_is_told_what_to_type_for_a_film(plan, place, job, caplog):
    import interpolate

    assert interpolate.main([*job, "model=hold", f"output={place}/still.mkv", "overwrite=true"]) == 0
    (line,) = [each.getMessage() for each in caplog.records if "is one picture" in each.getMessage()]
    typed = shlex.split(line.split("Try: ")[1])[:3]
    assert plan(*typed)[0] == 0
    assert plan(typed[0].replace(",a.png]", ",b.png]"), "duration=2")[0] == 0
