"""The conventions of coordinates and times. Every other module follows this table.

| word | meaning here |
|---|---|
| image | float32 RGB in [0, 1], ``(B, 3, H, W)``; code values exist only inside ``media`` and ``synthesis.compose`` |
| flow, displacement | pixels, ``(B, 2, H, W)``, channel 0 = dx (right), channel 1 = dy (down) |
| grid | pixel centres at integers, the corners' at 0 and W-1, H-1 (``align_corners=True`` in ``grid_sample``) |
| warp | backward: ``warp(I, u)(x) = I(x + u(x))``, border replicated |
| resize | a picture of another size covers the same area (half-pixel centres, ``align_corners=False``) |
| velocity field ``v(t, x)`` | pixels per unit t; ``t`` in [0, 1] from the first frame to the last |
| flow map | the displacement that solves the ODE; ``flow_to_first`` and ``flow_to_last`` pull the frame at t |
| blend weight, confidence | weight of the first frame; weight of the moved frames beside the unmoved (``blending``) |
| Jacobian, JVP, NFE | of ``x + u(x)``, never of ``u`` alone; Jacobian-vector product; velocity calls per solve |
| time in files | ``Fraction`` seconds or pts x time_base; never fps times a counter |

Content *moves by minus the displacement*: to show a scene that has moved right by 3 px, sample 3 px to the left:
``dx = -3``.
"""

from vfi_pipeline.geometry.blending import Blended, inside, synthesise, visible_weight
from vfi_pipeline.geometry.blur import blur
from vfi_pipeline.geometry.grid import constant, filled, pixel_grid
from vfi_pipeline.geometry.jacobian import folding, jacobian_determinant, outside
from vfi_pipeline.geometry.warp import compose, resize_flow, sample, shrunk, warp

__all__ = [
    "Blended",
    "blur",
    "compose",
    "constant",
    "filled",
    "folding",
    "inside",
    "jacobian_determinant",
    "outside",
    "pixel_grid",
    "resize_flow",
    "sample",
    "shrunk",
    "synthesise",
    "visible_weight",
    "warp",
]
