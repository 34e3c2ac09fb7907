"""Methods that change a picture instead of moving it: an attribute by deep features, and the look of exemplars.

Pure functions of tensors; pictures are (1, C, H, W) in [0, 1].
"""
