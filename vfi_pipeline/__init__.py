"""Raise the frame rate of films with warping neural ODEs. Start at ``docs/architecture.md``."""

import os

__version__ = "0.7.0"

# Read when torch is loaded, which is later. Threads of OpenMP that wait would otherwise spin, and keep the decoder and
# the encoder of the very film they work on from the core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
