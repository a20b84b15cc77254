"""Checkpoints and photos of the bulk tests."""

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor


@pytest.fixture(scope="session")
def checkpoint(tiny_checkpoint):
    return tiny_checkpoint("fast_vlm")


@pytest.fixture(scope="session")
def assessor(checkpoint):
    return Assessor.from_pretrained(checkpoint)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "photos"
    (pictures / "b").mkdir(parents=True)
    for i, image in enumerate(tiny.images(9)):
        image.save(pictures / ("b" if i % 2 else ".") / f"{i}.png")
    for name in ("c.png", ".hidden.png"):
        (pictures / name).write_bytes((pictures / "0.png").read_bytes())
    for name in ("bad.jpg", "notes.txt"):
        (pictures / name).write_text("no picture")
    return pictures
