"""The journal tells the truth whenever the power goes; the lock belongs to one process at a time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from vfi_pipeline.errors import UserError
from vfi_pipeline.jobs import journal as journals
from vfi_pipeline.jobs.fingerprint import file_fingerprint
from vfi_pipeline.jobs.journal import Done, Journal, open_journal, work_folder
from vfi_pipeline.jobs.lock import Lock, lock_holder

FACTS = {"input.size": "10", "crf": "16"}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "out.mp4.vfi-work"
    path.mkdir()
    return path


def test_what_was_recorded_is_read_back(folder):
    journal = open_journal(folder, FACTS, "python interpolate.py x", resume=True)
    journal.record(0, Done(10, "123", "abc", [4], {"made": 5.0}))
    again = open_journal(folder, FACTS, "python interpolate.py x", resume=True)
    assert again.done == {0: Done(10, "123", "abc", [4], {"made": 5.0})}


def test_changed_settings_are_refused_with_what_changed(folder):
    open_journal(folder, FACTS, "", resume=True).record(0, Done(1, "1", ""))
    with pytest.raises(UserError, match=r"(?s)crf: 16 -> 20.*resume=false"):
        open_journal(folder, {**FACTS, "crf": "20"}, "", resume=True)
    with pytest.raises(UserError, match="dedup: not set -> True"):
        open_journal(folder, {**FACTS, "dedup": "True"}, "", resume=True)
    assert open_journal(folder, {**FACTS, "crf": "20"}, "", resume=False).done == {}


NOW = {**FACTS, "tool": "0.9.0", "code.shots": "abc", "code.models": "def"}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({**FACTS, "tool": "0.8.0"}, r"made by version 0\.8\.0; version 0\.9\.0 may make other frames\.$"),
        (FACTS, r"made by version unknown; version 0\.9\.0"),
        ({**NOW, "tool": "0.9.1"}, r"made by version 0\.9\.1; version 0\.9\.0"),
        ({**NOW, "code.shots": "xyz"}, r"an earlier state of version 0\.9\.0; .* its code changed in shots\.$"),
        ({**FACTS, "tool": "0.9.0"}, r"an earlier state of version 0\.9\.0; .* its code changed in models, shots\.$"),
        ({**FACTS, "tool": "0.8.0", "crf": "20"}, r"by version 0\.8\.0; .* Changed, too: crf: 20 -> 16\.$"),
        ({**FACTS, "tool": "0.8.0", "gone": "1"}, r"by version 0\.8\.0; version 0\.9\.0 may make other frames\.$"),
    ],
)
def test_work_of_another_version_is_refused_by_name(folder, before, said):
    open_journal(folder, before, "", resume=True).record(0, Done(1, "1", ""))
    with pytest.raises(UserError) as refused:
        open_journal(folder, NOW, "", resume=True)
    problem, remedy, code = refused.value.args
    assert re.search(said, problem) and "\n" not in problem and code == 2
    assert remedy.startswith("resume=false to start anew, or finish with ")
    assert Journal.load(folder / "journal.json").done  # nothing is lost
    assert open_journal(folder, NOW, "", resume=False).done == {}


def test_starting_anew_removes_the_old_segments(folder):
    open_journal(folder, FACTS, "", resume=True)
    (folder / "segment_00000.mp4").write_bytes(b"old")
    open_journal(folder, {}, "", resume=False)
    assert sorted(path.name for path in folder.iterdir()) == ["journal.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"fingerprint": {}}', b"\xff\xfe\x00"])
def test_a_damaged_journal_starts_anew_and_says_so(folder, damage, caplog):
    open_journal(folder, FACTS, "", resume=True).record(0, Done(1, "1", ""))
    (folder / "journal.json").write_bytes(damage)
    assert open_journal(folder, FACTS, "", resume=True).done == {}
    assert "starting anew" in caplog.text


def test_a_crash_while_writing_leaves_the_journal_of_before(folder, monkeypatch):
    journal = open_journal(folder, FACTS, "", resume=True)
    journal.record(0, Done(1, "1", ""))

    def power_cut(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(journals.os, "replace", power_cut)
    with pytest.raises(KeyboardInterrupt):
        journal.record(1, Done(1, "1", ""))
    monkeypatch.undo()
    assert list(Journal.load(folder / "journal.json").done) == [0]


def test_the_file_is_flushed_before_it_gets_its_name(folder, monkeypatch):
    order = []
    real_fsync, real_replace = os.fsync, os.replace
    monkeypatch.setattr(journals.os, "fsync", lambda fd: (order.append("fsync"), real_fsync(fd)))
    monkeypatch.setattr(journals.os, "replace", lambda a, b: (order.append("rename"), real_replace(a, b)))
    open_journal(folder, FACTS, "", resume=True)
    assert order[:3] == ["fsync", "rename", "fsync"]  # the file, then its name, then the folder


def test_any_change_of_a_file_shows(tmp_path):
    path = tmp_path / "clip.bin"
    path.write_bytes(bytes(3 << 20))
    before = file_fingerprint(path)
    times = path.stat()
    for position in (0, (3 << 20) - 1):
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"x")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert file_fingerprint(path)["content"] != before["content"]
    path.write_bytes(bytes((3 << 20) - 1))
    assert file_fingerprint(path)["size"] != before["size"]


def test_the_lock_belongs_to_one_process_and_names_it(folder):
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from vfi_pipeline.jobs.lock import Lock\n"
         "with Lock(Path(sys.argv[1])): print('locked', flush=True); sys.stdin.read()", str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "locked\n"
        assert f"pid {holder.pid} on" in lock_holder(folder)
        with pytest.raises(UserError, match=f"pid {holder.pid} ") as refused, Lock(folder):
            pass
        assert refused.value.code == 4
        holder.kill()
        holder.wait()
        assert lock_holder(folder) is None
        with Lock(folder):  # killed: the system has given the lock back
            pass
    finally:
        holder.kill()
        holder.communicate()


def test_removing_the_folder_gives_the_lock_back(folder):
    with Lock(folder):
        (folder / "segment_00000").mkdir()
        (folder / "segment_00000" / "a.png").touch()
        journals.remove_folder(folder)
    assert not folder.exists()


def test_work_folders_stand_beside_the_output(tmp_path):
    assert work_folder(tmp_path / "clip.mp4") == tmp_path / "clip.mp4.vfi-work"
    assert "%" not in work_folder(tmp_path / "%06d.png").name
    long = work_folder(tmp_path / ("ü" * 125 + ".mp4"))
    assert len(os.fsencode(long.name)) <= 255
    assert long != work_folder(tmp_path / ("ü" * 124 + "x.mp4"))


def test_the_journal_is_plain_json(folder):
    open_journal(folder, FACTS, "python interpolate.py 'ä'", resume=True)
    assert json.loads((folder / "journal.json").read_text())["fingerprint"] == FACTS
