"""Nano's card: what it was made from, what it can do, and where it ends, from measured figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vlm_aes.metrics import Figure
from vlm_aes.spoil import FAULTS

from .figures import measure
from .photos import Photos

TERMS = (
    "The embedded weights (nano) are for research, non-commercial use: they learned from PARA "
    "(Yang et al., CVPR 2022)."
)


def _pair(figures: dict[str, Any]) -> str:
    return " | ".join(str(Figure(**figures[name])) for name in ("srcc", "plcc"))


def card(figures: dict[str, Any]) -> str:
    """The model card in Markdown, from what :func:`.figures.measure` gives."""
    faults, said, interval = figures["faults"], figures["critiques"], figures["interval"]
    fault_rows = "\n".join(
        f"| {fault} | {of['below']:.1%} | {of['named']:.0%} | {of['named_without_facts']:.0%} "
        f"| {of['false_alarm']:.1%} |"
        for fault, of in ((f, faults[f]) for f in FAULTS)
    )
    floor = f"| measured facts with boosted trees | {_pair(figures['facts'])} |\n" if (
        "facts" in figures) else ""  # fmt: skip
    residuals = ", ".join(
        f"{name.replace('_', ' ')} {value:.2f}"
        for name, value in figures.get("residuals", {}).items()
    )
    agreement = "none" if said["agreement"] is None else f"{said['agreement']:.1%}"
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
On {figures["n"]:,} validation photos of PARA that nothing was trained on, calibrated with or chosen
by (a photo is validation when the SHA-256 of its id is divisible by ten), with 95% bootstrap
intervals:

| | SRCC | PLCC |
|---|---|---|
| **nano** | {_pair(figures["nano"])} |
| nano without facts in the prompt | the same: the rating is told no facts | |
{floor}| one random rater against the mean of the others (3,000 official test photos) | .602 | |
| half of the raters against the other half (the same) | .870 | .912 |

**Spoiled copies**: one of each validation photo, with one fault that a person sees at once. How
often it is rated below its original; and how often the critique names the fault, in
{sum(faults[f]["copies"] for f in FAULTS):,} copies told the facts, in the same not told them, and
wrongly in {said["n"]} originals:

| fault | rated below | named | named without facts | named in originals |
|---|---|---|---|---|
{fault_rows}

**Critiques** of {said["n"]} validation photos: {said["distinct_share"]:.1%} distinct; the most
frequent sentence ("{said["top_sentence"]}") in {said["top_sentence_share"]:.1%}; {agreement} of
{said["measurable"]} measurable claims agree with the facts; rank correlation of polarity and score
{said["polarity_srcc"]:.2f}.

**Scores** have a mean of {figures["score_mean"]:.1f} and a standard deviation of
{figures["score_spread"]:.1f}. The 90% interval, fitted on {figures["rows"]["tuning"]:,} photos
kept from training, holds the raters' mean in {interval["coverage"]:.1%} of cases over 200 random
halves of them (standard deviation {interval["coverage_spread"]:.1%}), and in
{interval["coverage_on_validation"]:.1%} of the validation photos. It is
{interval["width"]:.1f} points wide; a constant prediction would need
{interval["constant_width"]:.1f}.

**Warnings** on validation photos, all of them false alarms: blank
{figures["false_alarms"]["blank"]:.2%}, not_a_photo {figures["false_alarms"]["not_a_photo"]:.2%},
out_of_domain {figures["false_alarms"]["out_of_domain"]:.2%}.

**Attribute residuals** (what an attribute adds to the overall score), rank correlation with the
raters' over the validation photos that have them: {residuals or "not measured"}.

**Speed** on the machine that made it, in batches of 64: {figures["milliseconds_a_rating"]:.0f} ms a
rating, {figures["milliseconds_a_critique"]:.0f} ms a rating with critique.

## Limits
- Photos are squashed to 128 x 128: it knows little of fine detail and nothing of the true aspect.
- Ratings are those of PARA's raters. It was not made for drawings, screenshots or text.
- Critiques were learned from texts that our code composed from ratings and measured facts: it
  does not know what the subject is.
- The critique is told the measured facts, the rating and what the model itself answers to "What
  spoils this photo?". Sentences that a measurement contradicts are left out.
- `out_of_domain` knows what photos look like to the model, not what they show: many drawings pass.

## Data and terms
PARA (Yang et al., "Personalized Image Aesthetics Assessment with Rich Attributes", CVPR 2022):
research and learning only; {figures["rows"]["trained"]:,} photos to train on. See
`LICENSE-WEIGHTS`.

## Made by
`python -m vlm_aes.finetune.nano --data DIR --work DIR --out DIR`, seed 0. Stages, times and what
did not work: `docs/log.md`.
"""


def measure_and_write_card(
    folder: Path, data: Path, photos: Photos, work: Path, critiques: int
) -> None:
    """Write ``README.md``, ``LICENSE-WEIGHTS`` and ``calibration.json`` into ``folder``, and
    ``figures.json`` into ``work``."""
    (folder / "LICENSE-WEIGHTS").write_text(LICENSE_WEIGHTS, encoding="utf-8")
    figures = measure(folder, data, photos, critiques)
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
