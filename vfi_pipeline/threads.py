"""What the programs ask of the process's threads. Importing the package asks nothing: docs/architecture.md, Threads."""

from __future__ import annotations

import os


def yield_idle_cores() -> None:
    """Lets threads of OpenMP that wait sleep, unless the user's ``OMP_WAIT_POLICY`` says otherwise.

    They would spin, and keep the decoder and the encoder of the very film they work on from the core. To be called
    before torch is loaded, which reads it once; child processes inherit it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
