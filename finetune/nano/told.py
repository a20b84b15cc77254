"""What critiques are composed from: the measured facts of photos and of their spoiled copies."""

from __future__ import annotations

import io
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vlm_aes import facts as measures
from vlm_aes.spoil import FAULTS, spoil

from .photos import ATTRIBUTES, EMOTIONS, Photos, fault_of, rows_of
from .voice import Seen

UNSPOILED = ("composition", "content")
"""Attributes that a spoiled copy has from its original."""


@dataclass(frozen=True)
class Told:
    """One photo, or its spoiled copy, as the critique stage knows it.

    Attributes:
        row: index into :class:`Photos`.
        spoiled: 1 for the spoiled copy.
        facts: the line that the model is told.
    """

    row: int
    spoiled: int
    facts: str
    bands: dict[str, str]
    values: dict[str, float]
    residuals: dict[str, float]
    mood: dict[str, float]

    def seen(self, score: float, fault: str | None, step: str = "") -> Seen:
        """Everything that may be said of it, at the rating that it gets, told a step that helps."""
        kept = {k: v for k, v in self.residuals.items() if not fault or k in UNSPOILED}
        return Seen(score, kept, {} if fault else self.mood, self.bands, fault, step)


def _measure(job: tuple[int, str, bytes, bool]) -> list[dict[str, Any]]:
    import cv2

    cv2.setNumThreads(1)
    row, image_id, data, with_copy = job
    image = Image.open(io.BytesIO(data)).convert("RGB")
    pictures = [image]
    if with_copy:
        fault, strength, seed = fault_of(image_id)
        pictures.append(spoil(image, FAULTS[fault], strength, seed))
    lines = []
    for spoiled, picture in enumerate(pictures):
        found = measures.measure_told(picture)
        lines.append(
            {
                "row": row,
                "spoiled": spoiled,
                "facts": measures.sentence(found),
                "bands": {k: f.band for k, f in found.items()},
                "values": {k: f.value for k, f in found.items() if f.value is not None},
            }
        )
    return lines


def measure_photos(photos: Photos, data: Path, cache: Path, limit: int, workers: int) -> Path:
    """Measure the first ``limit`` photos, and every validation photo, with their copies, into
    ``cache/told.jsonl`` (done once)."""
    file = cache / "told.jsonl"
    if file.exists():
        return file
    jobs = (
        (i, row["image_id"], row["image"]["bytes"], True)
        for i, (attribute_photo, row) in enumerate(rows_of(data))
        if i < limit or attribute_photo or photos.validation[i]
    )
    staging = file.with_suffix(".tmp")
    spawned = ProcessPoolExecutor(workers, get_context("spawn"))
    with spawned as pool, staging.open("w") as out:
        for lines in pool.map(_measure, jobs, chunksize=32):
            out.writelines(json.dumps(line) + "\n" for line in lines)
    staging.replace(file)
    return file


def residuals_of(
    photos: Photos, attributes: np.ndarray, aesthetic: np.ndarray, emotions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 7) attribute residuals and (N, 8) moods in standard deviations; 0 where left out.

    Args:
        attributes: (N, 7) attribute means, human or predicted.
        aesthetic: (N,) the overall mean on the same scale.
        emotions: (N, 8) share of raters that felt each, counted or predicted.
    """
    train = photos.train
    residuals = np.empty_like(attributes)
    for i in range(attributes.shape[1]):
        line = np.polyfit(aesthetic[train], attributes[train, i], 1)
        rest = attributes[:, i] - np.polyval(line, aesthetic)
        residuals[:, i] = rest / rest[train].std()
    mood = (emotions - emotions[train].mean(0)) / emotions[train].std(0)
    # what a left-out one still answers is rounding, which the division would blow up
    residuals[:, [name in photos.left_out for name in ATTRIBUTES]] = 0
    mood[:, [name in photos.left_out for name in EMOTIONS]] = 0
    return residuals, mood


def load_told(file: Path, residuals: np.ndarray, mood: np.ndarray) -> list[Told]:
    """The material of :func:`measure_photos` with what the raters said of the same photos."""
    result = []
    for text in file.open():
        line = json.loads(text)
        row = line["row"]
        result.append(
            Told(
                residuals=dict(zip(ATTRIBUTES, map(float, residuals[row]), strict=True)),
                mood=dict(zip(EMOTIONS, map(float, mood[row]), strict=True)),
                **line,
            )
        )
    return result


def main() -> None:
    import argparse

    from .photos import load_photos

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--measured", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1)
    a = parser.parse_args()
    print(measure_photos(load_photos(a.data, a.cache), a.data, a.cache, a.measured, a.workers))


if __name__ == "__main__":
    main()
