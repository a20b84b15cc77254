"""Figures of a trained tower, each with a bootstrap 95% interval.

    python -m finetune.nano.evaluate_tower --data DATA --cache CACHE --tower TOWER --out figures.json

Validation figures say how good a tower is; nothing may be chosen by them. ``--split tuning`` is for
choosing. The outputs of the heads are saved beside the tower (``outputs-SPLIT-SET.npz``), so an
interrupted run goes on with the next set; delete them when the weights change.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_auc_score

from finetune.nano import dinov2
from finetune.nano.cache import ViewSet
from finetune.nano.data import DEGRADATION_KINDS, PARA_ATTRIBUTES, Dataset, Floats, Labels, View
from finetune.nano.tower import TowerWithHeads, load, mean_rating
from vlm_aes import files
from vlm_aes.stats import metrics

EVALUATION_BATCH_IMAGES = 16
"""Images that go through the tower at once."""
BOOTSTRAP_DRAWS = 500
"""Resamples of an interval."""
MIN_GROUP_PHOTOS = 30
"""Photos of a scene, or with attributes, from which on a figure is given."""
MIN_ASPECT_PHOTOS = 10
"""Photos with and without an aspect from which on its AUC counts."""
QUICK_PHOTOS = {"para": 240, "biq": 100}
"""Tuning photos of an evaluation during training."""

Outputs = dict[str, Floats]
Figures = dict[str, Any]


@torch.inference_mode()
def predict(model: TowerWithHeads, view_set: ViewSet, rows: Sequence[int]) -> Outputs:
    """Outputs of the heads for rows of a cached set, from all patches; ``mean`` is the mean rating."""
    batches: dict[str, list[Floats]] = {}
    for start in range(0, len(rows), EVALUATION_BATCH_IMAGES):
        images = np.stack([view_set.pixels[i] for i in rows[start : start + EVALUATION_BATCH_IMAGES]])
        outputs = model(dinov2.pixel_values(images))
        outputs["mean"] = mean_rating(outputs["rating"])
        for name, value in outputs.items():
            batches.setdefault(name, []).append(value.float().numpy())
    return {name: np.concatenate(values) for name, values in batches.items()}


def saved_outputs(model: TowerWithHeads, view_set: ViewSet, rows: Sequence[int], file: Path) -> Outputs:
    """``predict``, read from ``file`` where it exists, else written to it."""
    if not file.exists():
        arrays: dict[str, Any] = dict(predict(model, view_set, rows))
        np.savez(file, **arrays)
    with np.load(file) as outputs:
        return dict(outputs)


def split_rows(dataset: Dataset, view_set: ViewSet, split: str) -> list[int]:
    """Rows of a cached set whose photos are in a split."""
    return [i for i, view in enumerate(view_set.views) if dataset.labels[view.photo].split == split]


def estimate(statistic: metrics.Statistic, *columns: ArrayLike) -> Figures:
    """A statistic with its interval and the number of photos."""
    result = metrics.bootstrap(statistic, *columns, draws=BOOTSTRAP_DRAWS)
    interval = {"value": result.value, "low": result.low, "high": result.high}
    return {**{name: round(value, 4) for name, value in interval.items()}, "n": len(np.asarray(columns[0]))}


def _auc(truth: Floats, logits: Floats) -> float:
    return float(roc_auc_score(truth, logits)) if 0 < truth.sum() < len(truth) else float("nan")


def quick_figures(model: TowerWithHeads, dataset: Dataset, cache: Path) -> dict[str, float]:
    """Values without intervals on some tuning photos, for the log of a training run."""
    labels, outputs = _quick_outputs(model, dataset, cache, "para")
    mean, quality = np.array([row.aesthetic for row in labels]), np.array([row.quality for row in labels])
    values = {
        "para_srcc": metrics.srcc(mean, outputs["mean"]),
        "para_plcc": metrics.plcc(mean, outputs["mean"]),
        "para_quality_srcc": metrics.srcc(quality, outputs["para_quality"][:, 0]),
    }
    naming = naming_figures(model, outputs, [row.texts for row in labels])
    values |= {name: figure["value"] for name, figure in naming.items()}
    labels, outputs = _quick_outputs(model, dataset, cache, "biq")
    technical = np.array([row.technical for row in labels])
    values["biq_srcc"] = metrics.srcc(technical, outputs["technical"][:, 0])
    return {name: round(value, 4) for name, value in values.items()}


def _quick_outputs(model: TowerWithHeads, dataset: Dataset, cache: Path, name: str) -> tuple[list[Labels], Outputs]:
    """Labels and outputs of some tuning photos."""
    view_set = ViewSet(cache, name)
    rows = split_rows(dataset, view_set, "tuning")[-QUICK_PHOTOS[name] :]
    labels = [dataset.labels[view_set.views[i].photo] for i in rows]
    return labels, predict(model, view_set, rows)


def naming_figures(
    model: TowerWithHeads, outputs: Outputs, texts: Sequence[Sequence[dict[str, Any]]]
) -> dict[str, Figures]:
    """Accuracy of scene, tags and advice against the last text of each photo that has one."""
    rows = [(i, row[-1]) for i, row in enumerate(texts) if row]
    order = {name: (-outputs[name]).argsort(1) for name in ("scene", "main", "tags", "advice")}

    def top(head: str, i: int, k: int) -> set[str]:
        labels = model.labels["tags" if head == "main" else head]
        return {labels[j] for j in order[head][i, :k]}

    figures = {"scene": estimate(metrics.mean, [row["scene"] in top("scene", i, 1) for i, row in rows])}
    for head in ("main", "tags"):
        for k in (3, 5):
            hits = [row["tags"][0] in top(head, i, k) for i, row in rows]
            figures[f"first_tag_in_{k}_of_{head}"] = estimate(metrics.mean, hits)
    critiques = [(i, row) for i, photo_texts in enumerate(texts) for row in photo_texts if "critique" in row]
    if critiques:
        hits = [row["advice_kind"] in top("advice", i, 3) for i, row in critiques]
        figures["advice_in_3"] = estimate(metrics.mean, hits)
        for name in ("works", "hurts"):
            figures[f"{name}_auc"] = {"value": _mean_auc(model, name, outputs, critiques), "n": len(critiques)}
    return figures


def _mean_auc(model: TowerWithHeads, name: str, outputs: Outputs, rows: list[tuple[int, dict[str, Any]]]) -> float:
    """Mean AUC over the aspects that enough photos have."""
    aucs = []
    for j, aspect in enumerate(model.labels[name]):
        truth = np.array([aspect in row[name] for _, row in rows])
        if MIN_ASPECT_PHOTOS <= truth.sum() <= len(truth) - MIN_ASPECT_PHOTOS:
            aucs.append(_auc(truth, outputs[name][[i for i, _ in rows], j]))
    return round(float(np.mean(aucs)), 4) if aucs else float("nan")


def degradation_figures(
    views: Sequence[View], outputs: Outputs, original_ratings: dict[str, float], originals: Outputs
) -> Figures:
    """Figures of copies degraded at strength .5: rated below the original, and the kind recognized.

    Args:
        original_ratings: the tower's mean rating of each original.
        originals: outputs for undegraded photos of the split, among which a kind is to be recognized.
    """
    kinds = np.array([view.kind for view in views])
    below = np.array([outputs["mean"][i] < original_ratings[view.photo] for i, view in enumerate(views)])
    correct = np.array(DEGRADATION_KINDS)[outputs["degradations"].argmax(1)] == kinds
    figures: Figures = {
        "below_original": estimate(metrics.mean, below),
        "kind_accuracy": estimate(metrics.mean, correct),
    }
    for j, kind in enumerate(DEGRADATION_KINDS):
        of_kind = kinds == kind
        positive, negative = outputs["degradations"][of_kind, j], originals["degradations"][:, j]
        truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
        figures[kind] = {
            "below_original": estimate(metrics.mean, below[of_kind]),
            "kind_accuracy": estimate(metrics.mean, correct[of_kind]),
            "auc": estimate(_auc, truth, np.concatenate([positive, negative])),
            "recall_at_5pct_false": estimate(metrics.mean, positive > np.quantile(negative, 0.95)),
        }
        if kind == "tilt":
            angles = np.array([view.angle for view in views])[of_kind]
            predicted = outputs["tilt"][of_kind, 0] * 10
            figures[kind]["angle_srcc"] = estimate(metrics.srcc, angles, predicted)
            figures[kind]["angle_mae_deg"] = estimate(metrics.mae, angles, predicted)
    return figures


def rating_figures(model: TowerWithHeads, labels: Sequence[Labels], outputs: Outputs) -> Figures:
    """Correlations with PARA's raters: train photos, the same by scene, and attribute photos."""
    mean, quality = np.array([row.aesthetic for row in labels]), np.array([row.quality for row in labels])
    has_attributes = np.array([row.attributes is not None for row in labels])
    plain = ~has_attributes
    scenes = np.array(model.labels["scene"])[outputs["scene"].argmax(1)]

    def srcc(rows: NDArray[np.bool_]) -> Figures:
        return estimate(metrics.srcc, mean[rows], outputs["mean"][rows])

    by_scene = {scene: plain & (scenes == scene) for scene in model.labels["scene"]}
    figures: Figures = {
        "para_srcc": srcc(plain),
        "para_plcc": estimate(metrics.plcc, mean[plain], outputs["mean"][plain]),
        "para_quality_srcc": estimate(metrics.srcc, quality[plain], outputs["para_quality"][plain, 0]),
        "para_srcc_by_scene": {s: srcc(rows) for s, rows in by_scene.items() if rows.sum() >= MIN_GROUP_PHOTOS},
    }
    if has_attributes.sum() >= MIN_GROUP_PHOTOS:
        truth = np.stack([row.attributes for row in labels if row.attributes is not None])
        figures["attribute_photos_srcc"] = srcc(has_attributes)
        figures["attributes_srcc"] = {
            name: estimate(metrics.srcc, truth[:, j], outputs["attributes"][has_attributes, j])
            for j, name in enumerate(PARA_ATTRIBUTES)
        }
    return figures


