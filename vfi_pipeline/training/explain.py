"""What a failure means to the user, where they can act on it; and quiet about what means nothing to them."""

from __future__ import annotations

import errno
import logging
import re
import traceback
import warnings
from pathlib import Path

import torch

from vfi_pipeline import extras
from vfi_pipeline.errors import BAD_INPUT, ENVIRONMENT, USAGE, UserError

PACKAGE = Path(__file__).resolve().parents[1]
# Who else writes a ValueError for the reader, about a value that the configuration handed through.
LIBRARIES = ("torch/optim/", "torch/utils/data/dataloader", "torch/nn/modules/", "pytorch_lightning/", "lightning_")
GUIDE = "See python train.py --cfg job for the values, docs/training-guide.md for what they mean."


def explain(error: Exception, running: bool = False) -> Exception:
    """The cause in words, where someone wrote it for a reader; otherwise the error itself: a fault of the program.

    Args:
        running: False while the configuration is being built, when any ValueError or TypeError comes of a value in it.
            Later only those count that were raised on purpose, by this package or about a value handed through.
    """
    cause: BaseException | None = error
    while cause is not None:
        explained = _explained(cause, running)
        if explained is not None:
            return explained
        # Instantiators wrap what a class raised; its own words are further down the chain of causes.
        cause = cause.__cause__ or cause.__context__
    return error


def _explained(cause: BaseException, running: bool) -> UserError | None:
    text = str(cause)
    if isinstance(cause, UserError):
        return cause
    if isinstance(cause, ModuleNotFoundError):
        return extras.explained(cause, "This training")
    if isinstance(cause, torch.OutOfMemoryError):
        return UserError(
            f"The GPU's memory is full: {first_line(cause)}.",
            "Lower data.batch_size (and raise trainer.accumulate_grad_batches), data.crop, or net.solver.adjoint=true.",
            ENVIRONMENT,
        )
    if is_full(cause):
        where = f" ({cause.filename})" if isinstance(cause, OSError) and cause.filename else ""
        return UserError(
            f"The disk is full{where}.", "Free some space, then go on with ckpt_path=<run folder>.", ENVIRONMENT
        )
    if text.startswith("Caught ") and "in DataLoader worker process" in text:
        return _from_worker(text)
    if "DataLoader worker" in text and ("killed by signal" in text or "exited unexpectedly" in text):
        remedy = "Most often memory is full: lower data.workers or data.batch_size; data.workers=0 shows the cause."
        return UserError(f"A loader process died: {first_line(cause)}.", remedy, ENVIRONMENT)
    # ModelCheckpoint's words, and EarlyStopping's.
    missing = re.search(r"monitor='([^']*)'.*could not find|conditioned on metric `([^`]*)` which is not", text)
    if missing:
        name = missing[1] or missing[2]
        metrics = sorted(set(re.findall(r"val/[a-z0-9_/]+", text)) - {name})
        return UserError(f"No metric is called {name}.", f"monitor= one of {', '.join(metrics)}.", USAGE)
    if "not supported for manual optimization" in text:
        return UserError(f"{first_line(cause)}.", "training.clip= and training.accumulate= do that for WGAN-GP.", USAGE)
    if type(cause).__name__ == "MisconfigurationException":
        return UserError(f"{first_line(cause)}.", f"trainer=cpu, gpu, ddp or ddp_sim. {GUIDE}", ENVIRONMENT)
    if type(cause) in (ValueError, TypeError) and (not running or _raised_for_a_reader(cause)):
        return UserError(f"{first_line(cause)}.", GUIDE, USAGE)
    return None


def is_full(error: BaseException) -> bool:
    """Whether the disk, a quota or the largest size of a file is what ``error`` is about, whoever raised it."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    words = ("No space left on device", "Disk quota exceeded", "File too large")
    return any(word in str(error) for word in words)


def _raised_for_a_reader(cause: BaseException) -> bool:
    """Whether a ``raise`` of this package or of ``LIBRARIES`` made it: not, say, a wrong cast deep inside."""
    frames = traceback.extract_tb(cause.__traceback__)
    if type(cause) is not ValueError or not frames:
        return False
    last = Path(frames[-1].filename)
    ours = PACKAGE in last.parents and (frames[-1].line or "").lstrip().startswith("raise ")
    return ours or any(library in last.as_posix() for library in LIBRARIES)


def _from_worker(text: str) -> UserError | None:
    """What a loader process raised: it arrives as a traceback in the text of another error."""
    match = re.search(r"^(?:vfi_pipeline\.errors\.)?(UserError|ValueError): (.*)", text, re.MULTILINE | re.DOTALL)
    if match is None or (match[1] == "ValueError" and "vfi_pipeline" not in text):
        return None
    problem, _, remedy = match[2].strip().partition("\n  Try: ")
    return UserError(problem.splitlines()[0], remedy or GUIDE, BAD_INPUT if match[1] == "UserError" else USAGE)


def first_line(error: BaseException) -> str:
    """Of its message, without a full stop."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def silence_lightning() -> None:
    """Silences what Lightning says of itself; its warnings about real trouble stay."""
    for name in (
        "pytorch_lightning.utilities.rank_zero",
        "pytorch_lightning.accelerators.cuda",
        "pytorch_lightning.trainer.connectors.checkpoint_connector",
        "lightning.fabric",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*",
        ".*number of training batches.*",
        ".*LeafSpec.*",
        "Be aware that when using `ckpt_path`",  # callbacks may change; checkpoint_every is in a callback's name
        "Using ModelCheckpoint with manual optimization",  # after the step is what we want
    ):
        warnings.filterwarnings("ignore", message=text)
