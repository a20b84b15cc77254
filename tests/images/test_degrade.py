import pytest

from tests.photos import PHOTOS
from vlm_aes.images.degrade import DEGRADATIONS, degrade


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_a_degraded_copy_has_the_same_size_and_is_repeatable(degradation):
    image = PHOTOS[2].resize((210, 140))
    copies = [degrade(image, degradation, 0.5, 3) for _ in range(2)]
    assert copies[0].size == image.size
    assert copies[0].tobytes() == copies[1].tobytes() != image.tobytes()


def test_unknown_degradations_and_strengths_are_refused():
    with pytest.raises(ValueError, match="choose one of blur"):
        degrade(PHOTOS[0], "ugliness")
    with pytest.raises(ValueError, match="from 0 to 1"):
        degrade(PHOTOS[0], "blur", 2)
