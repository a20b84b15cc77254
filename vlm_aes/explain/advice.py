"""Advice that was tried: edits are applied, rated again, and only what helped is told.

What is told is the model's opinion of the edited picture, no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.explain.edits import KINDS, MOVING, Edit, cropped, edits, lit, saved_again
from vlm_aes.explain.scored import Score, scores_of
from vlm_aes.facts import Fact
from vlm_aes.images import to_rgb

WORKING_SIDE = 768
"""Long side at which edits are tried."""
MOST = 3
NEEDED = (1.5, 4.0)
"""Points that an edit must gain where nothing was fitted: one that a measurement proposes, and one
that nothing but the score speaks for."""
_BATCH = 32


@dataclass(frozen=True)
class Advice:
    """An edit that helped.

    Attributes:
        kind: of :data:`vlm_aes.explain.edits.KINDS`.
        words: what to do.
        gain: points of score, by the slow rater where there are two.
        needed: points that it had to gain: what is more than chance for an edit of its kind.
        measured: whether a measurement proposed it, too.
        picture: the picture after it, at working size.
        against: what it is compared with, where that is not the picture as it was.
    """

    kind: str
    words: str
    gain: float
    needed: float
    measured: bool
    picture: Image.Image
    against: Image.Image | None = None


@dataclass(frozen=True)
class Trial:
    """One picture with its edits, rated in one batch.

    Attributes:
        plain: the picture at working size.
        noise: points by which harmless changes of this picture move its score, at most: of its
            tones, and of its frame.
        edits: as they were tried.
        gains: (edits,) points that each gained.
    """

    plain: Image.Image
    noise: tuple[float, float]
    edits: Sequence[Edit]
    gains: NDArray[np.float64]


def trial(image: Image.Image, score: Score, facts: Mapping[str, Fact] | None = None) -> Trial:
    """Every edit of a picture applied and rated in one go.

    What moves in the frame is rated together with its mirror image, which halves what moving does
    to a score by itself.
    """
    plain = to_rgb(image).copy()
    plain.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    tried = list(edits(plain, facts))
    moving = [edit for edit in tried if edit.kind in MOVING]
    framed, toned = cropped(plain, 0.97, (0.5, 0.5)), [saved_again(plain), lit(plain, 2.0**0.1)]
    pairs = {id(one): one for one in (plain, framed)}
    for edit in moving:
        pairs |= {id(one): one for one in (edit.picture, edit.against) if one is not None}
    alone = [*toned, *(edit.picture for edit in tried if edit.kind not in MOVING)]
    found = scores_of(score, [*pairs.values(), *map(mirrored, pairs.values()), *alone], _BATCH)
    straight = dict(zip(pairs, found, strict=False))
    both = dict(zip(pairs, (found[: len(pairs)] + found[len(pairs) : 2 * len(pairs)]) / 2))
    single = dict(zip(map(id, alone), found[2 * len(pairs) :], strict=True))
    gains = [
        both[id(edit.picture)] - both[id(plain if edit.against is None else edit.against)]
        if edit.kind in MOVING
        else single[id(edit.picture)] - straight[id(plain)]
        for edit in tried
    ]
    noise = (
        max(abs(single[id(one)] - straight[id(plain)]) for one in toned),
        abs(both[id(framed)] - both[id(plain)]),
    )
    return Trial(plain, (float(noise[0]), float(noise[1])), tried, np.array(gains))


def advise(
    image: Image.Image,
    score: Score,
    confirm: Score | None = None,
    needed: Mapping[str, tuple[float, float]] | None = None,
    facts: Mapping[str, Fact] | None = None,
) -> list[Advice]:
    """At most three edits of different kinds, the surest first: by their gain over what they need.

    An edit is told where it gains more than its kind needs and more than a harmless change of the
    same sort (trimmed a little; or saved again, or a tenth of a stop lighter) moves the score of
    this picture.

    Args:
        score: tries every edit; may be the fast path.
        confirm: has the last word on the best of each kind, where it is another rater.
        needed: kind to the points that it must gain where a measurement proposes it, and where none
            does; :data:`NEEDED` for a kind that is not there.
        facts: of the picture; they propose edits and their amounts.
    """
    found = trial(image, score, facts)
    best = best_of(found, needed or {})
    if confirm is not None and best:
        against = [found.plain if a.against is None else a.against for a in best]
        again = scores_of(confirm, [*(a.picture for a in best), *against], _BATCH)
        sure = again[: len(best)] - again[len(best) :]
        best = [
            replace(advice, gain=float(gain))
            for advice, gain in zip(best, sure, strict=True)
            if gain > advice.needed
        ]
    return sorted(best, key=lambda a: a.needed - a.gain)[:MOST]


def best_of(found: Trial, needed: Mapping[str, tuple[float, float]]) -> list[Advice]:
    """The surest edit of each kind that gained enough; what a measurement proposes comes first."""
    best = []
    for kind in KINDS:
        passed = []
        for edit, gain in zip(found.edits, found.gains, strict=True):
            noise = found.noise[kind in MOVING]
            least = max(noise, needed.get(kind, NEEDED)[0 if edit.measured else 1])
            if edit.kind == kind and gain > least:
                passed.append(
                    Advice(
                        kind,
                        edit.words,
                        float(gain),
                        least,
                        edit.measured,
                        edit.picture,
                        edit.against,
                    )
                )
        if passed:
            best.append(max(passed, key=lambda a: (a.measured, a.gain)))
    return best


def mirrored(image: Image.Image) -> Image.Image:
    """A picture as a mirror shows it, which nobody would rate differently."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
