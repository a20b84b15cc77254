"""Sentiment and aspects of a text, by counted words."""

import pytest

from vlm_aes.critique.sentiment import aspects, sentiment


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("A superb photo. The light is beautiful.", "A weak photo. The light is flat."),
        ("The subject is clear.", "The subject is not clear."),
        ("The colours sit well side by side.", "The colours clash. Wait for kinder light."),
    ],
)
def test_sentiment_orders_praise_and_fault(better, worse):
    assert -1 <= sentiment(worse) < sentiment(better) <= 1


@pytest.mark.parametrize("text", ["", "A dog on a beach."])
def test_a_text_that_says_neither_has_no_sentiment(text):
    assert sentiment(text) == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("The light is soft and the palette muted.", {"light", "color"}),
        ("The whole frame is blurred.", {"sharpness"}),
        ("The composition holds together; the mood is calm.", {"composition", "mood"}),
        ("An ordinary photo.", set()),
    ],
)
def test_a_text_names_its_aspects(text, named):
    assert aspects(text) == named
