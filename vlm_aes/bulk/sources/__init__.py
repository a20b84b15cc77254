"""What a user names (files, folders, tables, archives, datasets, addresses) as a stream of images."""

from vlm_aes.bulk.sources.base import count, find_image_paths, find_sources, opened

__all__ = ["count", "find_image_paths", "find_sources", "opened"]
