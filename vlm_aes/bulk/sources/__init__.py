"""What a user names (files, folders, tables, archives, datasets, addresses) as images to read."""

from vlm_aes.bulk.sources.base import count_images, find_image_paths, find_sources
from vlm_aes.bulk.sources.containers import open_containers

__all__ = ["count_images", "find_image_paths", "find_sources", "open_containers"]
