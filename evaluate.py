"""Measure made frames against true ones: ``python evaluate.py input=clips rates=[2,8]`` (``--help`` for more)."""

import sys
from typing import Any

from vfi_pipeline.starting import quiet_start

with quiet_start():
    from vfi_pipeline.commands.evaluate import main as main


def speed_program() -> Any:
    """What measures speed: it is beside this script, and not installed with the package."""
    from benchmarks import speed

    return speed


if __name__ == "__main__":
    sys.exit(main(speed_program=speed_program))
