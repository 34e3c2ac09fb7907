"""The right to work in a folder: one process at a time, and none that is dead."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

from vfi_pipeline.errors import ENVIRONMENT, UserError

try:
    import fcntl
except ImportError:  # not a Unix: no lock that the system drops for a killed process
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)


class Lock:
    """The right to work in a folder; the system drops it when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Takes the lock, making the folder if it is missing.

        Raises:
            UserError: if another process holds it (naming its pid), or the folder cannot be made.
        """
        self.path = folder / "lock"
        while True:
            try:
                folder.mkdir(exist_ok=True)
            except OSError as error:
                raise _unwritable(folder, error) from error
            try:
                self._file = self.path.open("a+")
            except FileNotFoundError:
                continue  # another process removed the folder when it had finished
            except OSError as error:
                raise _unwritable(folder, error) from error
            if fcntl is not None and not self._acquire():
                holder = _holder(self._file)
                self._file.close()
                raise UserError(
                    f"Another run is making {folder.stem} already ({holder}).",
                    "wait for it, stop it, or choose another output=.",
                    ENVIRONMENT,
                )
            try:
                if os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                    break
            except FileNotFoundError:
                pass
            self._file.close()  # the holder before us removed the file that we now have locked: take the new one
        try:
            self._file.seek(0)
            self._file.truncate()
            self._file.write(f"pid {os.getpid()} on {socket.gethostname()}")
            self._file.flush()
        except OSError as error:
            self._withdraw()
            raise UserError(
                f"Nothing can be written in {folder.parent} ({error.strerror}).",
                "free some space, or output= in another folder.",
                ENVIRONMENT,
            ) from error

    def _acquire(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            log.warning("This file system has no locks (%s): start no second run for the same output.", error.strerror)
        return True

    def _withdraw(self) -> None:
        """Gives the lock back and takes the folder along, if there is nothing else in it."""
        try:
            if os.listdir(self.path.parent) == [self.path.name]:
                self.path.unlink()
                self.path.parent.rmdir()
        except OSError as error:
            log.debug("%s stays behind: %s", self.path.parent, error)
        try:
            self._file.close()
        except OSError:
            pass  # what could not be written is not written now either

    def release(self) -> None:
        """Gives the lock back."""
        self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def lock_holder(folder: Path) -> str | None:
    """Who works in ``folder`` now (``pid 123 on host``), or None. Takes nothing."""
    if fcntl is None:
        return None
    try:
        with (folder / "lock").open("r") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(file)
    except OSError:
        pass
    return None


def _holder(file: Any) -> str:
    file.seek(0)
    return file.read(200).strip() or "its pid is not known yet"


def _unwritable(folder: Path, error: OSError) -> UserError:
    if isinstance(error, FileNotFoundError) and not folder.parent.is_dir():
        return UserError(f"The folder {folder.parent} does not exist.", "make it first.", ENVIRONMENT)
    problem = f"Nothing can be written in {folder.parent} ({error.strerror})."
    return UserError(problem, "output= in another folder.", ENVIRONMENT)
