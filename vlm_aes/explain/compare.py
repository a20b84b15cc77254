"""Two to twenty images against each other: their order, how sure it is, and the reasons."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from itertools import pairwise as neighbours

from vlm_aes.assessor import Assessment, Assessor, Source
from vlm_aes.errors import CheckpointError, SettingsError
from vlm_aes.images.open import LoadedImage, open_image

MIN_COMPARED_IMAGES = 2
MAX_COMPARED_IMAGES = 20
MAX_REASONS = 3
NOTABLE_POINTS = 3.0
"""Points by which an attribute must differ to be a reason."""
_INTERVAL_90_DEVIATIONS = 1.645
"""Standard deviations of a normal distribution on each side of a 90% interval."""

_RANKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("exposure", ("very dark", "dark", "rather dark", "well exposed")),
    ("exposure", ("very bright", "bright", "well exposed")),
    ("highlights_clipped", ("very much", "much", "some", "none")),
    ("shadows_clipped", ("very much", "much", "some", "none")),
    ("sharpness", ("blurred", "soft", "sharp", "very sharp")),
    ("noise", ("very noisy", "noisy", "a little noise", "clean")),
    ("blocking", ("heavy", "slight", "none")),
    ("tilt", ("strongly tilted", "tilted", "slightly tilted", "level")),
)
"""Facts whose bands go from bad to good; the first half are faults."""


@dataclass(frozen=True)
class Pair:
    """Two images.

    Attributes:
        a, b: their paths.
        p_a: probability, 0 to 1, that raters would put ``a`` above ``b``.
        p_asked: that the model itself prefers ``a``, asked in both orders; None where it was not asked.
    """

    a: str
    b: str
    p_a: float
    why: str
    p_asked: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Assessments, the best first; every two of them, the better one first; images that could not be rated."""

    order: list[Assessment]
    pairs: list[Pair]
    errors: list[Assessment]


def check_number(sources: Sequence[Source]) -> None:
    """Raise a :class:`SettingsError` for fewer than two images or more than twenty."""
    if not MIN_COMPARED_IMAGES <= len(sources) <= MAX_COMPARED_IMAGES:
        raise SettingsError(f"compare takes {MIN_COMPARED_IMAGES} to {MAX_COMPARED_IMAGES} images, not {len(sources)}")


def compare(assessor: Assessor, sources: Sequence[Source]) -> Comparison:
    """Rank images by their scores and say why.

    The order does not depend on the order of ``sources``: equal scores stand in the order of their content's
    hash. A checkpoint that can look at two images is also asked about every two neighbours.

    Raises:
        SettingsError: for fewer than two images or more than twenty.
    """
    check_number(sources)
    assessments = assessor.assess(list(sources), facts=True, attributes=True)
    rated = [a for a in assessments if a.score is not None]
    order = sorted(rated, key=lambda a: (-(a.score or 0.0), a.sha256, a.path))
    asked = _asked(assessor, order, dict(zip((a.path for a in assessments), sources, strict=True)))
    pairs = [
        Pair(a.path, b.path, preferred(a, b), why(a, b), asked.get((a.path, b.path))) for a, b in combinations(order, 2)
    ]
    return Comparison(order, pairs, [a for a in assessments if a.error])


def _asked(
    assessor: Assessor, order: Sequence[Assessment], sources: Mapping[str, Source]
) -> dict[tuple[str, str], float]:
    """What the model says of neighbours, by their paths; empty where it cannot look at two."""
    if assessor.rater is None or len(order) < MIN_COMPARED_IMAGES:
        return {}
    found = {}
    try:
        from vlm_aes.models.vlm.scorer import PairComparator

        pairwise = PairComparator(assessor.rater)
        for a, b in neighbours(order):
            one, other = (open_image(sources[x.path], needed_side=assessor.needed_side) for x in (a, b))
            if isinstance(one, LoadedImage) and isinstance(other, LoadedImage):
                found[(a.path, b.path)] = pairwise.preference(one.image, other.image)
    except CheckpointError:
        return {}
    return found


def preferred(a: Assessment, b: Assessment) -> float:
    """Probability, 0 to 1, that raters would put ``a`` above ``b``.

    Both true means are taken as normal around the scores (Thurstone 1927, case III): with the
    width of the calibrated 90% interval where there is one, else with the spread of the five words.
    """
    assert a.score is not None and b.score is not None
    spread = math.hypot(_uncertainty(a), _uncertainty(b))
    if spread == 0:
        return 0.5 if a.score == b.score else float(a.score > b.score)
    return 0.5 * (1 + math.erf((_middle(a) - _middle(b)) / (spread * math.sqrt(2))))


def _uncertainty(a: Assessment) -> float:
    if a.score_low is not None and a.score_high is not None:
        return (a.score_high - a.score_low) / (2 * _INTERVAL_90_DEVIATIONS)
    return a.score_std or 0.0


def _middle(a: Assessment) -> float:
    if a.score_low is not None and a.score_high is not None:
        return (a.score_low + a.score_high) / 2
    return a.score or 0.0


def why(a: Assessment, b: Assessment) -> str:
    """In what ``a`` is better than ``b``: measurements first, then attributes, the largest
    differences; where there is none, in what it is worse all the same."""
    better = _measured(a, b) + _rated(a, b)
    if better:
        return "; ".join(better[:MAX_REASONS])
    worse = _measured(b, a) + _rated(b, a)
    return f"in spite of: {'; '.join(worse[:MAX_REASONS])}" if worse else "no reason stands out"


def _measured(a: Assessment, b: Assessment) -> list[str]:
    """Faults that ``b`` has and ``a`` has less of, the largest difference first."""
    found = []
    for name, ranks in _RANKS:
        one, other = (x.facts[name].band if name in x.facts else "" for x in (a, b))
        if one in ranks and other in ranks[: len(ranks) // 2]:
            steps = ranks.index(one) - ranks.index(other)
            if steps > 0:
                found.append((steps, f"{name.replace('_', ' ')}: {one} against {other}"))
    return [reason for _, reason in sorted(found, key=lambda f: -f[0])]


def _rated(a: Assessment, b: Assessment) -> list[str]:
    """Attributes that differ beyond what the overall scores say, where that is known."""
    one, other = (x.residuals or x.attributes for x in (a, b))
    differences = {name: one[name] - other[name] for name in one if name in other}
    return [
        f"{name.replace('_', ' ')} {difference:+.1f}"
        for name, difference in sorted(differences.items(), key=lambda d: -d[1])
        if difference >= NOTABLE_POINTS
    ]
