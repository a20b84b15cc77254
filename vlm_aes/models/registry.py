"""From the name of a model to its scorer: all that ``--model`` and a rater file may name.

To add a family of scorers, write a :class:`vlm_aes.models.scorer.Scorer` and give it a row in
:data:`SCORER_FAMILIES`; for one that needs settings, add a loader to :data:`RATER_FILE_KINDS`.
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vlm_aes.errors import CheckpointError
from vlm_aes.models.ensemble.ensemble import Ensemble, Member
from vlm_aes.models.ensemble.facts import FactsScorer
from vlm_aes.models.ensemble.router import Route, Router, load_route_classifier
from vlm_aes.models.external.classifier import load_classifier
from vlm_aes.models.external.published import is_published, load_published
from vlm_aes.models.external.zero_shot import DUAL_ENCODER_TYPES, AntonymPairs, load_zero_shot
from vlm_aes.models.heads import is_head, load_head
from vlm_aes.models.heads.onnx import is_exported, load_exported
from vlm_aes.models.pretrained import LoadOptions, read_config
from vlm_aes.models.remote import ServerSettings, is_server, load_server_scorer
from vlm_aes.models.scorer import Scorer
from vlm_aes.models.vlm.scorer import load_vlm_scorer
from vlm_aes.prompts import PRESETS
from vlm_aes.ratings.scale import Scale

RATER_FILE = "rater.toml"
"""Name of a rater file in a folder of its own; elsewhere any name that ends in .toml."""


@dataclass(frozen=True)
class ModelRequest:
    """The name of a model, and how it is to be loaded."""

    name: str
    fast: bool = False
    options: LoadOptions = field(default_factory=LoadOptions)

    @cached_property
    def rater_file(self) -> Path | None:
        """The rater file that the name stands for."""
        path = Path(self.name)
        if path.suffix == ".toml":
            return path
        return path / RATER_FILE if (path / RATER_FILE).is_file() else None

    @cached_property
    def config(self) -> Any:
        """The checkpoint's configuration; None where there is none, which its loader explains."""
        folder = Path(self.name)
        local = (folder / "config.json").is_file()
        is_hub_id = self.name.count("/") == 1 and not self.name.startswith((".", "~", "/"))
        if not local and (folder.exists() or not is_hub_id or self.name in PRESETS):
            return None
        try:
            return read_config(self.name, self.options.revision)
        except Exception:
            return None

    @property
    def is_classifier(self) -> bool:
        kinds = getattr(self.config, "architectures", None) or ()
        return any(kind.endswith("ForImageClassification") for kind in kinds)

    @property
    def is_dual_encoder(self) -> bool:
        model_type = getattr(self.config, "model_type", None)
        return model_type in DUAL_ENCODER_TYPES and hasattr(self.config, "text_config")


@dataclass(frozen=True)
class ScorerFamily:
    """One row of :data:`SCORER_FAMILIES`: what a user writes for it, whether a model belongs to it, its loader."""

    names: str
    matches: Callable[[ModelRequest], bool]
    load: Callable[[ModelRequest], Scorer]


def _load_fast(r: ModelRequest) -> Scorer:
    return load_head(r.name, precision=r.options.precision, device=r.options.device)


SCORER_FAMILIES = (
    ScorerFamily(
        "openai:URL#NAME",
        lambda r: is_server(r.name),
        lambda r: load_server_scorer(ServerSettings.parse(r.name), r.options.prompt),
    ),
    ScorerFamily(
        "a rater file, or a folder with one",
        lambda r: r.rater_file is not None,
        lambda r: read_rater_file(r.rater_file or Path(r.name), r.options),
    ),
    ScorerFamily("FILE.onnx, openvino:FILE.onnx", lambda r: is_exported(r.name), lambda r: load_exported(r.name)),
    ScorerFamily(
        "a published head: NAME, NAME:FILE, or a file of weights",
        lambda r: is_published(r.name),
        lambda r: load_published(r.name, r.options),
    ),
    ScorerFamily("a folder with a fast head", lambda r: is_head(r.name), _load_fast),
    ScorerFamily(
        "an image classifier: folder or hub id",
        lambda r: r.is_classifier,
        lambda r: load_classifier(r.name, r.config, r.options),
    ),
    ScorerFamily(
        "a dual encoder such as CLIP: folder or hub id",
        lambda r: r.is_dual_encoder,
        lambda r: load_zero_shot(r.name, r.config, r.options),
    ),
    ScorerFamily("with --fast: a checkpoint with a fast head", lambda r: r.fast, _load_fast),
    ScorerFamily(
        "a vision-language model: preset, folder or hub id",
        lambda r: True,
        lambda r: load_vlm_scorer(r.name, r.options),
    ),
)
"""All families of scorers; the first that matches loads the model."""


