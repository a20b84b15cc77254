"""Each picture to the rater for its kind: photos to one, drawings to another."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig

from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import ImageError, LoadedImage
from vlm_aes.models.ensemble.members import looked_by
from vlm_aes.models.external.zero_shot import TwoTowers, load_two_towers
from vlm_aes.models.heads.tower import Pixels, Tower, load_tower, own_tower, placed
from vlm_aes.models.scorer import Floats, Scorer, Scores, Value
from vlm_aes.ratings.scale import WORDS

FEWEST = 10
"""Pictures of each kind that a judge can be trained on."""


@dataclass(frozen=True)
class Route:
    """Where one kind of picture goes.

    Attributes:
        prompts: what tells this kind to a judge of pictures and words.
    """

    name: str
    scorer: Scorer
    prompts: tuple[str, ...] = ()


class RouteClassifier(ABC):
    """Tells the kind of a picture.

    Attributes:
        tower: what reads the picture.
        identity: of all that decides.
    """

    tower: Tower
    identity: str

    @abstractmethod
    def shares(self, looked: Sequence[Pixels]) -> Floats:
        """(B, kinds) how probable each kind is."""


class PromptJudge(RouteClassifier):
    """By whose prompts a picture is nearest to: the prompts of a kind share its probability, which
    is that of CLIP's softmax over all of them."""

    def __init__(self, towers: TwoTowers, prompts: Sequence[Sequence[str]]) -> None:
        self.tower = self._towers = towers
        self._texts = towers.words([text for kind in prompts for text in kind])
        self._kinds = np.repeat(np.arange(len(prompts)), [len(kind) for kind in prompts])
        self.identity = f"{towers.weights_hash} {json.dumps([list(kind) for kind in prompts])}"

    @torch.inference_mode()
    def shares(self, looked: Sequence[Pixels]) -> Floats:
        """(B, kinds) how probable each kind is."""
        logits = self._towers.model.logit_scale.exp() * self._towers.look(looked) @ self._texts.T
        each = logits.cpu().double().softmax(-1).numpy()
        kinds = range(int(self._kinds.max()) + 1)
        return np.stack([each[:, self._kinds == k].sum(1) for k in kinds], axis=1)


