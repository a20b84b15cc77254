"""From a name to what rates in place of a vision-language model: all that ``--model`` may name."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from vlm_aes.errors import CheckpointError
from vlm_aes.models.ensemble import (
    Ensemble,
    FactsScorer,
    Member,
    ModelScorer,
    Route,
    Router,
    open_judge,
)
from vlm_aes.models.external.classifier import load_classifier
from vlm_aes.models.external.published import is_published, load_published
from vlm_aes.models.external.zero_shot import FAMILIES, Pairs, load_zero_shot
from vlm_aes.models.heads import FOLDER, is_head, load_head
from vlm_aes.models.heads.onnx import is_exported, load_exported
from vlm_aes.models.remote import Settings, is_served, open_served
from vlm_aes.models.scorer import Scorer
from vlm_aes.models.vlm import load_backbone
from vlm_aes.models.vlm.rater import Rater
from vlm_aes.prompts import PRESETS, prompt_for
from vlm_aes.ratings.scale import Scale

FILE = "rater.toml"
"""A rater file's name in a folder of its own; elsewhere any name that ends in .toml."""
EMBEDDED = "nano"
"""What the embedded checkpoint is called in a rater file and among an ensemble's members."""


@dataclass(frozen=True)
class Way:
    """How things are loaded.

    Attributes:
        precision, device: as ``Assessor.from_pretrained`` takes them.
        base: folder that a rater file's paths are below.
    """

    precision: str = "auto"
    device: str = "auto"
    revision: str | None = None
    prompt: str | Path | None = None
    base: Path | None = None

    def found(self, name: str) -> str:
        """A path of a rater file, which may be below its folder; or what else was named."""
        head, colon, path = name.partition(":")
        if self.base is not None and (self.base / name).exists():
            return str(self.base / name)
        if self.base is not None and colon and path and (self.base / path).exists():
            return f"{head}:{self.base / path}"
        return name

    @property
    def options(self) -> dict[str, Any]:
        """For the loaders."""
        return {"precision": self.precision, "device": self.device}


def open_scorer(
    model: str | Path, *, fast: bool = False, precision: str = "auto", device: str = "auto",
    revision: str | None = None, prompt: str | Path | None = None,
) -> Scorer | None:  # fmt: skip
    """What a name stands for, other than a vision-language model itself.

    Args:
        model: a published head (``laion-v2``, ``laion-v2:FILE``, a file of weights), a fast head,
            an exported one (``FILE.onnx``, ``openvino:FILE.onnx``), an image classifier or a pair
            of towers (folder or hub id), a rater file, or a server (``openai:URL#NAME``).
        fast: the fast head that lies with a checkpoint.

    Returns:
        Nothing for what is none of these, such as a vision-language model.

    Raises:
        CheckpointError: names it and what is wrong with it.
    """
    way = Way(precision, device, revision, prompt)
    return _opened(str(model), way, fast)


def open_any(model: str, *, fast: bool = False, way: Way | None = None) -> Scorer:
    """The same for a member of several, which may be a vision-language model too."""
    way = way or Way()
    named = way.found(model)
    if named == EMBEDDED:
        named = str(Path(__file__).parent / EMBEDDED)
    found = _opened(named, way, fast)
    if found is not None:
        return found
    backbone = load_backbone(named, revision=way.revision, **way.options)
    return ModelScorer(Rater(backbone, prompt_for(named, way.prompt)))


def _opened(name: str, way: Way, fast: bool) -> Scorer | None:
    if is_served(name):
        return open_served(Settings.parse(name), lambda served: prompt_for(served, way.prompt))
    described = _rater_file(name)
    if described is not None:
        return read_rater_file(described, way)
    if is_exported(name):
        return load_exported(name)
    if is_published(name):
        return load_published(name, **way.options)
    if is_head(name) or (fast and (Path(name) / FOLDER).is_dir()):
        return load_head(name, **way.options)
    config = _config_of(name, way.revision)
    kinds = tuple(getattr(config, "architectures", None) or ())
    if any(kind.endswith("ForImageClassification") for kind in kinds):
        return load_classifier(name, config, revision=way.revision, **way.options)
    if getattr(config, "model_type", None) in FAMILIES and hasattr(config, "text_config"):
        return load_zero_shot(name, config, revision=way.revision, **way.options)
    return load_head(name, **way.options) if fast else None


def _rater_file(name: str) -> Path | None:
    path = Path(name)
    if path.suffix == ".toml":
        return path
    inside = path / FILE
    return inside if inside.is_file() else None


