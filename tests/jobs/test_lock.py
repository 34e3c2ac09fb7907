"""The right to work in a folder. That it belongs to one process and dies with it: tests/jobs/test_journal.py."""

from __future__ import annotations

import logging
import os
import socket

import pytest

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs import lock as module
from vfi_pipeline.jobs.lock import Lock, lock_holder


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "out.mkv.vfi-work"


def test_taking_it_makes_the_folder_and_says_who_has_it(folder):
    assert lock_holder(folder) is None
    with Lock(folder) as lock:
        assert lock.path.read_text() == f"pid {os.getpid()} on {socket.gethostname()}"
        assert lock_holder(folder) == f"pid {os.getpid()} on {socket.gethostname()}"
    assert lock_holder(folder) is None
    assert folder.is_dir()  # what was done is kept


def test_a_second_one_is_refused_and_names_the_output(folder):
    with Lock(folder), pytest.raises(UserError, match=f"making out.mkv already .pid {os.getpid()}") as caught:
        Lock(folder)
    assert caught.value.code == ENVIRONMENT
    with Lock(folder):
        pass


def test_a_longer_name_of_before_is_replaced_whole(folder):
    folder.mkdir()
    (folder / "lock").write_text("pid 123456789 on " + "a" * 300)
    with Lock(folder):
        assert (folder / "lock").read_text() == f"pid {os.getpid()} on {socket.gethostname()}"


def test_a_holder_that_has_not_said_its_name_yet(folder):
    with Lock(folder) as lock:
        lock.path.write_text("")
        assert lock_holder(folder) == "its pid is not known yet"


@pytest.mark.parametrize(
    "replaced",
    [
        lambda folder: folder.rmdir(),  # the holder before removes both: a lock on nothing is none
        lambda folder: (folder / "lock").touch(),  # another file under the same name is not the one that is locked
    ],
    ids=["folder removed", "another file"],
)
def test_what_is_taken_away_between_opening_and_locking_is_taken_anew(folder, monkeypatch, replaced):
    real, taken = module.fcntl.flock, []

    def flock(file, how):
        if not taken:
            (folder / "lock").unlink()
            replaced(folder)
        taken.append(how)
        return real(file, how)

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with Lock(folder):
        assert len(taken) == 2
        monkeypatch.undo()
        assert lock_holder(folder) is not None


def test_where_nothing_can_be_made_the_remedy_says_so(tmp_path):
    with pytest.raises(UserError, match="does not exist") as caught:
        Lock(tmp_path / "missing" / "out.mkv.vfi-work")
    assert caught.value.code == ENVIRONMENT
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Nothing can be written in") as caught:
        Lock(tmp_path / "file" / "out.mkv.vfi-work")
    assert caught.value.args[1] == "output= in another folder."


def test_a_file_system_without_locks_is_told_and_works(folder, monkeypatch, caplog):
    def flock(file, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(module.fcntl, "flock", flock)
    with caplog.at_level(logging.WARNING), Lock(folder):
        assert "has no locks" in caplog.text
    assert lock_holder(folder) is None


def test_a_disk_that_is_full_leaves_nothing_behind(folder, monkeypatch):
    monkeypatch.setattr(module.socket, "gethostname", lambda: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UserError, match="No space left") as caught:
        Lock(folder)
    assert caught.value.args[1].startswith("free some space")
    assert not folder.exists()


def test_a_full_disk_keeps_the_work_of_before(folder, monkeypatch):
    folder.mkdir()
    (folder / "journal.json").write_text("{}")
    monkeypatch.setattr(module.socket, "gethostname", lambda: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(UserError, match="No space left"):
        Lock(folder)
    assert (folder / "journal.json").read_text() == "{}"
    assert lock_holder(folder) is None


def test_a_folder_in_which_none_can_be_made_is_refused_and_not_tried_for_ever(folder, monkeypatch):
    def refuse(path, *args, **kwargs):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(type(folder), "mkdir", refuse)  # as /proc answers
    with pytest.raises(UserError, match="Nothing can be written in") as caught:
        Lock(folder)
    assert caught.value.code == ENVIRONMENT
