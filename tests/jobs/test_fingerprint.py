"""What decides frames is a part of a job's fingerprint: files, and the code of this program."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import vfi_pipeline
from vfi_pipeline.jobs.fingerprint import NEUTRAL, code_fingerprint

ROOT = Path(vfi_pipeline.__file__).parent


@pytest.fixture
def copy(tmp_path):
    """A copy of this program's source."""
    return Path(shutil.copytree(ROOT, tmp_path / "copy", ignore=shutil.ignore_patterns("*.pyc", "weights", "conf")))


def changed(copy: Path, file: str, before: str, after: str) -> list[str]:
    """The facts that are others once ``before`` is ``after`` in a file of the copy."""
    facts = code_fingerprint(copy)
    source = (copy / file).read_text("utf-8")
    assert before in source
    (copy / file).write_text(source.replace(before, after), "utf-8")
    code_fingerprint.cache_clear()
    return [name for name, value in code_fingerprint(copy).items() if facts[name] != value]


@pytest.mark.parametrize(
    ("file", "before", "after", "fact"),
    [
        ("shots/cuts.py", "certain: float = 6.0", "certain: float = 6.5", "code.shots"),
        ("synthesis/context.py", "CONTEXT_BEFORE", "FRAMES_BEFORE", "code.synthesis"),
        ("jobs/plan.py", "full_hd_frames: int = 300", "full_hd_frames: int = 200", "code.jobs"),
    ],
)
def test_a_changed_constant_or_algorithm_changes_one_fact(copy, file, before, after, fact):
    assert changed(copy, file, before, after) == [fact]


@pytest.mark.parametrize("file", ["page/texts.py", "training/schedules.py"])
def test_what_decides_no_frame_changes_none(copy, file):
    assert changed(copy, file, '"""', '"""x') == []


def test_line_ends_change_nothing(copy):
    facts = code_fingerprint(copy)
    for path in copy.rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    code_fingerprint.cache_clear()
    assert code_fingerprint(copy) == facts == code_fingerprint()


def imported(module: str) -> set[str]:
    """The modules of this program that one of them imports, anywhere in it."""
    path = ROOT.parent / (module.replace(".", "/") + ".py")
    path = path if path.is_file() else ROOT.parent / module.replace(".", "/") / "__init__.py"
    if not path.is_file():
        return set()
    found = set()
    for line in re.findall(r"^ *from (vfi_pipeline[\w.]*) import (.+)", path.read_text("utf-8"), re.MULTILINE):
        found |= {line[0], *(f"{line[0]}.{name}" for name in re.findall(r"\w+", line[1]))}
    return found


def test_what_makes_frames_uses_no_neutral_package():
    waiting, seen = {"vfi_pipeline.jobs.frame_maker", "vfi_pipeline.apps.render"}, set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        waiting |= imported(module) - seen

    packages = {name.split(".")[1] for name in seen if name.count(".")}
    assert {"shots", "synthesis", "models", "geometry", "media", "animation", "losses"} <= packages
    assert packages & set(NEUTRAL) <= {"viz"}  # contact sheets, which are no frames
