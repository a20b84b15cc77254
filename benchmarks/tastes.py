"""Tastes that are not the crowd's, from real votes: how much is learned from how many ratings.

Two tastes on a folder in PARA's layout: the share of raters who felt contentment, and color with
the overall rating removed (over the attribute photos). The ways to each, on the same ratings: what
the command gives (``together``: adapters with the line beside them), adapters alone, the line
alone, the fast head, the untouched base, and boosted trees on everything measured. Measured on the
validation photos, which nothing has seen. The base must be one whose training left the taste out.

``curves`` takes 100, 300, 1,000 (and for contentment 3,000) ratings; ``ablation`` takes contentment
at 300 and 1,000 with each kind of label, with and without the rank loss. Three seeds each: another
choice of photos, another start. Every finished run is a file in ``--out``; a second call goes on
where the first ended, and writes ``tables.md`` from what is there.

    python benchmarks/tastes.py --data PARA --base NANO --out DIR [--part curves|ablation|all]
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from options import options
from PIL import Image
from torch import nn

from finetune.photos import is_validation, rows_of
from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError
from vlm_aes.evaluation import baselines
from vlm_aes.images.open import open_image
from vlm_aes.measure import ANALYSIS_SIDE_PX, NATIVE_CROP_SIDE_PX
from vlm_aes.models.heads import load_head
from vlm_aes.models.heads.embedding_cache import EmbeddingCache
from vlm_aes.ratings.scale import Scale
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.stats import metrics
from vlm_aes.training import ridge_residual
from vlm_aes.training.lora import with_lora
from vlm_aes.training.losses import default_weights
from vlm_aes.training.objective import objective_for
from vlm_aes.training.personal_head import PersonalHead, embed_images
from vlm_aes.training.ridge_residual import ModelFeatures
from vlm_aes.training.trainer import TrainingConfig, train

SEEDS = 3
NUMBERS = {"contentment": (100, 300, 1000, 3000), "color": (100, 300, 1000)}
CHOOSE = 0.15
"""Share of the ratings that the best step is chosen by, as in the command."""
UNIT = Scale(0.0, 1.0)


DEFAULT = SimpleNamespace(labels="two-hot", rank=1.0)


class Photo(NamedTuple):
    """A photo with its taste, 0 to 1."""

    data: bytes
    taste: float


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        way: ``adapters``, or one of the others.
        number: ratings.
        labels, rank: of the adapters' recipe.
    """

    taste: str
    way: str
    number: int
    seed: int
    labels: str = DEFAULT.labels
    rank: float = DEFAULT.rank

    @property
    def name(self) -> str:
        """Of its file."""
        return "-".join(str(value) for value in asdict(self).values())


def photos_of(data: Path, taste: str) -> tuple[list[Photo], list[Photo]]:
    """Photos to rate and validation photos; of color, the attribute photos alone."""
    wanted, held, content, overall = [], [], [], []
    for attribute_photo, row in rows_of(data):
        if attribute_photo != (taste == "color"):
            continue
        content.append(row["image"]["bytes"])
        held.append(is_validation(row["image_id"], attribute_photo=attribute_photo))
        overall.append(row["aesthetic_mean"])
        share = row["emotion_contentment"] / max(1, row["n_raters"])
        wanted.append(row["color_mean"] if attribute_photo else share)
    values, side = np.array(wanted), np.array(held)
    if taste == "color":
        line = np.polyfit(np.array(overall)[~side], values[~side], 1)
        residual = values - np.polyval(line, np.array(overall))
        values = np.clip(0.5 + residual / (6 * residual[~side].std()), 0, 1)
    photos = [Photo(c, float(v)) for c, v in zip(content, values, strict=True)]
    return (
        [p for p, s in zip(photos, side, strict=True) if not s],
        [p for p, s in zip(photos, side, strict=True) if s],
    )


def table_of(photos: list[Photo], cut: int) -> RatingTable:
    """The photos as a ratings table; those from ``cut`` on are its validation split."""
    made = [
        Rating(i + 1, f"row {i + 1}", photo.taste, split="train" if i < cut else "validation")
        for i, photo in enumerate(photos)
    ]
    pictures = pa.chunked_array([pa.array([p.data for p in photos], pa.binary())])
    return RatingTable("votes", made, UNIT, declared=True, images=pictures)


def chosen(photos: list[Photo], run: Run) -> list[Photo]:
    """The rated photos of a run; more ratings of a seed hold the fewer ones."""
    order = np.random.default_rng(run.seed).permutation(len(photos))
    return [photos[i] for i in order[: run.number]]


