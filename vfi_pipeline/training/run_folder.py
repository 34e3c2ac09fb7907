"""One folder, one run: folders are made exclusively, locked while a run is at work, and never trained into twice."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import ENVIRONMENT, UserError
from vfi_pipeline.training.resume import checkpoint_in, read_checkpoint, resume_command

try:
    import fcntl
except ImportError:  # not a Unix: no lock that the system drops for a killed process
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

LOCK = "lock"
RELAY = "VFI_TRAIN_RUN"
"""Environment variable by which the process that claimed a folder tells those that Lightning starts for it."""

# The job's own number under each scheduler; it stays when the job is queued again.
SCHEDULERS = (
    "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "FLUX_JOB_ID", "OAR_JOB_ID", "COBALT_JOBID", "AWS_BATCH_JOB_ID",
)  # fmt: skip


def job_of(environment: Mapping[str, str]) -> str | None:
    """Which scheduler's job this process is part of; the same after the job was queued again. None if of none."""
    if environment.get("SLURM_ARRAY_JOB_ID"):
        return f"SLURM_JOB_ID {environment['SLURM_ARRAY_JOB_ID']}_{environment.get('SLURM_ARRAY_TASK_ID', '')}"
    if environment.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return None  # many commands are typed within one such job
    for name in SCHEDULERS:
        if environment.get(name):
            return f"{name} {environment[name]}"
    if environment.get("SGE_O_WORKDIR") and environment.get("JOB_ID"):
        return f"JOB_ID {environment['JOB_ID']}"
    if int(environment.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0 or environment.get("TORCHELASTIC_RUN_ID"):
        return f"torchrun {environment.get('TORCHELASTIC_RUN_ID')}"
    return None


def is_restart(environment: Mapping[str, str], recorded: str | None) -> bool:
    """Whether this process takes up the work of the one that wrote ``recorded`` (its ``job_of``)."""
    job = job_of(environment)
    if job is None or job != recorded:
        return False
    # Two launches by torchrun may bear the same name, "none" if nobody gave one; a scheduler's numbers are unique.
    return not job.startswith("torchrun ") or int(environment.get("TORCHELASTIC_RESTART_COUNT") or 0) > 0


def rank_of(environment: Mapping[str, str]) -> int:
    """This process's place among those of its run, before anything is set up; 0 decides and writes."""
    for name in ("RANK", "SLURM_PROCID"):
        if environment.get(name, "").isdigit():
            return int(environment[name])
    place = [environment.get(name, "0") for name in ("NODE_RANK", "LOCAL_RANK")]
    return 0 if all(part in ("", "0") for part in place) else 1


@dataclass
class RunFolder:
    """A run's own folder. ``checkpoint`` is what the run goes on from, None for a new one."""

    path: Path
    checkpoint: Path | None = None
    _lock: Any = None
    _handler: Any = None

    def keep(self, configuration: str, words: Sequence[str]) -> None:
        """Writes what the run was made with to ``.hydra``, and from now on all that is logged to ``train.log``.

        Only the process that claimed the folder writes; a run that goes on keeps what its first start wrote.

        Raises:
            UserError: if nothing can be written.
        """
        if self._lock is None:
            return
        os.environ[RELAY] = json.dumps({"folder": str(self.path), "checkpoint": self.checkpoint}, default=str)
        try:
            handler = _LogFile(self.path / "train.log")
            handler.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
            logging.getLogger().addHandler(handler)
            self._handler = handler
            if self.checkpoint is None:
                (self.path / ".hydra").mkdir(exist_ok=True)
                (self.path / ".hydra" / "config.yaml").write_text(configuration, encoding="utf-8")
                listed = "".join(f"- {json.dumps(word)}\n" for word in words) or "[]\n"
                (self.path / ".hydra" / "overrides.yaml").write_text(listed, encoding="utf-8")
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def release(self) -> None:
        """Another run may work here now. The system does the same when the process ends, however it ends."""
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler.close()
        if self._lock is not None:
            self._lock.close()
            os.environ.pop(RELAY, None)
        self._lock = self._handler = None


class _LogFile(logging.FileHandler):
    """The log beside the run. A disk that is full ends the run by its checkpoint, not by a traceback for every line."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


def relayed(environment: Mapping[str, str] = os.environ) -> RunFolder | None:
    """The folder that the process which started this one has claimed for all of them; None if this is the first."""
    if RELAY not in environment or rank_of(environment) == 0:
        return None
    facts = json.loads(environment[RELAY])
    return RunFolder(Path(facts["folder"]), Path(facts["checkpoint"]) if facts["checkpoint"] else None)


def is_child(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether another process of the same run started this one."""
    return relayed(environment) is not None


def make_first_free(folder: Path) -> Path:
    """A folder of that name, or with ``_2``, ``_3`` and so on behind: the first that nobody has, made exclusively."""
    for number in range(1, 10_000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        try:
            candidate.mkdir(parents=True)
            return candidate
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(candidate, error) from error
    raise UserError(f"{folder} and thousands like it are taken.", "hydra.sweep.dir=<another folder>.", ENVIRONMENT)


def claim(
    folder: Path,
    chosen: bool,
    go_on: bool = False,
    checkpoint: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> RunFolder:
    """The right to train in ``folder``, until ``release``.

    A folder that holds a run (a checkpoint or an export) is trained into only to go on with it: if ``checkpoint`` says
    so, if ``go_on``, or if this process belongs to the very scheduler's job that worked there, which was queued again.

    Args:
        chosen: the user named the folder. Otherwise it was named by the time, and a folder that another run has taken
            in the same second gives way to ``<folder>_2`` and so on.
        go_on: go on with what the folder holds, or start if it holds nothing (``ckpt_path=auto``).
        checkpoint: of the run in ``folder`` that goes on.

    Raises:
        UserError: if another process trains there, it holds a run that is not to be gone on with, or it cannot be made.
    """
    if rank_of(environment) > 0:
        # Only the first process writes; the others come to the same answer by the same facts.
        return RunFolder(folder, checkpoint or _answer(folder, go_on, environment))
    if not chosen and checkpoint is None:
        return _first_free(folder, environment)
    _make(folder)
    lock = _locked(folder)
    try:
        resumed_from = checkpoint or _answer(folder, go_on, environment)
        _sign(lock, environment)
    except BaseException:
        lock.close()
        raise
    return RunFolder(folder, resumed_from, lock)


def holds_run(folder: Path) -> bool:
    """Whether there is something in it that training again would replace."""
    return checkpoint_in(folder) is not None or any((folder / "export").glob("*.safetensors"))


def _answer(folder: Path, go_on: bool, environment: Mapping[str, str]) -> Path | None:
    """The checkpoint to go on from, None to start; UserError if neither may be."""
    if not holds_run(folder):
        return None
    checkpoint = checkpoint_in(folder)
    if checkpoint is not None and (go_on or is_restart(environment, _signature(folder).get("job"))):
        log.info("%s holds this run already: it goes on from %s.", folder, checkpoint.name)
        return checkpoint
    raise UserError(
        f"{folder} holds a run already{_progress(checkpoint)}; it would be replaced.",
        f"{resume_command(folder)} to go on with it, or hydra.run.dir=<another folder> to start anew.",
        ENVIRONMENT,
    )


def _progress(checkpoint: Path | None) -> str:
    if checkpoint is None:
        return ""
    try:
        held = read_checkpoint(checkpoint)
        step, steps = int(held["global_step"]), held["run"]["config"].get("steps")
    except (UserError, KeyError, TypeError, ValueError, AttributeError):
        return ""
    if not isinstance(steps, int):
        return f" (at step {step})"
    return f" ({'finished' if step >= steps else 'stopped'} at step {step} of {steps})"


def _first_free(folder: Path, environment: Mapping[str, str]) -> RunFolder:
    for number in range(1, 10_000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}_{number}")
        _make(candidate)
        try:
            # Whoever makes the file has the folder: of several processes exactly one does, also over NFS.
            file = os.fdopen(os.open(candidate / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "r+")
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(candidate, error) from error
        if holds_run(candidate):  # of a version that made no lock
            file.close()
            continue
        _flock(file)
        _sign(file, environment)
        return RunFolder(candidate, None, file)
    raise UserError(f"{folder} and thousands like it are taken.", "hydra.run.dir=<another folder>.", ENVIRONMENT)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _locked(folder: Path) -> Any:
    try:
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise _unwritable(folder, error) from error
    if not _flock(file):
        holder = _signature(folder)
        file.close()
        raise UserError(
            f"Another run is at work in {folder} (pid {holder.get('pid', '?')} on {holder.get('host', '?')}).",
            "wait for it, stop it, or hydra.run.dir=<another folder>.",
            ENVIRONMENT,
        )
    return file


def _flock(file: Any) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        log.warning("This file system has no locks (%s): start no second run in the same folder.", error.strerror)
    return True


def _sign(file: Any, environment: Mapping[str, str]) -> None:
    facts = {"pid": os.getpid(), "host": socket.gethostname(), "job": job_of(environment)}
    try:
        file.seek(0)
        file.truncate()
        file.write(json.dumps(facts))
        file.flush()
    except OSError as error:
        raise _unwritable(Path(file.name).parent, error) from error


def _signature(folder: Path) -> dict[str, Any]:
    """What the last process that worked in ``folder`` wrote of itself."""
    try:
        signature = json.loads((folder / LOCK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return signature if isinstance(signature, dict) else {}


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"Nothing can be written in {folder} ({error.strerror}).",
        "free some space, or hydra.run.dir=<a folder that is yours>.",
        ENVIRONMENT,
    )
