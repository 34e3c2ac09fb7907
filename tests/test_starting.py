"""Ctrl-C while a program starts: code 130, no traceback, wherever in the imports it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vfi_pipeline.errors import INTERRUPTED
from vfi_pipeline.jobs.interrupts import Interrupted, interruptible
from vfi_pipeline.starting import quiet_start

ROOT = Path(__file__).resolve().parent.parent

HOOK = """
import signal, sys

class Finder:  # as Ctrl-C at this moment
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)

            class Name:
                def __set_name__(self, owner, name):
                    signal.raise_signal(signal.SIGINT)

            type("Made", (), {{"name": Name()}})

sys.meta_path.insert(0, Finder())
"""


class Asks:
    """An attribute that asks the process to stop while its class is made."""

    def __set_name__(self, owner, name):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    "words, module",
    [
        (["interpolate.py", "input=a.mkv", "fps=50"], "vfi_pipeline.commands.interpolate"),
        (["interpolate.py", "input=a.mkv", "fps=50"], "numpy"),
        (["interpolate.py", "input=a.mkv", "fps=50"], "torch"),
        (["evaluate.py", "input=a.mkv", "lpips=false"], "hydra"),
        (["evaluate.py", "input=a.mkv", "lpips=false"], "torch"),
        (["train.py", "debug=fdr", "hydra.run.dir=run"], "hydra"),
        (["train.py", "debug=fdr", "hydra.run.dir=run"], "torch"),
        (["-m", "vfi_pipeline", "interpolate", "input=a.mkv"], "numpy"),
        (["-m", "vfi_pipeline", "doctor"], "torch"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_ctrl_c_while_libraries_are_read(tmp_path, words, module):
    import clips

    clips.make_clip(tmp_path / "a.mkv", frames=2)
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK.format(module=module))
    if words[0].endswith(".py"):
        words = [str(ROOT / words[0]), *words[1:]]
    paths = os.pathsep.join([str(tmp_path / "hook"), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr and done.returncode == INTERRUPTED, done.stderr
    assert not list(tmp_path.glob("*.vfi-work"))


def test_a_wish_to_stop_that_python_wraps_is_one():
    with pytest.raises(Interrupted, match="SIGINT"), interruptible():
        type("Made", (), {"asks": Asks()})


def test_another_error_stays_what_it_is():
    with pytest.raises(RuntimeError, match="other"), interruptible():
        try:
            raise ValueError
        except ValueError as error:
            raise RuntimeError("other") from error


def test_who_handles_sigint_already_goes_on_doing_so():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        with quiet_start():
            signal.raise_signal(signal.SIGINT)
        assert heard == [1]
    finally:
        signal.signal(signal.SIGINT, before)
    with quiet_start():
        assert signal.getsignal(signal.SIGINT) not in (before, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGINT) == before
