"""Programs that measure the package. Run from the checkout, ``python -m benchmarks.NAME``; not installed with it."""
