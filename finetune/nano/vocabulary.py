"""The label lists of the naming heads: scenes, tags, words, aspects and kinds of advice."""

from __future__ import annotations

import re
from collections import Counter

from finetune.nano.data import Dataset

_STOPWORD_TEXT = """
    a an and are as at be been but by can could do does down enough even for from give given gives had has have
    he her here him his how i if in into is it its itself just keep keeps kept less like little lot made make makes
    many more most much near nearly no not nothing now of off on one only or other our out over own put rather really
    same she so some still such than that the their them then there these they thing this those though through to too
    up us very was way we well were what when where which while who whole will with without would you your
"""
STOPWORDS = frozenset(_STOPWORD_TEXT.split())
"""English words that name nothing."""


def content_words(text: str) -> list[str]:
    """Lower-case words of three letters or more that are not stopwords."""
    return [word for word in re.findall(r"[a-z]{3,}", text.lower()) if word not in STOPWORDS]


def vocabulary(
    dataset: Dataset, min_tag_count: int = 12, min_word_count: int = 60, max_words: int = 700
) -> dict[str, list[str]]:
    """Labels of each naming head, most frequent first; counted over training photos alone."""
    training = [labels for labels in dataset.labels.values() if labels.split == "training"]
    rows = [row for labels in training for row in labels.texts]
    rows += [row for view, row in dataset.degraded.items() if dataset.labels[view.photo].split == "training"]
    words = Counter(word for row in rows for word in set(content_words(row["subject"] + " " + row.get("critique", ""))))
    words.update(word for labels in training for caption in labels.captions for word in set(content_words(caption)))
    critiques = [row for row in rows if "critique" in row]
    return {
        "scene": _frequent(Counter(row["scene"] for row in rows), 1),
        "tags": _frequent(Counter(tag for row in rows for tag in row["tags"]), min_tag_count),
        "words": [word for word, n in words.most_common(max_words) if n >= min_word_count],
        "works": _frequent(Counter(aspect for row in critiques for aspect in row["works"]), 20),
        "hurts": _frequent(Counter(aspect for row in critiques for aspect in row["hurts"]), 20),
        "advice": _frequent(Counter(row["advice_kind"] for row in critiques), 5),
    }


def _frequent(counts: Counter[str], min_count: int) -> list[str]:
    return [name for name, n in counts.most_common() if n >= min_count]
