"""How true, how varied and how much in line with the scores a set of critiques is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vlm_aes.critique.check import NOT_MEASURABLE, SUPPORTED, claims
from vlm_aes.critique.polarity import polarity
from vlm_aes.critique.statements import sentences
from vlm_aes.measure import Fact
from vlm_aes.stats import metrics


@dataclass(frozen=True)
class CritiqueFigures:
    """Figures over the critiques of N pictures.

    Attributes:
        n: pictures.
        distinct_share: share of the critiques that no other picture got, 0 to 1.
        top_sentence: the sentence that stands in most critiques.
        top_sentence_share: in which share of the critiques it stands.
        measurable: claims that a measurement can judge.
        agreement: share of them that it supports; nothing where there are none.
        polarity_srcc: rank correlation of a critique's polarity with the score.
        words_mean: words a critique.
    """

    n: int
    distinct_share: float
    top_sentence: str
    top_sentence_share: float
    measurable: int
    agreement: float | None
    polarity_srcc: float
    words_mean: float


def critique_figures(
    texts: Sequence[str], facts: Sequence[Mapping[str, Fact]], scores: Sequence[float]
) -> CritiqueFigures:
    """Figures of critiques beside the facts and the scores of their pictures."""
    counted = Counter(texts)
    in_critiques = Counter(s.lower() for text in texts for s in set(sentences(text)))
    top, times = in_critiques.most_common(1)[0] if in_critiques else ("", 0)
    judged = [
        claim.verdict
        for text, known in zip(texts, facts, strict=True)
        for claim in claims(text, known)
        if claim.verdict != NOT_MEASURABLE
    ]
    return CritiqueFigures(
        n=len(texts),
        distinct_share=sum(1 for text in texts if counted[text] == 1) / len(texts),
        top_sentence=top,
        top_sentence_share=times / len(texts),
        measurable=len(judged),
        agreement=judged.count(SUPPORTED) / len(judged) if judged else None,
        polarity_srcc=metrics.srcc([polarity(text) for text in texts], scores),
        words_mean=float(np.mean([len(text.split()) for text in texts])),
    )
