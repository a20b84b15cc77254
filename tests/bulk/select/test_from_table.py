"""``choose`` from a finished table; what it chooses stands in ``tests/golden/choose.json``."""

import pytest

from vlm_aes.bulk.select.from_table import parse_bands


@pytest.mark.parametrize("wrong", ["", "x", "60,40", "0", "100", "40,40", "nan"])
def test_wrong_bands_are_refused(wrong):
    with pytest.raises(ValueError, match="--bands"):
        parse_bands(wrong)
