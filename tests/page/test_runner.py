"""Jobs run as processes of their own: stand-ins here, the real command in test_browser.py and the last test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from vfi_pipeline.errors import ENVIRONMENT, INTERRUPTED
from vfi_pipeline.page.progress import how_far, tail
from vfi_pipeline.page.queue import DONE, FAILED, STOPPED, WAITING, WORKING, Queue
from vfi_pipeline.page.runner import Runner, program

STAND_IN = """
import json, signal, sys, time
words = dict(word.partition("=")[::2] for word in sys.argv[1:])
def stop(*_):
    print("Stopped."); sys.exit(130)
signal.signal(signal.SIGTERM, stop)
print("at work", flush=True)
if "until" in words:
    import os
    while not os.path.exists(words["until"]): time.sleep(0.02)
if "report" in words:
    json.dump({"films": [{"state": "done", "output": words.get("output")}]}, open(words["report"], "w"))
if words.get("code", "0") != "0":
    print("error: a film is gone.\\n  Try: put it back.")
sys.exit(int(words.get("code", "0")))
"""


@pytest.fixture
def queue(tmp_path):
    return Queue(tmp_path / ".vfi-queue")


@pytest.fixture
def stand_in(tmp_path):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    return (sys.executable, str(script))


@pytest.fixture
def runners(stand_in):
    made = []

    def start(queue, words=stand_in):
        runner = Runner(queue, words)
        made.append(runner)
        runner.start()
        return runner

    yield start
    for runner in made:
        runner.close()


def add(queue, *words, target="/films/x.mp4"):
    return queue.add("x", lambda number: words, target).number


def until(condition, patience_s=20.0):
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "this never came true"
        time.sleep(0.02)


def test_jobs_are_done_one_after_another_and_logged(queue, runners, tmp_path):
    first, second = add(queue, f"until={tmp_path}/go"), add(queue, target="/films/y.mp4")
    runners(queue)
    until(lambda: queue.get(first).state == WORKING and "at work" in tail(queue.file(first, "log")))

    assert queue.get(second).state == WAITING
    (tmp_path / "go").touch()
    until(lambda: queue.get(second).state == DONE)

    assert queue.get(first).state == DONE and queue.get(first).ended >= queue.get(first).started > 0
    assert queue.get(first).pid == 0


def test_a_failed_job_tells_the_commands_two_lines_and_the_next_goes_on(queue, runners):
    first, second = add(queue, f"code={ENVIRONMENT}"), add(queue, target="/films/y.mp4")
    runners(queue)
    until(lambda: queue.get(second).state == DONE)

    assert queue.get(first).state == FAILED
    assert queue.get(first).problem == "a film is gone.\nTry: put it back."


def test_a_job_that_is_stopped_keeps_its_place_and_goes_on(queue, runners, tmp_path):
    number = add(queue, f"until={tmp_path}/go")
    runners(queue)
    until(lambda: "at work" in tail(queue.file(number, "log")))
    queue.stop(number)
    until(lambda: queue.get(number).state == STOPPED)

    assert queue.get(number).problem == "" and not queue.get(number).stopping
    (tmp_path / "go").touch()
    queue.go_on(number)
    until(lambda: queue.get(number).state == DONE)


def test_a_signal_from_elsewhere_stops_the_job_and_does_not_start_it_again(queue, runners):
    number = add(queue, f"code={INTERRUPTED}")
    runners(queue)
    until(lambda: queue.get(number).state == STOPPED)


def test_when_the_page_ends_its_job_stops_and_waits_for_the_next_page(queue, runners, tmp_path):
    number = add(queue, f"until={tmp_path}/go")
    runner = runners(queue)
    until(lambda: "at work" in tail(queue.file(number, "log")))
    pid = queue.get(number).pid
    runner.close()

    assert queue.get(number).state == WAITING
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    (tmp_path / "go").touch()
    queue.close()
    again = Queue(tmp_path / ".vfi-queue")
    runners(again)
    until(lambda: again.get(number).state == DONE)


def orphaned(queue, stand_in, tmp_path, *words):
    """A job whose page was killed: its command works on, and its file says that it works."""
    number = add(queue, *words)
    page = f"""
import sys, time
sys.path.insert(0, {os.getcwd()!r})
from pathlib import Path
from vfi_pipeline.page.queue import Queue
from vfi_pipeline.page.runner import Runner
Runner(Queue(Path({str(queue.folder.parent)!r})), {stand_in!r}).start()
time.sleep(60)
"""
    queue.close()
    killed = subprocess.Popen([sys.executable, "-c", page], stdout=subprocess.DEVNULL)
    log = queue.file(number, "log")
    until(lambda: log.exists() and "at work" in tail(log))
    until(lambda: '"working"' in queue.file(number, "json").read_text())
    killed.kill()
    killed.wait()
    return number, Queue(queue.folder.parent)


def test_a_job_that_outlives_a_killed_page_is_waited_for_and_not_done_twice(queue, runners, stand_in, tmp_path):
    report = queue.file(1, "report.json")
    number, again = orphaned(queue, stand_in, tmp_path, f"until={tmp_path}/go", f"report={report}")
    assert again.get(number).state == WORKING
    runners(again)
    time.sleep(0.6)
    assert again.get(number).state == WORKING
    (tmp_path / "go").touch()
    until(lambda: again.get(number).state == DONE)

    assert tail(again.file(number, "log")).count("at work") == 1


def test_such_a_job_can_be_stopped(queue, runners, stand_in, tmp_path):
    number, again = orphaned(queue, stand_in, tmp_path, f"until={tmp_path}/never")
    runners(again)
    time.sleep(0.4)
    again.stop(number)
    until(lambda: again.get(number).state == STOPPED)


def test_a_job_that_died_with_the_page_goes_on_by_itself(queue, runners, stand_in, tmp_path):
    number, again = orphaned(queue, stand_in, tmp_path, f"until={tmp_path}/go")
    os.kill(again.get(number).pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    runners(again)
    until(lambda: again.get(number).state == DONE)

    assert tail(again.file(number, "log")).count("at work") == 2


def test_a_command_that_cannot_be_started_is_told(queue, runners, tmp_path):
    number = add(queue)
    runners(queue, (str(tmp_path / "nothing"),))
    until(lambda: queue.get(number).state == FAILED)

    assert "cannot be started" in queue.get(number).problem


def test_nothing_in_a_word_reaches_a_shell(queue, runners, tmp_path):
    add(queue, f"input=$(touch {tmp_path}/shell)", f"x=`touch {tmp_path}/shell`; touch {tmp_path}/shell")
    runners(queue)
    until(lambda: queue.get(1).state == DONE)

    assert not (tmp_path / "shell").exists()


@pytest.mark.slow
def test_the_real_command_makes_a_film_and_the_page_sees_how_far(queue, runners, tmp_path):
    from clips import make_clip

    source, target = make_clip(tmp_path / "$(touch x) <b>.mp4", frames=12), tmp_path / "out.mp4"
    words = (f"input={source}", "fps=50", "model=blend", f"output={target}", f"report={queue.file(1, 'report.json')}")
    queue.add("x", lambda number: words, str(target), 24)
    runners(queue, program())
    until(lambda: queue.get(1).state in (DONE, FAILED), 90)

    assert queue.get(1).state == DONE, queue.get(1).problem
    assert target.is_file() and how_far(queue.get(1), "", 0.0).share == 1
    assert not (tmp_path / "x").exists()
