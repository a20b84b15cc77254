"""The fast path's rater: pictures through a tower and a head, answering as the slow path does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlm_aes.backbones.errors import CheckpointError
from vlm_aes.backbones.loading import DTYPES, choose_device, content_hash
from vlm_aes.fast.folder import FOLDER, TOWER, About, find_head
from vlm_aes.fast.head import Head
from vlm_aes.fast.taste import Taste
from vlm_aes.fast.tower import Pixels, Tower, load_tower, own_tower
from vlm_aes.ratings import WORDS, score, tilted

LABEL = "fast-1"
"""What a head's ``calibration.json`` says that it holds for."""


class FastRater:
    """Rating-word probabilities from a tower and a head.

    Attributes:
        folder: of the head.
        about: what its ``fast.json`` says.
        behind: the checkpoint around it, whose critiques go with its scores; nothing where it
            stands alone.
        taste: one person's, on top of the head's score; nothing for a head that has none.
    """

    label = LABEL

    def __init__(
        self, tower: Tower, head: Head, about: About, folder: Path, name: str,
        taste: Taste | None = None,
    ) -> None:  # fmt: skip
        self.tower = tower
        self.head = head
        self.taste = taste
        self.about = about
        self.folder = folder
        inside = folder.name == FOLDER and (folder.parent / "config.json").is_file()
        self.behind = str(folder.parent) if inside else None
        digest = hashlib.sha256(f"{content_hash(folder)} {tower.weights_hash}".encode())
        self.model_id = f"{name}@{digest.hexdigest()[:12]}"
        self.prompt_id = f"{LABEL}@{tower.preprocessing}"

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough."""
        return self.tower.needed_side

    def pixels(self, image: Image.Image) -> Pixels:
        """What the tower reads of a picture; in any thread."""
        return self.tower.pixels(image)

    def states(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, 1, D) embeddings."""
        return self.tower.embed(pixels)[:, None]

    @torch.inference_mode()
    def probabilities(self, states: Tensor) -> NDArray[np.float64]:
        """Embeddings (B, 1, D) to probabilities (B, 1, 5), bad to excellent.

        Raises:
            RuntimeError: where the tower gives no number, as fp16 may when it overflows.
        """
        logits = self.head(states.flatten(0, -2))
        found: NDArray[np.float64] = logits.cpu().double().softmax(-1).numpy()
        if not np.isfinite(found).all():
            raise RuntimeError(f"{self.model_id} gives no number; use precision bf16 or fp32")
        if self.taste is not None:
            embeddings = states.flatten(0, -2).cpu().numpy()
            found = tilted(found, self.taste.score(embeddings, score(found)))
        return found.reshape(*states.shape[:-1], len(WORDS))


def load_head(
    model: str | Path, *, precision: str = "auto", device: str = "auto"
) -> FastRater:  # fmt: skip
    """The fast head that a folder is or holds, on its tower.

    Raises:
        CheckpointError: where there is none (names the command that makes one), or it was made for
            another tower.
    """
    folder = find_head(model)
    about = About.load(folder)
    if precision not in ("auto", *DTYPES):
        raise CheckpointError(
            model, f"precision {precision!r}: the fast path takes auto, {', '.join(DTYPES)}"
        )
    place = choose_device(device)
    dtype = DTYPES.get(precision) or (torch.bfloat16 if place.startswith("cuda") else torch.float32)
    if about.tower == "own":
        tower = own_tower(folder.parent, device=place, dtype=dtype)
    elif about.tower == TOWER:
        tower = load_tower(folder / TOWER, device=place, dtype=dtype)
    else:
        tower = load_tower(about.tower, revision=about.revision, device=place, dtype=dtype)
    if tower.weights_hash != about.tower_hash:
        raise CheckpointError(
            model, "its fast head was made for another vision tower than is there now; make it "
            "anew: vlm-aes distill",
        )  # fmt: skip
    resolved = folder.resolve()
    inside = resolved.name == FOLDER
    name = f"{resolved.parent.name}/{FOLDER}" if inside else resolved.name
    head, taste = Head.load(folder, about), Taste.load(folder, about.width)
    return FastRater(tower, head.to(place), about, folder, name, taste)
