"""``executor=slurm``: workers as the tasks of an array job. The one door to submitit."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.jobs.executor import PROGRAM, tail, words, worker_environment

log = logging.getLogger(__name__)


GRACE_S = 15.0
"""How long tasks on this machine may take to end."""


class Slurm:
    """Workers as tasks of an array job, each running ``vfi work``; see ``Executor``.

    Args:
        workers: how many.
        processors: of each.
        device: ``cuda`` asks for one GPU each.
        settings: submitit's parameters (``partition``, ``timeout_min``, ``mem_gb``...), as text; ``cluster=local``
            runs the tasks as processes on this machine.
        program: what is started, before the worker's words.
    """

    poll_s = 1.0
    patience_s = 120.0

    def __init__(
        self,
        workers: int,
        processors: int,
        device: str,
        settings: Mapping[str, str],
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._submitit = _submitit()
        self.workers = workers
        self._device, self._program = device, list(program)
        self._settings = {key: _value(text) for key, text in settings.items()}
        self._cluster = str(self._settings.pop("cluster", "slurm"))
        if self._cluster not in ("slurm", "local"):
            raise UserError(f"slurm=[cluster={self._cluster}] is not known.", "slurm=[cluster=local], to try it here.")
        own: dict[str, Any] = {"cpus_per_task": processors, "timeout_min": 24 * 60, "name": "vfi"}
        if device.startswith("cuda"):
            own["gpus_per_node"] = 1
        self._settings = {**own, **self._settings}
        if self._cluster == "local":
            self.poll_s, self.patience_s = 0.2, 30.0
            self._settings = {k: v for k, v in self._settings.items() if k in ("timeout_min", "name")}
        self._jobs: dict[str, Any] = {}
        self._executor: Any = None

    def start(self, session: Path, names: Sequence[str]) -> None:
        executor = self._executor or self._open(session)
        path = f"PYTHONPATH={worker_environment()['PYTHONPATH']}"
        commands = [
            self._submitit.helpers.CommandFunction(
                ["env", path, *self._program, *words(session, name, self._device)], verbose=False
            )
            for name in names
        ]
        try:
            with executor.batch():  # one array job
                jobs = [executor.submit(command) for command in commands]
        except Exception as error:  # submitit's own, and what sbatch says
            raise _refused(error) from error
        self._jobs.update(zip(names, jobs))

    def _open(self, session: Path) -> Any:
        folder = session / "submitit"
        folder.mkdir(mode=0o700)  # submitit pickles: nobody else may write here
        try:
            self._executor = self._submitit.AutoExecutor(folder=folder, cluster=self._cluster)
            self._executor.update_parameters(**self._settings)
        except Exception as error:  # unknown parameters are a NameError, a missing sbatch a RuntimeError
            raise _refused(error) from error
        return self._executor

    def ended(self) -> dict[str, str]:
        last_lines = {}
        for name, job in list(self._jobs.items()):
            if job.done():
                del self._jobs[name]
                last_line = tail(Path(job.paths.stderr)) or tail(Path(job.paths.stdout))
                last_lines[name] = last_line or f"Slurm says {job.state}"
        return last_lines

    def stop(self) -> None:
        if self._cluster == "local":  # they have been told to end; to be cancelled makes submitit show a traceback
            deadline = time.monotonic() + GRACE_S
            while time.monotonic() < deadline and not all(job.done() for job in self._jobs.values()):
                time.sleep(0.1)
        for name, job in self._jobs.items():
            try:
                if not job.done():
                    job.cancel(check=False)
            except Exception as error:  # it may have ended, or Slurm be out of reach
                log.debug("%s could not be cancelled: %s", name, error)
        self._jobs.clear()


def _value(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _refused(error: Exception) -> UserError:
    return UserError(
        f"Slurm did not take the job: {str(error).strip().partition(chr(10))[0]}.",
        "slurm=[partition=NAME,timeout_min=240], as sbatch knows them; slurm=[cluster=local] to try it here.",
        ENVIRONMENT,
    )


def _submitit() -> Any:
    try:
        import submitit
        import submitit.helpers
    except ImportError as error:
        raise UserError(
            f"executor=slurm needs submitit, which is not installed ({error}).",
            "pip install 'vfi-pipeline[cluster]'",
            ENVIRONMENT,
        ) from error
    return submitit
