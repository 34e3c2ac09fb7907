"""Room on the disk and in memory, and the errors where there is none, or where a device lacks an operator."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, UserError
from vfi_pipeline.jobs.journal import Journal
from vfi_pipeline.jobs.plan import Plan
from vfi_pipeline.jobs.sources import Film
from vfi_pipeline.jobs.values import size_text


def check_space(plan: Plan, journal: Journal) -> None:
    free = free_bytes(plan.target.parent)
    have = sum(int(done.size) for done in journal.done.values())
    needed = plan.disk_bytes - have
    if free is not None and needed > free:
        raise UserError(
            f"About {size_text(needed)} are needed in {plan.target.parent}, and {size_text(free)} are free.",
            "free some space, output= on another disk, or check_space=off if you know better.",
            ENVIRONMENT,
        )


def free_bytes(folder: Path) -> int | None:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def environment_error(error: OSError, target: Path, film: Film) -> UserError:
    if not all(file.exists() for file in film.files):
        return missing_film(film)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"The disk of {target.parent} is full.", "free some space, then the same command again.", ENVIRONMENT
        )
    what = f" ({error.filename})" if error.filename else ""
    return UserError(
        f"{target.name} cannot be written: {error.strerror or error}{what}.", "see to it, then the same command again.",
        ENVIRONMENT,
    )  # fmt: skip


def missing_film(film: Film) -> UserError:
    return UserError(f"{film.label} is gone.", "put it back, then the same command again.", BAD_INPUT)


# torch (GPU, CPU), C++, OpenCV and the system, in this order.
_STARVED = (
    "out of memory", "can't allocate memory", "bad_alloc", "insufficient memory", "cannot allocate memory",
    "can't start new thread",
)  # fmt: skip


def is_memory_error(error: BaseException) -> bool:
    """Whether ``error`` says that memory has run out: ours, a GPU's, or that of an ffmpeg that we started."""
    if isinstance(error, UserError):
        return error.code == ENVIRONMENT and "cannot allocate memory" in str(error).lower()
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _STARVED)


def memory_error(error: BaseException, plan: Plan) -> UserError | None:
    """The message if ``error`` says that memory has run out, else None."""
    if not is_memory_error(error):
        return None
    video = plan.info.video
    return UserError(
        f"The memory does not do for pictures of {video.width} x {video.height}.",
        "scale=0.5, device=cpu, or fewer other programs; the same command goes on from here.",
        ENVIRONMENT,
    )


_LACKING = ("not implemented", "not currently implemented", "could not run", "support")


def device_error(error: BaseException) -> UserError | None:
    """The message if ``error`` says that a device (Apple's MPS, Intel's XPU) lacks an operator or a type, else None."""
    text = str(error)
    names_device = re.search(r"\b(mps|xpu)\b", text, re.IGNORECASE)
    if not (isinstance(error, (RuntimeError, TypeError)) and names_device):  # NotImplementedError is a RuntimeError
        return None
    if not any(sign in text.lower() for sign in _LACKING):
        return None
    what = re.split(r"[.\n] |\.?\n", text.strip(), maxsplit=1)[0].rstrip(".")
    return UserError(
        f"PyTorch lacks something for {names_device.group().upper()} devices: {what}.",
        "device=cpu; the same command goes on from here.",
        ENVIRONMENT,
    )


@contextmanager
def explained(plan: Plan, film: Film) -> Iterator[None]:
    """Turns what the system refuses, and memory that runs out, into a ``UserError``; other errors pass as they are."""
    try:
        yield
    except UserError as error:
        if all(file.exists() for file in film.files):
            raise
        # Whatever has failed because the film is missing, and however that part puts it.
        raise missing_film(film) from error
    except Exception as error:
        explanation = memory_error(error, plan) or device_error(error)
        if explanation is None and isinstance(error, OSError):
            explanation = environment_error(error, plan.target, film)
        if explanation is None:
            raise
        raise explanation from error
