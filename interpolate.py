"""Raise the frame rate of a film: ``python interpolate.py input=clip.mp4 fps=60`` (``--help`` for more)."""

import sys

from vfi_pipeline.starting import quiet_start

with quiet_start():
    from vfi_pipeline.commands.interpolate import main as main
    from vfi_pipeline.commands.interpolate import option_names as option_names

if __name__ == "__main__":
    sys.exit(main())