class Remembering(nn.Module):
    """A frozen tower that looks at each picture once, however many trainings there are."""

    def __init__(self, tower: nn.Module, seen: dict[bytes, torch.Tensor]) -> None:
        super().__init__()
        self.tower = tower
        self.seen = seen

    def forward(self, pixel_values: torch.Tensor, **_: object) -> SimpleNamespace:
        keys = [hashlib.blake2b(row.numpy().tobytes()).digest() for row in pixel_values]
        new = [i for i, key in enumerate(keys) if key not in self.seen]
        if new:
            with torch.no_grad():
                found = self.tower(pixel_values[new]).last_hidden_state
            self.seen.update(zip((keys[i] for i in new), found, strict=True))
        return SimpleNamespace(last_hidden_state=torch.stack([self.seen[key] for key in keys]))


SEEN: dict[bytes, torch.Tensor] = {}
COLUMNS: dict[bytes, np.ndarray] = {}


def loaded(base: Path) -> Assessor:
    """The base, whose tower remembers."""
    assessor = Assessor.from_pretrained(base)
    inner = assessor.rater.backbone.model.model
    inner.vision_tower = Remembering(inner.vision_tower, SEEN)
    return assessor


def columns_of(base: Path, photos: list[Photo]) -> np.ndarray:
    """(N, D) what the line beside the adapters reads; the adapters do not change it."""
    new = [p for p in photos if p.data not in COLUMNS]
    if new:
        found = ridge_residual.model_features(loaded(base), [(p.data, "a photo") for p in new])
        found = found.features
        COLUMNS.update(zip((p.data for p in new), found, strict=True))
    return np.array([COLUMNS[p.data] for p in photos])


def by_adapters(base: Path, run: Run, rated: list[Photo], held: list[Photo]) -> dict[str, np.ndarray]:
    """Way to (V,) scores: the base with adapters, trained as the command trains; the line beside
    them; and both together."""
    cut = round(len(rated) * (1 - CHOOSE))
    table = table_of(rated, cut)
    weights = default_weights() | {"rank": run.rank}
    config = TrainingConfig(labels=run.labels, loss_weights=weights, seed=run.seed)
    assessor = loaded(base)
    torch.manual_seed(config.seed)
    with_lora(
        assessor.rater.backbone.model, rank=config.rank, alpha=config.alpha, dropout=config.dropout, tower=config.tower
    )
    objective = objective_for(table, validation=0.0, test=0.0, config=config)
    with tempfile.TemporaryDirectory() as work:
        train(assessor, objective, config, Path(work))
    found = {"adapters": scores_of(assessor, held)}
    if run.labels != DEFAULT.labels or run.rank != DEFAULT.rank:
        return found
    wanted_scores = table.scores()
    learned = columns_of(base, rated)
    chosen_by = scores_of(assessor, rated[cut:])
    taste = ridge_residual.fit(
        ModelFeatures(learned[:cut], np.zeros(cut)),
        wanted_scores[:cut],
        ModelFeatures(learned[cut:], chosen_by),
        wanted_scores[cut:],
    )
    if taste is None:
        return found | {"together": found["adapters"]}
    seen = columns_of(base, held)
    print(f"{run.name}: adapters {taste.base_weight:.2f}", flush=True)
    return found | {
        "line": replace(taste, base_weight=0.0, offset=50.0).score(seen, found["adapters"]),
        "together": taste.score(seen, found["adapters"]),
    }


def by_base(base: Path, held: list[Photo]) -> np.ndarray:
    """(V,) scores of the untouched base."""
    return scores_of(loaded(base), held)


def scores_of(assessor: Assessor, held: list[Photo]) -> np.ndarray:
    """(V,) scores."""
    pictures = [opened(photo.data, assessor.needed_side) for photo in held]
    return np.array([a.score for a in assessor.assess(pictures, facts=False)])


@cache
def opened(data: bytes, needed_side: int) -> Image.Image:
    """A validation photo as the assessor would open it, once for all runs."""
    return open_image(data, needed_side=needed_side).image


def by_fast_head(base: Path, rated: list[Photo], held: list[Photo]) -> np.ndarray:
    """(V,) scores of the base's fast head with the taste on top."""
    crowd = load_head(base)
    seen, unseen = (embed_images(crowd, ((p.data, "a photo") for p in photos)) for photos in (rated, held))
    wanted = 100 * np.array([p.taste for p in rated])
    return PersonalHead.fit_scores(seen[0], wanted, seen[1]).score(*unseen)


def by_trees(kept: EmbeddingCache, seed: int, rated: list[Photo], held: list[Photo]) -> np.ndarray:
    """(V,) guesses of boosted trees on everything measured."""
    wanted = np.array([p.taste for p in rated])
    trees = baselines.fit_trees(measures_of(kept, rated), wanted, seed)
    return np.asarray(trees.predict(measures_of(kept, held)))


def measures_of(kept: EmbeddingCache, photos: list[Photo]) -> np.ndarray:
    """(N, measures) of the photos, measured once."""
    contents = [hashlib.sha256(p.data).hexdigest() for p in photos]
    for photo, content in zip(photos, contents, strict=True):
        if content not in kept:
            picture = open_image(photo.data, needed_side=ANALYSIS_SIDE_PX, native_side=NATIVE_CROP_SIDE_PX)
            kept.append([content], [baselines.measures(picture.image, picture.native)])
    return kept.rows(contents)


