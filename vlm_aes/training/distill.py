"""Distillation: a small head learns to answer as a teacher does, as people do, or both.

Every picture goes once through the tower and once through the teacher; what they say is kept by
content, so that another head, other ratings or a longer run cost seconds. The head is trained on
soft labels over the five rating words (Hinton et al. 2015, arXiv 1503.02531), and is measured on
pictures that it never saw.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vlm_aes.assessor import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.models.heads.folder import TOWER, About, Agreement
from vlm_aes.models.heads.head import HIDDEN, Head
from vlm_aes.models.heads.personal import Taste
from vlm_aes.models.heads.rater import LABEL
from vlm_aes.models.heads.tower import Tower
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.calibration import Calibration, Familiar
from vlm_aes.training.material import Material

FEWEST = 20
"""Pictures below which there is nothing to learn from."""


@dataclass(frozen=True)
class Recipe:
    """The dials of the head's training.

    Attributes:
        people_weight: share of the loss that people's ratings get where there are both.
        score_weight: of the squared difference of the scores, beside the divergence.
    """

    hidden: int = HIDDEN
    steps: int = 4000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.1
    people_weight: float = 0.5
    score_weight: float = 20.0
    seed: int = 0


def train_head(material: Material, recipe: Recipe) -> Head:
    """Train on what is not held back.

    Raises:
        TrainingError: for too few pictures, or ratings that are all the same.
    """
    rows = np.flatnonzero(~material.held)
    labelled = ~np.isnan(material.teacher[:, 0]) | ~np.isnan(material.people[:, 0])
    rows = rows[labelled[rows]]
    if len(rows) < FEWEST:
        raise TrainingError(
            f"{len(rows)} pictures to learn from are too few: give at least {FEWEST}, better 1000"
        )
    x = torch.from_numpy(material.embeddings[rows])
    sources = [
        (torch.from_numpy(labels[rows]).float(), weight)
        for labels, weight in (
            (material.teacher, 1 - recipe.people_weight),
            (material.people, recipe.people_weight),
        )
        if not np.isnan(labels[rows]).all()
    ]
    target = torch.stack([t.nan_to_num() * w for t, w in sources]).sum(0)
    target /= target.sum(1, keepdim=True)
    weights = torch.tensor(ratings.WEIGHTS)
    if float((target @ weights).std()) < 1e-4:
        raise TrainingError("every picture has the same rating: there is nothing to learn")
    torch.manual_seed(recipe.seed)
    order = torch.Generator().manual_seed(recipe.seed)
    head = Head(x.shape[1], recipe.hidden, recipe.dropout)
    head.standardise(x)
    # beginning at the mean answer, not at chance
    with torch.no_grad():
        head.line.weight.zero_()
        head.line.bias.copy_(target.mean(0).clamp(min=1e-4).log())
        head.outer.bias.zero_()
    optimizer = torch.optim.AdamW(
        head.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    head.train()
    size = min(recipe.batch, len(rows))
    for step in range(recipe.steps):
        warm = min(1.0, (step + 1) / 100)
        rate = recipe.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.randint(len(rows), (size,), generator=order)
        logits = head(x[chosen])
        divergence = F.kl_div(logits.log_softmax(1), target[chosen], reduction="batchmean")
        gap = (logits.softmax(1) - target[chosen]) @ weights
        loss = divergence + recipe.score_weight * gap.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    # as it is saved
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(parameter.half().float())
    return head.eval()


@torch.inference_mode()
def scores_of(head: Head, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """(N,) scores of the head, 0 to 100."""
    parts = [
        head(torch.from_numpy(embeddings[i : i + 4096])).double().softmax(1).numpy()
        for i in range(0, len(embeddings), 4096)
    ]
    return ratings.score(np.concatenate(parts)) if parts else np.zeros(0)


@dataclass(frozen=True)
class Report:
    """What came of it, over held-back pictures; each figure with its 95% interval.

    Attributes:
        n_train, n_held: pictures learnt from, and held back.
        errors: pictures that could not be used, by kind.
        teacher: ``srcc``, ``plcc`` and ``mae`` (points) with the teacher.
        people: the same with people's mean.
        teacher_people: the teacher's own with people's mean, on the same pictures.
    """

    n_train: int
    n_held: int
    errors: dict[str, int]
    teacher: dict[str, metrics.Estimate]
    people: dict[str, metrics.Estimate]
    teacher_people: dict[str, metrics.Estimate]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: figures as ``{value, low, high}``."""
        return asdict(self)


