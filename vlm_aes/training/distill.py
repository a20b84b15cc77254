"""Distillation: a small head learns to answer as a teacher does, as people do, or both.

The head is trained on soft labels over the five rating words (Hinton et al. 2015, arXiv 1503.02531), and is measured
on images that it never saw.
"""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vlm_aes.assessor import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.files import check_model_folder
from vlm_aes.models.heads.head import HEAD_FOLDER, HEAD_HIDDEN_UNITS, OWN_TOWER, TOWER_FOLDER, Agreement, RatingHead
from vlm_aes.models.heads.scorer import FAST_ID
from vlm_aes.models.heads.vision_tower import VisionTower, checkpoint_tower, load_tower
from vlm_aes.models.nano import NANO
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.scorer import Floats
from vlm_aes.ratings import scale
from vlm_aes.stats import calibration, metrics
from vlm_aes.stats.calibration import Calibration, Familiarity
from vlm_aes.training.checkpoint import write_head
from vlm_aes.training.distill_data import DistillData, HumanRating, ReadableImage, collect, is_held_back
from vlm_aes.training.model_card import distilled_card

MIN_IMAGES = 20
"""Images below which there is nothing to learn from."""
WARMUP_STEPS = 100
BOOTSTRAP_DRAWS = 400
ROWS_PER_BATCH = 4096


@dataclass(frozen=True)
class DistillConfig:
    """Settings of the head's training.

    Attributes:
        people_weight: share of the loss that people's ratings get where there are both.
        score_weight: of the squared difference of the scores, beside the divergence.
    """

    hidden: int = HEAD_HIDDEN_UNITS
    steps: int = 4000
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.1
    people_weight: float = 0.5
    score_weight: float = 20.0
    seed: int = 0


