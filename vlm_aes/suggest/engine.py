"""Advice that was tried: edits are applied, rated again, and only what helped is told.

What is told is the model's opinion of the edited picture, no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm_aes.images.color import to_rgb
from vlm_aes.measure import Fact
from vlm_aes.suggest.edits import (
    KINDS,
    MOVING,
    Edit,
    cropped,
    edits,
    lit,
    saved_again,
)
from vlm_aes.suggest.scored import Score, scores_of

WORKING_SIDE = 768
"""Long side at which edits are tried."""
MOST = 3
NEEDED = (1.5, 4.0)
"""Points that an edit must gain where nothing was fitted and nothing compares versions: one that a
measurement proposes, and one that nothing but the score speaks for."""
NEEDED_ODDS = (0.0, 2.0)
"""Likewise the log odds, where something compares versions."""
VETO = 7.0
"""Points by which an edit that is the better version may lower the score: half of what the 90%
interval of a score reaches to either side, so such a difference says nothing against it."""
CLEARLY = 2.0
"""Log odds beyond what was needed from which an edit is called clearly better."""
_BATCH = 32

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EditComparator:
    """Tells which of two versions of a picture is better.

    Attributes:
        look: N pictures to their (N,) scores, 0 to 100, and (N, D) embeddings.
        better: (N, D) embeddings after and before N edits, and their kinds, to (N,) log odds that
            the picture is better after the edit.
        needed: kind to the log odds from which an edit is told: one that a measurement proposes,
            and another.
    """

    look: Callable[[Sequence[Image.Image]], tuple[Floats, NDArray[np.float32]]]
    better: Callable[[NDArray[np.float32], NDArray[np.float32], Sequence[str]], Floats]
    needed: Mapping[str, tuple[float, float]]


def edit_comparator_of(head: Any) -> EditComparator | None:
    """What compares versions of a picture; nothing where there is no fast head, or it never learned
    to, or it gives one person's scores, whose taste in versions nobody asked."""
    versions = getattr(head, "versions", None)
    if versions is None or getattr(head, "taste", None) is not None:
        return None
    return EditComparator(head.scores_and_embeddings, versions.better, versions.needed)


@dataclass(frozen=True)
class Advice:
    """An edit that helped.

    Attributes:
        kind: of :data:`vlm_aes.suggest.edits.KINDS`.
        words: what to do.
        gain: points of score, by the slow rater where there are two.
        needed: what it had to reach, in log odds where versions were compared, else in points of
            gain: what is more than chance for an edit of its kind.
        measured: whether a measurement proposed it, too.
        picture: the picture after it, at working size.
        against: what it is compared with, where that is not the picture as it was.
        better: log odds that the picture is better after it; nothing where nothing compares
            versions, and the gain alone decided.
    """

    kind: str
    words: str
    gain: float
    needed: float
    measured: bool
    picture: Image.Image
    against: Image.Image | None = None
    better: float | None = None

    @property
    def verdict(self) -> str:
        """In words: "better" or "clearly better", or the points it gained."""
        if self.better is None:
            return f"{self.gain:+.1f} points"
        return "clearly better" if self.margin >= CLEARLY else "better"

    @property
    def margin(self) -> float:
        """By how much it passed what it needed."""
        return (self.gain if self.better is None else self.better) - self.needed


@dataclass(frozen=True)
class Trial:
    """One picture with its edits, rated in one batch.

    Attributes:
        plain: the picture at working size.
        noise: points by which harmless changes of this picture move its score, at most: of its
            tones, and of its frame; 0 where versions are compared.
        edits: as they were tried.
        gains: (edits,) points that each gained.
        better: (edits,) log odds that the picture is better after each; nothing without a judge.
    """

    plain: Image.Image
    noise: tuple[float, float]
    edits: Sequence[Edit]
    gains: Floats
    better: Floats | None = None


