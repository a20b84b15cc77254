import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from tests.photos import PHOTOS
from vlm_aes.ratings import splits


def distance(*photos):
    return sum((x ^ y).bit_count() for x, y in zip(*map(splits.perceptual_hash, photos)))


def test_versions_of_a_photo_are_near_duplicates_and_other_photos_are_far():
    for photo in PHOTOS:
        buffer = io.BytesIO()
        photo.save(buffer, "JPEG", quality=40)
        half = photo.resize((photo.width // 2, photo.height // 3))
        for version in (Image.open(buffer), half, ImageEnhance.Brightness(photo).enhance(0.8)):
            assert distance(photo, version) <= splits.NEAR_DUPLICATE_BITS
        for other in PHOTOS:
            assert other is photo or distance(photo, other) > 2 * splits.NEAR_DUPLICATE_BITS
    # over blocks of hashes
    rng = np.random.default_rng(0)
    hashes = [tuple(int(x) for x in rng.integers(0, 2**63, 2)) for _ in range(1500)]
    hashes[1400] = (hashes[3][0] ^ 0b1011, hashes[3][1])
    assert splits.near_duplicates(hashes) == [(3, 1400)]


GROUPS, SHARE = st.lists(st.integers(0, 12), min_size=4, max_size=60), st.floats(0, 0.45)


@settings(deadline=None, max_examples=60)
@given(GROUPS, SHARE, SHARE, st.integers(0, 9), st.randoms())
def test_no_cluster_is_cut_and_order_does_not_matter(groups, validation, test, seed, random):
    def sides(order):
        cluster = splits.clusters(len(order), splits.equal_key_links([f"g{groups[i]}" for i in order]))
        names = [f"image {i}" for i in order]
        made = splits.split(cluster, names, validation=validation, test=test, seed=seed)
        assert splits.count_leaks(cluster, made) == 0
        assert made.count("test") <= round(test * len(order))
        return dict(zip(order, made))

    order = list(range(len(groups)))
    first = sides(order)
    random.shuffle(order)
    assert sides(order) == first


def test_shares_of_single_images_are_exact():
    cluster, names = splits.clusters(100, []), [str(i) for i in range(100)]
    made = splits.split(cluster, names, validation=0.1, test=0.2)
    assert (made.count("validation"), made.count("test")) == (10, 20)
    assert made != splits.split(cluster, names, seed=1)
    with pytest.raises(ValueError, match="leave something"):
        splits.split(cluster, names, validation=0.5, test=0.5)
    leaky = splits.clusters(4, [(0, 3), (3, 2)])
    assert splits.count_leaks(leaky, ["train", "test", "test", "validation"]) == 2
