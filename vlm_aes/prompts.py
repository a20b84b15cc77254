"""Every word that is said to a model, as versioned data: the same in training and at inference.

A prompt is a TOML file: in this folder under its name, or ``vlm_aes.toml`` in a checkpoint's own
folder. Presets (``presets.toml``) tie a short name to a hub id, a revision and a prompt.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vlm_aes.errors import PromptError

_IN_WHEEL = Path(__file__).parent / "prompt_files"
FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parent.parent / "prompts"
"""The TOML files: a clone reads them from ``prompts/``, a wheel holds a copy in the package."""
OWN_FILE = "vlm_aes.toml"
N_WORDS = 5
NO_FAULT = "none"


@dataclass(frozen=True)
class FaultQuestion:
    """What a checkpoint is asked about what spoils a picture, before it writes its critique.

    Attributes:
        question, stem: as for a rating; the next token names the fault.
        words: fault to its word after the stem; ``none`` is the first.
        sure: probability that something is wrong from which the critic is told so.
        told: the line that the critic is told, with ``{fault}`` in it.
        sure_of: fault to a lower probability of its own, for one that the checkpoint is seldom sure
            of.
    """

    question: str
    stem: str
    words: dict[str, str]
    sure: float
    told: str
    sure_of: dict[str, float] = field(default_factory=dict)

    def named(self, probabilities: Sequence[float]) -> str | None:
        """The fault that is to be told, by the probability of each of ``words``; nothing where none
        is sure enough."""
        of = dict(zip(self.words, map(float, probabilities), strict=True))
        if 1 - of.pop(NO_FAULT) < self.sure:
            of = {name: p for name, p in of.items() if p >= self.sure_of.get(name, 1.0)}
        return max(of, key=lambda name: of[name], default=None)

    def line(self, fault: str | None) -> str:
        """What the critic is told of a fault, or of there being none."""
        return self.told.format(fault=self.words[fault or NO_FAULT].strip())


@dataclass(frozen=True)
class PairQuestion:
    """What a checkpoint that can look at two pictures at once is asked about them.

    Attributes:
        question, stem: as for a rating; the next token names one of the two.
        words: for the first and for the second, as they follow the stem.
    """

    question: str
    stem: str
    words: tuple[str, str]


@dataclass(frozen=True)
class RatingPrompt:
    """What a checkpoint is asked, and the words that it may answer.

    Attributes:
        question: the overall question.
        stem: the beginning of the answer; the next token is the rating word.
        words: bad to excellent, exactly as they follow the stem (mostly with a leading space).
        questions, stems: the same for attributes.
        facts_line: put before a rating question when facts are told; holds ``{facts}``.
        faults: the question about what spoils a picture, for a checkpoint that learned it.
        pair: the question about two pictures, for a checkpoint that can look at both.
        critique: the instruction for a critique; may hold ``{facts}``, ``{fault}``, ``{score}``,
            ``{level}``.
        styles: other instructions by their name, with the same places.
        language_line: added to the instruction for a critique in another language; holds
            ``{language}``; empty where the checkpoint speaks no other.
        critique_drafts: how many drafts are written of each critique, the best of which is kept;
            for a small model, whose drafts cost little and differ much.
        mirrored: whether a rating is the mean of the picture's and of its mirror image's, which
            nobody would rate differently; takes twice as long.
        image_first: the order in which picture and question are handed to the chat template.
        stem_apart: the stem was tokenised by itself in training, and must come out the same.
        first_token: take the first token of a rating word that has several.
        thinking: value of the template's ``enable_thinking``; nothing leaves it out.
    """

    name: str
    question: str
    stem: str
    words: tuple[str, ...]
    version: int = 1
    system: str | None = None
    questions: dict[str, str] = field(default_factory=dict)
    stems: dict[str, str] = field(default_factory=dict)
    mirrored: bool = False
    image_first: bool = True
    facts_line: str = ""
    stem_apart: bool = False
    first_token: bool = False
    thinking: bool | None = None
    faults: FaultQuestion | None = None
    pair: PairQuestion | None = None
    critique: str = ""
    critique_stem: str = ""
    critique_tokens: int = 160
    critique_temperature: float = 0.7
    critique_top_p: float = 0.9
    critique_drafts: int = 1
    styles: dict[str, str] = field(default_factory=dict)
    language_line: str = ""

    @property
    def id(self) -> str:
        """Name and version."""
        return f"{self.name}-{self.version}"

    def styled(self, style: str | None, language: str | None) -> RatingPrompt:
        """The same prompts with critiques in one of ``styles``, in a language given by its English
        name.

        Raises:
            PromptError: for a style that is not there, or a language where none but its own is.
        """
        critique = self.critique
        if style is not None:
            if style not in self.styles:
                known = f"it knows {', '.join(self.styles)}" if self.styles else "it has only one"
                raise PromptError(f"the prompts {self.name} have no style {style!r}: {known}")
            critique = self.styles[style]
        if language is not None:
            if not self.language_line:
                raise PromptError(
                    f"with the prompts {self.name} critiques are written in English only: leave "
                    "the language out, or name a checkpoint that speaks it"
                )
            line = self.language_line.format(language=" ".join(language.split()))
            critique = f"{critique}\n{line.replace('{', '{{').replace('}', '}}')}"
        return replace(self, critique=critique)

    def asked(self, attribute: str | None = None, facts: str | None = None) -> tuple[str, str]:
        """The user's text and the answer's stem for the overall question or an attribute's."""
        question = self.question if attribute is None else self.questions[attribute]
        stem = self.stem if attribute is None else self.stems[attribute]
        if self.facts_line and facts:
            question = self.facts_line.format(facts=facts) + question
        return question, stem


