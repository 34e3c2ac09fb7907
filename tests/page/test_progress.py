from __future__ import annotations

import io
from dataclasses import replace

import pytest

from vfi_pipeline.jobs.journal import Done, Journal, work_folder
from vfi_pipeline.jobs.progress import Progress
from vfi_pipeline.page.progress import error_of, how_far, last_progress, result_of, state_text, tail
from vfi_pipeline.page.queue import DONE, FAILED, STOPPED, WAITING, WORKING, Job


@pytest.fixture
def job(tmp_path):
    return Job(1, "a.mp4", (), str(tmp_path / "a_60fps.mp4"), WORKING, frames=100, started=1000.0)


def journalled(job, frames, total=100):
    from pathlib import Path

    folder = work_folder(Path(job.target))
    folder.mkdir()
    journal = Journal(folder / "journal.json", {"frames": str(total), "segments": "4"}, "")
    journal.record(0, Done(frames, "1", "x"))


def logged(label, total, done, seconds):
    """What the command's own progress writes into a log."""
    stream, now = io.StringIO(), [0.0]
    progress = Progress(label, total, stream=stream, clock=lambda: now[0])
    for number in range(done):
        now[0] = seconds * (number + 1) / done
        progress.add(number % 2 == 1)
    return stream.getvalue()


def test_the_progress_is_what_the_command_logs():
    log = logged("a.mp4", 100, 40, 20)

    done, left, doing = last_progress(log)

    assert 0 < done <= 40 and left == pytest.approx((100 - done) * 20 / 40, abs=1.5) and doing == ""


def test_a_films_name_cannot_pretend_progress():
    log = logged("x: 99/100 frames (99 %), 0:00:01 left", 100, 40, 20)

    assert last_progress(log)[0] <= 40


def test_a_step_before_the_first_frame_is_told():
    stream, now = io.StringIO(), [0.0]
    progress = Progress("a.png to b.png", 60, stream=stream, clock=lambda: now[0])
    now[0] = 6.0
    progress.passing("solving a.png to b.png", 0.25, 60)

    done, left, doing = last_progress(stream.getvalue())

    assert (done, left) == (0, 18.0) and doing == "solving a.png to b.png (25 %)"


def test_what_is_safe_comes_from_the_journal_and_what_is_under_way_from_the_log(job):
    journalled(job, 25)

    far = how_far(job, "a.mp4: 50/100 frames (50 %), 5.00 made/s, 0:00:10 left\n", 1010.0)

    assert (far.done, far.total, far.safe, far.left_s) == (50, 100, 25, 10.0)
    assert state_text(job, far) == "50 %, 50 of 100 frames, 0:00:10 left"


def test_without_a_log_the_journal_says_how_far_it_is(job):
    journalled(job, 25)

    far = how_far(job, "", 1010.0)

    assert (far.done, far.safe) == (25, 25)


def test_a_job_that_has_made_all_frames_is_being_joined(job):
    far = how_far(job, "a.mp4: 100/100 frames (100 %), 5.00 made/s, 0:00:00 left\n", 1010.0)

    assert far.doing == "joining and checking" and far.left_s is None


@pytest.mark.parametrize("state", [STOPPED, FAILED, WAITING])
def test_a_job_at_rest_tells_what_is_kept(job, state):
    journalled(job, 25)
    job = replace(job, state=state)

    far = how_far(job, "a.mp4: 50/100 frames (50 %), 5.00 made/s\n", 1010.0)

    assert far.done == 25 and "25 of 100 frames" in state_text(job, far)


def test_a_finished_job_says_how_long_it_took(job):
    job = replace(job, state=DONE, ended=1075.0)

    assert state_text(job, how_far(job, "", 0)) == "done in 0:01:15" and how_far(job, "", 0).share == 1


def test_a_damaged_journal_is_no_progress(job):
    from pathlib import Path

    folder = work_folder(Path(job.target))
    folder.mkdir()
    (folder / "journal.json").write_text("{")

    assert how_far(job, "", 0.0).done == 0


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path):
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(5000)))

    lines = tail(path, 100).splitlines()

    assert lines[-1] == "line 4999" and all(line.startswith("line ") for line in lines)
    assert tail(tmp_path / "none") == ""


def test_the_error_is_its_two_lines():
    log = "a.mp4: going on\nerror: a.mp4 is gone.\n  Try: put it back.\n"

    assert error_of(log) == "a.mp4 is gone.\nTry: put it back."
    assert error_of("Traceback\nKeyError: 1\n") == "KeyError: 1"
    assert error_of("") == ""


def test_the_result_is_the_reports(tmp_path):
    report = tmp_path / "report.json"
    report.write_text('{"films": [{"output": "/films/a.mkv"}]}')

    assert result_of(report, "/other") == "/films/a.mkv"
    for broken in ("{", "[]", '{"films": []}'):
        report.write_text(broken)
        assert result_of(report, "/other") == "/other"