class LearnedJudge(RouteClassifier):
    """A straight line over a tower's standardised embedding, learned from a table of kinds."""

    def __init__(self, tower: Tower, weights: Mapping[str, Tensor]) -> None:
        self.tower = tower
        self.weights = dict(weights)
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(self.weights[name].numpy().tobytes())
        self.identity = f"{tower.weights_hash} {digest.hexdigest()[:12]}"

    def shares(self, looked: Sequence[Pixels]) -> Floats:
        """(B, kinds) how probable each kind is."""
        return self.of(self.tower.embed(looked).cpu())

    def of(self, embeddings: Tensor) -> Floats:
        """The same from (B, D) embeddings."""
        standard = ((embeddings - self.weights["mean"]) * self.weights["scale"]).clamp(-10, 10)
        logits = standard @ self.weights["weight"].T + self.weights["bias"]
        found: Floats = logits.double().softmax(-1).numpy()
        return found

    @staticmethod
    def fit(tower: Tower, embeddings: Tensor, kinds: Sequence[int], n: int) -> LearnedJudge:
        """From (N, D) embeddings and the number of each one's kind, 0 to ``n`` - 1: logistic
        regression, with a penalty that lets a few dozen pictures do."""
        mean, scale = embeddings.mean(0), 1 / embeddings.std(0).clamp(min=1e-4)
        x = ((embeddings - mean) * scale).clamp(-10, 10)
        wanted = torch.tensor(list(kinds))
        # each kind counts the same, however many pictures it has
        share = 1 / torch.bincount(wanted, minlength=n).clamp(min=1)
        line = torch.nn.Linear(x.shape[1], n)
        torch.nn.init.zeros_(line.weight)
        torch.nn.init.zeros_(line.bias)
        steps = torch.optim.LBFGS(line.parameters(), max_iter=200, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            steps.zero_grad()
            found = torch.nn.functional.cross_entropy(line(x), wanted, weight=share)
            found = found + 3 / len(x) * line.weight.square().sum() / 2
            found.backward()  # type: ignore[no-untyped-call]
            return found

        steps.step(loss)  # type: ignore[no-untyped-call]
        return LearnedJudge(tower, {"mean": mean, "scale": scale, "weight": line.weight.detach(),
                                    "bias": line.bias.detach()})  # fmt: skip

    def save(self, file: Path, kinds: Sequence[str]) -> None:
        """Write it, with the names of the kinds and the tower that it was learned on."""
        about = {"kinds": json.dumps(list(kinds)), "tower": self.tower.weights_hash}
        save_file({k: v.contiguous() for k, v in self.weights.items()}, file, about)


class Router(Scorer):
    """Rates each picture with the rater for its kind, which the column ``route`` names.

    Raises:
        ValueError: for fewer than two routes, or two of one name.
    """

    columns = ("route",)

    def __init__(self, routes: Sequence[Route], judge: RouteClassifier) -> None:
        names = [route.name for route in routes]
        if len(routes) < 2 or len(set(names)) < len(names):
            raise ValueError("a router has at least two routes, each with a name of its own")
        self.routes = list(routes)
        self.judge = judge
        first = routes[0].scorer.attributes
        self.attributes = tuple(
            name for name in first if all(name in r.scorer.attributes for r in routes)
        )
        text = " ".join([judge.identity, *(f"{r.name} {r.scorer.model_id}" for r in routes)])
        self.model_id = f"router@{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        prompts = " ".join([judge.tower.preprocessing, *(r.scorer.prompt_id for r in routes)])
        self.prompt_id = f"router-1@{hashlib.sha256(prompts.encode()).hexdigest()[:12]}"
        self.needed_side = max(judge.tower.needed_side, *(r.scorer.needed_side for r in routes))
        self.native_side = max((r.scorer.native_side or 0 for r in routes), default=0) or None

    def read(self, picture: LoadedImage) -> list[Any]:
        """What the judge, then each rater looks at: which is needed is not known yet."""
        read = [route.scorer.read(picture) for route in self.routes]
        return [self.judge.tower.pixels(picture.image), *read]

    def look(
        self, source: str | Path | bytes | Image.Image, suffix: str = "", sha256: str = ""
    ) -> tuple[LoadedImage, list[Any]] | ImageError:
        """Open the picture as each rater by itself does."""
        found = looked_by([route.scorer for route in self.routes], source, suffix, sha256)
        if isinstance(found, ImageError):
            return found
        return found[0], [self.judge.tower.pixels(found[0].image), *found[1]]

    def rate(self, looked: Sequence[list[Any]], attributes: Sequence[str] = ()) -> Scores:
        """RouteClassifier, then rate; see :class:`vlm_aes.models.scorer.Scorer`."""
        chosen = self.judge.shares([own[0] for own in looked]).argmax(1)
        probabilities = np.zeros((len(looked), 1 + len(attributes), len(WORDS)))
        errors = [""] * len(looked)
        names: list[Value] = [self.routes[k].name for k in chosen]
        for k, route in enumerate(self.routes):
            rows = np.flatnonzero(chosen == k).tolist()
            if not rows:
                continue
            said = route.scorer.rate([looked[i][1 + k] for i in rows], attributes)
            probabilities[rows] = said.probabilities
            for i, error in zip(rows, said.errors or [""] * len(rows), strict=True):
                errors[i] = error
        return Scores(probabilities, columns={"route": names}, errors=errors)


def open_judge(
    settings: Mapping[str, Any], routes: Sequence[Route], found: Callable[[str], str], *,
    precision: str = "auto", device: str = "auto",
) -> RouteClassifier:  # fmt: skip
    """What a rater file says of its judge: ``model``, of pictures and words, where every route has
    prompts; or ``tower`` and ``weights``, learned by ``vlm-aes route``.

    Args:
        found: from a path of the file to where it lies.

    Raises:
        CheckpointError: for one that cannot be loaded, or was learned on another tower.
        ValueError: for settings that are neither.
    """
    if set(settings) == {"model"}:
        if not all(route.prompts for route in routes):
            raise ValueError("a judge of pictures and words needs prompts for every route")
        name = found(str(settings["model"]))
        place, dtype = placed(name, precision, device)
        try:
            config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        except Exception as error:
            raise CheckpointError(name, f"it has no configuration ({error})") from None
        towers = load_two_towers(name, config, place=place, dtype=dtype)
        return PromptJudge(towers, [route.prompts for route in routes])
    if set(settings) != {"tower", "weights"}:
        raise ValueError("a judge has a model, or a tower and weights")
    tower = open_tower(found(str(settings["tower"])), precision=precision, device=device)
    file = Path(found(str(settings["weights"])))
    try:
        with safe_open(file, "pt") as content:
            about = content.metadata() or {}
            weights = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        kinds = json.loads(about["kinds"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(file, f"it cannot be read as a judge ({error}); make it anew: "
                              "vlm-aes route") from None  # fmt: skip
    if about["tower"] != tower.weights_hash:
        raise CheckpointError(file, "it was learned on another tower; make it anew: vlm-aes route")
    if kinds != [route.name for route in routes]:
        raise CheckpointError(file, f"it tells {', '.join(kinds)}, in this order; the routes are "
                              f"{', '.join(route.name for route in routes)}")  # fmt: skip
    return LearnedJudge(tower, weights)


def open_tower(name: str, *, precision: str = "auto", device: str = "auto") -> Tower:
    """The tower of a judge: of a checkpoint, a folder, a hub id, or of ``nano``, the embedded one.

    Raises:
        CheckpointError: for one that cannot be loaded.
    """
    place, dtype = placed(name, precision, device)
    if name == "nano":
        return own_tower(Path(__file__).parent.parent / "nano", device=place, dtype=dtype)
    folder = Path(name)
    if (folder / "config.json").is_file():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        # a language model behind the tower is not needed to look
        if hasattr(config, "vision_config") and hasattr(config, "image_token_index"):
            return own_tower(folder, device=place, dtype=dtype)
    return load_tower(name, device=place, dtype=dtype)
