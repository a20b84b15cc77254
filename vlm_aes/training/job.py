"""The one object that ``finetune`` runs: from a table to a checkpoint folder with its card.

A job trains a model (adapters, or all weights) or fits its fast head, on ratings or on pairs. The base is loaded once.
The result is read back from its folder once, so that its figures are those of what people load.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from vlm_aes.assessor import Assessor, terms_of
from vlm_aes.errors import TrainingError
from vlm_aes.evaluation.evaluate import EvaluationReport
from vlm_aes.files import check_model_folder, check_place
from vlm_aes.models.heads import FastScorer
from vlm_aes.models.hub import fetch
from vlm_aes.models.nano import NANO
from vlm_aes.models.pretrained import identity_of
from vlm_aes.models.vlm.loading import locate
from vlm_aes.prompts import prompt_file
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.ratings.table import RatingTable, read_ratings
from vlm_aes.training.checkpoint import put_in_place, save_adapter, save_full
from vlm_aes.training.dataset import LABEL_KINDS
from vlm_aes.training.inspect_dataset import PairsInspection, RatingsInspection, table_hash
from vlm_aes.training.lora import train_everything, with_lora
from vlm_aes.training.model_card import TrainingRecord, finetuned_card
from vlm_aes.training.objective import Objective, PreferenceReport, RatingObjective, objective_for
from vlm_aes.training.personal_head import check_base, write_personal_head
from vlm_aes.training.trainer import ProgressCallback, TrainingConfig, train

MAX_LISTED_ERRORS = 5
QUANTIZATIONS = ("", "4bit", "8bit")


@dataclass(frozen=True)
class FinetuneJob:
    """One training: what is trained on what, and where the result goes.

    Attributes:
        table: ratings, or pairs.
        out: folder of the result; work in progress is in ``OUT.part``.
        model: as for :meth:`vlm_aes.Assessor.from_pretrained`.
        fast: fit the model's fast head alone.
        quantize: ``4bit`` or ``8bit`` base under adapters; empty for none.
        validation, test: shares of the images, where the table brings no split of its own.
        terms: of the ratings, in words, for the card.
        resume: go on with the training that ``OUT.part`` holds.
        overwrite: replace ``out`` and ``OUT.part``.
    """

    table: RatingTable | PreferenceTable
    out: Path
    config: TrainingConfig = field(default_factory=TrainingConfig)
    model: str | Path | None = None
    fast: bool = False
    quantize: str = ""
    device: str = "auto"
    validation: float = 0.15
    test: float = 0.15
    terms: str = ""
    resume: bool = False
    overwrite: bool = False

    @property
    def base(self) -> str | Path:
        """The model that training begins from."""
        if self.model is None:
            return NANO
        folder, _ = fetch(self.model)
        return folder if isinstance(folder, Path) else self.model

    @property
    def work(self) -> Path:
        """Folder of the work in progress."""
        return self.out.parent / f"{self.out.name}.part"

    @property
    def base_terms(self) -> str:
        """Terms of the base's weights in short, where they are known."""
        folder = Path(self.base)
        return terms_of(folder) if folder.is_dir() else ""

    @property
    def finished(self) -> Path:
        """The result while it is written; its name is part of its identity."""
        return self.work / "made" / self.out.name

    def run(
        self, say: Callable[[str], None] = lambda line: None, callbacks: Sequence[TrainerCallback] = ()
    ) -> EvaluationReport | PreferenceReport | None:
        """Train, choose the best step by validation, calibrate, measure, write the folder.

        Args:
            say: gets a line of progress now and then.
            callbacks: for the Trainer.

        Returns:
            The figures; None where there are too few images for any, or in other processes than the first of several.

        Raises:
            TrainingError: for a job that cannot be done.
            CheckpointError: for a base that cannot be used.
        """
        self.check()
        objective = objective_for(self.table, validation=self.validation, test=self.test, config=self.config)
        _say_inspection(objective.inspection, say)
        base = self._load_base()
        if is_first_process():
            self._begin_work(base, objective)
        objective.measure_base(base)
        name = f"{'nano' if self.model is None else self.model} ({base.model_id})"
        curve: list[dict[str, float]] = []
        if self.fast:
            name = f"the fast head {base.model_id}"
            head = _head_of(base)
            write_personal_head(self.finished, head, *objective.fit_head(head))
        else:
            curve = self._train(base, objective, [ProgressCallback(say), *callbacks])
        if not is_first_process():
            return None
        del base  # two models of a large family may not fit into memory
        result = Assessor.from_pretrained(self.finished, device=self.device)
        if not self.fast:
            self._fit_corrections(result, objective)
        return self._publish(name, result, objective, curve)

    def check(self) -> None:
        """See that the job can be done. Raises TrainingError, OutputError where it cannot."""
        if self.resume and self.overwrite:
            raise TrainingError("--resume and --overwrite exclude each other")
        if self.quantize not in QUANTIZATIONS:
            raise TrainingError(f"--quantize {self.quantize}: choose 4bit or 8bit")
        if self.config.labels not in LABEL_KINDS:
            raise TrainingError(f"--labels {self.config.labels}: choose one of {', '.join(LABEL_KINDS)}")
        if self.fast and (self.config.full or self.quantize):
            raise TrainingError("--fast fits a head alone: leave --full and --quantize out")
        if self.quantize and self.config.full:
            raise TrainingError("--full trains the weights themselves: leave --quantize out")
        if locate(self.base).adapter is not None and not self.config.full:
            raise TrainingError(
                f"{self.base} is an adapter itself; train its base on both tables, or go on from it with --full"
            )
        if self.out.exists() and not self.overwrite:
            raise TrainingError(f"{self.out} exists; take another --out, or --overwrite")
        check_model_folder(self.out, overwrite=True)
        check_place(self.work, is_folder=True)
        if self.work.exists() and not (self.resume or self.overwrite):
            raise TrainingError(f"{self.work} holds an unfinished training; --resume or --overwrite it")

    def _load_base(self) -> Assessor:
        if self.fast:
            base = Assessor.from_pretrained(self.base, fast=True, device=self.device)
            check_base(_head_of(base))
            return base
        local, device = os.environ.get("LOCAL_RANK"), self.device
        if device == "auto" and local is not None and torch.cuda.is_available():
            device = f"cuda:{local}"  # of several processes each has its own card, as accelerate numbers them
        # weights that are trained themselves need all their bits
        precision = self.quantize or ("fp32" if self.config.full else "auto")
        return Assessor.from_pretrained(self.base, precision=precision, device=device)

    def _begin_work(self, base: Assessor, objective: Objective) -> None:
        """Make the work folder, or see that it holds this same training."""
        same = {
            "table": table_hash(objective.table),
            "model": base.model_id,
            "prompt": base.prompt_id,
            "recipe": self.config.as_json(),
            "quantize": self.quantize,
        }
        file = self.work / "call.json"
        if self.resume and file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            other = sorted(key for key in same if known.get(key) != same[key])
            if other:
                difference = f"another training ({', '.join(other)} differ)"
                raise TrainingError(f"{self.work} holds {difference}; give the same arguments, or --overwrite")
            return
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        file.write_text(json.dumps(same), encoding="utf-8")

    def _train(
        self, base: Assessor, objective: Objective, callbacks: Sequence[TrainerCallback]
    ) -> list[dict[str, float]]:
        """Train adapters or weights, write them, and give the curve."""
        config, network = self.config, base.rater.backbone.model
        if config.full:
            train_everything(network, tower=config.tower)
        else:
            torch.manual_seed(config.seed)  # adapters begin at random
            network = with_lora(
                network, rank=config.rank, alpha=config.alpha, dropout=config.dropout, tower=config.tower
            )
        curve = train(base, objective, config, self.work / "steps", callbacks)
        if is_first_process():
            shutil.rmtree(self.finished, ignore_errors=True)
            prompt = prompt_file(self.base)
            if config.full:
                save_full(base.rater.backbone, self.base, prompt, self.finished)
            else:
                save_adapter(network, self.base, prompt, self.finished)
        return curve

    def _fit_corrections(self, result: Assessor, objective: Objective) -> None:
        """Fit the ridge residual of trained weights, then the calibration."""
        backbone = result.rater.backbone
        # else it is not known which tokens of the prompt are the image's
        if self.config.ridge and backbone.image_token_id is not None:
            residual_head = objective.fit_ridge(result)
            if residual_head is not None:
                residual_head.save(self.finished)
                result.rater.residual_head = residual_head
        result.calibration = objective.calibrate(result)
        if result.calibration is not None:
            result.calibration.save(self.finished)
        # both are part of the identity
        of_base, plus, _ = backbone.model_id.rpartition("+")
        backbone.model_id = f"{of_base}{plus}{identity_of(self.finished)}"

    def _publish(
        self, base_name: str, result: Assessor, objective: Objective, curve: list[dict[str, float]]
    ) -> EvaluationReport | PreferenceReport | None:
        """Measure the result, give its folder the figures and a card, and put it in its place."""
        report = objective.report(result)
        settings: dict[str, Any] = {"fast": True, "seed": self.config.seed}
        if not self.fast:
            settings = self.config.as_json() | {"quantize": self.quantize}
        record = TrainingRecord(
            name=self.out.name,
            inspection=objective.inspection,
            base=base_name,
            model_id=result.model_id,
            prompt_id=result.prompt_id,
            settings=settings,
            curve=curve,
            before=objective.before if isinstance(objective, RatingObjective) else None,
            report=report,
            calibrated=result.calibration.n if result.calibration is not None else 0,
            terms=self.terms,
            base_terms=self.base_terms,
        )
        (self.finished / "README.md").write_text(finetuned_card(record), encoding="utf-8")
        figures = json.dumps(record.as_json(), indent=1) + "\n"
        (self.finished / "training.json").write_text(figures, encoding="utf-8")
        put_in_place(self.finished, self.out)
        shutil.rmtree(self.work)
        return report


