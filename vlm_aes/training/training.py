"""Training on examples with the transformers Trainer: losses, steps, the best one, resume."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from vlm_aes.assessor import Assessor
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats import metrics
from vlm_aes.training import losses
from vlm_aes.training.examples import IGNORED, Collator

SMOKE_STEPS = 10
MOST_STEPS_APART = 500
"""Steps after which training is measured and kept, where an epoch is longer."""


@dataclass(frozen=True)
class Recipe:
    """The dials of a training on ratings.

    Attributes:
        epochs, batch_size, accumulate: passes; pictures a forward pass; passes a step.
        learning_rate: 0 for the usual one: 5e-4 with adapters, 2e-5 in full.
        full: train the weights themselves, not adapters.
        tower: train tower and projector too.
        rank, alpha, dropout: of the adapters.
        labels: see :func:`.targets.targets`.
        rating_weight, rank_weight, critique_weight: of the losses.
        line: fit a line beside what is trained (:mod:`.beside`).
        checkpointing: spend time to save memory.
        smoke: stop after ten steps.
    """

    epochs: float = 4
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 0.0
    warmup: float = 0.05
    weight_decay: float = 0.01
    full: bool = False
    tower: bool = False
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    labels: str = "raters"
    rating_weight: float = 1.0
    rank_weight: float = 1.0
    critique_weight: float = 0.05
    line: bool = True
    checkpointing: bool = False
    smoke: bool = False
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate in use."""
        return self.learning_rate or (2e-5 if self.full else 5e-4)


