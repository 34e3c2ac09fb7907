"""Velocity fields and their flow maps."""

from vfi_pipeline.ode.flow_map import flow_map, flow_maps, scaling_and_squaring
from vfi_pipeline.ode.solver import ADAPTIVE, FIXED, Solver
from vfi_pipeline.ode.stationary import positions_after, stationary_flow, stationary_flows, stationary_nfe, steps_to
from vfi_pipeline.ode.trajectory import flow_maps_at
from vfi_pipeline.ode.velocity import Counted, SampledVelocity, Velocity

__all__ = [
    "ADAPTIVE",
    "FIXED",
    "Counted",
    "SampledVelocity",
    "Solver",
    "Velocity",
    "flow_map",
    "flow_maps",
    "flow_maps_at",
    "positions_after",
    "scaling_and_squaring",
    "stationary_flow",
    "stationary_flows",
    "stationary_nfe",
    "steps_to",
]
