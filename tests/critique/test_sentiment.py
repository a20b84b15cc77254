"""Sentiment and aspects of a text, by counted words."""

from vlm_aes.critique.sentiment import aspects, sentiment


def test_sentiment_orders_praise_and_fault_and_a_text_that_says_neither_has_none():
    for better, worse in (
        ("A superb photo. The light is beautiful.", "A weak photo. The light is flat."),
        ("The subject is clear.", "The subject is not clear."),
        ("The colours sit well side by side.", "The colours clash. Wait for kinder light."),
    ):
        assert -1 <= sentiment(worse) < sentiment(better) <= 1, worse
    assert sentiment("") == sentiment("A dog on a beach.") == 0


def test_a_text_names_its_aspects():
    assert aspects("The light is soft and the palette muted.") == {"light", "color"}
    assert aspects("The whole frame is blurred.") == {"sharpness"}
    assert aspects("The composition holds together; the mood is calm.") == {"composition", "mood"}
    assert aspects("An ordinary photo.") == set()
