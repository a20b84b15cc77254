"""Five photos, and the bytes of their files."""

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.bulk import find_sources


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(tiny.images(5)):
        image.save(folder / f"{i}.png")
    return folder


@pytest.fixture
def image_bytes(photos):
    return [f.read_bytes() for f in sorted(photos.iterdir())]


def contents(*paths, **options):
    """The bytes of every image of the sources."""
    return [item.read() for item in find_sources([str(p) for p in paths], **options)]