def trial(
    image: Image.Image,
    score: Score,
    facts: Mapping[str, Fact] | None = None,
    judge: EditComparator | None = None,
) -> Trial:
    """Every edit of a picture applied and rated in one go; by the judge where there is one.

    What moves in the frame is rated together with its mirror image, which halves what moving does
    to a score by itself.
    """
    plain = at_working_size(image)
    tried = list(edits(plain, facts))
    harmless: list[Image.Image] = []
    if judge is None:
        harmless = [cropped(plain, 0.97, (0.5, 0.5)), saved_again(plain), lit(plain, 2.0**0.1)]
    moving = [edit for edit in tried if edit.kind in MOVING]
    shown = {id(one): one for one in (*images_of(plain, tried), *harmless)}
    turned = {id(one): one for one in (*images_of(plain, moving), *harmless[:1])}
    pictures = [*shown.values(), *map(mirrored, turned.values())]
    if judge is None:
        found, states = scores_of(score, pictures, _BATCH), None
    else:
        found, states = _looked(judge, pictures)
    straight = {one: i for i, one in enumerate(shown)}
    mirror = {one: len(shown) + i for i, one in enumerate(turned)}

    def gain(after: Image.Image, before: Image.Image, *, moved: bool) -> float:
        rows = (straight, mirror) if moved else (straight,)
        return float(np.mean([found[at[id(after)]] - found[at[id(before)]] for at in rows]))

    befores = [plain if e.against is None else e.against for e in tried]
    gains = [
        gain(e.picture, before, moved=e.kind in MOVING)
        for e, before in zip(tried, befores, strict=True)
    ]
    if judge is None or states is None:
        framed, *toned = harmless
        noise = (
            max(abs(gain(one, plain, moved=False)) for one in toned),
            abs(gain(framed, plain, moved=True)),
        )
        return Trial(plain, noise, tried, np.array(gains))
    kinds = [e.kind for e in tried]
    mirrors = [mirror if kind in MOVING else straight for kind in kinds]
    sides = []
    for ways in ([straight] * len(tried), mirrors):
        after = [at[id(e.picture)] for at, e in zip(ways, tried, strict=True)]
        before = [at[id(one)] for at, one in zip(ways, befores, strict=True)]
        sides.append(judge.better(states[after], states[before], kinds))
    return Trial(plain, (0.0, 0.0), tried, np.array(gains), (sides[0] + sides[1]) / 2)


def _looked(
    judge: EditComparator, pictures: Sequence[Image.Image]
) -> tuple[Floats, NDArray[np.float32]]:
    parts = [judge.look(pictures[i : i + _BATCH]) for i in range(0, len(pictures), _BATCH)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def advise(
    image: Image.Image,
    score: Score,
    confirm: Score | None = None,
    needed: Mapping[str, tuple[float, float]] | None = None,
    facts: Mapping[str, Fact] | None = None,
    judge: EditComparator | None = None,
) -> list[Advice]:
    """At most three edits of different kinds, the surest first: by what passes what they need.

    With a judge, an edit is told where it makes the better version, and the score does not speak
    against it (:data:`VETO`). Without one, it is told where it gains more than its kind needs and
    more than a harmless change of the same sort (trimmed a little; or saved again, or a tenth of a
    stop lighter) moves the score of this picture.

    Args:
        score: tries every edit; may be the fast path.
        confirm: has the last word on the best of each kind, where it is another rater.
        needed: kind to the points that it must gain where a measurement proposes it, and where none
            does; :data:`NEEDED` for a kind that is not there. A judge brings its own.
        facts: of the picture; they propose edits and their amounts.
        judge: compares the versions.
    """
    found = trial(image, score, facts, judge)
    best = best_of(found, (judge.needed if judge else needed) or {})
    if confirm is not None and best:
        against = [found.plain if a.against is None else a.against for a in best]
        again = scores_of(confirm, [*(a.picture for a in best), *against], _BATCH)
        sure = again[: len(best)] - again[len(best) :]
        best = [
            replace(advice, gain=float(gain))
            for advice, gain in zip(best, sure, strict=True)
            if gain > (advice.needed if advice.better is None else -VETO)
        ]
    return sorted(best, key=lambda a: -a.margin)[:MOST]


def best_of(found: Trial, needed: Mapping[str, tuple[float, float]]) -> list[Advice]:
    """The surest edit of each kind that passed; what a measurement proposes comes first."""
    best: dict[str, Advice] = {}
    for i, edit in enumerate(found.edits):
        needs, way = needed.get(edit.kind), 0 if edit.measured else 1
        gain = float(found.gains[i])
        if found.better is None:
            better = None
            least = max(found.noise[edit.kind in MOVING], (needs or NEEDED)[way])
            passed = gain > least
        else:
            better, least = float(found.better[i]), (needs or NEEDED_ODDS)[way]
            passed = better > least and gain > -VETO
        if passed:
            told = Advice(
                edit.kind, edit.words, gain, least, edit.measured, edit.picture, edit.against,
                better,
            )  # fmt: skip
            other = best.get(edit.kind)
            if other is None or (told.measured, told.margin) > (other.measured, other.margin):
                best[edit.kind] = told
    return [best[kind] for kind in KINDS if kind in best]


def at_working_size(image: Image.Image) -> Image.Image:
    """A copy at the size at which edits are tried."""
    plain = to_rgb(image).copy()
    plain.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    return plain


def images_of(plain: Image.Image, tried: Sequence[Edit]) -> list[Image.Image]:
    """Every picture that rating some edits of a picture takes: itself, what comes after each, and
    what that is held against where it is another."""
    pairs = ((edit.picture, edit.against) for edit in tried)
    return [plain, *(one for pair in pairs for one in pair if one is not None)]


def mirrored(image: Image.Image) -> Image.Image:
    """A picture as a mirror shows it, which nobody would rate differently."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
