"""How threads of OpenMP wait, for those parts of the package that load torch. Imports nothing of it."""

import os


def wait_passively() -> None:
    """Threads that wait would otherwise spin, and keep the decoder and the encoder of the very film they work on from
    the core. Read when torch is loaded, so this comes before; whoever has chosen already keeps the choice."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
