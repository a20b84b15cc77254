"""Nano calibrated on the tuning photos and measured on the validation photos.

Everything goes through the package's own path, from the original bytes, so that a figure is what a
user gets. No validation photo is trained on, calibrated with or chosen by.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from vlm_aes import Assessor, calibration, metrics, ratings
from vlm_aes import facts as measures
from vlm_aes.explain.figures import critique_figures
from vlm_aes.images import Picture, open_picture
from vlm_aes.limits import warning_of
from vlm_aes.spoil import FAULTS, spoil

from .photos import ATTRIBUTES, Photos, fault_of, rows_of
from .voice import FAULT_WORDS

BATCH = 64
SCALE = ratings.Scale(1.0, 5.0)
SPLITS = 200


@dataclass(frozen=True)
class Held:
    """Photos that nothing was trained on, as they are in the files."""

    ids: list[str]
    pictures: list[Picture]
    mos: np.ndarray
    attributes: np.ndarray

    @property
    def images(self) -> list[Image.Image]:
        """The pictures alone."""
        return [p.image for p in self.pictures]

    def copies(self) -> tuple[list[Image.Image], list[str]]:
        """The spoiled copy of each, and its fault."""
        made = [fault_of(i) for i in self.ids]
        images = [
            spoil(image, FAULTS[fault], strength, seed)
            for image, (fault, strength, seed) in zip(self.images, made, strict=True)
        ]
        return images, [FAULTS[fault] for fault, _, _ in made]


def read(data: Path, photos: Photos, wanted: np.ndarray) -> Held:
    """The photos of ``data`` whose place in ``photos`` is wanted (N,) bool."""
    ids: list[str] = []
    pictures = []
    for i, (_, row) in enumerate(rows_of(data)):
        if not wanted[i]:
            continue
        picture = open_picture(row["image"]["bytes"])
        assert isinstance(picture, Picture), picture
        ids.append(row["image_id"])
        pictures.append(picture)
    return Held(ids, pictures, photos.aesthetic[wanted], photos.attributes[wanted])


def _batches(n: int) -> Iterator[slice]:
    return (slice(start, start + BATCH) for start in range(0, n, BATCH))


def states_of(assessor: Assessor, images: Sequence[Image.Image]) -> Any:
    """Last hidden states (N, 1 + attributes, H) of the overall question and of every attribute."""
    import torch

    asked = assessor.rating_attributes
    return torch.cat([assessor.rater.states(images[s], asked) for s in _batches(len(images))])


def calibrate(assessor: Assessor, held: Held, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Fit the calibration on ``held``, write it into ``folder`` and use it; gives the (N,) scores
    and ratings that it was fitted on.

    Spoiled copies belong to what is familiar: a blurred photo is a photo.
    """
    states = states_of(assessor, held.images)
    spoiled = states_of(assessor, held.copies()[0])
    scores = ratings.score(assessor.rater.probabilities(states))
    mos = 100 * SCALE.to_unit(held.mos)
    found = calibration.fit(
        scores[:, 0],
        mos,
        prompt=assessor.prompt.id,
        reference="PARA photos",
        attributes=dict(zip(assessor.rating_attributes, scores[:, 1:].T, strict=True)),
        hidden=np.concatenate([s[:, 0].float().numpy() for s in (states, spoiled)]),
    )
    found.save(folder)
    assessor.calibration = found
    return scores[:, 0], mos


