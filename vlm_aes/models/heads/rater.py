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

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import LoadedImage
from vlm_aes.models.heads.edit_comparator import EditComparatorHead
from vlm_aes.models.heads.folder import FOLDER, TOWER, About, find_head
from vlm_aes.models.heads.head import Head
from vlm_aes.models.heads.personal import Taste
from vlm_aes.models.heads.tower import Pixels, Tower, load_tower, own_tower, placed
from vlm_aes.models.hub.download import cached_identity
from vlm_aes.models.scorer import Floats, Scorer, Scores
from vlm_aes.models.vlm.loading import content_hash
from vlm_aes.ratings.scale import WORDS, score, tilted

LABEL = "fast-1"
"""What a head's ``calibration.json`` says that it holds for."""


class FastRater(Scorer):
    """Rating-word probabilities from a tower and a head.

    Attributes:
        folder: of the head.
        about: what its ``fast.json`` says.
        behind: the checkpoint around it, whose critiques go with its scores; nothing where it
            stands alone.
        taste: one person's, on top of the head's score; nothing for a head that has none.
        versions: tells which of two versions of a picture is better; nothing for a head that never
            learned it.
    """

    folder: Path

    label = LABEL

    def __init__(
        self, tower: Tower, head: Head, about: About, folder: Path, name: str,
        taste: Taste | None = None, versions: EditComparatorHead | None = None,
    ) -> None:  # fmt: skip
        self.tower = tower
        self.head = head
        self.taste = taste
        self.versions = versions
        self.about = about
        self.folder = folder
        inside = folder.name == FOLDER and (folder.parent / "config.json").is_file()
        self.behind = str(folder.parent) if inside else None
        digest = hashlib.sha256(f"{content_hash(folder)} {tower.weights_hash}".encode())
        self.model_id = cached_identity(folder) or f"{name}@{digest.hexdigest()[:12]}"
        self.prompt_id = f"{LABEL}@{tower.preprocessing}"
        self.needed_side = tower.needed_side
        self.apart = tower.model.device.type == "cpu"

    def read(self, picture: LoadedImage) -> Pixels:
        """What the tower reads of a picture; in any thread."""
        return self.pixels(picture.image)

    def pixels(self, image: Image.Image) -> Pixels:
        """The same of a picture that is open already."""
        return self.tower.pixels(image)

    @torch.inference_mode()
    def rate(self, looked: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        """Rate what the tower reads of each picture.

        Raises:
            RuntimeError: where the tower gives no number, as fp16 may when it overflows.
        """
        states = self.states(looked)
        return Scores(self.probabilities(states), states[:, 0].cpu().double().numpy())

    def states(self, pixels: Sequence[Pixels]) -> Tensor:
        """(B, 1, D) embeddings."""
        return self.tower.embed(pixels)[:, None]

    @torch.inference_mode()
    def scores_and_embeddings(
        self, images: Sequence[Image.Image]
    ) -> tuple[Floats, NDArray[np.float32]]:
        """(N,) scores, 0 to 100, and (N, D) embeddings of pictures that are open already."""
        states = self.states([self.pixels(image) for image in images])
        return score(self.probabilities(states))[:, 0], states[:, 0].float().cpu().numpy()

    @torch.inference_mode()
    def probabilities(self, states: Tensor) -> Floats:
        """Embeddings (B, 1, D) to probabilities (B, 1, 5), bad to excellent, with the taste in.

        Raises:
            RuntimeError: where the tower gives no number, as fp16 may when it overflows.
        """
        flat = states.flatten(0, -2)
        found = self.head(flat).cpu().double().softmax(-1).numpy()
        checked = Scores.checked(found, self.model_id).probabilities[:, 0]
        if self.taste is not None:
            checked = tilted(checked, self.taste.score(flat.cpu().numpy(), score(checked)))
        return checked.reshape(*states.shape[:-1], len(WORDS))


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
    place, dtype = placed(model, precision, device)
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
    versions = EditComparatorHead.load(folder, about.width)
    return FastRater(tower, head.to(place), about, folder, name, taste, versions)
