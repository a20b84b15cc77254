"""Scores of the fast path: an image through a vision tower and a head."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads.edit_comparator import EditComparatorHead
from vlm_aes.models.heads.head import HEAD_FOLDER, OWN_TOWER, TOWER_FOLDER, HeadConfig, RatingHead, find_head
from vlm_aes.models.heads.residual_head import ResidualHead
from vlm_aes.models.heads.vision_tower import Pixels, TowerScorer, VisionTower, checkpoint_tower, load_tower
from vlm_aes.models.hub import cached_identity
from vlm_aes.models.pretrained import LoadOptions, content_hash, text_hash
from vlm_aes.models.scorer import Floats, Scores
from vlm_aes.ratings import scale

FAST_ID = "fast-1"
"""Name of this way of scoring, in prompt ids and in the ``calibration.json`` of a head."""


class FastScorer(TowerScorer):
    """Rating-word probabilities from a tower and the head in a folder; ``config`` is its ``fast.json``. Raises
    CheckpointError for files that do not fit.

    Attributes:
        residual_head: one person's correction of the head's score; None for a head without.
        edit_comparator: tells which of two versions of an image is better; None where it was not trained.
    """

    folder: Path
    calibration_id = FAST_ID

    def __init__(self, tower: VisionTower, config: HeadConfig, folder: Path) -> None:
        super().__init__(tower)
        self.head = RatingHead.load(folder, config).to(tower.model.device)
        self.residual_head = ResidualHead.load(folder, config.width)
        self.edit_comparator = EditComparatorHead.load(folder, config.width)
        self.config = config
        self.folder = folder
        inside = folder.name == HEAD_FOLDER and (folder.parent / "config.json").is_file()
        self.critique_model = str(folder.parent) if inside else None
        resolved = folder.resolve()
        name = f"{resolved.parent.name}/{HEAD_FOLDER}" if resolved.name == HEAD_FOLDER else resolved.name
        own_identity = f"{name}@{text_hash(f'{content_hash(folder)} {tower.weights_hash}')}"
        self.model_id = cached_identity(folder) or own_identity
        self.prompt_id = f"{FAST_ID}@{tower.preprocessing}"
        self.parallel = tower.model.device.type == "cpu"

    @torch.inference_mode()
    def score(self, inputs: Sequence[Pixels], attributes: Sequence[str] = ()) -> Scores:
        """Run tower and head; see :meth:`probabilities`."""
        embeddings = self.tower.embed(inputs)
        return Scores(self.probabilities(embeddings)[:, None], embeddings.cpu().double().numpy())

    @torch.inference_mode()
    def scores_and_embeddings(self, images: Sequence[Image.Image]) -> tuple[Floats, NDArray[np.float32]]:
        """(N,) scores, 0 to 100, and (N, D) embeddings of images that are open already."""
        embeddings = self.tower.embed([self.tower.pixels(image) for image in images])
        return scale.score(self.probabilities(embeddings)), embeddings.cpu().numpy()

    @torch.inference_mode()
    def probabilities(self, embeddings: Tensor) -> Floats:
        """(B, 5) probabilities, bad to excellent, from (B, D) embeddings; the residual head is in them.
        Raises RuntimeError where the tower gives no number, as fp16 may when it overflows."""
        shares = self.head(embeddings).cpu().double().softmax(-1).numpy()
        result = Scores.checked(shares, self.model_id).probabilities[:, 0]
        if self.residual_head is None:
            return result
        scores = self.residual_head.score(embeddings.cpu().numpy(), scale.score(result))
        return scale.reweighted(result, scores)


def load_head(model: str | Path, *, precision: str = "auto", device: str = "auto") -> FastScorer:
    """The fast head that a folder is or holds, on its tower. Raises CheckpointError where there is none
    (names the command that trains one), or it was trained on another tower."""
    folder = find_head(model)
    config = HeadConfig.load(folder)
    options = LoadOptions(precision, device, config.revision)
    if config.tower == OWN_TOWER:
        tower = checkpoint_tower(folder.parent, options)
    else:
        name = folder / TOWER_FOLDER if config.tower == TOWER_FOLDER else config.tower
        tower = load_tower(name, options)
    if tower.weights_hash != config.tower_hash:
        reason = "its fast head was made for another vision tower than is there now; make it anew: vlm-aes distill"
        raise CheckpointError(model, reason)
    return FastScorer(tower, config, folder)
