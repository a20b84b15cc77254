"""A checkpoint that most tests of this room use."""

import pytest


@pytest.fixture(scope="session")
def llava(tiny_checkpoint):
    return tiny_checkpoint("llava")
