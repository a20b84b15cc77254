"""Fit what an edit needs before it is suggested, and measure how often suggestions undo a fault.

Photos get a fault of a known amount: tilted, under-exposed, tinted, framed too loosely. A model
suggests well when the edit that undoes the fault is among its first three, and when it leaves
photos as their makers left them alone. Thresholds are fitted on the tuning photos; figures are of
the validation photos.

    python -m finetune.edit_comparator.thresholds --data PARA --checkpoint DIR [--fit 160]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finetune.photos import draw_photos, random_of
from vlm_aes import measure as facts
from vlm_aes.assessor import Assessor
from vlm_aes.images.degrade import rotate_and_crop
from vlm_aes.suggest.edits import (
    BRIGHTEN,
    CLASS_OF_KIND,
    CROP,
    EDIT_CLASSES,
    FRAME_KINDS,
    LEVEL,
    WHITE_BALANCE,
    Edit,
    multiply_light,
)
from vlm_aes.suggest.engine import MAX_LOSS_POINTS, MAX_SUGGESTIONS, Floats, Trial, best_of_each_class, try_edits

CORNERS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
LOOSE = 0.7
"""Share of each side that a loosely framed photo keeps; the rest is a dull continuation."""
BUDGET = 0.25
"""Share of the unchanged tuning photos that may get a suggestion; less than the .3 that is aimed
at on others."""
_PRICES = np.geomspace(0.02, 50, 120)
_HIGHEST = 50.0
"""Log odds beyond which there is nothing."""


@dataclass(frozen=True)
class FaultyPhoto:
    """A photo with a fault of a known amount.

    Attributes:
        fault: ``tilted``, ``dark``, ``tinted`` or ``loose``; ``none`` for the photo as it is.
        image: the photo with it.
        undoes: whether an edit undoes it: right kind, right way, and for a crop right place.
    """

    fault: str
    image: Image.Image
    undoes: Callable[[Edit], bool]


def unchanged(image: Image.Image) -> FaultyPhoto:
    """No fault, and nothing to undo."""
    return FaultyPhoto("none", image, lambda edit: False)


def tilted(image: Image.Image, rng: np.random.Generator) -> FaultyPhoto:
    """Turned by 5 to 12 degrees, either way, and cut upright."""
    degrees = float(rng.uniform(5, 12) * rng.choice((-1, 1)))
    changed = rotate_and_crop(image, degrees)
    return FaultyPhoto("tilted", changed, lambda e: e.kind == LEVEL and degrees_of(e) * degrees < 0)


def dark(image: Image.Image, rng: np.random.Generator) -> FaultyPhoto:
    """Two to three and a half stops under."""
    changed = multiply_light(image, 2.0 ** -rng.uniform(2, 3.5))
    return FaultyPhoto("dark", changed, lambda e: e.kind == BRIGHTEN)


def tinted(image: Image.Image, rng: np.random.Generator) -> FaultyPhoto:
    """A warm, cool, green or magenta light: one or two channels at half to a third."""
    weak = 2.0 ** -rng.uniform(1.0, 1.6)
    gains = {
        "warm": (1, (1 + weak) / 2, weak),
        "cool": (weak, (1 + weak) / 2, 1),
        "green": (weak, 1, weak),
        "magenta": (1, weak, 1),
    }
    changed = multiply_light(image, np.array(gains[str(rng.choice(list(gains)))], dtype=np.float32))
    return FaultyPhoto("tinted", changed, lambda e: e.kind == WHITE_BALANCE)


def loose(image: Image.Image, rng: np.random.Generator) -> FaultyPhoto:
    """Framed badly: the photo fills 70% of each side, in one corner, and the rest is a plain wall
    in the mean colour of the photo. (What a crop cut off no edit can bring back.)"""
    at = CORNERS[rng.integers(4)]
    width, height = image.size
    inner = image.resize((round(width * LOOSE), round(height * LOOSE)), Image.Resampling.LANCZOS)
    left, top = round((width - inner.width) * at[0]), round((height - inner.height) * at[1])
    frame = inner.resize((1, 1), Image.Resampling.BOX).resize(image.size)
    frame.paste(inner, (left, top))
    return FaultyPhoto("loose", frame, lambda e: e.kind == CROP and place_of(e) == at)


def degrees_of(edit: Edit) -> float:
    """The angle of a turn."""
    degrees = edit.parameters["degrees"]
    assert isinstance(degrees, float)
    return degrees


def crop_of(edit: Edit) -> tuple[float, ...]:
    """Left, top, right and bottom of a crop, as shares of the image."""
    crop = edit.parameters["crop"]
    assert isinstance(crop, tuple)
    return crop


def place_of(edit: Edit) -> tuple[float, float]:
    """Where a crop lies in the room that it leaves, from 0 (left, top) to 1."""
    left, top, right, _ = crop_of(edit)
    room = 1 - (right - left)
    return round(left / room, 3), round(top / room, 3)


FAULT_MAKERS = (tilted, dark, tinted, loose)


@dataclass(frozen=True)
class FaultTrial:
    """A trial, and which of its edits undo the fault."""

    fault: str
    trial: Trial
    right: tuple[bool, ...]


def run_trials(assessor: Assessor, photos: Sequence[tuple[str, Image.Image]]) -> list[FaultTrial]:
    """Each photo as it is and with one fault; which fault, and how strong, its id decides."""
    comparator = assessor.edit_comparator
    done = []
    for number, (image_id, image) in enumerate(photos):
        bad = FAULT_MAKERS[number % len(FAULT_MAKERS)](image, random_of("advice", image_id))
        for faulty in (unchanged(image), bad):
            measured = facts.measure_for_prompt(faulty.image)
            trial = try_edits(faulty.image, assessor.fast_scores, measured, comparator)
            right = tuple(faulty.undoes(edit) for edit in trial.edits)
            done.append(FaultTrial(faulty.fault, trial, right))
    return done


def fit(tried: Sequence[FaultTrial], budget: float = BUDGET) -> dict[str, tuple[float, float]]:
    """What each kind must gain, or the log odds that it must reach where versions are compared,
    measured and not, so that the most faults are undone while no more than ``budget`` of the photos
    as they are get a suggestion.

    Every threshold buys undone faults with suggestions that nobody needs; all are set at one
    price. Where nothing compares versions, nothing is suggested for less than half of what
    harmless changes of its sort move nine scores in ten by, nor for less than they move the score
    of the image itself.
    """
    noises = np.quantile([t.trial.noise for t in tried], 0.9, axis=0) / 2
    best: tuple[int, dict[str, tuple[float, float]]] | None = None
    for price in _PRICES:
        needed = {
            kind: _thresholds(tried, kind, price, float(noises[int(kind in FRAME_KINDS)])) for kind in EDIT_CLASSES
        }
        told = [best_of_each_class(t.trial, needed) for t in tried if t.fault == "none"]
        if np.mean([bool(advice) for advice in told]) > budget:
            continue
        hits = sum(is_undone(t, needed) for t in tried if t.fault != "none")
        if best is None or hits > best[0]:
            best = (hits, needed)
    if best is None:
        raise ValueError("every threshold suggests too often: fit on more photos")
    return best[1]


def _thresholds(tried: Sequence[FaultTrial], kind: str, price: float, noise: float) -> tuple[float, float]:
    """The thresholds of a kind: for edits that a measurement asks for, and for the others."""
    return (_threshold(tried, kind, True, price, noise), _threshold(tried, kind, False, price, noise))


def _threshold(tried: Sequence[FaultTrial], kind: str, measured: bool, price: float, noise: float) -> float:
    """The value from which suggestions of a kind undo more faults than their price."""
    right: list[float] = []
    needless: list[float] = []
    for t in tried:
        worth, passes = _worth(t.trial, kind)
        rows = [i for i, e in enumerate(t.trial.edits) if e.edit_class == kind and e.measured == measured and passes[i]]
        if rows:
            top = max(rows, key=lambda i: worth[i])
            (needless if t.fault == "none" else right if t.right[top] else []).append(float(worth[top]))
    compared = any(t.trial.log_odds is not None for t in tried)
    least = -_HIGHEST if compared else noise
    levels = sorted({least, *(g for g in right + needless if g > least)})
    bought = [sum(g > level for g in right) - price * sum(g > level for g in needless) for level in levels]
    last = len(bought) - 1 - int(np.argmax(bought[::-1]))
    # none is worth its price: what no edit was seen to gain
    return round(float(levels[last]), 2)


def _worth(found: Trial, kind: str) -> tuple[Floats, NDArray[np.bool_]]:
    """What decides on each edit of a kind, and whether nothing else speaks against it."""
    if found.log_odds is None:
        return found.gains, found.gains > found.noise[kind in FRAME_KINDS]
    return found.log_odds, found.gains > -MAX_LOSS_POINTS


def is_undone(tried: FaultTrial, needed: Mapping[str, tuple[float, float]]) -> bool:
    """Whether an edit that undoes the fault is among the first three."""
    told = sorted(best_of_each_class(tried.trial, needed), key=lambda a: -a.margin)[:MAX_SUGGESTIONS]
    right = {e.text for e, yes in zip(tried.trial.edits, tried.right, strict=True) if yes}
    return any(advice.text in right for advice in told)


def figures(tried: Sequence[FaultTrial], needed: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Share of each fault, and of all, that is undone, and of the photos as they are that get
    advice, of any kind and of each."""
    found = {}
    for fault in ("tilted", "dark", "tinted", "loose"):
        rows = [t for t in tried if t.fault == fault]
        found[fault] = float(np.mean([is_undone(t, needed) for t in rows])) if rows else math.nan
    bad = [t for t in tried if t.fault != "none"]
    told = [best_of_each_class(t.trial, needed) for t in tried if t.fault == "none"]
    found["undone"] = float(np.mean([is_undone(t, needed) for t in bad]))
    found["originals with advice"] = float(np.mean([bool(advice) for advice in told]))
    for kind in EDIT_CLASSES:
        found[f"originals with {kind}"] = float(
            np.mean([any(CLASS_OF_KIND[a.kind] == kind for a in advice) for advice in told])
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--fit", type=int, default=0, help="tuning photos to fit on; 0 fits none")
    parser.add_argument("--measure", type=int, default=200, help="validation photos")
    parser.add_argument("--keep", action="store_true", help="store what was fitted")
    parser.add_argument("--precision", default="fp32")
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.checkpoint, precision=a.precision)
    judge = assessor.edit_comparator
    needed = judge.thresholds if judge else assessor.calibration.edits if assessor.calibration else {}
    if a.fit:
        tried = run_trials(assessor, draw_photos(a.data, "tuning", a.fit))
        needed = fit(tried)
        print(json.dumps({"needed": needed, "tuning": figures(tried, needed)}, indent=1))
        if a.keep and judge:
            head = assessor.edit_head
            head.edit_comparator.thresholds = dict(needed)
            head.edit_comparator.save(head.folder)
        elif a.keep:
            if assessor.calibration is None:
                raise SystemExit(f"{a.checkpoint} has no calibration to keep it in")
            replace(assessor.calibration, edits=needed).save(a.checkpoint)
    if a.measure:
        tried = run_trials(assessor, draw_photos(a.data, "validation", a.measure))
        print(json.dumps({"n": a.measure, "validation": figures(tried, needed)}, indent=1))


if __name__ == "__main__":
    main()
