"""Programs that measure the package. Run from the checkout, ``python -m benchmarks.NAME``; not installed with it."""

from vfi_pipeline.threads import yield_idle_cores

yield_idle_cores()  # before the programs load torch
