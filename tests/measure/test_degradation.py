import pytest

from vlm_aes.measure import Fact
from vlm_aes.measure.degradation import checked_degradation

CASES = [
    ("noise", {"noise": "clean"}, None), ("noise", {"noise": "noisy"}, "noise"),
    ("overexposure", {"exposure": "dark"}, None), ("overexposure", {"exposure": "bright"}, "overexposure"),
    ("tilt", {"tilt": "level"}, None), ("tilt", {}, "tilt"),
    (None, {"tilt": "tilted"}, "tilt"), (None, {"tilt": "slightly tilted"}, None),
    ("noise", {"tilt": "tilted"}, "noise"), (None, {"sharpness": "blurred", "blur": "motion"}, "blur"),
    ("tilt", {"sharpness": "blurred", "blur": "focus", "tilt": "tilted"}, "blur"),
    ("noise", {"sharpness": "blurred", "blur": "motion"}, "noise"), (None, {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "bands", "result"), CASES)
def test_a_measurement_decides_where_there_is_one(answer, bands, result):
    facts = {name: Fact(name, None, "", band) for name, band in bands.items()}
    assert checked_degradation(answer, facts, ("none", "blur", "noise", "tilt", "overexposure")) == result
    assert checked_degradation(None, facts, ("none",)) is None
