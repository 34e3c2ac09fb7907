"""What changes a picture rather than moves it: an attribute by deep features, the look of exemplars, one picture's
own primitives. Pure functions of tensors; pictures are (1, C, H, W) in [0, 1]."""
