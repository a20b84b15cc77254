"""Suggestions: edits are applied to the image, compared with it, and only better ones are made.

A suggestion is the model's opinion of the edited image, no more.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from vlm_aes.images.color import to_rgb
from vlm_aes.measure import Fact
from vlm_aes.suggest.edits import (
    EDIT_CLASSES,
    FRAME_KINDS,
    Edit,
    Parameters,
    apply_edit,
    crop,
    crop_box,
    edit_reference,
    edits,
    multiply_light,
    resave_as_jpeg,
)

TRIAL_SIDE_PX = 448
"""Long side at which edits are tried: more than twice what vision towers of fast heads read."""
MAX_SUGGESTIONS = 3
DEFAULT_GAINS = (1.5, 4.0)
"""Points that an edit must gain without a comparator and without fitted thresholds: one that a
measurement proposes, and another."""
DEFAULT_LOG_ODDS = (0.0, 2.0)
"""The same for the log odds of a comparator."""
MAX_LOSS_POINTS = 7.0
"""Points that the better version may lose in score: half of what the 90% interval of a score
reaches to either side, so a smaller loss says nothing."""
CLEAR_MARGIN = 2.0
"""Log odds above the threshold from which an edit is called clearly better."""
NEXT_TIME_KINDS = frozenset(
    (
        *("steady_camera", "focus", "get_closer", "step_back", "change_viewpoint", "simplify_background"),
        *("place_subject", "wait_for_light", "wait_for_moment", "add_subject", "depth_of_field"),
        *("less_processing", "leave_it"),
    )
)
"""Kinds of suggestions that are for the next picture, not for this one."""
_BATCH_VERSIONS = 32

Floats = NDArray[np.float64]
ScoreImages = Callable[[Sequence[Image.Image]], ArrayLike]
"""N images to their (N,) scores, 0 to 100."""
Thresholds = Mapping[str, tuple[float, float]]
"""Edit class to what an edit must exceed: one that a measurement proposes, and another. Log odds
for a comparator, else points of score."""


@dataclass(frozen=True)
class EditComparator:
    """What compares two versions of an image.

    Attributes:
        embed: N images to their (N,) scores, 0 to 100, and (N, D) embeddings.
        log_odds: (N, D) embeddings after and before N edits, and their classes, to the (N,) log
            odds that the image is better after the edit.
        thresholds: log odds that a suggestion must exceed.
    """

    embed: Callable[[Sequence[Image.Image]], tuple[Floats, NDArray[np.float32]]]
    log_odds: Callable[[NDArray[np.float32], NDArray[np.float32], Sequence[str]], Floats]
    thresholds: Thresholds


@dataclass(frozen=True)
class Suggestion:
    """What to do with an image.

    Attributes:
        kind, text, edit, measured: see :class:`vlm_aes.suggest.edits.Edit`.
        gain: points of score, by the model where there is one besides the fast head.
        log_odds: that the image is better after the edit; None without a comparator: the gain alone decided.
        threshold: what had to be exceeded: log odds with a comparator, else points.
        tried: whether it was applied and compared.
    """

    kind: str
    text: str
    edit: Parameters
    gain: float = 0.0
    log_odds: float | None = None
    threshold: float = 0.0
    measured: bool = False
    tried: bool = True

    @property
    def better(self) -> float | None:
        """Probability, 0 to 1, of :attr:`log_odds`; None without a comparator."""
        return None if self.log_odds is None else 1 / (1 + math.exp(-self.log_odds))

    @property
    def margin(self) -> float:
        """How far it exceeds its threshold."""
        return (self.gain if self.log_odds is None else self.log_odds) - self.threshold

    @property
    def verdict(self) -> str:
        """``better``, ``clearly better``, the points that it gained; ``next time`` where nothing was tried."""
        if not self.tried:
            return "next time"
        if self.log_odds is None:
            return f"{self.gain:+.1f} points"
        return "clearly better" if self.margin >= CLEAR_MARGIN else "better"


@dataclass(frozen=True)
class Trial:
    """The edits of one image with what rating them gave.

    Attributes:
        gains: (edits,) points of score that each gained.
        log_odds: (edits,) log odds that the image is better after each; None without a comparator.
        noise: points by which a harmless change of tones, and one of the frame, moves the score of this image.
    """

    edits: Sequence[Edit]
    gains: Floats
    log_odds: Floats | None = None
    noise: tuple[float, float] = (0.0, 0.0)


def suggest(
    image: Image.Image,
    score: ScoreImages,
    confirm: ScoreImages | None = None,
    thresholds: Thresholds | None = None,
    facts: Mapping[str, Fact] | None = None,
    comparator: EditComparator | None = None,
) -> list[Suggestion]:
    """At most three suggestions of different classes, the surest first; none where nothing helps.

    With a comparator, an edit is suggested if it makes the better version and does not lose more than
    :data:`MAX_LOSS_POINTS`. Without one, it must gain more than its class needs and more than a harmless
    change (trimmed a little; or saved again, or a tenth of a stop lighter) moves the score of this image.

    Args:
        score: rates every edit where nothing compares versions; may be the fast head.
        confirm: a second rater, which must agree on the best edit of each class.
        thresholds: points to gain, see :data:`Thresholds`; a comparator brings its own.
        facts: of the image; they propose edits and their amounts.
        comparator: compares the versions.
    """
    trial = try_edits(image, score, facts, comparator)
    best = best_of_each_class(trial, (comparator.thresholds if comparator else thresholds) or {})
    if confirm is not None and best:
        pairs = edited_versions(at_trial_size(image), [s.edit for s in best])
        scores = in_batches(confirm, [*(after for after, _ in pairs), *(b for _, b in pairs)])
        gains = scores[: len(best)] - scores[len(best) :]
        best = [
            replace(suggestion, gain=float(gain))
            for suggestion, gain in zip(best, gains, strict=True)
            if gain > (suggestion.threshold if suggestion.log_odds is None else -MAX_LOSS_POINTS)
        ]
    return sorted(best, key=lambda s: -s.margin)[:MAX_SUGGESTIONS]


def try_edits(
    image: Image.Image,
    score: ScoreImages,
    facts: Mapping[str, Fact] | None = None,
    comparator: EditComparator | None = None,
) -> Trial:
    """Every edit of an image, applied and rated, by the comparator if there is one.

    What moves the frame is rated together with its mirror image: that halves what moving alone
    does to a score.
    """
    plain = at_trial_size(image)
    tried = list(edits(plain, facts))
    pairs = edited_versions(plain, [edit.parameters for edit in tried])
    moves = [edit.kind in FRAME_KINDS for edit in tried]
    if comparator is None:
        trimmed = crop(plain, crop_box(0.97, (0.5, 0.5)))
        pairs += [(one, plain) for one in (trimmed, resave_as_jpeg(plain), multiply_light(plain, 2.0**0.1))]
        moves += [True, False, False]
    upright = {id(one): one for pair in pairs for one in pair}
    moved = {id(one): one for pair, moving in zip(pairs, moves, strict=True) if moving for one in pair}
    images = [*upright.values(), *map(mirror, moved.values())]
    row = {key: n for n, key in enumerate(upright)}
    mirror_row = {**row, **{key: len(row) + n for n, key in enumerate(moved)}}
    rows = np.array(
        [
            [[at[id(one)] for one in pair] for at, pair in zip(ats, pairs, strict=True)]
            for ats in ([row] * len(pairs), [mirror_row if m else row for m in moves])
        ]
    )  # (as it is and mirrored, pairs, after and before)
    after, before = rows[..., 0], rows[..., 1]
    if comparator is None:
        scores = in_batches(score, images)
        gains = (scores[after] - scores[before]).mean(0)
        trim, *tones = np.abs(gains[len(tried) :])
        return Trial(tried, gains[: len(tried)], None, (float(max(tones)), float(trim)))
    parts = [comparator.embed(part) for part in _batches(images)]
    scores, embeddings = (np.concatenate(part) for part in zip(*parts, strict=True))
    classes = [edit.edit_class for edit in tried]
    odds = [comparator.log_odds(embeddings[a], embeddings[b], classes) for a, b in zip(after, before, strict=True)]
    return Trial(tried, (scores[after] - scores[before]).mean(0), np.mean(odds, axis=0))


def best_of_each_class(trial: Trial, thresholds: Thresholds) -> list[Suggestion]:
    """The surest edit of each class that passed; one that a measurement proposes comes first."""
    best: dict[str, Suggestion] = {}
    for i, edit in enumerate(trial.edits):
        fitted, gain = thresholds.get(edit.edit_class), float(trial.gains[i])
        if trial.log_odds is None:
            log_odds = None
            least = (fitted or DEFAULT_GAINS)[not edit.measured]
            threshold = max(trial.noise[edit.kind in FRAME_KINDS], least)
            passed = gain > threshold
        else:
            log_odds = float(trial.log_odds[i])
            threshold = (fitted or DEFAULT_LOG_ODDS)[not edit.measured]
            passed = log_odds > threshold and gain > -MAX_LOSS_POINTS
        if passed:
            suggestion = Suggestion(edit.kind, edit.text, edit.parameters, gain, log_odds, threshold, edit.measured)
            other = best.get(edit.edit_class)
            if other is None or (suggestion.measured, suggestion.margin) > (other.measured, other.margin):
                best[edit.edit_class] = suggestion
    return [best[name] for name in EDIT_CLASSES if name in best]


def edited_versions(plain: Image.Image, parameters: Iterable[Parameters]) -> list[tuple[Image.Image, Image.Image]]:
    """The image after each edit, and the image that it is compared with."""
    return [(apply_edit(plain, p), edit_reference(plain, p)) for p in parameters]


def at_trial_size(image: Image.Image) -> Image.Image:
    """An RGB copy of an image at the size at which edits are tried."""
    plain = to_rgb(image).copy()
    plain.thumbnail((TRIAL_SIDE_PX, TRIAL_SIDE_PX), Image.Resampling.LANCZOS)
    return plain


def mirror(image: Image.Image) -> Image.Image:
    """An image flipped left to right, which nobody would rate differently."""
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def in_batches(score: ScoreImages, images: Iterable[Image.Image]) -> Floats:
    """(N,) scores of N images, some at a time."""
    parts = [np.asarray(score(part), dtype=np.float64) for part in _batches(list(images))]
    return np.concatenate(parts)


def _batches(images: Sequence[Image.Image]) -> list[Sequence[Image.Image]]:
    starts = range(0, len(images), _BATCH_VERSIONS)
    return [images[start : start + _BATCH_VERSIONS] for start in starts]