def _agreement(
    wanted: NDArray[np.float64], found: NDArray[np.float64]
) -> dict[str, metrics.Estimate]:
    both = ~np.isnan(wanted) & ~np.isnan(found)
    if both.sum() < FEWEST:
        return {}
    return {
        name: metrics.bootstrap(statistic, wanted[both], found[both], draws=400)
        for name, statistic in (
            ("srcc", metrics.srcc), ("plcc", metrics.plcc), ("mae", metrics.mae)
        )
    }  # fmt: skip


def report_of(head: Head, material: Material) -> Report:
    """Agreement with teacher and people over the held-back pictures."""
    held = material.held
    found = scores_of(head, material.embeddings[held])
    teacher = _teacher_scores(material)[held]
    people = material.score[held]
    return Report(
        int((~held).sum()), int(held.sum()), dict(material.errors),
        _agreement(teacher, found), _agreement(people, found), _agreement(people, teacher),
    )  # fmt: skip


def _teacher_scores(material: Material) -> NDArray[np.float64]:
    known = ~np.isnan(material.teacher[:, 0])
    scores = np.full(len(known), np.nan)
    if known.any():
        scores[known] = ratings.score(material.teacher[known])
    return scores


def agreement_of(head: Head, material: Material, teacher: Assessor) -> Agreement | None:
    """The interval that holds the teacher's score in nine cases of ten, where it can be told."""
    held = material.held & ~np.isnan(material.teacher[:, 0])
    n = int(held.sum())
    if n < calibration.FEWEST:
        return None
    gap = _teacher_scores(material)[held] - scores_of(head, material.embeddings[held])
    low, high = _conformal(gap)
    return Agreement(teacher.model_id, teacher.prompt_id, low, high, n)


def _conformal(gap: NDArray[np.float64]) -> tuple[float, float]:
    """Ends that hold nine in ten, each side at its own quantile (Lei et al. 2018)."""
    rest = np.sort(gap)
    n = len(rest)
    rank = math.ceil((n + 1) * (1 + calibration.COVERAGE) / 2) - 1
    return float(rest[max(n - 1 - rank, 0)]), float(rest[min(rank, n - 1)])


def worth_of(
    head: Head, material: Material, taught: Calibration | None, reference: str
) -> Calibration | None:
    """Interval and percentile for the head's scores.

    From people's ratings of held-back pictures where there are enough; else from the teacher's own
    calibration, its interval widened by how far the head lies from it (the two taken as
    independent).
    """
    held = material.held
    found = scores_of(head, material.embeddings)
    rated = held & ~np.isnan(material.score)
    if rated.sum() >= calibration.FEWEST and np.ptp(found[rated]) > 0:
        return calibration.fit(
            found[rated],
            material.score[rated],
            prompt=LABEL,
            reference=reference,
            hidden=material.familiar,
        )
    teacher = _teacher_scores(material)
    told = held & ~np.isnan(teacher)
    if taught is None or told.sum() < calibration.FEWEST or np.ptp(found[told]) == 0:
        return None
    slope, intercept = np.polyfit(found[told], teacher[told], 1)
    low, high = _conformal(teacher[told] - (intercept + slope * found[told]))
    a, b = taught.line
    return Calibration(
        prompt=LABEL,
        reference=taught.reference,
        n=int(told.sum()),
        line=(a + b * float(intercept), b * float(slope)),
        low=-math.hypot(taught.low, b * low),
        high=math.hypot(taught.high, b * high),
        quantiles=taught.quantiles,
        familiar=Familiar.fit(material.familiar),
    )


def write_head(
    folder: Path,
    head: Head,
    tower: Tower,
    *,
    tower_name: str,
    revision: str | None = None,
    agreement: Agreement | None = None,
    worth: Calibration | None = None,
    taste: Taste | None = None,
    card: str = "",
    terms: str = "",
) -> None:
    """Write a fast head's folder: complete, or not at all; an older head in it is replaced.

    Args:
        tower_name: ``own``, ``tower`` (it is saved along), or a hub id.
        taste: one person's, on top of the head.
        terms: of the weights that it learned from, for ``LICENSE-WEIGHTS``.
    """
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.parent / f".{folder.name}.new"
    old = folder.parent / f".{folder.name}.old"
    for left in (staging, old):
        shutil.rmtree(left, ignore_errors=True)
    staging.mkdir()
    head.save(staging)
    hidden = head.inner.out_features
    About(tower_name, tower.weights_hash, head.inner.in_features, hidden, revision, agreement).save(
        staging
    )
    if tower_name == TOWER:
        tower.save(staging / TOWER)
    if worth is not None:
        worth.save(staging)
    if taste is not None:
        taste.save(staging)
    if card:
        (staging / "README.md").write_text(card, encoding="utf-8")
    if terms:
        (staging / "LICENSE-WEIGHTS").write_text(terms, encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    staging.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
