"""From the most probable next tokens, which is all that a server tells, to the five words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.scale import Floats

MARKS = " Ġ▁\n\t"
"""What stands for the space before a word in one tokenizer or another."""


@dataclass(frozen=True)
class Told:
    """What the most probable tokens say of the five words.

    Attributes:
        probabilities: (5,) of the words among themselves; 0 for a word that was not told.
        slack: points that the score may at most be off for the words that were not told.
    """

    probabilities: Floats
    slack: float


def told(top: Mapping[str, float], words: Sequence[str]) -> Told | None:
    """What log-probabilities of the most probable tokens say.

    A token counts for a word when it is the word as it follows the stem; where none is, when it is
    the word but for the space before it.

    Args:
        top: token to log-probability.
        words: bad to excellent, as they follow the stem.

    Returns:
        Nothing where none of the words is among the tokens.
    """
    shares = np.array([_share(top, word) for word in words])
    missing = [i for i, share in enumerate(shares) if share is None]
    known = np.array([0.0 if share is None else share for share in shares])
    if known.sum() <= 0:
        return None
    found = known / known.sum()
    if not missing:
        return Told(found, 0.0)
    # a token that is not told is no more probable than the least probable one that is, and than
    # all that is left
    most = math.exp(min(top.values()))
    rest = max(0.0, 1 - sum(math.exp(p) for p in top.values()))
    most = min(most, rest)
    score = float(ratings.score(found))
    slack = 0.0
    for some in chain.from_iterable(combinations(missing, n + 1) for n in range(len(missing))):
        other = known.copy()
        other[list(some)] = most
        slack = max(slack, abs(float(ratings.score(other / other.sum())) - score))
    return Told(found, slack)


def _share(top: Mapping[str, float], word: str) -> float | None:
    if word in top:
        return math.exp(top[word])
    bare = word.strip(MARKS)
    alike = [p for token, p in top.items() if token.strip(MARKS) == bare]
    return math.exp(max(alike)) if alike else None