def _config_of(name: str, revision: str | None) -> Any:
    """A checkpoint's configuration; nothing where there is none, which others will explain."""
    folder = Path(name)
    local = (folder / "config.json").is_file()
    hub_id = name.count("/") == 1 and not name.startswith((".", "~", "/")) and name not in PRESETS
    if not local and (folder.exists() or not hub_id):
        return None
    try:
        return AutoConfig.from_pretrained(
            name, trust_remote_code=False, local_files_only=local,
            **({"revision": revision} if revision else {}),
        )  # fmt: skip
    except Exception:
        return None


def read_rater_file(file: Path, way: Way) -> Scorer:
    """What a rater file describes.

    Raises:
        CheckpointError: for a file that is none; says what is missing or unknown.
    """
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CheckpointError(file, f"it cannot be read as a rater file ({error})") from None
    kind = data.pop("kind", None)
    if kind not in KINDS:
        raise CheckpointError(file, f"kind = {kind!r}; it is one of {', '.join(KINDS)}")
    try:
        return KINDS[kind](replace(way, base=file.parent), **data)
    except (TypeError, ValueError, KeyError) as error:
        said = str(error).replace("__init__() ", "").replace(f"_{kind}() ", "")
        raise CheckpointError(file, f"as a {kind}: {said}") from None


def _published(
    way: Way, head: str, weights: str, tower: str | None = None, worth: list[float] | None = None
) -> Scorer:
    named = f"{head}:{way.found(weights)}"
    if not is_published(named):
        raise ValueError(f"no published head {head!r}")
    eyes = None if tower is None else way.found(tower)
    return load_published(named, tower=eyes, worth=worth, **way.options)


def _classifier(
    way: Way, model: str, worth: dict[str, float] | None = None, scale: str | None = None,
    revision: str | None = None,
) -> Scorer:  # fmt: skip
    name = way.found(model)
    config = AutoConfig.from_pretrained(name, trust_remote_code=False,
                                        **({"revision": revision} if revision else {}))  # fmt: skip
    ends = None if scale is None else Scale.parse(scale)
    return load_classifier(name, config, worth=worth, scale=ends, revision=revision, **way.options)


def _zero_shot(
    way: Way, model: str, overall: list[list[str]] | None = None,
    attributes: dict[str, list[list[str]]] | None = None, revision: str | None = None,
) -> Scorer:  # fmt: skip
    name = way.found(model)
    config = AutoConfig.from_pretrained(name, trust_remote_code=False,
                                        **({"revision": revision} if revision else {}))  # fmt: skip
    default = Pairs.default()
    pairs = default if overall is None else Pairs(overall, attributes or {})
    if overall is None and attributes is not None:
        pairs = Pairs(default.overall, attributes)
    return load_zero_shot(name, config, pairs=pairs, revision=revision, **way.options)


def _server(way: Way, prompt: str | None = None, **settings: Any) -> Scorer:
    given = way.prompt if prompt is None else way.found(prompt)
    return open_served(Settings(**settings), lambda served: prompt_for(served, given))


def _facts(way: Way, weights: str) -> Scorer:
    assert way.base is not None
    return FactsScorer.load(way.base / weights)


def _ensemble(way: Way, member: list[dict[str, Any]], intercept: float | None = None) -> Scorer:
    assert way.base is not None
    members = []
    for entry in member:
        known = {"model", "weight", "fast", "line", "name"}
        if not set(entry) <= known or "model" not in entry:
            raise ValueError(f"a member has {', '.join(sorted(known))}; model is needed")
        scorer = open_any(entry["model"], fast=bool(entry.get("fast", False)), way=way)
        line = entry.get("line", (0.0, 1.0))
        members.append(Member(scorer, float(entry.get("weight", 1.0)), (line[0], line[1])))
    return Ensemble(members, intercept, folder=way.base)


def _router(way: Way, route: list[dict[str, Any]], judge: dict[str, Any]) -> Scorer:
    routes = []
    for entry in route:
        known = {"name", "model", "fast", "prompts"}
        if not set(entry) <= known or not {"name", "model"} <= set(entry):
            raise ValueError(f"a route has {', '.join(sorted(known))}; name and model are needed")
        scorer = open_any(entry["model"], fast=bool(entry.get("fast", False)), way=way)
        routes.append(Route(entry["name"], scorer, tuple(entry.get("prompts", ()))))
    return Router(routes, open_judge(judge, routes, way.found, **way.options))


KINDS: dict[str, Callable[..., Scorer]] = {
    "published": _published, "classifier": _classifier, "zero-shot": _zero_shot,
    "server": _server, "facts": _facts, "ensemble": _ensemble, "router": _router,
}  # fmt: skip
"""What a rater file may describe."""
