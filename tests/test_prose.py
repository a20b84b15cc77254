"""The docs are in plain English: short sentences."""

import pytest

from tests import prose

MEAN_WORDS = 18
LONGEST_WORDS = 35


def test_sentences_are_told_apart():
    text = "# Head\n\nOne two. Three `a b c`: four.\n\n| a | b |\n\n- One\n  goes on.\n- Two."
    found = prose.sentences(text)
    assert [prose.words(s) for s in found] == [2, 3, 3, 1]


def test_sentences_are_short_on_average():
    counts = [prose.words(s) for f in prose.files() for s in prose.sentences(f.read_text())]
    assert sum(counts) / len(counts) < MEAN_WORDS


@pytest.mark.parametrize("file", prose.files(), ids=lambda file: file.name)
def test_no_sentence_is_long(file):
    long = [s for s in prose.sentences(file.read_text()) if prose.words(s) > LONGEST_WORDS]
    assert not long
