"""Measure made frames against true ones: ``python evaluate.py input=clips rates=[2,8]`` (``--help`` for more)."""

import sys

from vfi_pipeline.commands.evaluate import main as main

if __name__ == "__main__":
    sys.exit(main())
