"""Velocity fields and their flow maps."""

from vfi_pipeline.ode.flow_map import Solver, flow_map, flow_maps, scaling_and_squaring
from vfi_pipeline.ode.trajectory import flow_maps_at
from vfi_pipeline.ode.velocity import Counted, SampledVelocity, Velocity

__all__ = [
    "Counted",
    "SampledVelocity",
    "Solver",
    "Velocity",
    "flow_map",
    "flow_maps",
    "flow_maps_at",
    "scaling_and_squaring",
]
