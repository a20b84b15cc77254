"""Checkpoints and photos of the bulk tests."""

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.build("fast_vlm", tmp_path_factory.mktemp("tiny") / "fast_vlm")


@pytest.fixture(scope="module")
def assessor(checkpoint):
    return Assessor.from_pretrained(checkpoint)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "photos"
    (pictures / "b").mkdir(parents=True)
    for i, image in enumerate(tiny.images(9)):
        image.save(pictures / ("b" if i % 2 else ".") / f"{i}.png")
    (pictures / "c.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "bad.jpg").write_text("no picture")
    (pictures / ".hidden.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "notes.txt").write_text("x")
    return pictures
