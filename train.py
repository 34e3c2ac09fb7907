"""Fit a Warping Neural ODE: ``python train.py data.root=/films`` (``--help`` for more, docs/training-guide.md)."""

from vfi_pipeline.starting import quiet_start

with quiet_start():
    from vfi_pipeline.commands.train import script

if __name__ == "__main__":
    script()
