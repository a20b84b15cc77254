"""A router that learns from a table which kind of picture goes where."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vlm_aes.errors import TrainingError
from vlm_aes.images.open import ImageError, open_image
from vlm_aes.models.ensemble.router import MIN_IMAGES_PER_ROUTE, TrainedRouteClassifier, find_tower
from vlm_aes.models.heads.vision_tower import VisionTower

FOLDS = 5
FILE, WEIGHTS = "rater.toml", "judge.safetensors"


@dataclass(frozen=True)
class Way:
    """A route as it was named."""

    name: str
    model: str
    fast: bool


@dataclass(frozen=True)
class Report:
    """What a judge is worth.

    Attributes:
        n: pictures; ``n_error`` could not be opened.
        accuracy: share sent rightly by a judge that had not seen them.
        per_route: route to that share.
    """

    n: int
    n_error: int
    accuracy: float
    per_route: dict[str, float]


def parse_routes(texts: Sequence[str]) -> list[Way]:
    """``ROUTE=MODEL`` or ``ROUTE=fast:MODEL``, at least two.

    Raises:
        TrainingError: for something else.
    """
    routes = []
    for text in texts:
        name, equals, model = text.partition("=")
        if not (name and equals and model):
            raise TrainingError(f"--to {text}: a route is named ROUTE=MODEL")
        plain = model.removeprefix("fast:")
        routes.append(Way(name, plain, plain != model))
    if len(routes) < 2 or len({r.name for r in routes}) < len(routes):
        raise TrainingError("name at least two routes, each once: --to photo=A --to drawing=B")
    return routes


def read_kinds(file: Path, images: Path | None, names: Sequence[str]) -> list[tuple[str, int]]:
    """Paths with the number of their route.

    Raises:
        TrainingError: says which row is wrong, and how; or which route has too few pictures.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{file} cannot be read as a table ({error})") from None
    found = []
    for i, row in enumerate(rows, 1):
        if not row.get("path") or row.get("route") not in names:
            raise TrainingError(
                f"{file}, row {i}: it needs a path, and a route that is one of {', '.join(names)}"
            )
        path = os.path.join(images or "", row["path"])  # noqa: PTH118  (as typed: "./" stays)
        if not Path(path).is_file():
            raise TrainingError(
                f"{file}, row {i}: no file {path}; relative paths are below --images"
            )
        found.append((path, list(names).index(row["route"])))
    for k, name in enumerate(names):
        n = sum(kind == k for _, kind in found)
        if n < MIN_IMAGES_PER_ROUTE:
            raise TrainingError(
                f"{file}: {n} pictures of {name} are too few; give {MIN_IMAGES_PER_ROUTE}"
            )
    return found


def learn(
    table: Sequence[tuple[str, int]], routes: Sequence[Way], tower: str, out: Path, *,
    seed: int = 0, device: str = "auto", overwrite: bool = False,
) -> Report:  # fmt: skip
    """Learn the judge and write a folder that ``--model`` takes: complete, or not at all.

    Raises:
        TrainingError: where too few pictures can be opened, or ``out`` is there.
    """
    if out.exists() and not overwrite:
        raise TrainingError(f"{out} is there already; --overwrite replaces it")
    eyes = find_tower(tower, device=device)
    embeddings, kinds = _embedded(table, eyes)
    for k, way in enumerate(routes):
        if (kinds == k).sum() < MIN_IMAGES_PER_ROUTE:
            raise TrainingError(
                f"too few pictures of {way.name} could be opened; give {MIN_IMAGES_PER_ROUTE}"
            )
    folds = _folds(kinds, seed)
    guesses = np.zeros(len(kinds), np.int64)
    for fold in range(FOLDS):
        rest, inside = folds != fold, folds == fold
        judge = TrainedRouteClassifier.fit(
            eyes, embeddings[rest], kinds[rest].tolist(), len(routes)
        )
        guesses[inside] = judge.of(embeddings[inside]).argmax(1)
    right = guesses == kinds
    _save(
        TrainedRouteClassifier.fit(eyes, embeddings, kinds.tolist(), len(routes)),
        routes,
        tower,
        out,
    )
    return Report(
        len(kinds), len(table) - len(kinds), float(right.mean()),
        {way.name: float(right[kinds == k].mean()) for k, way in enumerate(routes)},
    )  # fmt: skip


def _embedded(
    table: Sequence[tuple[str, int]], tower: VisionTower
) -> tuple[torch.Tensor, np.ndarray]:
    rows, kinds = [], []
    for path, kind in table:
        picture = open_image(path, needed_side=tower.needed_side)
        if not isinstance(picture, ImageError):
            rows.append(tower.embed([tower.pixels(picture.image)]).cpu())
            kinds.append(kind)
    return torch.cat(rows or [torch.zeros(0, 1)]), np.array(kinds, np.int64)


def _folds(kinds: np.ndarray, seed: int) -> np.ndarray:
    """(N,) number of each picture's fold, each kind spread over all."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(kinds), np.int64)
    for kind in np.unique(kinds):
        rows = rng.permutation(np.flatnonzero(kinds == kind))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds


def _save(judge: TrainedRouteClassifier, routes: Sequence[Way], tower: str, out: Path) -> None:
    staging = out.with_name(f".{out.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    judge.save(staging / WEIGHTS, [way.name for way in routes])
    lines = ['kind = "router"', ""]
    for way in routes:
        lines += ["[[route]]", f"name = {_text(way.name)}", f"model = {_text(_kept(way.model))}"]
        lines += ["fast = true"] * way.fast + [""]
    lines += ["[judge]", f"tower = {_text(_kept(tower))}", f'weights = "{WEIGHTS}"', ""]
    (staging / FILE).write_text("\n".join(lines), encoding="utf-8")
    if out.exists():
        shutil.rmtree(out)
    staging.rename(out)


def _kept(name: str) -> str:
    """A path in full, since the folder may be moved; anything else as it is."""
    return str(Path(name).resolve()) if name != "nano" and Path(name).exists() else name


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
