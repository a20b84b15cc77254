"""What a user names (files, folders, tables, archives, datasets, addresses) as images to read."""

from vlm_aes.bulk.sources.base import count_images, find_image_paths, find_sources, listed_paths
from vlm_aes.bulk.sources.containers import open_containers
from vlm_aes.bulk.sources.folders import PassedOver

__all__ = ["PassedOver", "count_images", "find_image_paths", "find_sources", "listed_paths", "open_containers"]
