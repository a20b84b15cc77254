"""The docs are in plain English: short sentences."""

from benchmarks import prose

MEAN_WORDS, LONGEST_WORDS = 18, 35


def test_sentences_are_told_apart():
    text = "# Head\n\nOne two. Three `a b c`: four.\n\n| a | b |\n\n- One\n  goes on.\n- Two."
    assert [prose.words(s) for s in prose.sentences(text)] == [2, 3, 3, 1]


def test_sentences_are_short_on_average_and_none_is_long():
    found = [(prose.words(s), file.name, s) for file in prose.files() for s in prose.sentences(file.read_text())]
    assert sum(words for words, *_ in found) / len(found) < MEAN_WORDS
    assert [sentence for sentence in found if sentence[0] > LONGEST_WORDS] == []
