"""How soon the taste of simulated people is learned, by kernels over the heads of nano's tower.

    python -m benchmarks.simulated_taste --data DATA --cache CACHE --tower TOWER --features FILE.npz

A person's rating is taken for the crowd's score times a slope, plus a Gaussian process over what the tower
says of a photo (Rasmussen and Williams 2006, chapter 5): one linear kernel each for attributes beyond the
score, scene, emotions, tags, hidden layers of the heads, and pooled layers. Their variances are fitted on
other people than those measured (seeds from 31,000), by the marginal likelihood. How much of a taste a
person has, from none to much, is weighed by the evidence of their own ratings.

Ratings are of attribute photos that are not validation; figures are of the validation ones: mean SRCC with
the person's ratings, beside the crowd's score and a ridge (strength by cross-validation) on the same features.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import RidgeCV

from benchmarks.simulated_people import AttributePhotos, Person, people, person
from finetune.nano import dinov2
from finetune.nano.cache import ViewSet
from finetune.nano.tower import load
from finetune.photos import is_validation
from vlm_aes.models.nano.predictions import RATING_LEVELS
from vlm_aes.models.nano.tower import OUTPUT_LAYERS, pool
from vlm_aes.stats import metrics

RATINGS = (10, 30, 100, 200, 300, 1000)
FITTED_PEOPLE, FITTED_RATINGS, FITTED_SEED = 24, 250, 31_000
TASTE_FACTORS = (0.0, 0.15, 0.4, 1.0, 2.5)
"""Factors of the kernels' variances that the evidence weighs."""
MAX_DEVIATIONS = 4.0
"""Standard deviations at which a feature is cut."""
BATCH_IMAGES = 16
_HEADS = ("rating", "attributes", "emotions", "scene", "tags", "works", "hurts")

Floats = NDArray[np.float64]


