"""Train a route classifier from a table: which kind of image goes to which model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vlm_aes.errors import TableError, TrainingError
from vlm_aes.files import check_model_folder
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError
from vlm_aes.models.ensemble.router import MIN_IMAGES_PER_ROUTE, TrainedRouteClassifier
from vlm_aes.models.heads.vision_tower import VisionTower, find_tower
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.registry import RATER_FILE
from vlm_aes.ratings.cells import image_path, text_of
from vlm_aes.ratings.records import iter_rows
from vlm_aes.training.checkpoint import absolute_model, replaced_folder

ROUTER_FOLDS = 5
WEIGHTS_FILE = "judge.safetensors"


@dataclass(frozen=True)
class NamedRoute:
    """A kind of image, and the model for it as ``--model`` takes it, or the fast head that lies with that model."""

    name: str
    model: str
    fast: bool


@dataclass(frozen=True)
class RouterReport:
    """Share of ``n`` images, all and per route, sent to the right route by a classifier that did not learn from them;
    ``n_error`` more could not be opened."""

    n: int
    n_error: int
    accuracy: float
    per_route: dict[str, float]


def parse_routes(texts: Sequence[str]) -> list[NamedRoute]:
    """``ROUTE=MODEL`` or ``ROUTE=fast:MODEL``, at least two. Raises TrainingError for something else."""
    routes = []
    for text in texts:
        name, equals, model = text.partition("=")
        if not (name and equals and model):
            raise TrainingError(f"--to {text}: a route is named ROUTE=MODEL")
        plain = model.removeprefix("fast:")
        routes.append(NamedRoute(name, plain, plain != model))
    if len(routes) < 2 or len({r.name for r in routes}) < len(routes):
        raise TrainingError("name at least two routes, each once: --to photo=A --to drawing=B")
    return routes


def read_routes(file: Path, images: Path | None, names: Sequence[str]) -> list[tuple[str, int]]:
    """Paths with the number of their route. Raises TrainingError that says which row is wrong, and how; or which route
    has too few images."""
    try:
        rows = list(iter_rows(file))
    except TableError as error:
        raise TrainingError(error.message, error.hint) from None
    routes = []
    for i, row in enumerate(rows, 1):
        route = text_of(row.get("route"))
        if not text_of(row.get("path")) or route not in names:
            raise TrainingError(f"{file}, row {i}: it needs a path, and a route that is one of {', '.join(names)}")
        path = image_path(row["path"], images)
        if not Path(path).is_file():
            raise TrainingError(f"{file}, row {i}: no file {path}; relative paths are below --images")
        routes.append((path, list(names).index(route)))
    _check_counts([route for _, route in routes], names, f"{file}:")
    return routes


def _check_counts(routes: Sequence[int], names: Sequence[str], where: str) -> None:
    for k, name in enumerate(names):
        n = list(routes).count(k)
        if n < MIN_IMAGES_PER_ROUTE:
            raise TrainingError(f"{where} {n} images of {name} are too few; give {MIN_IMAGES_PER_ROUTE}")


def train_router(
    table: Sequence[tuple[str, int]],
    routes: Sequence[NamedRoute],
    tower: str,
    out: Path,
    *,
    seed: int,
    device: str,
    overwrite: bool = False,
) -> RouterReport:
    """Train the classifier and write a folder that ``--model`` takes: complete, or not at all.

    Args:
        table: paths with the number of their route.
        tower: folder or hub id of a vision tower, or ``nano``.

    Raises:
        VlmAesError: where too few images can be opened, or ``out`` exists.
    """
    check_model_folder(out, overwrite=overwrite)
    vision_tower = find_tower(tower, LoadOptions(device=device))
    embeddings, kinds = _embedded(table, vision_tower)
    _check_counts(kinds.tolist(), [route.name for route in routes], "of those that open,")

    def trained(rows: NDArray[np.bool_]) -> TrainedRouteClassifier:
        return TrainedRouteClassifier.fit(vision_tower, embeddings[rows], kinds[rows].tolist(), len(routes))

    rng = np.random.default_rng(seed)
    folds, predicted = np.zeros(len(kinds), np.int64), np.zeros(len(kinds), np.int64)
    for kind in np.unique(kinds):  # each kind is spread over all folds
        rows = rng.permutation(np.flatnonzero(kinds == kind))
        folds[rows] = np.arange(len(rows)) % ROUTER_FOLDS
    for fold in range(ROUTER_FOLDS):
        inside = folds == fold
        predicted[inside] = trained(~inside).from_embeddings(embeddings[inside]).argmax(1)
    right = predicted == kinds
    _save(trained(folds >= 0), routes, tower, out)
    per_route = {route.name: float(right[kinds == k].mean()) for k, route in enumerate(routes)}
    return RouterReport(len(kinds), len(table) - len(kinds), float(right.mean()), per_route)


def _embedded(table: Sequence[tuple[str, int]], tower: VisionTower) -> tuple[torch.Tensor, NDArray[np.int64]]:
    rows, kinds = [], []
    for path, kind in table:
        image = open_image(path, needed_side=tower.needed_side)
        if not isinstance(image, ImageError):
            rows.append(tower.embed([tower.pixels(image.image)]).cpu())
            kinds.append(kind)
    return torch.cat(rows or [torch.zeros(0, 1)]), np.array(kinds, np.int64)


def _save(classifier: TrainedRouteClassifier, routes: Sequence[NamedRoute], tower: str, out: Path) -> None:
    def quoted(text: str) -> str:
        return json.dumps(text, ensure_ascii=False)

    with replaced_folder(out) as folder:
        classifier.save(folder / WEIGHTS_FILE, [route.name for route in routes])
        lines = ['kind = "router"', ""]
        for route in routes:
            lines += ["[[route]]", f"name = {quoted(route.name)}", f"model = {quoted(absolute_model(route.model))}"]
            lines += ["fast = true"] * route.fast + [""]
        lines += ["[judge]", f"tower = {quoted(absolute_model(tower))}", f'weights = "{WEIGHTS_FILE}"', ""]
        (folder / RATER_FILE).write_text("\n".join(lines), encoding="utf-8")
