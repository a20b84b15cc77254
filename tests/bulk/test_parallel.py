"""A batch in parts, each on a core of its own: the same rows as in one piece."""

from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.bulk.parallel import FEWEST, ParallelScorer


@pytest.fixture(scope="module")
def assessor():
    return Assessor.from_pretrained(fast=True)


@pytest.fixture(scope="module")
def looked(assessor):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (40, 30 + i, 3), dtype=np.uint8) for i in range(4 * FEWEST)]
    return [assessor.see(Image.fromarray(pixels)) for pixels in pictures]


def rated(assessor, looked, lanes):
    with closing(ParallelScorer(assessor, rationale=False, attributes=False, lanes=lanes)) as several:
        return several.rate(looked)


@pytest.mark.parametrize("lanes", [2, 3, 16])
@pytest.mark.parametrize("n", [0, 1, FEWEST, 2 * FEWEST + 1, 4 * FEWEST])
def test_parts_give_what_the_whole_gives(assessor, looked, lanes, n):
    whole, parts = rated(assessor, looked[:n], 1), rated(assessor, looked[:n], lanes)
    assert [a.sha256 for a in parts] == [a.sha256 for a in whole]
    assert [a.score for a in parts] == pytest.approx([a.score for a in whole], abs=1e-3)


def test_a_picture_that_fails_is_one_error(assessor, looked, monkeypatch):
    bad = looked[11].picture.sha256
    real = assessor.score_prepared

    def failing(some, **options):
        if any(seen.picture.sha256 == bad for seen in some):
            raise RuntimeError("no")
        return real(some, **options)

    monkeypatch.setattr(assessor, "score_prepared", failing)
    found = rated(assessor, looked, 2)
    assert [i for i, a in enumerate(found) if a.error] == [11]
    assert str(found[11].error).startswith("model: ")
    assert len(found) == len(looked)


def test_other_raters_are_given_whole_batches(looked, monkeypatch):
    slow = Assessor.from_pretrained()
    sizes = []
    monkeypatch.setattr(slow, "score_prepared", lambda some, **_: sizes.append(len(some)) or [])
    rated(slow, looked, 4)
    assert sizes == [len(looked)]
