"""Train the edit comparator: which of two versions of an image is better.

Photos as their makers left them, and with a corruption of a known kind (:mod:`.corruptions`), are
edited in every way that suggestions try. An edit that undoes the corruption is better. One that
makes it worse, or answers another, is not, and no edit is better than the photo as it was. The
head's tower embeds every version once; a small layer learns from the embeddings.

    python -m finetune.edit_comparator.train --data PARA --checkpoint DIR [--photos 2400]

What an edit needs before it is suggested is fitted afterwards, on other photos:
``finetune.edit_comparator.thresholds --fit 480 --keep``.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from finetune.edit_comparator.corruptions import CORRUPTIONS, UNCLEAR, Corruption, none
from finetune.photos import draw_photos, random_of
from vlm_aes import measure as facts
from vlm_aes.models.heads import FastScorer, load_head
from vlm_aes.models.heads.edit_comparator import EditComparatorHead
from vlm_aes.suggest.edits import EDIT_CLASSES, edits
from vlm_aes.suggest.engine import at_trial_size, edited_versions, mirror

_BATCH = 32


@dataclass(frozen=True)
class ComparedEdits:
    """N edits, as a tower sees them.

    Attributes:
        after, before: (2, N, D) embeddings in fp16, of the versions and of their mirror images.
        kinds: (N,) indices into ``EDIT_CLASSES``.
        right: (N,) whether the edit is the better version.
    """

    after: NDArray[np.float16]
    before: NDArray[np.float16]
    kinds: NDArray[np.int64]
    right: NDArray[np.int64]


def compare_edits(head: FastScorer, photos: Sequence[tuple[str, Image.Image]]) -> ComparedEdits:
    """Every edit of each photo, as it is and with one corruption; which, and how strong, its id
    decides."""
    parts = []
    for number, (image_id, image) in enumerate(photos):
        rng = random_of("versions", image_id)
        plain = at_trial_size(image)
        parts += [_edited(head, made(plain, rng)) for made in (none, CORRUPTIONS[number % len(CORRUPTIONS)])]
    return ComparedEdits(
        np.concatenate([p.after for p in parts], axis=1),
        np.concatenate([p.before for p in parts], axis=1),
        np.concatenate([p.kinds for p in parts]),
        np.concatenate([p.right for p in parts]),
    )


def _edited(head: FastScorer, corruption: Corruption) -> ComparedEdits:
    changed = corruption.image
    tried = [(e, corruption.judge(e)) for e in edits(changed, facts.measure(changed))]
    tried = [(edit, judged) for edit, judged in tried if judged != UNCLEAR]
    pairs = edited_versions(changed, [edit.parameters for edit, _ in tried])
    shown = {id(one): one for pair in pairs for one in pair}
    every = [*shown.values(), *map(mirror, shown.values())]
    looks = [head.scores_and_embeddings(every[i : i + _BATCH])[1] for i in range(0, len(every), _BATCH)]
    states = np.concatenate(looks).astype(np.float16).reshape(2, len(shown), -1)
    row = {one: i for i, one in enumerate(shown)}
    return ComparedEdits(
        states[:, [row[id(after)] for after, _ in pairs]],
        states[:, [row[id(before)] for _, before in pairs]],
        np.array([EDIT_CLASSES.index(e.edit_class) for e, _ in tried], dtype=np.int64),
        np.array([judged for _, judged in tried], dtype=np.int64),
    )


def learn(
    compared: ComparedEdits,
    *,
    epochs: int = 4,
    batch_size: int = 512,
    learning_rate: float = 2e-3,
    weight_decay: float = 0.3,
    rarity: float = 0.7,
    seed: int = 0,
) -> EditComparatorHead:
    """The layer that tells right edits from wrong ones, by logistic regression.

    Args:
        rarity: power of a class's size by which each (kind, right or wrong) is weighed down: 0 weighs every edit
            alike, 1 every class.
        seed: the same seed gives the same layer.
    """
    torch.manual_seed(seed)
    versions = EditComparatorHead(compared.after.shape[-1], EDIT_CLASSES)
    after, before = (torch.from_numpy(side).float() for side in (compared.after, compared.before))
    versions.standardise(torch.cat([after[0], before[0]]))
    kinds, right = torch.from_numpy(compared.kinds), torch.from_numpy(compared.right).float()
    weights = torch.from_numpy(_weights(compared, rarity)).float()
    optimizer = torch.optim.AdamW(versions.parameters(), weight_decay=weight_decay)
    rng = np.random.default_rng(seed)
    batches = list(_batches(len(kinds), epochs, batch_size, rng))
    versions.train()
    for step, rows in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / len(batches)))
        way = int(rng.integers(2))
        found = versions(after[way, rows], before[way, rows], kinds[rows])
        losses = F.binary_cross_entropy_with_logits(found, right[rows], reduction="none")
        optimizer.zero_grad()
        loss = (losses * weights[rows]).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
    return versions.eval()


def _batches(n: int, epochs: int, batch_size: int, rng: np.random.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(n))
        yield from torch.split(order, batch_size)


def _weights(compared: ComparedEdits, rarity: float) -> NDArray[np.float64]:
    """(N,) with mean 1."""
    classes = 2 * compared.kinds + compared.right
    weights = np.bincount(classes, minlength=2 * len(EDIT_CLASSES))[classes] ** -rarity
    found: NDArray[np.float64] = weights / weights.mean()
    return found


def auc_by_kind(versions: EditComparatorHead, compared: ComparedEdits) -> dict[str, float]:
    """Of each kind, how often a right edit gets higher odds than a wrong one: the area under the
    ROC curve; a kind without both is left out."""
    kinds = [EDIT_CLASSES[k] for k in compared.kinds]
    odds = sum(versions.log_odds(a, b, kinds) for a, b in zip(compared.after, compared.before, strict=True))
    found = {}
    for number, kind in enumerate(EDIT_CLASSES):
        rows = compared.kinds == number
        if len(set(compared.right[rows])) == 2:
            found[kind] = float(roc_auc_score(compared.right[rows], np.asarray(odds)[rows]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True, help="with a fast head")
    parser.add_argument("--photos", type=int, default=2400, help="training photos")
    parser.add_argument("--tuning", type=int, default=200, help="photos to measure on")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    head = load_head(a.checkpoint, precision="fp32")
    compared = compare_edits(head, draw_photos(a.data, "training", a.photos))
    versions = learn(compared, seed=a.seed)
    held = compare_edits(head, draw_photos(a.data, "tuning", a.tuning))
    figures = {"edits": len(compared.kinds), "right": int(compared.right.sum())}
    print(json.dumps({**figures, "told apart": auc_by_kind(versions, held)}, indent=1))
    versions.save(head.folder)


if __name__ == "__main__":
    main()