def runs(part: str) -> Iterator[Run]:
    """Every run of a part, the quick ones first."""
    if part in ("curves", "all"):
        wanted = [(number, taste) for taste, numbers in NUMBERS.items() for number in numbers]
        for number, taste in sorted(wanted):
            for seed in range(SEEDS):
                for way in ("base", "trees", "fast", "adapters"):
                    yield Run(taste, way, number, seed)
    if part in ("ablation", "all"):
        for number in (300, 1000):
            for labels in ("hard", "two-hot", "gaussian"):
                for rank in (0.0, 1.0):
                    for seed in range(SEEDS):
                        yield Run("contentment", "adapters", number, seed, labels, rank)


def told(out: Path) -> str:
    """``tables.md``: mean SRCC over the seeds, and its range."""
    found: dict[tuple, list[dict]] = defaultdict(list)
    for file in sorted((out / "runs").glob("*.json")):
        data = json.loads(file.read_text())
        run = data["run"]
        found[tuple(v for k, v in run.items() if k != "seed")].append(data)
    heads = (
        "taste",
        "way",
        "ratings",
        "labels",
        "rank loss",
        "SRCC, mean of the seeds",
        "their 95% intervals",
        "seeds",
        "seconds a run",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for key, data in sorted(found.items(), key=lambda item: tuple(map(str, item[0]))):
        taste, way, number, labels, rank = key
        dials = (labels, f"{rank:g}") if way == "adapters" else ("", "")
        values = [d["srcc"]["value"] for d in data]
        low, high = min(d["srcc"]["low"] for d in data), max(d["srcc"]["high"] for d in data)
        seconds = np.mean([d["seconds"] for d in data])
        cells = (
            taste,
            way,
            number,
            *dials,
            f"{np.mean(values):.3f}",
            f"{low:.3f} to {high:.3f}",
            len(data),
            f"{seconds:.0f}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def write(file: Path, text: str) -> None:
    """Write a file beside itself and rename it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    staging = file.with_name(f".{file.name}.new")
    staging.write_text(text, encoding="utf-8")
    staging.replace(file)


def main() -> None:
    parser = options(__doc__, data=True)
    parser.add_argument("--base", type=Path, required=True, help="a nano that left the taste out")
    parser.add_argument("--out", type=Path, required=True, help="for finished runs and the tables")
    parser.add_argument("--part", choices=("curves", "ablation", "all"), default="all")
    parser.add_argument("--validation", type=int, help="validation photos at most, for a trial")
    parser.add_argument("--most", type=int, help="ratings at most, for a trial")
    a = parser.parse_args()
    width = len(baselines.measures(Image.new("RGB", (64, 64), (128, 128, 128))))
    kept = EmbeddingCache(a.out / "measured", "facts and features 1", width, np.float32)
    tastes: dict[str, tuple[list[Photo], list[Photo]]] = {}
    untouched: dict[str, np.ndarray] = {}
    for run in runs(a.part):
        file = a.out / "runs" / f"{run.name}.json"
        if file.exists() or (a.most and run.number > a.most):
            continue
        if run.taste not in tastes:
            tastes[run.taste] = photos_of(a.data, run.taste)
        photos, held = tastes[run.taste]
        held, rated = held[: a.validation], chosen(photos, run)
        ways = {
            "base": partial(by_base, a.base, held),
            "trees": partial(by_trees, kept, run.seed, rated, held),
            "fast": partial(by_fast_head, a.base, rated, held),
            "adapters": partial(by_adapters, a.base, run, rated, held),
        }
        began = time.perf_counter()
        try:
            if run.way == "base" and run.taste not in untouched:
                untouched[run.taste] = ways["base"]()
            found = untouched[run.taste] if run.way == "base" else ways[run.way]()
        except CheckpointError as error:
            print(f"{run.name}: left out: {error}", flush=True)
            continue
        seconds = time.perf_counter() - began
        wanted = np.array([p.taste for p in held])
        for way, scores in (found if isinstance(found, dict) else {run.way: found}).items():
            one = replace(run, way=way)
            figure = metrics.bootstrap(metrics.srcc, wanted, scores)
            data = {"run": asdict(one), "srcc": asdict(figure), "seconds": seconds, "n": len(held)}
            write(a.out / "runs" / f"{one.name}.json", json.dumps(data) + "\n")
            np.save(a.out / "runs" / f"{one.name}.npy", scores)
            print(f"{one.name}: SRCC {figure}, {seconds:.0f} s", flush=True)
        write(a.out / "tables.md", told(a.out))
    print(told(a.out))


if __name__ == "__main__":
    main()
