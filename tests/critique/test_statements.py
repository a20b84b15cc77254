"""Statements: a text, parsed once into clauses, advice and mentions of facts."""

from vlm_aes.critique.statements import parse


def test_a_text_is_parsed_into_statements():
    for text, statements in (
        ("", []),
        ("A weak shot: it is too dark, but the focus is sharp. Lower the ISO.",
         [(0, "A weak shot", False), (0, "it is too dark", False), (0, "the focus is sharp", False),
          (1, "Lower the ISO", True)]),
        ("Sound but not more. It is dark but sharp.",
         [(0, "Sound but not more", False), (1, "It is dark", False), (1, "sharp", False)]),
        ("Warm tones lead; still, a tripod would help!", [(0, "Warm tones lead; still, a tripod would help", True)]),
        ("Warm tones lead.", [(0, "Warm tones lead", False)]),
    ):  # fmt: skip
        assert [(s.sentence, s.text, s.is_advice) for s in parse(text)] == statements


def test_a_statement_names_the_phrases_that_it_mentions():
    (statement,) = parse("It is dark, with detail in the upper left.")
    assert [(m.phrase.fact, m.word) for m in statement.mentions] == [("exposure", ""), ("detail", "upper left")]
    (advice,) = parse("Brighten the dark corner.")
    assert advice.mentions == ()
