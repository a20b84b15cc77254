"""Splits: no near-duplicate and no group stands in two of them."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from skimage import data

from vlm_aes.ratings import splits

PHOTOS = [Image.fromarray(photo) for photo in (data.astronaut(), data.chelsea(), data.coffee())]


def distance(a, b):
    return sum((x ^ y).bit_count() for x, y in zip(splits.perceptual_hash(a),
                                                   splits.perceptual_hash(b)))  # fmt: skip


@pytest.mark.parametrize("photo", PHOTOS)
def test_versions_of_a_photo_are_near_and_other_photos_far(photo):
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=40)
    half = photo.resize((photo.width // 2, photo.height // 3))
    for version in (Image.open(buffer), half, ImageEnhance.Brightness(photo).enhance(0.8)):
        assert distance(photo, version) <= splits.NEAR_DUPLICATE_BITS
    for other in PHOTOS:
        assert other is photo or distance(photo, other) > 2 * splits.NEAR_DUPLICATE_BITS


def test_near_duplicates_over_blocks():
    rng = np.random.default_rng(0)
    hashes = [tuple(int(x) for x in rng.integers(0, 2**63, 2)) for _ in range(1500)]
    hashes[1400] = (hashes[3][0] ^ 0b1011, hashes[3][1])
    assert splits.near_duplicates(hashes) == [(3, 1400)]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 12), min_size=4, max_size=60),
    st.floats(0, 0.45), st.floats(0, 0.45), st.integers(0, 9), st.randoms(),
)  # fmt: skip
def test_no_cluster_is_cut_and_order_does_not_matter(groups, validation, test, seed, random):
    names = [f"image {i}" for i in range(len(groups))]

    def sides(order):
        keys = [f"g{groups[i]}" for i in order]
        cluster = splits.clusters(len(order), splits.equal_key_links(keys))
        made = splits.split(cluster, [names[i] for i in order], validation=validation, test=test, seed=seed)
        assert splits.count_leaks(cluster, made) == 0
        assert made.count("test") <= round(test * len(order))
        return dict(zip(order, made))

    order = list(range(len(groups)))
    first = sides(order)
    random.shuffle(order)
    assert sides(order) == first


def test_shares_of_single_images_are_exact():
    cluster = splits.clusters(100, [])
    made = splits.split(cluster, [str(i) for i in range(100)], validation=0.1, test=0.2)
    assert (made.count("validation"), made.count("test")) == (10, 20)
    assert made != splits.split(cluster, [str(i) for i in range(100)], seed=1)
    with pytest.raises(ValueError, match="leave something"):
        splits.split(cluster, ["a"] * 100, validation=0.5, test=0.5)
    leaky = splits.clusters(4, [(0, 3), (3, 2)])
    assert splits.count_leaks(leaky, ["train", "test", "test", "validation"]) == 2
