"""The one training loop: the transformers Trainer on a checkpoint, its steps, the best one, resume."""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from vlm_aes.assessor import Assessor
from vlm_aes.ratings import scale
from vlm_aes.training import losses
from vlm_aes.training.model_card import VALIDATION_METRICS

if TYPE_CHECKING:
    from vlm_aes.training.objective import Objective

SMOKE_STEPS = 10
MAX_STEPS_BETWEEN_EVALUATIONS = 500
"""Steps after which training is measured and saved, where an epoch is longer."""


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training.

    Attributes:
        epochs, batch_size, accumulate: passes; images a forward pass; forward passes a step.
        learning_rate: 0 for the usual one: 5e-4 with adapters, 2e-5 in full.
        full: train the weights themselves, not adapters.
        tower: train vision tower and projector too.
        rank, alpha, dropout: of the adapters.
        labels: one of :data:`.dataset.LABEL_KINDS`.
        loss_weights: loss to its weight, see :data:`.losses.LOSSES`.
        ridge: fit a ridge residual beside what is trained (:mod:`.ridge_residual`).
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
    loss_weights: Mapping[str, float] = field(default_factory=losses.default_weights)
    ridge: bool = True
    checkpointing: bool = False
    smoke: bool = False
    seed: int = 0

    @property
    def rate(self) -> float:
        """The learning rate in use."""
        return self.learning_rate or (2e-5 if self.full else 5e-4)

    def as_json(self) -> dict[str, Any]:
        """The settings as ``training.json`` keeps them."""
        settings = asdict(self) | {"learning_rate": self.rate, "line": self.ridge}
        del settings["ridge"], settings["loss_weights"]
        return settings | {f"{name}_weight": w for name, w in self.loss_weights.items()}


class RatingModel(nn.Module):
    """The checkpoint of an assessor, trained in place, as a module that gives its loss.

    Its state is what is trained and nothing else: a saved step of a 9B model with adapters takes megabytes.
    """

    accepts_loss_kwargs = False
    """Tells the Trainer that the loss is a mean over the batch."""

    def __init__(self, assessor: Assessor, config: TrainingConfig) -> None:
        super().__init__()
        self.backbone = assessor.rater.backbone
        self.network = self.backbone.model
        self.word_ids = assessor.rater.word_ids
        self.loss_weights = config.loss_weights
        self.register_buffer("points", torch.tensor(scale.LEVEL_WEIGHTS) * 100, persistent=False)

    def train(self, mode: bool = True) -> Self:
        """Training mode, in which running statistics stay: batches are too small to make new ones."""
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
        """Set the trained weights, all of them. Raises ValueError for weights of another training."""
        own = self.state_dict()
        if own.keys() != state_dict.keys():
            raise ValueError("these are not the weights of the same training")
        for name, weights in own.items():
            weights.copy_(state_dict[name])
        return nn.modules.module._IncompatibleKeys([], [])

    def forward(
        self, rating: dict[str, Tensor], critique: dict[str, Tensor] | None = None, **targets: Tensor
    ) -> dict[str, Tensor]:
        """``loss`` and ``prediction``: (B,) scores, or (B / 2,) differences of the scores of pairs.

        Takes inputs of the rating prompt (the two images of a pair stand side by side) and of the critiques, and
        :data:`.losses.Targets`.
        """
        hidden = self.backbone.hidden_states(rating)[:, -1]
        logits = self.backbone.token_logits(hidden, self.word_ids)
        scores = logits.softmax(-1) @ self.get_buffer("points")

        def critique_logits() -> tuple[Tensor, Tensor]:
            assert critique is not None
            states, tokens = self.backbone.hidden_states(critique)[:, :-1], targets["answers"][:, 1:]
            # only where a token of the critique follows: the vocabulary is what is large
            place = tokens != losses.IGNORED_TOKEN
            head = self.network.get_output_embeddings()
            return self.backbone.scale_logits(head(states[place]).float()), tokens[place]

        loss = losses.total(losses.Outputs(logits, scores, critique_logits), targets, self.loss_weights)
        return {"loss": loss, "prediction": losses.pair_gaps(scores) if "preferred" in targets else scores}


def last_whole_step(work: Path) -> Path | None:
    """The folder of the last step that was saved completely; None where there is none.

    A training killed while it saves leaves a folder without ``trainer_state.json``, which is written last, or with half
    of it. Such folders are deleted.
    """
    folders = work.glob(f"{PREFIX_CHECKPOINT_DIR}-*")
    for folder in sorted(folders, key=lambda folder: int(folder.name.rpartition("-")[2]), reverse=True):
        try:
            TrainerState.load_from_json(str(folder / "trainer_state.json"))
        except (OSError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        else:
            return folder
    return None


class ProgressCallback(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Says a line at each evaluation."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """Say the validation metrics."""
        if metrics and state.is_world_process_zero:
            known = {words: metrics.get(f"eval_{name}") for name, words in VALIDATION_METRICS.items()}
            values = ", ".join(f"{words} {value:.3f}" for words, value in known.items() if value is not None)
            self.say(f"step {state.global_step} of {state.max_steps}: validation {values}")


def train(
    assessor: Assessor,
    objective: "Objective",
    config: TrainingConfig,
    work: Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train the assessor's checkpoint in place, and leave it at its best validation step.

    Goes on from the last step saved in ``work``. The same seed gives the same weights, whether or not training was
    interrupted.

    Returns:
        The curve: step, epoch, ``loss`` or the objective's metrics, each with ``eval_`` before it.

    Raises:
        ValueError: where ``work`` holds a training of other weights.
    """
    torch.manual_seed(config.seed)
    model = RatingModel(assessor, config)
    if config.checkpointing:
        model.network.gradient_checkpointing_enable({"use_reentrant": False})
    training = objective.dataset(assessor, "train")
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    batch = max(1, config.batch_size // objective.images_per_example)
    steps_per_epoch = math.ceil(len(training) / (batch * config.accumulate * processes))
    steps = min(steps_per_epoch, SMOKE_STEPS // 2 if config.smoke else MAX_STEPS_BETWEEN_EVALUATIONS)
    arguments = TrainingArguments(
        output_dir=str(work),
        num_train_epochs=config.epochs,
        max_steps=SMOKE_STEPS if config.smoke else -1,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=batch,
        gradient_accumulation_steps=config.accumulate,
        learning_rate=config.rate,
        weight_decay=config.weight_decay,
        warmup_steps=config.warmup,
        lr_scheduler_type="cosine",
        bf16=model.backbone.device.type == "cuda",
        use_cpu=model.backbone.device.type == "cpu",
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=steps,
        eval_strategy="steps",
        save_steps=steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model=objective.best_metric,
        label_names=[objective.target],
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        log_level="error",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=training,
        eval_dataset=objective.dataset(assessor, "validation"),
        data_collator=partial(objective.collate, pad=model.backbone.tokenizer.pad_token_id),
        compute_metrics=objective.metrics,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    last = last_whole_step(work)
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    if config.checkpointing:
        model.network.gradient_checkpointing_disable()
    model.eval()
    return [{k: float(v) for k, v in line.items()} for line in trainer.state.log_history]
