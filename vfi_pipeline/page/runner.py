"""Does the jobs of a queue, one at a time, each as the command that people type.

The command is a process of its own: a film that breaks it takes neither the page nor the other jobs along. It holds a
lock for as long as it lives, so a page that is started again knows a job that still works, and waits for it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import vfi_pipeline
from vfi_pipeline.errors import DONE as SUCCESS
from vfi_pipeline.errors import ENVIRONMENT, INTERRUPTED, UserError
from vfi_pipeline.page.progress import error_of
from vfi_pipeline.page.queue import DONE, FAILED, STOPPED, WAITING, WORKING, Job, Queue

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

POLL_S = 0.2
PATIENCE_S = 20.0
"""How long a command gets to stop in good order, when the page ends."""

NICENESS = 5
"""Jobs give way to previews, which people wait for."""


def program() -> tuple[str, ...]:
    """What interpolates, as an argument list: ``interpolate.py`` beside the package, else the command ``vfi``.

    Raises:
        UserError: if there is neither.
    """
    script = Path(vfi_pipeline.__file__).resolve().parent.parent / "interpolate.py"
    if script.is_file():
        return (sys.executable, str(script))
    beside = shutil.which("vfi", path=str(Path(sys.executable).parent)) or shutil.which("vfi")
    if beside:
        return (beside, "interpolate")
    raise UserError(
        "There is no interpolate.py beside the package, nor a command vfi.", "pip install vfi-pipeline", ENVIRONMENT
    )


class Runner:
    """A thread that does the queue's jobs until it is closed."""

    def __init__(self, queue: Queue, program: Sequence[str]) -> None:
        self.queue, self.program = queue, tuple(program)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="jobs", daemon=True)

    def start(self) -> None:
        """Begins; jobs that were at work when the last page ended go on."""
        self._thread.start()

    def close(self) -> None:
        """Stops the command that runs; its job waits for the next page."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S + 5)

    def _work(self) -> None:
        while not self._closing.is_set():
            try:
                self._adopt()
                job = self.queue.next()
                if job is not None:
                    self._do(job)
                    continue
            except Exception:  # the page must not go on without its worker
                log.exception("the queue")
            self._closing.wait(POLL_S)

    # -------------------------------------------------------------------------------------------------- one job

    def _do(self, job: Job) -> None:
        report = self.queue.file(job.number, "report.json")
        report.unlink(missing_ok=True)
        alive, log_file = self.queue.file(job.number, "alive"), self.queue.file(job.number, "log")
        with alive.open("a") as lock, log_file.open("ab") as output:
            if not _locked(lock):
                return  # its last command still runs: adopted in the next round
            begin = output.tell()
            try:
                process = subprocess.Popen(
                    [*self.program, *job.words], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    cwd=self.queue.folder, pass_fds=(lock.fileno(),) if fcntl is not None else (),
                    start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
                )  # fmt: skip
            except (OSError, ValueError) as error:
                self.queue.ended(job.number, FAILED, f"The command cannot be started ({error}).")
                return
        # The lock is the command's now: it is released when that ends, not when this file was closed.
        self.queue.started(job.number, process.pid)
        _give_way(process.pid)
        code = self._wait(job.number, process)
        if code == SUCCESS:
            self.queue.ended(job.number, DONE)
        elif self.queue.get(job.number).stopping:
            self.queue.ended(job.number, STOPPED)
        elif code == INTERRUPTED or self._closing.is_set():
            self.queue.ended(job.number, WAITING if self._closing.is_set() else STOPPED)
        else:
            with log_file.open("rb") as file:
                file.seek(begin)
                text = file.read()[-20_000:].decode("utf-8", "replace")
            self.queue.ended(job.number, FAILED, error_of(text) or f"The command ended with code {code}.")

    def _wait(self, number: int, process: subprocess.Popen[bytes]) -> int:
        """Waits for the command; stops it if that is wanted. Returns its exit code."""
        asked: float | None = None
        while True:
            try:
                return process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                pass
            if asked is None and (self._closing.is_set() or self.queue.get(number).stopping):
                process.terminate()
                asked = time.monotonic()
            elif asked is not None and time.monotonic() - asked > PATIENCE_S:
                process.kill()

    # --------------------------------------------------------------------- what was under way when a page ended

    def _adopt(self) -> None:
        """Jobs that are marked as at work and are not ours: waits for those that are, puts the others back."""
        for job in self.queue.jobs():
            if job.state != WORKING:
                continue
            asked = False
            while self._alive(job.number):
                if self._closing.wait(POLL_S):
                    return  # it works on; the next page waits for it
                if not asked and self.queue.get(job.number).stopping:
                    asked = True
                    try:
                        os.kill(job.pid, signal.SIGTERM)
                    except (OSError, OverflowError) as error:
                        log.warning("job %d cannot be stopped: %s", job.number, error)
            finished = _is_complete(self.queue.file(job.number, "report.json"))
            stopping = self.queue.get(job.number).stopping
            self.queue.ended(job.number, DONE if finished else STOPPED if stopping else WAITING)

    def _alive(self, number: int) -> bool:
        try:
            with self.queue.file(number, "alive").open("a") as lock:
                return not _locked(lock)
        except OSError:
            return False


def _locked(file: IO[str]) -> bool:
    """Takes the lock of an open file; False if a process that has it lives."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.debug("this file system has no locks: %s", error)
    return True


def _give_way(pid: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, pid, NICENESS)
    except (OSError, AttributeError) as error:
        log.debug("job's priority: %s", error)


def _is_complete(report: Path) -> bool:
    """Whether a command wrote its report, which it does last."""
    try:
        films = json.loads(report.read_text(encoding="utf-8"))["films"]
        return bool(films) and all(film["state"] == "done" for film in films)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
