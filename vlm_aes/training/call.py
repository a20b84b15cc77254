"""What is trained on what, and the folder that work in progress is kept in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sized
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from transformers import TrainerCallback

from vlm_aes.assessor import NANO, Assessor, terms_of
from vlm_aes.errors import TrainingError
from vlm_aes.models.hub.download import fetched
from vlm_aes.models.vlm.loading import locate
from vlm_aes.prompts import prompt_file
from vlm_aes.ratings.preferences import PreferenceTable
from vlm_aes.ratings.table import RatedTable
from vlm_aes.training.adapters import train_everything, with_lora
from vlm_aes.training.checkpoint import save_adapter, save_full
from vlm_aes.training.training import Recipe

Table = TypeVar("Table", bound=RatedTable | PreferenceTable)


@dataclass(frozen=True)
class Call(Generic[Table]):
    """What is trained on what, and where it goes.

    Attributes:
        table: rated pictures, or pairs.
        out: folder of the result; work in progress is in ``OUT.part``.
        model: as for :meth:`vlm_aes.Assessor.from_pretrained`.
        quantize: ``4bit`` or ``8bit`` base under adapters; empty for none.
        validation, test: shares of the pictures, where the table brings no split of its own.
        terms: of the ratings, in words, for the card.
    """

    table: Table
    out: Path
    recipe: Recipe
    model: str | Path | None = None
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
        folder, _ = fetched(self.model)
        return folder if isinstance(folder, Path) else self.model

    @property
    def work(self) -> Path:
        """Folder of the work in progress."""
        return self.out.parent / f"{self.out.name}.part"

    @property
    def base_terms(self) -> str:
        """Terms of the base's weights in short, where they are known."""
        return terms_of(Path(self.base)) if Path(self.base).is_dir() else ""

    def base_name(self, assessor: Assessor) -> str:
        """The base in words."""
        return f"{'nano' if self.model is None else self.model} ({assessor.model_id})"


def check(call: Call[Any]) -> None:
    """See that a call can be done.

    Raises:
        TrainingError: where it cannot.
    """
    if call.quantize and call.recipe.full:
        raise TrainingError("--full trains the weights themselves: it cannot go with --quantize")
    if locate(call.base).adapter is not None and not call.recipe.full:
        raise TrainingError(
            f"{call.base} is an adapter itself; train its base on both tables, or go on from it "
            "with --full"
        )
    if call.out.exists() and not call.overwrite:
        raise TrainingError(f"{call.out} exists; take another --out, or --overwrite")
    if call.work.exists() and not (call.resume or call.overwrite):
        raise TrainingError(f"{call.work} holds an unfinished training; --resume or --overwrite it")


def begin(call: Call[Any], table: RatedTable | PreferenceTable) -> Assessor:
    """Load the base and make the work folder, or see that it is one of the same training.

    Args:
        table: with its split.

    Raises:
        TrainingError: where the work folder holds another training.
    """
    # weights that are trained themselves need all their bits
    precision = call.quantize or ("fp32" if call.recipe.full else "auto")
    assessor = Assessor.from_pretrained(call.base, precision=precision, device=_device(call))
    if not is_first():
        return assessor
    same = {
        "table": hash_of(table), "model": assessor.model_id, "prompt": assessor.prompt_id,
        "recipe": asdict(call.recipe), "quantize": call.quantize,
    }  # fmt: skip
    file = call.work / "call.json"
    if call.resume and file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
        other = sorted(k for k in same if known.get(k) != same[k])
        if other:
            raise TrainingError(
                f"{call.work} holds another training ({', '.join(other)} differ); give the same "
                "arguments, or --overwrite"
            )
        return assessor
    shutil.rmtree(call.work, ignore_errors=True)
    call.work.mkdir(parents=True)
    file.write_text(json.dumps(same), encoding="utf-8")
    return assessor


def is_first() -> bool:
    """Whether this is the only process, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def _device(call: Call[Any]) -> str:
    """Of one of several processes: its own card, as accelerate numbers them."""
    local = os.environ.get("LOCAL_RANK")
    if call.device == "auto" and local is not None and torch.cuda.is_available():
        return f"cuda:{local}"
    return call.device


def hash_of(table: RatedTable | PreferenceTable) -> str:
    """A short hash of what was said of which picture, and of the split."""
    if isinstance(table, RatedTable):
        said: list[Any] = [(table.scale, table.transform), *table.ratings]
    else:
        said = [*table.paths, *table.pairs]
    digest = hashlib.sha256()
    for line in said:
        digest.update(repr(line).encode())
    return digest.hexdigest()[:12]


def made_trainable(call: Call[Any], assessor: Assessor) -> Any:
    """The base ready to be trained: a peft model, or nothing where its own weights are trained."""
    network = assessor.rater.backbone.model
    if call.recipe.full:
        train_everything(network, tower=call.recipe.tower)
        return None
    torch.manual_seed(call.recipe.seed)  # adapters begin at random
    return with_lora(
        network, rank=call.recipe.rank, alpha=call.recipe.alpha, dropout=call.recipe.dropout,
        tower=call.recipe.tower,
    )  # fmt: skip


def save_weights(call: Call[Any], assessor: Assessor, adapted: Any) -> Path:
    """Write what was trained into a folder inside the work folder; it has the name that it will
    have, because the name is part of the identity."""
    made = call.work / "made" / call.out.name
    shutil.rmtree(made, ignore_errors=True)
    prompt = prompt_file(call.base)
    if adapted is None:
        save_full(assessor.rater.backbone, call.base, prompt, made)
    else:
        save_adapter(adapted, call.base, prompt, made)
    return made


def finish(call: Call[Any], made: Path, card: str, numbers: dict[str, Any]) -> None:
    """Give the folder its card and its numbers, and put it in its place."""
    (made / "README.md").write_text(card, encoding="utf-8")
    text = json.dumps(numbers, indent=1) + "\n"
    (made / "training.json").write_text(text, encoding="utf-8")
    put(made, call.out)
    shutil.rmtree(call.work)


def put(made: Path, out: Path) -> None:
    """The finished folder in its place; what was there goes only when the new one stands."""
    old = out.parent / f".{out.name}.old"
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.replace(old)
    made.replace(out)
    shutil.rmtree(old, ignore_errors=True)


_WORDS = {"srcc": "SRCC", "plcc": "PLCC", "pair_accuracy": "pair accuracy"}


def say_left_out(errors: Mapping[str, str], say: Callable[[str], None]) -> None:
    """The first few pictures that cannot be opened, and why."""
    for path, why in list(errors.items())[:5]:
        say(f"left out: {path}: {why}")


def say_counts(rows: Mapping[str, Sized], what: str, say: Callable[[str], None]) -> None:
    """How many there are of each split."""
    say(", ".join(f"{len(r)} {name}" for name, r in rows.items()) + f" {what}")


class Said(TrainerCallback):  # type: ignore[misc]
    """A line for each measuring."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        if metrics and state.is_world_process_zero:
            told = [f"{words} {metrics[f'eval_{name}']:.3f}" for name, words in _WORDS.items()
                    if f"eval_{name}" in metrics]  # fmt: skip
            self.say(f"step {state.global_step} of {state.max_steps}: validation {', '.join(told)}")