def load_scorer(model: str | Path, *, fast: bool = False, options: LoadOptions | None = None) -> Scorer:
    """The scorer of a model.

    Args:
        model: a name of one of :data:`SCORER_FAMILIES`.
        fast: take the fast head that lies with a checkpoint.

    Raises:
        CheckpointError: names it and what is wrong with it.
        PromptError: for a prompt that cannot be used.
    """
    request = ModelRequest(str(model), fast, options or LoadOptions())
    family = next(family for family in SCORER_FAMILIES if family.matches(request))
    return family.load(request)


def load_member(model: str, *, fast: bool = False, options: LoadOptions | None = None) -> Scorer:
    """The scorer of a member of an ensemble or of a route: ``nano`` is the embedded checkpoint, and paths may
    lie below the folder of the rater file."""
    options = options or LoadOptions()
    return load_scorer(options.resolve(model), fast=fast, options=options)


def read_rater_file(file: Path, options: LoadOptions) -> Scorer:
    """The scorer that a rater file describes. Raises CheckpointError for another file; says what is missing
    or unknown."""
    try:
        data = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CheckpointError(file, f"it cannot be read as a rater file ({error})") from None
    kind = data.pop("kind", None)
    if kind not in RATER_FILE_KINDS:
        raise CheckpointError(file, f"kind = {kind!r}; it is one of {', '.join(RATER_FILE_KINDS)}")
    load = RATER_FILE_KINDS[kind]
    try:
        return load(replace(options, base_folder=file.parent), **data)
    except (TypeError, ValueError, KeyError) as error:
        text = str(error).replace("__init__() ", "").replace(f"{load.__name__}() ", "")
        raise CheckpointError(file, f"as a {kind}: {text}") from None


# the parameters of these functions are the keys of a rater file


def _published_of(
    options: LoadOptions, head: str, weights: str, tower: str | None = None, worth: list[float] | None = None
) -> Scorer:
    name = f"{head}:{options.resolve(weights)}"
    if not is_published(name):
        raise ValueError(f"no published head {head!r}")
    place = None if tower is None else options.resolve(tower)
    return load_published(name, options, place, worth)


def _classifier_of(
    options: LoadOptions,
    model: str,
    worth: dict[str, float] | None = None,
    scale: str | None = None,
    revision: str | None = None,
) -> Scorer:
    name = options.resolve(model)
    own_scale = None if scale is None else Scale.parse(scale)
    own = replace(options, revision=revision)
    return load_classifier(name, read_config(name, revision), own, worth, own_scale)


def _zero_shot_of(
    options: LoadOptions,
    model: str,
    overall: list[list[str]] | None = None,
    attributes: dict[str, list[list[str]]] | None = None,
    revision: str | None = None,
) -> Scorer:
    name = options.resolve(model)
    pairs = AntonymPairs.default()
    if overall is not None or attributes is not None:
        pairs = AntonymPairs(pairs.overall if overall is None else overall, attributes or {})
    own = replace(options, revision=revision)
    return load_zero_shot(name, read_config(name, revision), own, pairs)


def _server_of(options: LoadOptions, prompt: str | None = None, **settings: Any) -> Scorer:
    file = options.prompt if prompt is None else options.resolve(prompt)
    return load_server_scorer(ServerSettings(**settings), file)


def _facts_of(options: LoadOptions, weights: str) -> Scorer:
    assert options.base_folder is not None
    return FactsScorer.load(options.base_folder / weights)


def _ensemble_of(options: LoadOptions, member: list[dict[str, Any]], intercept: float | None = None) -> Scorer:
    members = []
    for entry in member:
        _check_keys("member", entry, {"model"}, {"weight", "fast", "line", "name"})
        scorer = load_member(entry["model"], fast=bool(entry.get("fast", False)), options=options)
        start, slope = entry.get("line", (0.0, 1.0))
        members.append(Member(scorer, float(entry.get("weight", 1.0)), (start, slope)))
    return Ensemble(members, intercept, folder=options.base_folder)


def _router_of(options: LoadOptions, route: list[dict[str, Any]], judge: dict[str, Any]) -> Scorer:
    routes = []
    for entry in route:
        _check_keys("route", entry, {"name", "model"}, {"fast", "prompts"})
        scorer = load_member(entry["model"], fast=bool(entry.get("fast", False)), options=options)
        routes.append(Route(entry["name"], scorer, tuple(entry.get("prompts", ()))))
    return Router(routes, load_route_classifier(judge, routes, options))


def _check_keys(what: str, entry: dict[str, Any], needed: set[str], optional: set[str]) -> None:
    if not needed <= set(entry) <= needed | optional:
        names, known = " and ".join(sorted(needed)), ", ".join(sorted(needed | optional))
        raise ValueError(f"a {what} has {known}; {names} {'is' if len(needed) == 1 else 'are'} needed")


RATER_FILE_KINDS: dict[str, Callable[..., Scorer]] = {
    "published": _published_of,
    "classifier": _classifier_of,
    "zero-shot": _zero_shot_of,
    "server": _server_of,
    "facts": _facts_of,
    "ensemble": _ensemble_of,
    "router": _router_of,
}
"""``kind`` of a rater file to its loader."""