@dataclass(frozen=True)
class DistillReport:
    """``srcc``, ``plcc`` and ``mae`` (points) over held-back images, each with its 95% interval.

    Attributes:
        n_train, n_held: images learned from, and held back.
        errors: images that could not be used, by kind.
        teacher, people: of the head with the teacher, and with people's mean.
        teacher_people: of the teacher with people's mean, on the same images.
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


def tower_for(tower: str | None, out: Path, teacher: str | Path | None) -> tuple[VisionTower, str]:
    """The tower that a head is made for, and how its folder names it.

    Args:
        tower: a folder or a hub id. Without one, the tower of the checkpoint that the head goes into, else of the
            teacher, else of the embedded checkpoint.
        out: where the head goes: a checkpoint's folder, or one of its own.

    Raises:
        CheckpointError: for a tower that cannot be used.
    """
    if tower is not None:
        loaded = load_tower(tower, LoadOptions("fp32", "cpu"))
        return loaded, TOWER_FOLDER if Path(tower).is_dir() else tower
    if is_checkpoint(out):
        return checkpoint_tower(out), OWN_TOWER
    return checkpoint_tower(Path(teacher) if teacher is not None else NANO), TOWER_FOLDER


def is_checkpoint(folder: Path) -> bool:
    """Whether a head goes into a subfolder of it."""
    return (folder / "config.json").is_file()


def distill(
    images: Iterable[ReadableImage],
    out: Path,
    tower: VisionTower,
    tower_name: str,
    cache: Path,
    *,
    teacher: Assessor | None = None,
    people: Mapping[str, HumanRating] | None = None,
    reference: str = "your ratings",
    terms: str = "",
    config: DistillConfig | None = None,
    held: Callable[[str, str], bool] = is_held_back,
) -> DistillReport:
    """Distill a head into ``out`` (a checkpoint's ``fast/``, or the folder itself). Raises TrainingError where nothing
    can be learned; nothing is written."""
    check_model_folder(out, overwrite=True)
    config = config or DistillConfig()

    def show(progress: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)

    data = collect(images, tower, teacher, people or {}, cache, held=held, progress=lambda n: show(f"{n} images"))
    show("")
    head = train_head(data, config)
    report = report_of(head, data)
    write_head(
        out / HEAD_FOLDER if is_checkpoint(out) else out,
        head,
        tower,
        tower_name=tower_name,
        agreement=agreement_of(head, data, teacher) if teacher else None,
        calibration=calibration_of(head, data, teacher.calibration if teacher else None, reference),
        card=distilled_card(report, tower_name, teacher, bool(people), config),
        terms=terms,
    )
    return report


def train_head(data: DistillData, config: DistillConfig) -> RatingHead:
    """Train on what is not held back. Raises TrainingError for too few images, or ratings that are all the same."""
    labelled = ~np.isnan(data.teacher[:, 0]) | ~np.isnan(data.people[:, 0])
    rows = np.flatnonzero(labelled & ~data.held)
    if len(rows) < MIN_IMAGES:
        raise TrainingError(f"{len(rows)} images to learn from are too few: give at least {MIN_IMAGES}, better 1000")
    x = torch.from_numpy(data.embeddings[rows])
    target = _target(data, rows, config.people_weight)
    weights = torch.tensor(scale.LEVEL_WEIGHTS)
    if float((target @ weights).std()) < 1e-4:
        raise TrainingError("every image has the same rating: there is nothing to learn")
    torch.manual_seed(config.seed)
    order = torch.Generator().manual_seed(config.seed)
    head = RatingHead(x.shape[1], config.hidden, config.dropout)
    head.standardise(x)
    # beginning at the mean answer, not at chance
    with torch.no_grad():
        head.line.weight.zero_()
        head.line.bias.copy_(target.mean(0).clamp(min=1e-4).log())
        head.outer.bias.zero_()
    optimizer = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    head.train()
    size = min(config.batch, len(rows))
    for step in range(config.steps):
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        rate = config.learning_rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / config.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        chosen = torch.randint(len(rows), (size,), generator=order)
        logits = head(x[chosen])
        divergence = F.kl_div(logits.log_softmax(1), target[chosen], reduction="batchmean")
        gap = (logits.softmax(1) - target[chosen]) @ weights
        loss = divergence + config.score_weight * gap.square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    # as it is saved
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(parameter.half().float())
    return head.eval()


def _target(data: DistillData, rows: NDArray[np.int64], people_weight: float) -> torch.Tensor:
    """(R, 5) soft labels from teacher and people."""
    teacher, people = (torch.from_numpy(labels[rows]).float().nan_to_num() for labels in (data.teacher, data.people))
    target = teacher * (1 - people_weight) + people * people_weight
    return target / target.sum(1, keepdim=True)


@torch.inference_mode()
def scores_of(head: RatingHead, embeddings: NDArray[np.float32]) -> Floats:
    """(N,) scores of the head, 0 to 100."""
    logits = torch.cat([head(part) for part in torch.split(torch.from_numpy(embeddings), ROWS_PER_BATCH)])
    return scale.score(logits.double().softmax(1).numpy())


def report_of(head: RatingHead, data: DistillData) -> DistillReport:
    """Agreement with teacher and people over the held-back images."""
    held = data.held
    scores = scores_of(head, data.embeddings[held])
    teacher, people = data.teacher_scores[held], data.score[held]
    figures = (_figures(*pair) for pair in ((teacher, scores), (people, scores), (people, teacher)))
    return DistillReport(int((~held).sum()), int(held.sum()), dict(data.errors), *figures)


def _figures(target: Floats, scores: Floats) -> dict[str, metrics.Estimate]:
    both = ~np.isnan(target) & ~np.isnan(scores)
    if both.sum() < MIN_IMAGES:
        return {}
    return {
        statistic.__name__: metrics.bootstrap(statistic, target[both], scores[both], draws=BOOTSTRAP_DRAWS)
        for statistic in (metrics.srcc, metrics.plcc, metrics.mae)
    }


def agreement_of(head: RatingHead, data: DistillData, teacher: Assessor) -> Agreement | None:
    """The interval that holds the teacher's score in nine cases of ten; None for too few images."""
    held = data.held & ~np.isnan(data.teacher[:, 0])
    if held.sum() < calibration.MIN_CALIBRATION_IMAGES:
        return None
    low, high = _conformal(data.teacher_scores[held] - scores_of(head, data.embeddings[held]))
    return Agreement(teacher.model_id, teacher.prompt_id, low, high, int(held.sum()))


def _conformal(gap: Floats) -> tuple[float, float]:
    """Ends that hold nine in ten, each side at its own quantile (Lei et al. 2018)."""
    ordered = np.sort(gap)
    n = len(ordered)
    rank = math.ceil((n + 1) * (1 + calibration.INTERVAL_COVERAGE) / 2) - 1
    return float(ordered[max(n - 1 - rank, 0)]), float(ordered[min(rank, n - 1)])


def calibration_of(
    head: RatingHead, data: DistillData, of_teacher: Calibration | None, reference: str
) -> Calibration | None:
    """Interval and percentile for the head's scores.

    From people's ratings of held-back images where there are enough. Else from the teacher's own calibration, its
    interval widened by how far the head lies from it (the two taken as independent).
    """
    scores = scores_of(head, data.embeddings)
    rated = data.held & ~np.isnan(data.score)
    if rated.sum() >= calibration.MIN_CALIBRATION_IMAGES and np.ptp(scores[rated]) > 0:
        return calibration.fit(
            scores[rated], data.score[rated], prompt=FAST_ID, reference=reference, hidden=data.familiar
        )
    teacher = data.teacher_scores
    known = data.held & ~np.isnan(teacher)
    if of_teacher is None or known.sum() < calibration.MIN_CALIBRATION_IMAGES or np.ptp(scores[known]) == 0:
        return None
    slope, intercept = np.polyfit(scores[known], teacher[known], 1)
    low, high = _conformal(teacher[known] - (intercept + slope * scores[known]))
    a, b = of_teacher.line
    return Calibration(
        prompt=FAST_ID,
        reference=of_teacher.reference,
        n=int(known.sum()),
        line=(a + b * float(intercept), b * float(slope)),
        low=-math.hypot(of_teacher.low, b * low),
        high=math.hypot(of_teacher.high, b * high),
        quantiles=of_teacher.quantiles,
        familiar=Familiarity.fit(data.familiar),
    )
