"""Each image to the scorer for its kind: photos to one, drawings to another."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vlm_aes.errors import CheckpointError
from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.models.ensemble.ensemble import ScorerGroup
from vlm_aes.models.external.zero_shot import DualEncoder, load_dual_encoder
from vlm_aes.models.heads.head import MAX_DEVIATIONS
from vlm_aes.models.heads.vision_tower import Pixels, VisionTower, find_tower
from vlm_aes.models.pretrained import LoadOptions, read_config, text_hash
from vlm_aes.models.scorer import ColumnValue, Floats, Scorer, Scores
from vlm_aes.ratings.scale import LEVELS

MIN_IMAGES_PER_ROUTE = 10
"""Images of each kind that a route classifier can be trained on."""
_L2_PENALTY = 3.0


@dataclass(frozen=True)
class Route:
    """A kind of image, its scorer, and the prompts by which a dual encoder recognises it."""

    name: str
    scorer: Scorer
    prompts: tuple[str, ...] = ()


class RouteClassifier(ABC):
    """Recognises the kind of an image on a vision tower; its identity covers all that decides."""

    tower: VisionTower
    identity: str

    @abstractmethod
    def probabilities(self, pixels: Sequence[Pixels]) -> Floats:
        """(B, kinds) probabilities."""


class PromptRouteClassifier(RouteClassifier):
    """Recognises a kind by its prompts: those of a kind share its probability, which is that of CLIP's
    softmax over all of them."""

    def __init__(self, encoder: DualEncoder, prompts: Sequence[Sequence[str]]) -> None:
        self.tower = self._encoder = encoder
        self._texts = encoder.embed_texts([text for kind in prompts for text in kind])
        self._kinds = np.repeat(np.arange(len(prompts)), [len(kind) for kind in prompts])
        self.identity = f"{encoder.weights_hash} {json.dumps([list(kind) for kind in prompts])}"

    def probabilities(self, pixels: Sequence[Pixels]) -> Floats:
        logits = self._encoder.logits(self._encoder.embed_images(pixels), self._texts)
        each = logits.cpu().double().softmax(-1).numpy()
        kinds = range(int(self._kinds.max()) + 1)
        return np.stack([each[:, self._kinds == k].sum(1) for k in kinds], axis=1)


class TrainedRouteClassifier(RouteClassifier):
    """Logistic regression on a tower's standardised embedding, trained from a table of kinds."""

    def __init__(self, tower: VisionTower, weights: Mapping[str, Tensor]) -> None:
        self.tower = tower
        self.weights = dict(weights)
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(self.weights[name].numpy().tobytes())
        self.identity = f"{tower.weights_hash} {digest.hexdigest()[:12]}"

    def probabilities(self, pixels: Sequence[Pixels]) -> Floats:
        return self.from_embeddings(self.tower.embed(pixels).cpu())

    def from_embeddings(self, embeddings: Tensor) -> Floats:
        """(B, kinds) probabilities from (B, D) embeddings."""
        standard = _standardised(embeddings, self.weights["mean"], self.weights["scale"])
        logits = standard @ self.weights["weight"].T + self.weights["bias"]
        return np.asarray(logits.double().softmax(-1))

    @staticmethod
    def fit(tower: VisionTower, embeddings: Tensor, kinds: Sequence[int], n: int) -> TrainedRouteClassifier:
        """Fit to (N, D) embeddings and the number of each one's kind, 0 to ``n`` - 1, with a penalty for
        which a few dozen images are enough."""
        mean, scale = embeddings.mean(0), 1 / embeddings.std(0).clamp(min=1e-4)
        x = _standardised(embeddings, mean, scale)
        labels = torch.tensor(list(kinds))
        # each kind counts the same, however many images it has
        share = 1 / torch.bincount(labels, minlength=n).clamp(min=1)
        layer = torch.nn.Linear(x.shape[1], n)
        for parameter in layer.parameters():
            torch.nn.init.zeros_(parameter)
        optimizer = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            value = torch.nn.functional.cross_entropy(layer(x), labels, weight=share)
            value = value + _L2_PENALTY / len(x) * layer.weight.square().sum() / 2
            value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        trained = {name: parameter.detach() for name, parameter in layer.named_parameters()}
        return TrainedRouteClassifier(tower, {"mean": mean, "scale": scale, **trained})

    def save(self, file: Path, kinds: Sequence[str]) -> None:
        """Write it, with the names of the kinds and the hash of its tower."""
        metadata = {"kinds": json.dumps(list(kinds)), "tower": self.tower.weights_hash}
        save_file({k: v.contiguous() for k, v in self.weights.items()}, file, metadata)