class RatingModel(nn.Module):
    """A checkpoint that answers with its losses, so that it trains wherever a module does.

    Its state is what is trained and nothing else: a kept step of a 9B model with adapters takes
    megabytes.

    Args:
        assessor: with the checkpoint, whose weights are trained in place.
        recipe: for the weights of the losses.
    """

    def __init__(self, assessor: Assessor, recipe: Recipe) -> None:
        super().__init__()
        self.backbone = assessor.rater.backbone
        self.network = self.backbone.model
        self.word_ids = assessor.rater.word_ids
        self.recipe = recipe
        self.register_buffer("weights", torch.tensor(ratings.WEIGHTS) * 100, persistent=False)

    def train(self, mode: bool = True) -> RatingModel:
        """Training mode, in which running statistics stay: batches are too small to make new
        ones, and inference uses the old."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The trained weights."""
        prefix = kwargs.get("prefix", "")
        return {prefix + name: p.detach() for name, p in self.named_parameters() if p.requires_grad}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:  # type: ignore[override]
        """Trained weights, all of them."""
        own = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if set(own) != set(state_dict):
            raise ValueError("these are not the weights of the same training")
        with torch.no_grad():
            for name, p in own.items():
                p.copy_(state_dict[name])
        return nn.modules.module._IncompatibleKeys([], [])

    def forward(
        self,
        rating: dict[str, Tensor],
        labels: Tensor | None = None,
        scores: Tensor | None = None,
        stds: Tensor | None = None,
        critique: dict[str, Tensor] | None = None,
        answers: Tensor | None = None,
        preferred: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """``loss``, and what the model ``found`` beside what was ``wanted``: (B,) scores, or for
        pairs, whose pictures stand one after the other, (B / 2,) differences and preferences."""
        hidden = self.backbone.hidden_states(rating)[:, -1]
        logits = self.backbone.logits_of(hidden, self.word_ids)
        found = logits.softmax(-1) @ self.get_buffer("weights")
        if preferred is not None:
            gap = found[0::2] - found[1::2]
            loss = losses.fidelity(losses.found_preferred(gap), preferred)
            return {"loss": loss, "found": gap, "wanted": preferred}
        assert labels is not None and scores is not None and stds is not None
        loss = self.recipe.rating_weight * losses.kl(logits, labels)
        if self.recipe.rank_weight:
            loss = loss + self.recipe.rank_weight * losses.rank(found, scores, stds)
        if critique is not None and answers is not None and self.recipe.critique_weight:
            loss = loss + self.recipe.critique_weight * self._critique_loss(critique, answers)
        return {"loss": loss, "found": found, "wanted": scores}

    def _critique_loss(self, inputs: dict[str, Tensor], answers: Tensor) -> Tensor:
        states = self.backbone.hidden_states(inputs)[:, :-1]
        following = answers[:, 1:]
        # only where a word of the critique follows: the vocabulary is what is large
        place = following != IGNORED
        head = self.network.get_output_embeddings()
        logits = self.backbone.scaled(head(states[place]).float())
        return F.cross_entropy(logits, following[place])


class RatingTrainer(Trainer):
    """The transformers Trainer, told where loss and scores are."""

    model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        """The module's own loss."""
        outputs = model(**inputs)
        return (outputs["loss"], outputs) if return_outputs else outputs["loss"]

    def prediction_step(
        self, model: Any, inputs: Any, prediction_loss_only: bool, ignore_keys: Any = None
    ) -> Any:
        """Loss, what the model found, what people said."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad():
            outputs = model(**inputs)
        return tuple(outputs[name].detach() for name in ("loss", "found", "wanted"))


def _figures(predicted: Any) -> dict[str, float]:
    found, wanted = (np.asarray(a, dtype=np.float64) for a in predicted)
    if np.ptp(found) == 0 or np.ptp(wanted) == 0:
        return {"srcc": 0.0, "plcc": 0.0}
    return {"srcc": metrics.srcc(wanted, found), "plcc": metrics.plcc(wanted, found)}


@dataclass(frozen=True)
class Aim:
    """What a batch is made of, and what the best step is chosen by.

    Attributes:
        collator: from the id of the padding token to what makes a batch of examples.
        figures: from what the model found and what was wanted to figures.
        best: the figure that is to be high.
        pictures: in each example.
    """

    collator: Callable[[int], Callable[[Any], dict[str, Any]]]
    figures: Callable[[Any], dict[str, float]]
    best: str
    pictures: int = 1


RATINGS = Aim(Collator, _figures, "srcc")


def last_whole_step(work: Path) -> Path | None:
    """The folder of the last step that was kept to its end, None where there is none.

    A training killed while it keeps a step leaves a folder without a state of the trainer, which
    is written last, or with half of one; such folders are deleted.
    """
    folders = sorted(
        work.glob(f"{PREFIX_CHECKPOINT_DIR}-*"),
        key=lambda folder: int(folder.name.rpartition("-")[2]),
        reverse=True,
    )
    for folder in folders:
        try:
            TrainerState.load_from_json(str(folder / "trainer_state.json"))
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder
    return None


def train(
    assessor: Assessor,
    training: Dataset[Any],
    validation: Dataset[Any],
    recipe: Recipe,
    work: Path,
    aim: Aim = RATINGS,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train the assessor's checkpoint in place, and leave it at its best on the validation
    pictures.

    Goes on from the last step that ``work`` keeps; the same seed gives the same weights, whether
    or not it was interrupted.

    Returns:
        The curve: step, epoch, ``loss`` or the aim's figures, each with ``eval_`` before it.

    Raises:
        ValueError: where ``work`` holds a training of other weights.
    """
    torch.manual_seed(recipe.seed)
    model = RatingModel(assessor, recipe)
    if recipe.checkpointing:
        model.network.gradient_checkpointing_enable({"use_reentrant": False})
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batch = max(1, recipe.batch_size // aim.pictures)
    a_step = batch * recipe.accumulate * processes
    steps = min(-(-len(training) // a_step), SMOKE_STEPS // 2 if recipe.smoke else MOST_STEPS_APART)
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=recipe.epochs,
        max_steps=SMOKE_STEPS if recipe.smoke else -1,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=recipe.warmup,
        lr_scheduler_type="cosine",
        max_grad_norm=1.0,
        bf16=model.backbone.device.type == "cuda",
        use_cpu=model.backbone.device.type == "cpu",
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_steps=steps,
        eval_strategy="steps",
        eval_steps=steps,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=aim.best,
        greater_is_better=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    trainer = RatingTrainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=validation,
        data_collator=aim.collator(model.backbone.tokenizer.pad_token_id),
        compute_metrics=aim.figures,
        callbacks=list(callbacks),
    )
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    last = last_whole_step(work)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if recipe.checkpointing:
        model.network.gradient_checkpointing_disable()
    model.eval()
    return [{k: float(v) for k, v in line.items()} for line in trainer.state.log_history]
