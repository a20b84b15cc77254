"""The five rating words among the most probable next tokens, which is all that a server gives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np

from vlm_aes.ratings import scale
from vlm_aes.ratings.scale import Floats

_SPACE_MARKS = " Ġ▁\n\t"
"""Characters for the space before a word in one tokenizer or another."""


@dataclass(frozen=True)
class LabelProbabilities:
    """(5,) probabilities of the words among themselves, 0 for one that is not among the most probable tokens;
    and the points that the score may at most be off for those."""

    probabilities: Floats
    slack: float


def label_probabilities(logprobs: Mapping[str, float], words: Sequence[str]) -> LabelProbabilities | None:
    """The probabilities of the five words from those of the most probable tokens.

    A token counts for a word when it is the word as it follows the stem; where none is, when it is the word
    but for the space before it.

    Args:
        logprobs: token to log-probability.
        words: bad to excellent, as they follow the stem.

    Returns:
        None where none of the words is among the tokens.
    """
    shares = [_share(logprobs, word) for word in words]
    missing = [i for i, share in enumerate(shares) if share is None]
    known = np.array([share or 0.0 for share in shares])
    if known.sum() <= 0:
        return None
    probabilities = known / known.sum()
    # a missing token is no more probable than the least probable one that is there, and than all
    # that is left
    rest = max(0.0, 1 - sum(math.exp(p) for p in logprobs.values()))
    most = min(math.exp(min(logprobs.values())), rest)
    score = float(scale.score(probabilities))
    slack = 0.0
    for some in chain.from_iterable(combinations(missing, n + 1) for n in range(len(missing))):
        other = known.copy()
        other[list(some)] = most
        slack = max(slack, abs(float(scale.score(other / other.sum())) - score))
    return LabelProbabilities(probabilities, slack)


def _share(logprobs: Mapping[str, float], word: str) -> float | None:
    if word in logprobs:
        return math.exp(logprobs[word])
    bare = word.strip(_SPACE_MARKS)
    alike = [p for token, p in logprobs.items() if token.strip(_SPACE_MARKS) == bare]
    return math.exp(max(alike)) if alike else None