def interval_figures(scores: np.ndarray, mos: np.ndarray, seed: int = 0) -> dict[str, float]:
    """Mean coverage and width of the 90% interval over random halves: fitted on one, tried on the
    other; and the width of the interval that a constant prediction would need."""
    rng = np.random.default_rng(seed)
    covered, widths, constants = [], [], []
    for _ in range(SPLITS):
        order = rng.permutation(len(scores))
        one, other = order[: len(order) // 2], order[len(order) // 2 :]
        fitted = calibration.fit(scores[one], mos[one], prompt="", reference="")
        low, high = fitted.interval(scores[other])
        covered.append(np.mean((mos[other] >= low) & (mos[other] <= high)))
        widths.append(np.mean(high - low))
        ends = np.quantile(mos[one], [0.05, 0.95])
        constants.append(ends[1] - ends[0])
    return {
        "coverage": float(np.mean(covered)),
        "coverage_spread": float(np.std(covered)),
        "width": float(np.mean(widths)),
        "constant_width": float(np.mean(constants)),
    }


def fault_figures(
    assessor: Assessor, held: Held, scores: np.ndarray, plain: Sequence[str], n_copies: int
) -> dict[str, Any]:
    """Of each fault: how often the copy is rated below its original, and its fault named in the
    critique, told the facts, not told them, and falsely in the originals."""
    copies, faults = held.copies()
    bad = np.array([a.score for a in assessor.assess(copies, facts=False, batch_size=BATCH)])
    told, untold = [], []
    for s in _batches(min(n_copies, len(copies))):
        some = copies[s]
        rated = assessor.assess_pictures([_picture(i) for i in some], rationale=True)
        told += [a.critique or "" for a in rated]
        untold += assessor.critic.critique(
            some, [""] * len(some), [a.score for a in rated], [a.level for a in rated],
            assessor.rater.faults(some),
        )  # fmt: skip
    figures: dict[str, Any] = {}
    for fault in FAULTS:
        rows = np.array([f == fault for f in faults])
        some = [i for i in range(len(told)) if faults[i] == fault]
        word = FAULT_WORDS[fault]
        figures[fault] = {
            "below": float((bad < scores)[rows].mean()),
            "copies": len(some),
            "named": float(np.mean([bool(word.search(told[i])) for i in some])),
            "named_without_facts": float(np.mean([bool(word.search(untold[i])) for i in some])),
            "false_alarm": float(np.mean([bool(word.search(text)) for text in plain])),
        }
    figures["all"] = {
        "below": float((bad < scores).mean()),
        "any_false_alarm": float(
            np.mean([any(w.search(text) for w in FAULT_WORDS.values()) for text in plain])
        ),
    }
    return figures


def _picture(image: Image.Image) -> Picture:
    return Picture(image, image.width, image.height, "")


def residual_figures(assessor: Assessor, held: Held) -> dict[str, float]:
    """SRCC of each attribute's residual with the raters' residual, over photos that have all
    attributes."""
    scores = ratings.score(assessor.rater.probabilities(states_of(assessor, held.images)))
    worth = assessor.calibration
    assert worth is not None
    figures = {}
    for i, name in enumerate(ATTRIBUTES):
        line = np.polyfit(held.mos, held.attributes[:, i], 1)
        wanted = held.attributes[:, i] - np.polyval(line, held.mos)
        column = 1 + assessor.rating_attributes.index(name)
        found = [
            worth.residual(name, s[column], s[0]) for s in scores
        ]  # fmt: skip
        figures[name] = metrics.srcc(wanted, found)
    return figures


def measure(folder: Path, data: Path, photos: Photos, critiques: int) -> dict[str, Any]:
    """Calibrate the checkpoint in ``folder`` and give its figures on the validation photos."""
    assessor = Assessor.from_pretrained(folder, precision="fp32")
    tuned = calibrate(assessor, read(data, photos, photos.tuning), folder)
    held = read(data, photos, photos.validation & ~photos.attribute_photo)
    n = len(held.ids)
    began = time.perf_counter()
    rated = [a for s in _batches(n) for a in assessor.assess_pictures(held.pictures[s])]
    seconds = time.perf_counter() - began
    scores = np.array([a.score for a in rated])
    mos = 100 * SCALE.to_unit(held.mos)
    low, high = (
        np.array([getattr(a, name) for a in rated]) for name in ("score_low", "score_high")
    )
    some = min(critiques, n)
    began = time.perf_counter()
    said = [
        a.critique or ""
        for s in _batches(some)
        for a in assessor.assess_pictures(held.pictures[s][: some - s.start], rationale=True)
    ]
    critique_seconds = (time.perf_counter() - began) / some
    told = [
        assessor.known(measures.measure_told(image), image, float(score))
        for image, score in zip(held.images[:some], scores, strict=False)
    ]
    facts = pq.read_table(data / "facts.parquet").to_pandas().set_index("image_id")
    figures: dict[str, Any] = {
        "n": n,
        "nano": _both(mos, scores),
        "rows": {"trained": int(photos.train.sum()), "tuning": int(photos.tuning.sum())},
        "score_mean": float(scores.mean()),
        "score_spread": float(scores.std()),
        "milliseconds_a_rating": 1000 * seconds / n,
        "milliseconds_a_critique": 1000 * critique_seconds,
        "critiques": asdict(critique_figures(said, told, scores[:some].tolist())),
        "faults": fault_figures(assessor, held, scores, said, 2 * some),
        "interval": interval_figures(*tuned)
        | {"coverage_on_validation": float(((mos >= low) & (mos <= high)).mean())},
        "false_alarms": {
            "blank": float(np.mean([warning_of(i) == "blank" for i in held.images])),
            "not_a_photo": float(np.mean([warning_of(i) == "not_a_photo" for i in held.images])),
            "out_of_domain": float(np.mean([a.warning == "out_of_domain" for a in rated])),
        },
    }
    if "facts_tree_prediction" in facts:
        figures["facts"] = _both(mos, facts.loc[held.ids, "facts_tree_prediction"].to_numpy())
    with_attributes = read(data, photos, photos.validation & photos.attribute_photo)
    if len(with_attributes.ids) > 2:
        figures["residuals"] = residual_figures(assessor, with_attributes)
    return figures


def _both(wanted: np.ndarray, found: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        "srcc": asdict(metrics.bootstrap(metrics.srcc, wanted, found)),
        "plcc": asdict(metrics.bootstrap(metrics.plcc, wanted, found)),
    }
