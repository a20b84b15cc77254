"""Features of near-duplicates, and the best of those."""

import numpy as np
from PIL import Image

from tests.bulk.select.photos import looks_of, photo
from vlm_aes import Assessor
from vlm_aes.bulk.select.groups import label_bursts, score_within_burst
from vlm_aes.bulk.select.similarity import distinct_rows, exposure_stops, feature_extractor, layout, near_duplicates
from vlm_aes.images.degrade import degrade


def test_what_cannot_be_opened_is_like_nothing():
    looks = looks_of([[1, 0], [1, 0]])
    for values in (looks.embedding, looks.layout, looks.stops):
        values[1] = np.nan
    assert near_duplicates(looks, looks).tolist() == [[True, False], [False, False]]
    assert label_bursts(looks).tolist() == [0, 1]
    assert np.isfinite(score_within_burst([50, 50], looks.stops, [100, 100])).all()


def test_of_near_duplicates_only_the_best():
    vectors, asked = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1], "d": [0.01, 1]}, []

    def of(order, k, sign=1):
        def look(some):
            asked.extend(some)
            looks = looks_of([vectors[p] for p in some])
            looks.layout[[p in "cd" for p in some]] *= sign
            return looks

        rows = np.array(order, np.int64)
        return distinct_rows(rows, [k], np.zeros_like(rows), ["abcd"[i] for i in order], look)

    assert of([1, 0, 2, 3], 4).tolist() == [1]  # one layout: the same frame
    assert of([1, 0, 2, 3], 4, sign=-1).tolist() == [1, 2]
    assert of([3, 2, 1, 0], 1, sign=-1).tolist() == [3]
    asked.clear()
    assert of([], 1).tolist() == [] and of([0, 1], 0).tolist() == [] and not asked


def test_layout_and_stops_tell_a_darker_copy_of_the_same_frame():
    image, other = photo(), photo("coffee")
    dark = degrade(image, "underexposure", 0.2)
    assert layout(image) @ layout(dark) > 0.9 > layout(image) @ layout(other)
    assert exposure_stops(dark) < exposure_stops(image) - 1
    assert np.isfinite(layout(Image.new("RGB", (9, 9)))).all()


def test_looks_of_files(tmp_path):
    for name, content in (("a", "astronaut"), ("b", "astronaut"), ("c", "coffee")):
        photo(content).save(tmp_path / f"{name}.png")
    (tmp_path / "d.png").write_text("x")
    paths = [str(tmp_path / name) for name in ("a.png", "d.png", "b.png", "c.png", "gone.png")]
    looks = feature_extractor(Assessor.from_pretrained(fast=True).head)(paths)
    assert np.isnan(looks.stops).tolist() == [False, True, False, False, True]
    assert near_duplicates(looks, looks)[0].tolist() == [True, False, True, False, False]
