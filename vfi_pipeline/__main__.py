"""``python -m vfi_pipeline`` is ``vfi``."""

import sys

from vfi_pipeline.commands import main

if __name__ == "__main__":
    sys.exit(main())
