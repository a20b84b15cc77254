"""A batch in parts, each on a core of its own: the same rows as in one piece."""

from contextlib import closing

import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.bulk.parallel import MIN_PART_IMAGES, ParallelScorer


@pytest.fixture(scope="module")
def assessor():
    return Assessor.from_pretrained(fast=True)


@pytest.fixture(scope="module")
def prepared(assessor):
    return [assessor.prepare(image) for image in tiny.images(4 * MIN_PART_IMAGES)]


def rated(assessor, prepared, workers):
    with closing(ParallelScorer(assessor, rationale=False, attributes=False, workers=workers)) as scorer:
        return scorer.rate(prepared)


@pytest.mark.parametrize("workers", [2, 3, 16])
@pytest.mark.parametrize("n", [0, 1, MIN_PART_IMAGES, 2 * MIN_PART_IMAGES + 1, 4 * MIN_PART_IMAGES])
def test_parts_give_what_the_whole_gives(assessor, prepared, workers, n):
    whole, parts = rated(assessor, prepared[:n], 1), rated(assessor, prepared[:n], workers)
    assert [a.sha256 for a in parts] == [a.sha256 for a in whole]
    assert [a.score for a in parts] == pytest.approx([a.score for a in whole], abs=1e-3)


def test_an_image_that_fails_is_one_error(assessor, prepared, monkeypatch):
    bad, real = prepared[11].loaded.sha256, assessor.score_prepared

    def failing(some, **options):
        if any(image.loaded.sha256 == bad for image in some):
            raise RuntimeError("no")
        return real(some, **options)

    monkeypatch.setattr(assessor, "score_prepared", failing)
    results = rated(assessor, prepared, 2)
    assert [i for i, a in enumerate(results) if a.error] == [11] and len(results) == len(prepared)
    assert str(results[11].error).startswith("model: ")


def test_other_raters_are_given_whole_batches(prepared, monkeypatch):
    slow, sizes = Assessor.from_pretrained(), []
    monkeypatch.setattr(slow, "score_prepared", lambda some, **_: sizes.append(len(some)) or [])
    rated(slow, prepared, 4)
    assert sizes == [len(prepared)]