@dataclass(frozen=True)
class Preset:
    """A known rating checkpoint: where it is and what it was trained to be asked."""

    name: str
    model: str
    prompt: str
    revision: str | None = None


def _presets() -> dict[str, Preset]:
    with (FOLDER / "presets.toml").open("rb") as file:
        return {name: Preset(name=name, **entry) for name, entry in tomllib.load(file).items()}


PRESETS: dict[str, Preset] = _presets()


def load_prompt(name_or_path: str | Path) -> RatingPrompt:
    """A prompt by its name in this folder, or from a TOML file.

    Raises:
        PromptError: no such prompt, or a file with missing or unknown entries.
    """
    path = _file_of(name_or_path)
    try:
        with path.open("rb") as file:
            data: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError:
        known = ", ".join(sorted(f.stem for f in FOLDER.glob("*.toml") if f.stem != "presets"))
        raise PromptError(f"no prompt {name_or_path}: give a TOML file or one of {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{path}: not TOML ({error})") from None
    data["words"] = tuple(data.get("words", ()))
    try:
        if "faults" in data:
            data["faults"] = FaultQuestion(**data["faults"])
        if "pair" in data:
            data["pair"] = PairQuestion(**{**data["pair"], "words": tuple(data["pair"]["words"])})
        prompt = RatingPrompt(**data)
    except (TypeError, KeyError) as error:
        raise PromptError(f"{path}: {error}") from None
    if len(set(prompt.words)) != N_WORDS:
        raise PromptError(f"{path}: words must be five different ones, bad to excellent")
    if prompt.faults and next(iter(prompt.faults.words), None) != NO_FAULT:
        raise PromptError(f"{path}: the first of the faults' words must be {NO_FAULT}")
    if set(prompt.questions) != set(prompt.stems):
        raise PromptError(f"{path}: every attribute needs a question and a stem")
    return prompt


def prompt_file(model: str | Path, given: str | Path | None = None) -> Path:
    """The file of :func:`prompt_for`'s prompt."""
    if given is not None:
        return _file_of(given)
    if str(model) in PRESETS:
        return _file_of(PRESETS[str(model)].prompt)
    folder = Path(model)
    if (folder / OWN_FILE).is_file():
        return folder / OWN_FILE
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if base:
            return prompt_file(folder / base if (folder / base).is_dir() else base)
    for preset in PRESETS.values():
        if preset.model == str(model):
            return _file_of(preset.prompt)
    return _file_of("default")


def prompt_for(model: str | Path, given: str | Path | None = None) -> RatingPrompt:
    """The prompt for a model: the one given, else its preset's, its folder's own, or its base
    model's; else ``default``."""
    return load_prompt(prompt_file(model, given))


def _file_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    return path if path.suffix == ".toml" else FOLDER / f"{name_or_path}.toml"
