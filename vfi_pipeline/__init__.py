"""Raise the frame rate of films with warping neural ODEs. Start at ``docs/architecture.md``."""

__version__ = "0.7.0"
