"""The method as a part of other programs: Python, VapourSynth, ComfyUI."""
