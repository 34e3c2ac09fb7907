"""``executor=local`` with several workers: processes on this machine, one for each device."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.executor import PROGRAM, tail, words, worker_environment

GRACE_S = 10.0
"""How long a worker may take to end when it is asked to."""


class Processes:
    """Worker processes; see ``Executor``.

    Args:
        workers: how many.
        devices: taken in turn; none leaves the choice to the job.
        threads: of each worker's arithmetic; None leaves it to torch.
        program: what is started, before the worker's words.
    """

    poll_s = 0.1
    patience_s = 20.0

    def __init__(
        self, workers: int, devices: Sequence[str] = (), threads: int | None = None, program: Sequence[str] = PROGRAM
    ) -> None:
        self.workers = workers
        self._devices, self._threads, self._program = list(devices), threads, list(program)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._used: dict[str, str] = {}
        self._logs: dict[str, Path] = {}

    def start(self, session: Path, names: Sequence[str]) -> None:
        for name in names:
            device = None
            if self._devices:
                taken = list(self._used.values())
                device = self._used[name] = min(self._devices, key=taken.count)
            self._logs[name] = session / "logs" / f"{name}.txt"
            command = [*self._program, *words(session, name, device, os.getpid())]
            try:
                with self._logs[name].open("wb") as log_file:
                    self._running[name] = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=log_file, stderr=subprocess.STDOUT,
                        env=worker_environment(self._threads),
                        # Ctrl-C in a terminal is for the head, which decides what becomes of the workers.
                        start_new_session=True,
                    )  # fmt: skip
            except OSError as error:
                problem = f"A worker could not be started: {error}."
                raise UserError(problem, "check the limits of memory and processes.", ENVIRONMENT) from error

    def ended(self) -> dict[str, str]:
        last_lines = {}
        for name, child in list(self._running.items()):
            status = child.poll()
            if status is not None:
                del self._running[name]
                self._used.pop(name, None)
                last_lines[name] = (status >= 0 and tail(self._logs[name])) or _status_text(status)
        return last_lines

    def stop(self) -> None:
        for child in self._running.values():
            child.terminate()
        deadline = time.monotonic() + GRACE_S
        for child in self._running.values():
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._running.clear()


def _status_text(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
