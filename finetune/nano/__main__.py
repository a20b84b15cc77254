"""Make nano from nothing: ``python -m vlm_aes.finetune.nano --data DIR --out DIR``.

Stages, each resumable and each with its log in ``--work``: photos decoded and spoiled; the tower
(:mod:`.tower`); facts measured; tokenizer, judgement and voice on cached tower features
(:mod:`.language`); the checkpoint written, loaded back through the package's own path, and
measured on the validation photos for its card (:mod:`.card`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax
from transformers import PreTrainedTokenizerFast
from vlm_aes.prompts import load_prompt

from vlm_aes.spoil import FAULTS

from .card import measure_and_write_card
from .checkpoint import build_model, save_checkpoint, train_tokenizer
from .language import (
    LanguageRecipe,
    Material,
    Student,
    answers_of,
    look,
    pooled_of,
    rating_targets,
    train_language,
)
from .photos import load_photos
from .remedies import drawn_step
from .residuals import predicted_attributes
from .told import Told, load_told, measure_photos, residuals_of
from .tower import TowerRecipe, TowerWithHeads, train_tower
from .voice import compose

PROMPT = Path(__file__).with_name("prompt.toml")
CORPUS = 20_000
"""Critiques that the tokenizer is made from."""


def corpus(material: list[Told], prompt_texts: list[str], seed: int) -> list[str]:
    """Texts for the tokenizer: every prompt, and composed critiques with their facts lines."""
    rng = np.random.default_rng(seed)
    texts = prompt_texts * 50
    for pick in rng.integers(0, len(material), CORPUS):
        told = material[pick]
        score = float(rng.uniform(5, 95))
        seen = told.seen(score, None, drawn_step(told.bands, rng))
        texts += [told.facts, " " + compose(seen, rng), f" {round(score)} of 100"]
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the rated photos")
    parser.add_argument("--work", type=Path, required=True, help="caches, states and logs")
    parser.add_argument("--out", type=Path, required=True, help="where the checkpoint goes")
    parser.add_argument("--prompt", type=Path, default=PROMPT)
    parser.add_argument("--epochs", type=int, default=TowerRecipe.epochs, help="of the tower")
    parser.add_argument("--small-epochs", type=int, default=TowerRecipe.small_epochs)
    parser.add_argument("--steps", type=int, default=LanguageRecipe.steps, help="of the language")
    parser.add_argument("--measured", type=int, default=10_000, help="photos for critiques")
    parser.add_argument("--critiques", type=int, default=500, help="validation photos to criticise")
    parser.add_argument(
        "--without",
        nargs="*",
        default=(),
        metavar="NAME",
        help="attributes and emotions not to learn, to measure what a taste takes",
    )
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    a.work.mkdir(parents=True, exist_ok=True)

    photos = load_photos(a.data, a.work / "cache").without(a.without)
    tower_recipe = TowerRecipe(epochs=a.epochs, small_epochs=a.small_epochs, seed=a.seed)
    tower_folder = a.work / "tower"
    if not (tower_folder / "tower.pt").exists():
        train_tower(photos, tower_folder, tower_recipe)
    stored = torch.load(tower_folder / "tower.pt", weights_only=True)
    eyes = TowerWithHeads(tower_recipe, photos.facts.shape[1])
    eyes.load_state_dict(stored["weights"])
    eyes.to(memory_format=torch.channels_last)

    scale = stored["scale"]
    seen_file = a.work / "cache" / "seen.pt"
    if not seen_file.exists():
        torch.save((look(eyes.tower, photos.pixels), look(eyes.tower, photos.spoiled)), seen_file)
    seen = torch.load(seen_file, weights_only=True)
    answers = answers_of(eyes, seen[0])
    mean, std = scale["aesthetic"]
    overall = answers["aesthetic"][:, 0] * std + mean
    pooled = pooled_of(seen[0]).numpy()
    attributes = predicted_attributes(photos, pooled, overall)
    # what the tower sees, not the few votes of one photo: only that can be learnt from pixels
    felt = softmax(answers["emotions"], axis=1)
    residuals, mood = residuals_of(photos, attributes, overall, felt)
    told_file = measure_photos(photos, a.data, a.work / "cache", a.measured, workers=2)
    told = load_told(told_file, residuals, mood)

    prompt = load_prompt(a.prompt)
    assert prompt.faults is not None
    asked = [prompt.question, *prompt.questions.values(), *prompt.stems.values(), prompt.stem]
    asked += [prompt.faults.question, prompt.faults.stem, *map(prompt.faults.line, FAULTS)]
    # kept, because a language model that goes on must find the words it began with
    tokenizer_folder = a.work / "tokenizer"
    if not tokenizer_folder.exists():
        trained = train_tokenizer(
            corpus(told, [*asked, prompt.critique], a.seed), prompt.faults.words.values()
        )
        trained.save_pretrained(tokenizer_folder)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tokenizer_folder)
    torch.manual_seed(a.seed)
    student = Student(build_model(tokenizer, tower_recipe, eyes.tower))
    recipe = LanguageRecipe(steps=a.steps, seed=a.seed)
    material = Material(
        photos,
        seen,
        rating_targets(photos, eyes, seen, attributes, scale, recipe),
        told,
    )
    language_folder = a.work / "language"
    language_folder.mkdir(exist_ok=True)
    train_language(student, tokenizer, prompt, material, language_folder, recipe)
    save_checkpoint(student.model, tokenizer, a.out)
    (a.out / "vlm_aes.toml").write_text(a.prompt.read_text(encoding="utf-8"), encoding="utf-8")
    measure_and_write_card(a.out, a.data, photos, a.work, a.critiques)


if __name__ == "__main__":
    main()