def all_figures(
    model: TowerWithHeads, dataset: Dataset, cache: Path, split: str, folder: Path, limit: int | None = None
) -> Figures:
    """All figures of a split.

    Args:
        folder: where the outputs of the heads are saved.
        limit: views per set.
    """

    def outputs_of(name: str, set_name: str) -> tuple[list[View], list[Labels], Outputs]:
        view_set = ViewSet(cache, set_name)
        rows = split_rows(dataset, view_set, split)[:limit]
        views = [view_set.views[i] for i in rows]
        suffix = "" if limit is None else f"-{limit}"
        outputs = saved_outputs(model, view_set, rows, folder / f"outputs-{split}-{name}{suffix}.npz")
        return views, [dataset.labels[view.photo] for view in views], outputs

    views, labels, originals = outputs_of("para", "para")
    figures = rating_figures(model, labels, originals)
    figures["naming"] = naming_figures(model, originals, [row.texts for row in labels])
    ratings = {view.photo: float(rating) for view, rating in zip(views, originals["mean"], strict=True)}
    _, labels, outputs = outputs_of("biq", "biq")
    technical = np.array([row.technical for row in labels])
    figures["biq_srcc"] = estimate(metrics.srcc, technical, outputs["technical"][:, 0])
    figures["biq_plcc"] = estimate(metrics.plcc, technical, outputs["technical"][:, 0])
    views, _, outputs = outputs_of("degraded", f"degraded_{split}")
    if all(view.photo in ratings for view in views):
        figures["degradations"] = degradation_figures(views, outputs, ratings, originals)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data folder")
    parser.add_argument("--cache", type=Path, required=True, help="folder that cache.py filled")
    parser.add_argument("--tower", type=Path, required=True, help="folder with tower.safetensors and tower.json")
    parser.add_argument("--split", choices=("tuning", "validation"), default="validation")
    parser.add_argument("--out", type=Path, help="JSON file of the figures")
    parser.add_argument("--limit", type=int, help="views per set, for a trial")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    text = json.dumps(all_figures(load(a.tower), Dataset(a.data), a.cache, a.split, a.tower, a.limit), indent=1)
    print(text)
    if a.out:
        files.write_text(a.out, text)


if __name__ == "__main__":
    main()
