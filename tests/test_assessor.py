"""The assessor: one result for an image, alone or in any batch, and a public API without torch."""

import math
import subprocess
import sys

import pytest
import skimage.data
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.suggest.edits import multiply_light

COFFEE = Image.fromarray(skimage.data.coffee())
PHOTOS = [multiply_light(COFFEE, 2.0**-3), COFFEE, Image.fromarray(skimage.data.rocket())]


@pytest.fixture(scope="module")
def assessor():
    return Assessor.from_pretrained(precision="fp32")


def test_an_image_has_the_same_suggestions_alone_and_in_any_batch(assessor):
    together = assessor.assess(PHOTOS, rationale=True, facts=False)
    alone = [assessor.assess(photo, rationale=True) for photo in PHOTOS[::-1]][::-1]
    assert [[s.text for s in a.suggestions] for a in together] == [[s.text for s in a.suggestions] for a in alone]
    assert together[0].suggestions[0].kind == "brighten"
    for suggestion in together[0].suggestions:
        assert suggestion.tried
        assert suggestion.better == pytest.approx(1 / (1 + math.exp(-suggestion.log_odds)))


def test_what_was_not_asked_for_is_not_computed(assessor, monkeypatch):
    for name in ("suggestions", "critiques"):
        monkeypatch.setattr(type(assessor), name, lambda *_: pytest.fail("not asked for"))
    result = assessor.assess(COFFEE, facts=False)
    assert (result.critique, result.suggestions, result.facts, result.attributes) == (None, [], {}, {})


def test_an_image_that_cannot_be_opened_has_an_error_and_no_score(assessor):
    good, bad = assessor.assess([COFFEE, b"no image"])
    assert good.score is not None
    assert (bad.score, bad.error.split()[0], bad.model) == (None, "not_an_image:", good.model)


def test_loading_prints_nothing_and_the_terms_are_a_property(capfd):
    assert "non-commercial" in Assessor.from_pretrained().terms
    assert capfd.readouterr() == ("", "")


API = """
import sys, vlm_aes
assert 'torch' not in sys.modules and 'PIL' not in sys.modules
orders = ("from vlm_aes import explain", "import vlm_aes.explain.terminal")
for first, second in (orders, orders[::-1]):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'vlm_aes']:
        del sys.modules[name]
    import vlm_aes
    exec(first)
    exec(second)
    assert callable(explain) and explain.__name__ == 'explain', explain
    assert vlm_aes.explain is explain
    from vlm_aes.explain import page
    assert page.__name__ == 'vlm_aes.explain.page', page
    [getattr(vlm_aes, name) for name in vlm_aes.__all__]
"""


def test_the_public_api_is_lazy_and_explain_is_the_function_in_any_order():
    done = subprocess.run([sys.executable, "-c", API], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
