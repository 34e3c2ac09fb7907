from __future__ import annotations

import json
import os
import stat

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs.journal import Done, Journal, work_folder
from vfi_pipeline.page.queue import DONE, FAILED, STOPPED, WAITING, WORKING, Queue


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".vfi-queue"


def add(queue, target="/films/a_60fps.mp4", title="a.mp4"):
    return queue.add(title, lambda number: ("input=/films/a.mp4", "fps=60", f"report={number}"), target, 60)


def test_jobs_survive_a_restart_of_the_page_with_all_that_is_known(folder):
    queue = Queue(folder, clock=lambda: 12.0)
    job, other = add(queue), add(queue, "/films/b.mp4", os.fsdecode(b"caf\xe9 <b>\n"))
    queue.started(job.number, 4711)
    before = queue.jobs()
    queue.close()

    assert Queue(folder).jobs() == before
    assert before[0].state == WORKING and before[0].pid == 4711 and before[0].started == 12.0
    assert before[1].title == other.title


def test_each_change_is_on_the_disk_when_it_returns(folder):
    queue = Queue(folder)
    job = add(queue)
    for change, state in (
        (lambda: queue.started(1, 5), WORKING), (lambda: queue.ended(1, FAILED, "no\nyes"), FAILED),
        (lambda: queue.go_on(1), WAITING), (lambda: queue.stop(1), STOPPED),
    ):  # fmt: skip
        change()
        assert json.loads(queue.file(job.number, "json").read_text())["state"] == state
    assert not list(queue.folder.glob("*.new"))


def test_the_first_that_waits_is_next(folder):
    queue = Queue(folder)
    for target in "abc":
        add(queue, target)
    queue.ended(1, DONE)
    queue.stop(2)

    assert queue.next().number == 3
    queue.go_on(2)
    assert queue.next().number == 2


def test_numbers_are_never_used_again_for_another_file(folder):
    queue = Queue(folder)
    add(queue, "a")
    add(queue, "b")
    queue.remove(1)

    assert add(queue, "c").number == 3
    assert add(queue, "d").words[-1] == "report=4"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"number": 1}', b"\xff\xfe", b'{"number": 2, "title": 1}'])
def test_a_damaged_job_is_passed_over_and_its_number_too(folder, content):
    queue = Queue(folder)
    add(queue)
    add(queue, "b")
    queue.close()
    queue.file(2, "json").write_bytes(content)

    again = Queue(folder)

    assert [job.number for job in again.jobs()] == [1]
    assert add(again, "c").number == 3


def test_two_jobs_do_not_write_one_file(folder):
    queue = Queue(folder)
    add(queue)
    with pytest.raises(UserError, match="makes a_60fps.mp4 already"):
        add(queue)
    queue.ended(1, DONE)
    add(queue)


def test_two_pages_do_not_share_a_queue(folder):
    queue = Queue(folder)
    with pytest.raises(UserError, match="Another page works") as error:
        Queue(folder)
    assert "\n  Try: " in str(error.value)
    queue.close()
    Queue(folder).close()


def test_others_cannot_read_the_queue(folder):
    Queue(folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_working_job_is_asked_to_stop_and_not_removed(folder):
    queue = Queue(folder)
    add(queue)
    queue.started(1, 5)

    assert queue.stop(1).state == WORKING and queue.get(1).stopping
    with pytest.raises(UserError, match="at work"):
        queue.remove(1)


def test_going_on_changes_only_what_is_stopped_or_failed(folder):
    queue = Queue(folder)
    add(queue)
    queue.started(1, 5)
    assert queue.go_on(1).state == WORKING
    queue.ended(1, DONE)
    assert queue.go_on(1).state == DONE and queue.stop(1).state == DONE


def test_removing_an_unfinished_job_removes_its_segments_and_no_film(folder, tmp_path):
    queue = Queue(folder)
    target = tmp_path / "a_60fps.mp4"
    add(queue, str(target))
    work = work_folder(target)
    work.mkdir()
    (work / "lock").touch()
    journal = Journal(work / "journal.json", {"frames": "60"}, "")
    journal.record(0, Done(30, "1", "x"))
    (work / "00000.mkv").write_bytes(b"segment")
    target.write_bytes(b"an older film")
    queue.file(1, "log").write_text("told")

    queue.remove(1)

    assert target.read_bytes() == b"an older film" and not work.exists()
    assert [path.name for path in queue.folder.iterdir()] == [] and queue.jobs() == []


def test_removing_a_finished_job_leaves_the_film(folder, tmp_path):
    queue = Queue(folder)
    target = tmp_path / "a_60fps.mp4"
    target.write_bytes(b"film")
    add(queue, str(target))
    queue.ended(1, DONE)
    queue.remove(1)

    assert target.exists()


def test_a_job_that_is_gone_is_told_in_two_lines(folder):
    with pytest.raises(UserError, match="no job 7"):
        Queue(folder).get(7)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        Queue(tmp_path / "file" / "queue")
