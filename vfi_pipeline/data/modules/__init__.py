"""LightningDataModules, one for each ``conf/data/*.yaml``: they build the data sets and hand out loaders.

``single_image.SingleImage`` is imported from its own module: it needs Pillow, and training on films does not.
"""

from vfi_pipeline.data.modules.base import Batches
from vfi_pipeline.data.modules.digits import Digits
from vfi_pipeline.data.modules.films import Clips, Films, clips, folder_of_videos
from vfi_pipeline.data.modules.image_sets import Member
from vfi_pipeline.data.modules.pairs import Pairs
from vfi_pipeline.data.modules.synthetic import Synthetic
from vfi_pipeline.data.modules.unpaired import UnpairedImages
from vfi_pipeline.data.modules.vimeo90k import Vimeo90k

__all__ = [
    "Batches", "Clips", "Digits", "Films", "Member", "Pairs", "Synthetic", "UnpairedImages", "Vimeo90k",
    "clips", "folder_of_videos",
]  # fmt: skip
