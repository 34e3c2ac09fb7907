"""``executor=ray``: workers as tasks of a Ray cluster. The one door to Ray.

A task starts ``python -m vfi_pipeline.jobs.work`` and waits for it; only texts go in and come out. A cluster of our own
listens on this machine alone, without a dashboard, and nothing is reported to anyone.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.executor import CHECKOUT, words

log = logging.getLogger(__name__)

STORE_BYTES = 80 << 20
"""Of the object store of a cluster of our own, which holds next to nothing: what goes through it are a few words."""


OWN = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # no cluster of machines: Ray keeps to the loopback address
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}  # fmt: skip
"""What Ray, and the processes of a cluster of our own, read: nothing is reported, all listen on this machine alone, and
whoever speaks to them needs a token that only they know.
"""

ANSWERS_S = 10.0
"""How long a cluster may take to answer."""

GUEST = {"RAY_USAGE_STATS_ENABLED": "0"}


class RayCluster:
    """Workers on Ray; see ``Executor``.

    Args:
        workers: how many; None takes as many as the cluster has room for when it is asked.
        address: of a cluster that runs (``host:6379``, ``auto``); None starts one on this machine.
        processors: of each worker.
        device: ``cuda`` asks for one GPU each.
        program: words behind the interpreter of Ray's worker: what is started there.
    """

    poll_s = 0.25
    patience_s = 120.0

    def __init__(
        self,
        workers: int | None,
        address: str | None,
        processors: int,
        device: str,
        program: Sequence[str] = ("-m", "vfi_pipeline.jobs.work"),
    ) -> None:
        self._before = {name: os.environ.get(name) for name in OWN}
        os.environ.update(OWN if address is None else GUEST)
        self._processors, self._gpus = processors, int(device.startswith("cuda"))
        self._device, self._program = device, list(program)
        self._tasks: dict[str, Any] = {}
        try:
            self._ray = _ray()
            self._connect(address, workers)
        except BaseException:
            self._restore()
            raise
        self.workers = workers or self._room()
        self._run = self._ray.remote(num_cpus=processors, num_gpus=self._gpus, max_retries=0)(_task())

    def _connect(self, address: str | None, workers: int | None) -> None:
        own: dict[str, Any] = {}
        if address not in (None, "auto"):
            _refuse_silence(str(address))
        if address is None:
            processors = None if workers is None else workers * self._processors
            own = {"num_cpus": processors, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        if self._ray.is_initialized():
            raise UserError("Ray runs in this process already.", "a process of its own for the job.", ENVIRONMENT)
        try:
            with _signals_kept():
                self._ray.init(
                    address=address or "local", log_to_driver=False, configure_logging=False, logging_level="ERROR",
                    ignore_reinit_error=False, **own,
                )  # fmt: skip
        except BaseException as error:
            self._ray.shutdown()
            if not isinstance(error, Exception):
                raise
            # ConnectionError, ValueError, RuntimeError: by what is wrong and Ray's version.
            raise _no_cluster(address, str(error).strip().partition("\n")[0]) from error

    def _room(self) -> int:
        resources = self._ray.cluster_resources()
        room = int(resources.get("CPU", 0) // self._processors)
        if self._gpus:
            room = min(room, int(resources.get("GPU", 0)))
        return max(1, room)

    def start(self, session: Path, names: Sequence[str]) -> None:
        for name in names:
            # A GPU is Ray's to choose; it is the only one that the worker sees.
            self._tasks[name] = self._run.remote(CHECKOUT, self._program, words(session, name, self._device))

    def ended(self) -> dict[str, str]:
        if not self._tasks:
            return {}
        ready, _ = self._ray.wait(list(self._tasks.values()), num_returns=len(self._tasks), timeout=0)
        last_lines = {}
        for name, task in list(self._tasks.items()):
            if task in ready:
                del self._tasks[name]
                try:
                    last_lines[name] = str(self._ray.get(task))
                except self._ray.exceptions.RayError as error:
                    lines = str(error).strip().splitlines() or [type(error).__name__]
                    last_lines[name] = lines[-1 if isinstance(error, self._ray.exceptions.RayTaskError) else 0]
        return last_lines

    def stop(self) -> None:
        try:
            for task in self._tasks.values():
                self._ray.cancel(task, force=True)
        except Exception as error:  # a cluster that is gone has no tasks to end
            log.debug("ray: %s", error)
        self._tasks.clear()
        self._ray.shutdown()
        self._restore()

    def _restore(self) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _refuse_silence(address: str) -> None:
    """UserError if nothing listens at an address: Ray itself would wait for it, without a word, and not be stopped."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWERS_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise _no_cluster(address, str(error)) from error


def _no_cluster(address: str | None, why: str) -> UserError:
    where = f"no cluster at address={address}" if address else "no cluster of its own"
    return UserError(
        f"Ray finds {where} ({why}).",
        "address=HOST:6379 of a cluster that runs (ray start --head), or no address= for one on this machine.",
        ENVIRONMENT,
    )


def _task() -> Callable[[str, list[str], list[str]], str]:
    # Made here, so that Ray sends the function itself: it needs nothing of this program where it is unpacked.
    def run(package: str, program: list[str], words: list[str]) -> str:
        import os
        import subprocess
        import sys

        environment = dict(os.environ)
        if package and os.path.isdir(package):
            environment["PYTHONPATH"] = package + os.pathsep + environment.get("PYTHONPATH", "")
        child = subprocess.Popen(
            [sys.executable, *program, *words, f"parent={os.getpid()}"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True, errors="replace",
        )  # fmt: skip
        last_line = ""
        assert child.stdout is not None
        for line in child.stdout:
            last_line = line.strip() or last_line
        return last_line or f"exit status {child.wait()}"

    return run


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UserError(
            f"executor=ray needs Ray, which is not installed ({error}).", "pip install 'vfi-pipeline[cluster]'",
            ENVIRONMENT,
        ) from error  # fmt: skip
    return ray


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; a job that is asked to stop keeps what it has."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)
