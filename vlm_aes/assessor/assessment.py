"""The result for one image, and the image as it is prepared for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.measure import Fact
from vlm_aes.models.nano.predictions import Predictions
from vlm_aes.models.scorer import ColumnValue, Scores
from vlm_aes.ratings import scale
from vlm_aes.stats.calibration import Calibration
from vlm_aes.suggest.engine import Suggestion

Source = str | Path | bytes | Image.Image
"""An image as callers name it: a path, the bytes of a file, or a PIL image."""


@dataclass(frozen=True)
class PreparedImage:
    """An opened image with everything that needs no model; made in any thread.

    Attributes:
        loaded: the image for the vision-language model and for the facts.
        facts, prompt_facts: where they are asked for; where a prompt or a critique needs them.
        pixels: input of the scorer, where there is one.
    """

    loaded: LoadedImage
    warning: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    prompt_facts: dict[str, Fact] = field(default_factory=dict)
    pixels: Any = None


@dataclass(frozen=True)
class Assessment:
    """The result for one image. An image that could not be rated has ``error`` and no score.

    Attributes:
        score, score_std: 0 to 100; spread of the five-word distribution, same unit.
        score_low, score_high: 90% interval of the mean human rating, if the model is calibrated.
        percentile: share of the reference images rated lower, 0 to 100, if calibrated.
        level, probabilities: the most probable rating word; each word's probability.
        attributes: attribute to its score, 0 to 100.
        residuals: attribute to what it adds to what the score already says, if calibrated.
        scene, tags, degradations: what heads see: the likeliest scene, the tags with the most certain first, and
            the probability, 0 to 100, of each kind of degradation; empty for a model without heads.
        critique: None if not asked for.
        subject: what the model says that the image shows; empty where it does not name it apart.
        suggestions: edits that were tried and found better, the surest first; then what to do next time.
        columns: further columns of the scorer, such as the score on its own scale.
        warning: why the model was not made for this image; empty if it was.
        error: ``kind: what to do``; empty if rated.
    """

    path: str = ""
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    score: float | None = None
    score_std: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    percentile: float | None = None
    level: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    model: str = ""
    prompt: str = ""
    warning: str = ""
    error: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    scene: str = ""
    tags: tuple[str, ...] = ()
    degradations: dict[str, float] = field(default_factory=dict)
    critique: str | None = None
    subject: str = ""
    suggestions: list[Suggestion] = field(default_factory=list)
    columns: dict[str, ColumnValue] = field(default_factory=dict)

    @staticmethod
    def failed(error: ImageError, model: str, prompt: str, path: str = "") -> Assessment:
        """The assessment of an image that could not be rated."""
        return Assessment(
            path=path,
            sha256=error.sha256,
            width=error.width,
            height=error.height,
            model=model,
            prompt=prompt,
            error=str(error),
        )


def rated_images(
    images: Sequence[PreparedImage], attributes: Sequence[str], scores: Scores, calibration: Calibration | None
) -> list[Assessment]:
    """The assessments of B images by what a scorer gave for them; facts are left empty.

    Args:
        attributes: names of the rows of ``scores.probabilities`` after the first.
        calibration: for interval, percentile, residuals and the warning of an unlike image.
    """
    values = scale.score(scores.probabilities)
    warnings = _domain_warnings(scores.states, len(images), calibration)
    errors = scores.errors or [""] * len(images)
    results = []
    for i, image in enumerate(images):
        loaded, probabilities = image.loaded, scores.probabilities[i, 0]
        if errors[i]:
            size = (loaded.width, loaded.height)
            error = ImageError("model", errors[i], loaded.sha256, *size)
            results.append(Assessment.failed(error, "", ""))
            continue
        score = float(values[i, 0])
        own = dict(zip(attributes, map(float, values[i, 1:]), strict=True))
        results.append(
            Assessment(
                sha256=loaded.sha256,
                width=loaded.width,
                height=loaded.height,
                score=score,
                score_std=float(scale.score_std(probabilities)),
                level=scale.level(probabilities),
                probabilities=dict(zip(scale.LEVELS, map(float, probabilities), strict=True)),
                warning=image.warning or warnings[i],
                attributes=own,
                columns={name: column[i] for name, column in scores.columns.items()},
                **(_seen(scores.look.predictions[i]) if scores.look else {}),
                **_calibrated(score, own, calibration),
            )
        )
    return results


def _calibrated(score: float, attributes: Mapping[str, float], calibration: Calibration | None) -> dict[str, Any]:
    """Interval, percentile and residuals; empty without a calibration."""
    if calibration is None:
        return {}
    low, high = calibration.interval(score)
    residuals = {n: calibration.residual(n, value, score) for n, value in attributes.items()}
    return {
        "score_low": float(low),
        "score_high": float(high),
        "percentile": float(calibration.percentile(score)),
        "residuals": {name: value for name, value in residuals.items() if value is not None},
    }


def _seen(predictions: Predictions) -> dict[str, Any]:
    """Scene, tags and degradations."""
    return {
        "scene": predictions.scene_name,
        "tags": tuple(predictions.tag_names),
        "degradations": {kind: 100 * p for kind, p in predictions.degradation_shares.items()},
    }


def _domain_warnings(states: Any, n: int, calibration: Calibration | None) -> list[str]:
    """A warning for each of ``n`` images that is unlike those that the model was made for."""
    familiar = calibration.familiar if calibration else None
    if familiar is None or states is None:
        return [""] * n
    return ["out_of_domain" if d > familiar.limit else "" for d in familiar.distance(states)]
