"""From a table of ratings to a checkpoint folder with its calibration and its card."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback
from vlm_aes.prompts import prompt_file

from vlm_aes import calibration, splits
from vlm_aes.assessor import NANO, Assessor, terms_of
from vlm_aes.backbones.loading import locate
from vlm_aes.evaluate import EvaluateError, Report, evaluate
from vlm_aes.hub.fetching import fetched
from vlm_aes.images import Picture, PictureError, open_picture
from vlm_aes.rated import RatedTable

from .adapters import train_everything, with_lora
from .card import Run, card
from .checkpoint import save_adapter, save_full
from .examples import Examples
from .targets import targets
from .training import Recipe, train

BATCH = 16
FEWEST_TO_CHOOSE = 5
"""Validation pictures below which the best step cannot be told from the others."""


class FinetuneError(ValueError):
    """A training that cannot begin or go on, and what to do."""


@dataclass(frozen=True)
class Call:
    """What is trained on what, and where it goes.

    Attributes:
        table: rated pictures.
        out: folder of the result; work in progress is in ``OUT.part``.
        model: as for :meth:`vlm_aes.Assessor.from_pretrained`.
        quantize: ``4bit`` or ``8bit`` base under adapters; empty for none.
        validation, test: shares of the pictures, where the table brings no split of its own.
        terms: of the ratings, in words, for the card.
    """

    table: RatedTable
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


@dataclass(frozen=True)
class Survey:
    """What a first look at every picture of a table found.

    Attributes:
        table: with the pictures that can be opened, and the split of each.
        errors: path to why it cannot be.
        duplicates: pictures that are a version of an earlier one.
        leaked: pictures outside training with a version in training; nothing but a split of the
            user's own can have any.
    """

    table: RatedTable
    errors: dict[str, str]
    duplicates: int
    leaked: int


def survey(table: RatedTable, validation: float, test: float, seed: int) -> Survey:
    """Open every picture, find versions of the same, and split what has no split of its own.

    Raises:
        FinetuneError: where too little is left to train on and to choose by.
    """
    good, contents, hashes = [], [], []
    errors: dict[str, str] = {}
    for i in range(len(table)):
        picture = open_picture(table.source(i), needed_side=64)
        if isinstance(picture, PictureError):
            errors[table.ratings[i].path] = str(picture)
            continue
        good.append(i)
        contents.append(picture.sha256)
        hashes.append(splits.perceptual_hash(picture.image))
    found = table.select(good)
    alike = splits.same(contents) + splits.near_duplicates(hashes)
    looks = splits.clusters(len(good), alike)
    links = alike + splits.same([r.group for r in found.ratings])
    cluster = splits.clusters(len(good), links)
    sides = [r.split for r in found.ratings]
    if not any(sides):
        try:
            sides = splits.split(cluster, contents, validation=validation, test=test, seed=seed)
        except ValueError as error:
            raise FinetuneError(str(error)) from None
    elif not all(sides):
        row = next(r.row for r in found.ratings if not r.split)
        raise FinetuneError(
            f"{table.name}, row {row}, column split: empty; give every picture a split, or none"
        )
    found = replace(
        found,
        ratings=[replace(r, split=side) for r, side in zip(found.ratings, sides, strict=True)],
    )
    counts = {name: len(found.of_split(name)) for name in ("train", "validation", "test")}
    if counts["train"] < 2 or counts["validation"] < FEWEST_TO_CHOOSE:
        said = ", ".join(f"{n} for {name}" for name, n in counts.items())
        raise FinetuneError(
            f"{table.name}: {said}; at least 2 to train on and {FEWEST_TO_CHOOSE} for validation "
            "are needed"
        )
    return Survey(found, errors, len(good) - len(set(looks.tolist())), splits.leaks(cluster, sides))


def finetune(
    call: Call,
    say: Callable[[str], None] = lambda line: None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Report | None:
    """Train, choose by validation, calibrate, measure on the test pictures, write the folder.

    Args:
        say: gets a line of progress now and then.
        callbacks: for the Trainer.

    Returns:
        The figures on the test pictures; nothing where there are none, or in other processes than
        the first of several.

    Raises:
        FinetuneError: for a call that cannot be done.
        vlm_aes.backbones.CheckpointError: for a base that cannot be used.
    """
    model = NANO if call.model is None else call.model
    fetched_folder, _ = fetched(model)
    model = fetched_folder if isinstance(fetched_folder, Path) else model
    _check(call, model)
    work = call.out.parent / f"{call.out.name}.part"
    looked = survey(call.table, call.validation, call.test, call.recipe.seed)
    table = looked.table
    for path, why in list(looked.errors.items())[:5]:
        say(f"left out: {path}: {why}")
    rows = {name: table.of_split(name) for name in ("train", "validation", "test")}
    say(", ".join(f"{len(r)} {name}" for name, r in rows.items()) + " pictures")
    assessor = Assessor.from_pretrained(model, precision=_precision(call), device=_device(call))
    first = int(os.environ.get("RANK", "0")) == 0
    if first:
        _begin(work, call, table, assessor)
    before = _measured(assessor, table, rows["test"], facts=False)
    network = assessor.rater.backbone.model
    if call.recipe.full:
        train_everything(network, tower=call.recipe.tower)
    else:
        torch.manual_seed(call.recipe.seed)  # adapters begin at random
        adapted = with_lora(
            network, rank=call.recipe.rank, alpha=call.recipe.alpha,
            dropout=call.recipe.dropout, tower=call.recipe.tower,
        )  # fmt: skip
    wanted = targets(table, call.recipe.labels)
    curve = train(
        assessor,
        Examples(assessor, table, wanted, rows["train"]),
        Examples(assessor, table, wanted, rows["validation"]),
        call.recipe,
        work / "steps",
        [_Said(say), *callbacks],
    )
    if not first:
        return None
    # inside, the folder has the name that it will have: the name is part of the identity
    made = work / "made" / call.out.name
    shutil.rmtree(made, ignore_errors=True)
    prompt = prompt_file(model)
    if call.recipe.full:
        save_full(assessor.rater.backbone, model, prompt, made)
    else:
        save_adapter(adapted, model, prompt, made)
    trained = Assessor.from_pretrained(made, device=call.device)
    calibrated = _calibrate(trained, table, rows["validation"], made)
    # read anew, because what is beside the weights is part of the identity
    trained = Assessor.from_pretrained(made, device=call.device)
    chosen = rows["test"] if len(rows["test"]) else rows["validation"]
    report = _measured(trained, table, chosen, facts=True, others=table.select(rows["train"]))
    run = Run(
        name=call.out.name, table=table, table_hash=_hash_of(table), counts={
            name: len(r) for name, r in rows.items()}, errors=looked.errors,
        duplicates=looked.duplicates, leaked=looked.leaked, own_split=any(
            r.split for r in call.table.ratings), base=_base_name(model, assessor),
        model_id=trained.model_id, prompt_id=trained.prompt_id, recipe=asdict(call.recipe)
        | {"learning_rate": call.recipe.rate, "quantize": call.quantize},
        curve=curve, before=before, after=report, measured_on="test" if len(rows["test"])
        else "validation", calibrated=calibrated, terms=call.terms,
        base_terms=terms_of(Path(model)) if Path(model).is_dir() else "",
    )  # fmt: skip
    (made / "README.md").write_text(card(run), encoding="utf-8")
    (made / "training.json").write_text(json.dumps(run.as_json(), indent=1) + "\n")
    _put(made, call.out)
    shutil.rmtree(work)
    return report


def _check(call: Call, model: str | Path) -> None:
    if call.quantize and call.recipe.full:
        raise FinetuneError("--full trains the weights themselves: it cannot go with --quantize")
    if locate(model).adapter is not None and not call.recipe.full:
        raise FinetuneError(
            f"{model} is an adapter itself; train its base on both tables, or go on from it with "
            "--full"
        )
    if call.out.exists() and not call.overwrite:
        raise FinetuneError(f"{call.out} exists; take another --out, or --overwrite")
    work = call.out.parent / f"{call.out.name}.part"
    if work.exists() and not (call.resume or call.overwrite):
        raise FinetuneError(f"{work} holds an unfinished training; --resume or --overwrite it")


def _begin(work: Path, call: Call, table: RatedTable, assessor: Assessor) -> None:
    """Make the work folder, or see that it is one of the same training."""
    same = {
        "table": _hash_of(table), "model": assessor.model_id, "prompt": assessor.prompt_id,
        "recipe": asdict(call.recipe), "quantize": call.quantize,
    }  # fmt: skip
    file = work / "call.json"
    if call.resume and file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
        other = sorted(k for k in same if known.get(k) != same[k])
        if other:
            raise FinetuneError(
                f"{work} holds another training ({', '.join(other)} differ); give the same "
                "arguments, or --overwrite"
            )
        return
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    file.write_text(json.dumps(same), encoding="utf-8")


def _hash_of(table: RatedTable) -> str:
    """A short hash of what was said of which picture, and of the split."""
    digest = hashlib.sha256(repr((table.scale, table.transform)).encode())
    for rating in table.ratings:
        digest.update(repr(rating).encode())
    return digest.hexdigest()[:12]


def _precision(call: Call) -> str:
    # weights that are trained themselves need all their bits
    return call.quantize or ("fp32" if call.recipe.full else "auto")


def _device(call: Call) -> str:
    """Of one of several processes: its own card, as accelerate numbers them."""
    local = os.environ.get("LOCAL_RANK")
    if call.device == "auto" and local is not None and torch.cuda.is_available():
        return f"cuda:{local}"
    return call.device


def _base_name(model: str | Path, assessor: Assessor) -> str:
    return f"{'nano' if model == NANO else model} ({assessor.model_id})"


def _measured(
    assessor: Assessor, table: RatedTable, rows: Any, *, facts: bool,
    others: RatedTable | None = None,
) -> Report | None:  # fmt: skip
    try:
        return evaluate(assessor, table.select(rows), others=others, facts=facts)
    except EvaluateError:
        return None


def _pictures(table: RatedTable, rows: Any, assessor: Assessor) -> Iterator[list[Picture]]:
    for start in range(0, len(rows), BATCH):
        opened = [
            open_picture(table.source(int(i)), needed_side=assessor.needed_side)
            for i in rows[start : start + BATCH]
        ]
        yield [picture for picture in opened if isinstance(picture, Picture)]


def _calibrate(assessor: Assessor, table: RatedTable, rows: Any, folder: Path) -> int:
    """Fit the calibration on the validation pictures; gives how many, or 0 where they are too
    few."""
    if len(rows) < calibration.FEWEST:
        return 0
    asked = assessor.rating_attributes
    found = np.concatenate([
        [[a.score, *a.attributes.values()]
         for a in assessor.assess_pictures(batch, attributes=True)]
        for batch in _pictures(table, rows, assessor)
    ])  # fmt: skip
    try:
        calibration.fit(
            found[:, 0], table.select(rows).scores(), prompt=assessor.prompt.id,
            reference=table.name, attributes=dict(zip(asked, found[:, 1:].T, strict=True)),
        ).save(folder)  # fmt: skip
    except calibration.CalibrationError:
        return 0
    return len(rows)


def _put(made: Path, out: Path) -> None:
    """The finished folder in its place; what was there goes only when the new one stands."""
    old = out.parent / f".{out.name}.old"
    if out.exists():
        shutil.rmtree(old, ignore_errors=True)
        out.replace(old)
    made.replace(out)
    shutil.rmtree(old, ignore_errors=True)


class _Said(TrainerCallback):  # type: ignore[misc]
    """A line for each measuring."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any
    ) -> None:
        if metrics and state.is_world_process_zero:
            self.say(
                f"step {state.global_step} of {state.max_steps}: validation SRCC "
                f"{metrics['eval_srcc']:.3f}, PLCC {metrics['eval_plcc']:.3f}"
            )