def _standardised(embeddings: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    return ((embeddings - mean) * scale).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)


class Router(ScorerGroup):
    """Scores each image with the scorer for its kind, which the column ``route`` names. Raises ValueError
    for fewer than two routes, or two of one name."""

    columns = ("route",)

    def __init__(self, routes: Sequence[Route], classifier: RouteClassifier) -> None:
        self.names = [route.name for route in routes]
        if len(routes) < 2 or len(set(self.names)) < len(self.names):
            raise ValueError("a router has at least two routes, each with a name of its own")
        super().__init__([route.scorer for route in routes])
        self.classifier = classifier
        tower = classifier.tower
        models = [f"{route.name} {route.scorer.model_id}" for route in routes]
        self.model_id = f"router@{text_hash(' '.join([classifier.identity, *models]))}"
        prompts = [scorer.prompt_id for scorer in self.scorers]
        self.prompt_id = f"router-1@{text_hash(' '.join([tower.preprocessing, *prompts]))}"
        self.needed_side = max(tower.needed_side, self.needed_side)

    def preprocess(self, image: LoadedImage) -> list[Any]:
        """The input of the classifier, then of each scorer: the kind is not known yet."""
        return [self.classifier.tower.pixels(image.image), *super().preprocess(image)]

    def open(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, list[Any]] | ImageError:
        result = super().open(source, suffix, sha256)
        if isinstance(result, ImageError):
            return result
        image, inputs = result
        return image, [self.classifier.tower.pixels(image.image), *inputs]

    def score(self, inputs: Sequence[list[Any]], attributes: Sequence[str] = ()) -> Scores:
        kinds = self.classifier.probabilities([own[0] for own in inputs]).argmax(1)
        probabilities = np.zeros((len(inputs), 1 + len(attributes), len(LEVELS)))
        errors = [""] * len(inputs)
        names: list[ColumnValue] = [self.names[kind] for kind in kinds]
        for kind, scorer in enumerate(self.scorers):
            rows = np.flatnonzero(kinds == kind).tolist()
            if not rows:
                continue
            answer = scorer.score([inputs[i][1 + kind] for i in rows], attributes)
            probabilities[rows] = answer.probabilities
            for i, error in zip(rows, answer.errors or [""] * len(rows), strict=True):
                errors[i] = error
        return Scores(probabilities, columns={"route": names}, errors=errors)


def load_route_classifier(
    settings: Mapping[str, Any], routes: Sequence[Route], options: LoadOptions
) -> RouteClassifier:
    """The classifier of a rater file's table ``[judge]``: its ``model``, a dual encoder, where every route
    has prompts; or ``tower`` and ``weights``, trained by ``vlm-aes route``.

    Raises:
        CheckpointError: for one that cannot be loaded, or was trained on another tower.
        ValueError: for other settings.
    """
    if set(settings) == {"model"}:
        if not all(route.prompts for route in routes):
            raise ValueError("a judge with a model needs prompts for every route")
        name = options.resolve(str(settings["model"]))
        try:
            config = read_config(name)
        except Exception as error:
            raise CheckpointError(name, f"it has no configuration ({error})") from None
        encoder = load_dual_encoder(name, config, options)
        return PromptRouteClassifier(encoder, [route.prompts for route in routes])
    if set(settings) != {"tower", "weights"}:
        raise ValueError("a judge has a model, or a tower and weights")
    tower = find_tower(options.resolve(str(settings["tower"])), options)
    file = Path(options.resolve(str(settings["weights"])))
    try:
        with safe_open(file, "pt") as content:
            metadata = content.metadata() or {}
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        kinds = json.loads(metadata["kinds"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(file, f"it cannot be read as a judge ({error}); make it anew: vlm-aes route") from None
    if metadata["tower"] != tower.weights_hash:
        raise CheckpointError(file, "it was learned on another tower; make it anew: vlm-aes route")
    names = ", ".join(route.name for route in routes)
    if ", ".join(kinds) != names:
        raise CheckpointError(file, f"it tells {', '.join(kinds)}, in this order; the routes are {names}")
    return TrainedRouteClassifier(tower, weights)