def finetune(
    ratings: RatingTable | PreferenceTable | str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    **settings: Any,
) -> EvaluationReport | PreferenceReport | None:
    """Finetune a model on ratings or pairs, and write it to a folder.

    Args:
        ratings: a table, or the name of a file with ratings, whose relative paths start from the folder ``images``.
        settings: further attributes of :class:`FinetuneJob`.

    Raises:
        RatingsError: for a file that cannot be read.
        TrainingError: for a job that cannot be done.
    """
    if isinstance(ratings, str | Path):
        ratings = read_ratings(ratings, images)
    return FinetuneJob(ratings, Path(out), **settings).run()


def _head_of(base: Assessor) -> FastScorer:
    if not isinstance(base.head, FastScorer):
        raise TrainingError(f"{base.model_id} has no fast head that can be trained")
    return base.head


def is_first_process() -> bool:
    """Whether this is the only process, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def _say_inspection(found: RatingsInspection | PairsInspection, say: Callable[[str], None]) -> None:
    """The first few images that cannot be opened, and how many examples each split has."""
    for path, why in islice(found.errors.items(), MAX_LISTED_ERRORS):
        say(f"left out: {path}: {why}")
    if isinstance(found, PairsInspection) and found.straddling:
        say(f"left out: {found.straddling} pairs between images of two splits")
    say(f"{', '.join(f'{n} {name}' for name, n in found.counts.items())} {found.noun}")
