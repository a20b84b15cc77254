"""Prompts: every word that is said to a model, as versioned data, in training and at inference.

A prompt is a TOML file: in ``prompts/`` under its name, or ``vlm_aes.toml`` in a checkpoint's own folder.
Presets (``prompts/presets.toml``) tie a short name to a hub id, a revision and a prompt.
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
PROMPTS_FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parent.parent / "prompts"
"""The TOML files: a clone reads them from ``prompts/``, a wheel holds a copy in the package."""
CHECKPOINT_PROMPT_FILE = "vlm_aes.toml"
_N_RATING_WORDS = 5
_NO_DEGRADATION = "none"


@dataclass(frozen=True)
class DegradationQuestion:
    """The question about degradations of an image, asked before its critique: ``[faults]`` of a prompt file.

    Attributes:
        question, stem: as for a rating; the next token names the degradation.
        words: degradation to its word after the stem; ``none`` is the first.
        sure: probability of any degradation from which the critique's prompt names one.
        told: the sentence of the critique's prompt, with ``{fault}`` in it.
        sure_of: degradation to a lower threshold of its own.
    """

    question: str
    stem: str
    words: dict[str, str]
    sure: float
    told: str
    sure_of: dict[str, float] = field(default_factory=dict)

    def most_probable(self, probabilities: Sequence[float]) -> str | None:
        """The degradation to name, by the probability of each of ``words``; None below the thresholds."""
        by_name = dict(zip(self.words, map(float, probabilities), strict=True))
        if 1 - by_name.pop(_NO_DEGRADATION) < self.sure:
            by_name = {name: p for name, p in by_name.items() if p >= self.sure_of.get(name, 1.0)}
        return max(by_name, key=lambda name: by_name[name], default=None)

    def sentence(self, degradation: str | None) -> str:
        """The sentence of the critique's prompt that names a degradation, or that there is none."""
        return self.told.format(fault=self.words[degradation or _NO_DEGRADATION].strip())


@dataclass(frozen=True)
class PairQuestion:
    """The question about two images, for a checkpoint that reads both at once.

    ``words`` name the first and the second image, as they follow the stem.
    """

    question: str
    stem: str
    words: tuple[str, str]


TEXT_LAYOUT, SUBJECT_LAYOUT = "text", "subject, critique, next"
"""Layouts of what a checkpoint writes: see :class:`RatingPrompt`."""


@dataclass(frozen=True)
class RatingPrompt:
    """The questions that a checkpoint is asked, and the words that it may answer.

    Attributes:
        question: the overall question.
        stem: the beginning of the answer; the next token is the rating word.
        words: bad to excellent, exactly as they follow the stem (mostly with a leading space).
        questions, stems: the same for attributes.
        facts_line: put before a rating question when the prompt holds facts; holds ``{facts}``.
        degradation: the question about degradations, for a checkpoint that learned it.
        pair: the question about two images, for a checkpoint that reads both.
        critique: the instruction for a critique; may hold ``{facts}``, ``{fault}``, ``{score}``, ``{level}``.
        critique_layout: ``text``, or ``subject, critique, next`` for a checkpoint that writes what it sees, then
            the critique, then the kind of the next step and its sentence, each on a line of its own. Its
            ``critique_stem`` may hold ``{level}``, ``{score}`` and ``{seen}``.
        styles: other instructions by their name, with the same places.
        language_line: added to the instruction for a critique in another language; holds ``{language}``;
            empty where the checkpoint speaks no other.
        critique_drafts: number of drafts of each critique, the best of which is used; for a small model,
            whose drafts cost little and differ much.
        mirrored: whether a rating is the mean of the image's and of its mirror image's, which nobody would
            rate differently; takes twice as long.
        image_first: whether the chat template gets the image before the question.
        stem_apart: the stem was tokenised by itself in training, and must come out the same.
        first_token: take the first token of a rating word that has several.
        thinking: value of the template's ``enable_thinking``; None leaves it out.
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
    degradation: DegradationQuestion | None = None
    pair: PairQuestion | None = None
    critique: str = ""
    critique_stem: str = ""
    critique_layout: str = TEXT_LAYOUT
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

    def with_style(self, style: str | None, language: str | None) -> RatingPrompt:
        """The same prompt with critiques in one of ``styles``, in a language by its English name.

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

    def question_and_stem(self, attribute: str | None = None, facts: str | None = None) -> tuple[str, str]:
        """The user's text and the answer's stem for the overall question or an attribute's."""
        question, stem = self.question, self.stem
        if attribute is not None:
            question, stem = self.questions[attribute], self.stems[attribute]
        return self.facts_line.format(facts=facts) + question if self.facts_line and facts else question, stem


@dataclass(frozen=True)
class Preset:
    """A known rating checkpoint: its hub id and the prompt that it was trained on."""

    name: str
    model: str
    prompt: str
    revision: str | None = None


PRESETS: dict[str, Preset] = {
    name: Preset(name=name, **entry)
    for name, entry in tomllib.loads((PROMPTS_FOLDER / "presets.toml").read_text(encoding="utf-8")).items()
}


def load_prompt(name_or_path: str | Path) -> RatingPrompt:
    """A prompt by its name in ``prompts/``, or from a TOML file.

    Raises:
        PromptError: no such prompt, or a file with missing or unknown entries.
    """
    path = _file_of(name_or_path)
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(f.stem for f in PROMPTS_FOLDER.glob("*.toml") if f.stem != "presets"))
        raise PromptError(f"no prompt {name_or_path}: give a TOML file or one of {known}") from None
    except tomllib.TOMLDecodeError as error:
        raise PromptError(f"{path}: not TOML ({error})") from None
    data["words"] = tuple(data.get("words", ()))
    try:
        if "faults" in data:
            data["degradation"] = DegradationQuestion(**data.pop("faults"))
        if "pair" in data:
            data["pair"] = PairQuestion(**{**data["pair"], "words": tuple(data["pair"]["words"])})
        prompt = RatingPrompt(**data)
    except (TypeError, KeyError) as error:
        raise PromptError(f"{path}: {error}") from None
    if len(set(prompt.words)) != _N_RATING_WORDS:
        raise PromptError(f"{path}: words must be five different ones, bad to excellent")
    if prompt.degradation and next(iter(prompt.degradation.words), None) != _NO_DEGRADATION:
        raise PromptError(f"{path}: the first of the faults' words must be {_NO_DEGRADATION}")
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
    if (folder / CHECKPOINT_PROMPT_FILE).is_file():
        return folder / CHECKPOINT_PROMPT_FILE
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        base = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        if base:
            return prompt_file(folder / base if (folder / base).is_dir() else base)
    return _file_of(next((p.prompt for p in PRESETS.values() if p.model == str(model)), "default"))


def prompt_for(model: str | Path, given: str | Path | None = None) -> RatingPrompt:
    """The prompt given, else the model's preset's, its folder's own, or its base model's; else ``default``."""
    return load_prompt(prompt_file(model, given))


def _file_of(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    return path if path.suffix == ".toml" else PROMPTS_FOLDER / f"{name_or_path}.toml"
