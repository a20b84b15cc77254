"""Nano measured on validation photos, through the package's own path, and its card written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import pearsonr, spearmanr
from sklearn.utils import resample

from vlm_aes import Assessor
from vlm_aes.images import Picture, open_picture
from vlm_aes.spoil import FAULTS, spoil

from .photos import Photos, fault_of, rows_of
from .voice import FAULT_WORDS

TERMS = (
    "The embedded weights (nano) are for research, non-commercial use: they learned from PARA "
    "(Yang et al., CVPR 2022)."
)


def interval(a: np.ndarray, b: np.ndarray, of: Any, seed: int = 0) -> tuple[float, float, float]:
    """A correlation with its 95% bootstrap interval over photos."""
    draws = [of(*resample(a, b, random_state=seed + i)).statistic for i in range(1000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(of(a, b).statistic), float(low), float(high)


def measure(folder: Path, data: Path, photos: Photos, critiques: int = 300) -> dict[str, Any]:
    """Figures of the checkpoint in ``folder`` on the validation photos (those of the training
    files), from their original bytes."""
    wanted = {
        str(photos.ids[i]) for i in np.flatnonzero(photos.validation & ~photos.attribute_photo)
    }
    pictures: list[Picture] = []
    copies: list[Image.Image] = []
    mos, faults = [], []
    for _, row in rows_of(data):
        if row["image_id"] not in wanted:
            continue
        picture = open_picture(row["image"]["bytes"])
        assert isinstance(picture, Picture), picture
        pictures.append(picture)
        mos.append(row["aesthetic_mean"])
        fault, strength, seed = fault_of(row["image_id"])
        faults.append(FAULTS[fault])
        copies.append(spoil(picture.image, FAULTS[fault], strength, seed))
    assessor = Assessor.from_pretrained(folder, precision="fp32")
    began = time.perf_counter()
    scores = np.array(
        [
            a.score
            for i in range(0, len(pictures), 64)
            for a in assessor.assess_pictures(pictures[i : i + 64])
        ]
    )
    seconds = time.perf_counter() - began
    spoiled = [a.score for a in assessor.assess(copies, facts=False, batch_size=64)]
    below = np.array(spoiled) < scores
    some = min(critiques, len(pictures))
    plain_said = [
        a.critique or ""
        for i in range(0, some, 32)
        for a in assessor.assess_pictures(pictures[i : min(i + 32, some)], rationale=True)
    ]
    copies_said = [
        a.critique or ""
        for a in assessor.assess(copies[:some], rationale=True, facts=False, batch_size=32)
    ]
    named = [FAULT_WORDS[f].search(t) is not None for f, t in zip(faults, copies_said)]
    alarmed = [FAULT_WORDS[f].search(t) is not None for f, t in zip(faults, plain_said)]
    target = np.array(mos)
    figures: dict[str, Any] = {
        "n": len(pictures),
        "srcc": interval(target, scores, spearmanr),
        "plcc": interval(target, scores, pearsonr),
        "score_mean": float(scores.mean()),
        "score_spread": float(scores.std()),
        "pictures_a_second": len(pictures) / seconds,
        "critiques": some,
        "distinct": len(set(plain_said)) / some,
    }
    for fault in FAULTS:
        rows = np.array([f == fault for f in faults])
        part = rows[:some]
        figures[fault] = {
            "below": float(below[rows].mean()),
            "named": float(np.array(named)[part].mean()),
            "false_alarm": float(np.array(alarmed)[part].mean()),
        }
    return figures


def card(figures: dict[str, Any]) -> str:
    """The model card in Markdown."""

    def with_interval(key: str) -> str:
        value, low, high = figures[key]
        return f"{value:.3f} ({low:.3f} to {high:.3f})"

    rows = "\n".join(
        f"| {fault} | {figures[fault]['below']:.0%} | {figures[fault]['named']:.0%} "
        f"| {figures[fault]['false_alarm']:.0%} |"
        for fault in FAULTS
    )
    return f"""---
license: other
license_name: research-non-commercial
license_link: LICENSE-WEIGHTS
library_name: transformers
pipeline_tag: image-text-to-text
---
# nano

The checkpoint that ships inside vlm_aes: a ResNet and a four-layer Qwen3 in a standard
`FastVlmForConditionalGeneration`, under five million parameters, trained from scratch on human
ratings. It is small: use it to try everything, and a larger checkpoint for work that matters.

## Figures
On {figures["n"]} validation photos of PARA that nothing was trained on or chosen by (a photo is
validation when the SHA-256 of its id is divisible by ten), with 95% bootstrap intervals:

| | SRCC | PLCC |
|---|---|---|
| nano | {with_interval("srcc")} | {with_interval("plcc")} |
| 140 measured facts with boosted trees | .640 | .703 |

A spoiled copy of each validation photo, one fault each: how often it is rated below its original,
and, over {figures["critiques"]} photos, how often the critique names the fault, in the copy
and, wrongly, in the original:

| fault | rated below | named | named in the original |
|---|---|---|---|
{rows}

{figures["distinct"]:.0%} of the {figures["critiques"]} critiques of originals are distinct.
Scores have a mean of {figures["score_mean"]:.1f} and a standard deviation of
{figures["score_spread"]:.1f}.

## Limits
- Photos are squashed to 128 x 128: it knows little of fine detail and nothing of the true aspect.
- Ratings are those of PARA's raters. It was not made for drawings, screenshots or text.
- Score intervals and percentiles are not calibrated yet; the columns stay empty.
- Critiques were learned from texts that our code composed from ratings and measured facts: it
  does not know what the subject is.
- Its critique is told the measured facts and its own rating. The rating itself is told no facts.

## Data and terms
PARA (Yang et al., "Personalized Image Aesthetics Assessment with Rich Attributes", CVPR 2022):
research and learning only. See `LICENSE-WEIGHTS`.

## Made by
`python -m vlm_aes.finetune.nano --data DIR --work DIR --out DIR`, seed 0. Stages, times and what
did not work: `docs/log.md`.
"""


def measure_and_write_card(folder: Path, data: Path, photos: Photos, work: Path) -> None:
    """Write ``README.md``, ``LICENSE-WEIGHTS`` and ``figures.json`` into ``folder``."""
    (folder / "LICENSE-WEIGHTS").write_text(LICENSE_WEIGHTS, encoding="utf-8")
    figures = measure(folder, data, photos)
    (work / "figures.json").write_text(json.dumps(figures, indent=1))
    (folder / "README.md").write_text(card(figures), encoding="utf-8")
    print(json.dumps(figures, indent=1))


LICENSE_WEIGHTS = f"""{TERMS}

These terms cover the weights in this folder (`model.safetensors`); the code is Apache-2.0.

The weights were trained on photos and ratings of PARA: Yuzhe Yang, Liwu Xu, Leida Li, Nan Qie,
Yaqian Li, Peng Zhang, Yandong Guo, "Personalized Image Aesthetics Assessment with Rich
Attributes", CVPR 2022. That data may be used for research and learning only, not commercially, and
its images may not be passed on. The weights are offered under the same terms: use them for research
and learning, name the source, do not use them commercially. They come without any warranty.

For commercial use, train on data whose terms allow it: the recipe is part of this project.
"""
