"""``make demo``: a film with known motion, interpolated and measured. Words such as ``model=blend`` are passed on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from vfi_pipeline.errors import DONE, INTERRUPTED, UserError
from vfi_pipeline.starting import quiet_start

with quiet_start():
    from benchmarks import demo

ROOT = Path(__file__).resolve().parent


def say(text: str) -> None:
    """A line of the result, on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        demo.run(ROOT, ROOT / "outputs" / "demo", list(sys.argv[1:] if argv is None else argv), say)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.code
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return INTERRUPTED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
