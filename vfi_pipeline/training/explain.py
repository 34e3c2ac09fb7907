"""What a mistake in the configuration means to the user; and quiet about what means nothing to them."""

from __future__ import annotations

import logging
import warnings

from vfi_pipeline.errors import ENVIRONMENT, USAGE, UserError


def explain(error: Exception) -> Exception:
    """The cause in words, where someone wrote it for a reader; otherwise the error itself: a fault of the program.

    Instantiators wrap what a class raised; its own words are further down the chain of causes.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return cause
        if type(cause) in (ValueError, TypeError):
            return UserError(first_line(cause), "See train.py --help and docs/training-guide.md.", USAGE)
        if type(cause).__name__ == "MisconfigurationException":
            return UserError(first_line(cause), "Choose trainer=cpu, gpu, ddp or ddp_sim.", ENVIRONMENT)
        cause = cause.__cause__ or cause.__context__
    return error


def first_line(error: BaseException) -> str:
    """Of its message, without a full stop."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def quiet() -> None:
    """Silences what Lightning says of itself; its warnings about real trouble stay."""
    for name in ("pytorch_lightning.utilities.rank_zero", "pytorch_lightning.accelerators.cuda", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*",
        ".*number of training batches.*",
        ".*LeafSpec.*",
        "Using ModelCheckpoint with manual optimization",  # after the step is what we want
    ):
        warnings.filterwarnings("ignore", message=text)
