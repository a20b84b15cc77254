"""Which of two pictures is better, asked of a checkpoint that can look at both at once."""

from __future__ import annotations

import math

from PIL import Image

from vlm_aes.errors import CheckpointError
from vlm_aes.models.vlm.rater import Rater

_MOST_SURE = 1e-6


class Pairwise:
    """Asks about two pictures in both orders: most models favour a place, and both orders together
    do not.

    Raises:
        CheckpointError: names why the checkpoint cannot be asked about two pictures.
    """

    def __init__(self, rater: Rater) -> None:
        self.rater = rater
        backbone, asked = rater.backbone, rater.prompt.pair
        if asked is None:
            raise CheckpointError(backbone.model_id, "its prompts hold no question about a pair")
        one, self.text = (
            backbone.render(
                asked.question,
                asked.stem,
                image_first=rater.prompt.image_first,
                system=rater.prompt.system,
                thinking=rater.prompt.thinking,
                pictures=pictures,
            )
            for pictures in (1, 2)
        )
        if len(self.text) <= len(one):
            raise CheckpointError(backbone.model_id, "its chat template takes one picture only")
        self.word_ids = rater.ids_after(self.text, asked.stem, asked.words)

    def preferred(self, a: Image.Image, b: Image.Image) -> float:
        """Probability, 0 to 1, that ``a`` is the better one: the mean log odds of both orders, so
        that ``preferred(b, a)`` is one minus this.

        Raises:
            CheckpointError: where its processor does not take two pictures.
        """
        backbone = self.rater.backbone
        try:
            inputs = backbone.encode([[a, b], [b, a]], [self.text] * 2)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            raise CheckpointError(
                backbone.model_id, f"its processor cannot take two pictures ({error})"
            ) from error
        first = self.rater.probabilities(backbone.last_hidden(inputs), self.word_ids)[:, 0]
        there, back = (math.log(max(p, _MOST_SURE) / max(1 - p, _MOST_SURE)) for p in first)
        return 1 / (1 + math.exp((back - there) / 2))
