"""Pictures in, animation out: what leads from one picture to another, however far apart they are.

Read ``protocol`` first. A fitted field comes from ``initialisation`` (where to start), ``objective`` (what to lower),
``colour`` (light and tint) and ``optimiser`` (coarse to fine); ``picture_fit`` and ``morph`` make animations of it,
``original_morph`` is the published method, ``motion_animation`` turns any motion model of films into one, and ``maps``
keeps a solved animation as tensors.
"""
