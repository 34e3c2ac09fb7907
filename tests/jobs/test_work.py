"""A worker by itself: what it takes for a job, and that it does not outlive one."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import clips
import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import work
from vfi_pipeline.jobs.environment import environment
from vfi_pipeline.jobs.executor import PROGRAM, worker_environment
from vfi_pipeline.jobs.method import choose_model, instantiate
from vfi_pipeline.jobs.options import read_options
from vfi_pipeline.jobs.prepare import fingerprint, prepare
from vfi_pipeline.jobs.session import FINISHED, IDLE, REFUSED, Job, Order, Session
from vfi_pipeline.jobs.sources import films

BLEND = {"_target_": "vfi_pipeline.models.blend.Blend"}


@pytest.fixture
def session(tmp_path) -> Session:
    """A session on a film of 12 frames, whose head lives for as long as ``beat`` is called."""
    clip = clips.make_clip(tmp_path / "a.mkv")
    options = read_options((str(clip),), {"multi": "2", "device": "cpu", "output": str(tmp_path / "b.mkv")})
    model_choice = choose_model("blend", BLEND, {}, options, instantiate)
    (film,) = films([str(clip)])
    plan = prepare(film, options, model_choice, [], False)
    facts = {**fingerprint(plan, film, options, model_choice), **environment()}
    folder = tmp_path / "b.mkv.vfi-work"
    folder.mkdir()
    return Session.create(
        folder, Job(plan, film, options, "blend", dict(model_choice.configuration), 0, facts, 0.05, 3.0)
    )


@pytest.fixture
def worker(session):
    """``worker(*words)`` starts one on the session."""
    running = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [*PROGRAM, str(session.folder.parent), "name=w", *words]
        child = subprocess.Popen(command, env=worker_environment(1), stderr=subprocess.PIPE, text=True)
        running.append(child)
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


def until(session: Session, phase: str, child: subprocess.Popen[str]) -> None:
    """Beats for the head until the worker is in ``phase``."""
    count, deadline = 0, time.monotonic() + 100
    while dict(session.states()).get("w", None) is None or dict(session.states())["w"].phase != phase:
        assert child.poll() is None and time.monotonic() < deadline, child.communicate()
        session.beat(count := count + 1)
        time.sleep(0.05)


def test_a_worker_makes_what_it_is_told_and_ends_when_the_head_is_gone(session, worker):
    child = worker()
    until(session, IDLE, child)
    session.tell("w", Order(1, 0))
    until(session, FINISHED, child)
    state = dict(session.states())["w"]
    assert (state.serial, state.frames, state.statistics["copied"]) == (1, 24, 13)
    made = clips.describe(next(session.desk("w").glob("segment_*")))
    assert made["frames"] == 24

    _, err = child.communicate(timeout=60)  # nobody beats any more

    assert "the head of the job is gone" in err
    assert sorted(path.name for path in session.desk("w").iterdir()) == ["segment_00000.nut", "state.json"]


def test_a_worker_ends_with_the_job(session, worker):
    child = worker()
    until(session, IDLE, child)
    session.discard()

    child.communicate(timeout=60)
    assert not session.folder.exists()


def test_a_worker_ends_with_who_started_it(session, worker):
    child = worker("parent=1")  # which it is not
    _, err = child.communicate(timeout=100)

    assert "who started this worker is gone" in err


@pytest.mark.parametrize(
    ("fact", "told"),
    [
        ("tool", "tool"), ("ffmpeg", "ffmpeg"), ("ffmpeg build", "ffmpeg build"), ("code", "code"), ("torch", "torch"),
        ("input.content", "input.content"), ("model.weights", "model.weights"),
    ],
)  # fmt: skip
def test_whatever_is_not_as_at_the_head_is_refused_by_name(session, capsys, fact, told):
    path = session.folder / "job.json"
    document = json.loads(path.read_text())
    document["facts"][fact] = "another"
    path.write_text(json.dumps(document))

    assert work.main([str(session.folder), "name=w"]) == 4
    assert f"{told}: another -> " in capsys.readouterr().err
    state = dict(session.states())["w"]
    assert state.phase == REFUSED and told in state.problem.problem


def test_a_source_that_is_another_here_is_refused(session, tmp_path, capsys):
    clips.make_clip(tmp_path / "new.mkv", content="noise").replace(tmp_path / "a.mkv")

    assert work.main([str(session.folder), "name=w"]) == 4
    assert "input.content" in capsys.readouterr().err


@pytest.mark.parametrize(
    "target", ["os.system", "builtins.exec", "vfi_pipeline.media.ffmpeg.run", "vfi_pipeline.models._thread.x", "x"]
)
def test_a_job_can_name_no_function_but_a_model(target):
    with pytest.raises(UserError, match="no model of this program|is not there"):
        instantiate({"_target_": target, "command": "true"})


def test_a_job_that_is_damaged_or_of_another_version_is_told(session, capsys):
    path = session.folder / "job.json"
    document = json.loads(path.read_text())
    del document["plan"]["output"]["spec"]["width"]
    path.write_text(json.dumps(document))

    assert work.main([str(session.folder), "name=w"]) == 3
    assert "width" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [[], ["a", "b"], ["a", "name=../x"], ["a", "colour=red"], ["--what"], ["a", "parent=x"]]
)
def test_words_that_are_no_call_of_a_worker(words, capsys):
    assert work.main(words) == 2
    assert "Try: vfi work film_60fps.mkv.vfi-work" in capsys.readouterr().err


def test_two_workers_of_one_name(session, capsys):
    session.desk("w").mkdir()

    assert work.main([str(session.folder), "name=w"]) == 2
    assert "w already" in capsys.readouterr().err


def test_a_worker_is_named_after_its_machine():
    assert work.re_named("my host/1") == "wmy_host_1" and len(work.re_named("x" * 300)) == 80


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"devices": "[cuda:0,cpu]"}, "several kinds"),
        ({"devices": "all", "device": "cpu"}, "both given"),
        ({"devices": "all", "executor": "ray"}, "devices="),
        ({"address": "a:1"}, "address="),
        ({"slurm": "[partition=x]"}, "slurm="),
        ({"executor": "slurm", "slurm": "[partition]"}, "no list of settings"),
        ({"worker_cpus": "2"}, "worker_cpus="),
        ({"workers": "0"}, "workers"),
        ({"executor": "dask"}, "executor"),
        ({"workers": "2", "style": "mosaic"}, "style="),
        ({"workers": "2", "benchmark": "true"}, "benchmark="),
    ],
)
def test_options_of_workers_that_do_not_go_together(words, told):
    with pytest.raises(UserError, match=told.replace("[", r"\[")):
        read_options(("a.mkv",), {"multi": "2", **words})


def test_one_worker_is_this_process():
    assert not read_options(("a.mkv",), {"multi": "2", "workers": "1"}).distributed
    assert read_options(("a.mkv",), {"multi": "2", "devices": "all"}).distributed


def test_python_m_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "vfi_pipeline.jobs.work"], env=worker_environment(), capture_output=True, text=True
    )
    assert done.returncode == 2 and "Try:" in done.stderr


def test_a_folder_without_a_job_is_told_with_what_makes_one(tmp_path, capsys):
    assert work.main([str(tmp_path)]) == 3
    assert "executor=, devices=, or workers=2 and more" in capsys.readouterr().err
    assert work.main([]) == 2
    assert "Try: vfi work film_60fps.mkv.vfi-work" in capsys.readouterr().err
