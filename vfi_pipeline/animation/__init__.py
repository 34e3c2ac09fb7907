"""Animations between two pictures, which may differ by large motions, in light, or in what they show.

Read ``protocol`` first. A fitted field comes from ``initialisation`` (starting fields), ``objective`` (the loss),
``colour`` (light and tint) and ``optimiser`` (coarse to fine); ``picture_fit`` and ``morph`` make animations of it,
``original_morph`` is the published method, ``motion_animation`` turns any motion model of films into one, and ``maps``
keeps a solved animation as tensors.
"""