@torch.inference_mode()
def tower_features(image_ids: Sequence[str], cache: Path, tower: Path) -> dict[str, NDArray[np.float32]]:
    """Outputs of some heads, their hidden layers and the pooled layers, for photos of PARA."""
    views, model = ViewSet(cache, "para"), load(tower)
    rows = {view.image_id: i for i, view in enumerate(views.views)}
    found: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(image_ids), BATCH_IMAGES):
        images = np.stack([views.pixels[rows[i]] for i in image_ids[start : start + BATCH_IMAGES]])
        layers = model.tower(dinov2.pixel_values(images))
        outputs, hidden = model.heads(layers)
        part = {name: outputs[name] for name in _HEADS} | {"hidden": hidden.flatten(1)}
        part["pooled"] = torch.cat([pool(layers[number].float()) for number in OUTPUT_LAYERS], 1)
        for name, value in part.items():
            found.setdefault(name, []).append(value.float().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def softmax(logits: Floats) -> Floats:
    """Shares along the last axis."""
    shares: Floats = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


class TasteModel:
    """Kernels over N photos, and what is expected of a person.

    Attributes:
        crowd: (N,) the tower's score, standardised over the photos that may be rated.
        groups: name to (N, D) standardised features.
        taste: (N, N) covariance of a taste, once fitted.
    """

    def __init__(self, features: dict[str, NDArray[np.float32]], rated: NDArray[np.int64]) -> None:
        def standardized(values: Floats) -> Floats:
            centred = (values - values[rated].mean(0)) / np.maximum(values[rated].std(0), 1e-6)
            return np.clip(centred, -MAX_DEVIATIONS, MAX_DEVIATIONS)

        own = {name: np.asarray(values, np.float64) for name, values in features.items()}
        self.crowd = standardized(softmax(own["rating"]) @ RATING_LEVELS)
        attributes = standardized(own["attributes"])
        shared = (attributes[rated] * self.crowd[rated, None]).mean(0)
        self.groups = {
            "attributes": standardized(attributes - np.outer(self.crowd, shared)),
            "scene": standardized(softmax(own["scene"])),
            "emotions": standardized(softmax(own["emotions"])),
            "works": standardized(np.concatenate([own["works"], own["hurts"]], 1)),
            "tags": standardized(1 / (1 + np.exp(-own["tags"]))),
            "hidden": standardized(own["hidden"]),
            "pooled": standardized(own["pooled"]),
        }
        self.kernels = [group @ group.T / group.shape[1] for group in self.groups.values()]
        self.kernels.append(np.outer(self.crowd, self.crowd))
        self.slope, self.log_variances = 0.0, np.zeros(len(self.kernels) + 1)
        self.taste = np.zeros_like(self.kernels[0])

    def fit(self, ratings: Sequence[tuple[NDArray[np.int64], Floats]]) -> None:
        """Fit slope and variances (the last is the noise's) to people's ratings, given as photos and stars."""
        normal = [(rows, _normal(stars)) for rows, stars in ratings]
        self.slope = float(np.mean([np.polyfit(self.crowd[rows], y, 1)[0] for rows, y in normal]))
        start = np.log(np.full(len(self.kernels) + 1, 0.03))
        start[-1] = np.log(0.6)
        bounds = [(-9.0, 2.0)] * len(start)
        self.log_variances = minimize(self._loss, start, normal, jac=True, method="L-BFGS-B", bounds=bounds).x
        self.taste = sum(v * k for v, k in zip(np.exp(self.log_variances[:-2]), self.kernels[:-1], strict=True))

    def _loss(self, logs: Floats, ratings: Sequence[tuple[NDArray[np.int64], Floats]]) -> tuple[float, Floats]:
        """Mean negative log evidence of a rating, and its gradient."""
        variances, loss, gradient = np.exp(logs), 0.0, np.zeros(len(logs))
        for rows, y in ratings:
            parts = [kernel[np.ix_(rows, rows)] for kernel in self.kernels] + [np.eye(len(rows))]
            whole = np.tensordot(variances, np.stack(parts), 1)
            inverse = np.linalg.inv(whole)
            rest = y - self.slope * self.crowd[rows]
            weights = inverse @ rest
            loss += 0.5 * rest @ weights + 0.5 * np.linalg.slogdet(whole)[1]
            slopes = [(inverse * part).sum() - weights @ part @ weights for part in parts]
            gradient += 0.5 * variances * np.array(slopes)
        n = sum(len(y) for _, y in ratings)
        return loss / n, gradient / n

    def predict(self, rows: NDArray[np.int64], stars: Floats, wanted: NDArray[np.int64]) -> Floats:
        """What a person who gave stars to some photos would give to others, in their order."""
        variances, y = np.exp(self.log_variances), _normal(stars)
        rest = y - self.slope * self.crowd[rows]
        predictions, evidence = [], []
        for factor in TASTE_FACTORS:
            whole = factor * self.taste + variances[-2] * self.kernels[-1]
            noisy = whole[np.ix_(rows, rows)] + variances[-1] * np.eye(len(rows))
            weights = np.linalg.solve(noisy, rest)
            predictions.append(whole[np.ix_(wanted, rows)] @ weights)
            evidence.append(-0.5 * rest @ weights - 0.5 * np.linalg.slogdet(noisy)[1])
        shares = softmax(np.array(evidence))
        result: Floats = self.slope * self.crowd[wanted] + shares @ np.array(predictions)
        return result


def _normal(stars: Floats) -> Floats:
    # three equal ratings say little of a person's spread
    result: Floats = (stars - stars.mean()) / max(float(stars.std()), 0.3)
    return result


def drawn(one: Person, rated: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The photos that a person rates, chosen by chance."""
    return np.random.default_rng((one.seed, n)).permutation(rated)[:n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with PARA's attribute photos")
    parser.add_argument("--cache", type=Path, required=True, help="folder that finetune.nano.cache filled")
    parser.add_argument("--tower", type=Path, required=True, help="folder of nano's tower")
    parser.add_argument("--features", type=Path, required=True, help="file of the tower's features, made once")
    a = parser.parse_args()
    photos = AttributePhotos.read(a.data)
    if not a.features.exists():
        np.savez(a.features, **tower_features(photos.image_ids, a.cache, a.tower))
    held = np.array([is_validation(image_id, attribute_photo=True) for image_id in photos.image_ids])
    rated, wanted = np.flatnonzero(~held), np.flatnonzero(held)
    with np.load(a.features) as features:
        model = TasteModel({name: features[name] for name in (*_HEADS, "hidden", "pooled")}, rated)
    others = [person(photos, FITTED_SEED + i, has_taste=i % 3 != 0) for i in range(FITTED_PEOPLE)]
    chosen = [drawn(one, rated, FITTED_RATINGS) for one in others]
    model.fit([(rows, one.ratings()[rows]) for rows, one in zip(chosen, others, strict=True)])
    names = [*model.groups, "crowd", "noise"]
    print("variances", dict(zip(names, np.exp(model.log_variances).round(4).tolist(), strict=True)))
    inputs = np.column_stack([MAX_DEVIATIONS * model.crowd, model.groups["pooled"]])
    print("ratings  taste  people  crowd  kernels  ridge")
    every = people(photos)
    for n in RATINGS:
        figures: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
        for one in every:
            stars, rows = one.ratings(), drawn(one, rated, n)
            ridge = RidgeCV(np.logspace(2, 5, 7)).fit(inputs[rows], stars[rows]).predict(inputs[wanted])
            scores = (model.crowd[wanted], model.predict(rows, stars[rows], wanted), ridge)
            figures[one.has_taste].append(tuple(metrics.srcc(stars[wanted], score) for score in scores))
        for word, part in (("own", figures[True]), ("none", figures[False]), ("all", figures[True] + figures[False])):
            means = "  ".join(f"{value:.3f}" for value in np.mean(part, 0))
            print(f"{n:7}  {word:5}  {len(part):6}  {means}", flush=True)


if __name__ == "__main__":
    main()
