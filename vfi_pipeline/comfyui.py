"""``from vfi_pipeline.comfyui import *`` in a folder of ``custom_nodes``: see ``vfi_pipeline.adapters.comfyui``."""

from vfi_pipeline.adapters.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
