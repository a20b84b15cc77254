"""One object that rates and explains pictures, whichever checkpoint stands behind it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

from PIL import Image

from vlm_aes import calibration, ratings
from vlm_aes import facts as measures
from vlm_aes.calibration import Calibration
from vlm_aes.facts import Fact
from vlm_aes.images import Picture, PictureError, open_picture
from vlm_aes.limits import warning_of
from vlm_aes.prompts import RatingPrompt

Source = str | Path | bytes | Image.Image

NANO = Path(__file__).parent / "nano"
"""The embedded checkpoint."""
AMPLE_SIDE = 4096
"""Pixels of the long side that are kept for a checkpoint that names no size of its own: more than
any of them looks at."""


@dataclass(frozen=True)
class Assessment:
    """What is said of one picture. A picture that could not be rated has ``error`` and no score.

    Attributes:
        score: 0 to 100.
        score_std: spread of the five-word distribution, same unit.
        score_low, score_high: 90% interval, where the checkpoint is calibrated.
        percentile: share of the reference pictures rated lower, 0 to 100, where calibrated.
        level: the most probable rating word.
        probabilities: rating word to probability.
        attributes: attribute to its score, 0 to 100.
        residuals: attribute to what it adds to what the score already says, where calibrated.
        facts: fact to its measurement.
        warning: why the model was not made for this picture; empty when it was.
        error: ``kind: what to do``; empty when rated.
    """

    path: str = ""
    sha256: str = ""
    width: int | None = None
    height: int | None = None
    score: float | None = None
    score_std: float | None = None
    score_low: float | None = None
    score_high: float | None = None
    percentile: float | None = None
    level: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    model: str = ""
    prompt: str = ""
    warning: str = ""
    error: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    attributes: dict[str, float] = field(default_factory=dict)
    residuals: dict[str, float] = field(default_factory=dict)
    critique: str | None = None


class Assessor:
    """Rates pictures with a vision-language model.

    Make one with :meth:`from_pretrained`; the constructor takes parts that are already loaded.
    """

    def __init__(
        self, rater: Any, critic: Any, prompt: RatingPrompt, worth: Calibration | None = None
    ) -> None:
        self.rater = rater
        self.critic = critic
        self.prompt = prompt
        self.calibration = worth

    @classmethod
    def from_pretrained(
        cls,
        model: str | Path | None = None,
        *,
        adapter: str | Path | None = None,
        prompt: str | Path | None = None,
        precision: str = "auto",
        device: str = "auto",
        revision: str | None = None,
        pixels: str = "auto",
    ) -> Assessor:
        """Load a checkpoint.

        Args:
            model: nothing for the embedded one; or a preset, a hub id, a checkpoint folder, or a
                folder with a LoRA adapter.
            adapter: a LoRA adapter to put on ``model``.
            prompt: name or file of the prompts; the preset's or the checkpoint's own when not
                given.
            precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, ``8bit`` or ``4bit``.
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            revision: branch, tag or commit of a hub id.
            pixels: ``auto``, ``pil`` or ``torchvision``: who resizes and normalises.

        Raises:
            vlm_aes.backbones.CheckpointError: names the checkpoint and what is wrong with it.
            vlm_aes.calibration.CalibrationError: for a damaged ``calibration.json``.
        """
        from vlm_aes.backbones import load_backbone
        from vlm_aes.explain.critic import Critic
        from vlm_aes.prompts import prompt_for
        from vlm_aes.rater import Rater

        chosen = NANO if model is None else model
        words = prompt_for(chosen, prompt)
        backbone = load_backbone(
            chosen,
            adapter=adapter,
            precision=precision,
            device=device,
            revision=revision,
            pixels=pixels,
        )
        notice = terms_of(backbone.folder) if backbone.folder else ""
        if notice:
            print(notice, file=sys.stderr)
        # an adapter changes the scores: its base's calibration says nothing about them
        own = backbone.adapter or backbone.folder
        worth = calibration.load(own, words.id) if own else None
        return cls(Rater(backbone, words), Critic(backbone, words), words, worth)

    @property
    def model_id(self) -> str:
        """Hub id and revision, or content hash."""
        return str(self.rater.backbone.model_id)

    @property
    def prompt_id(self) -> str:
        """Hash of the exact prompt text, preprocessing and pixel backend."""
        return str(self.rater.prompt_id)

    @property
    def rating_attributes(self) -> tuple[str, ...]:
        """The attributes that the checkpoint's prompts ask about."""
        return tuple(self.prompt.questions)

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough for every answer."""
        return max(measures.LONG_SIDE, self.rater.backbone.needed_side or AMPLE_SIDE)

    @overload
    def assess(  # type: ignore[overload-overlap]
        self, source: Source, *, rationale: bool = ..., facts: bool = ..., attributes: bool = ...,
        batch_size: int = ...,
    ) -> Assessment: ...  # fmt: skip
    @overload
    def assess(
        self, source: Sequence[Source], *, rationale: bool = ..., facts: bool = ...,
        attributes: bool = ..., batch_size: int = ...,
    ) -> list[Assessment]: ...  # fmt: skip
    def assess(
        self,
        source: Source | Sequence[Source],
        *,
        rationale: bool = False,
        facts: bool = True,
        attributes: bool = False,
        batch_size: int = 16,
    ) -> Assessment | list[Assessment]:
        """Rate one picture, or a list of them in order.

        A picture that cannot be opened gives an assessment with ``error``; nothing is raised for
        it. For folders and for more than fits in memory use ``vlm-aes score`` or
        :mod:`vlm_aes.bulk`.

        Args:
            source: a path, a PIL image or a file's bytes; or a list of these.
            rationale: write critiques.
            facts: measure.
            attributes: ask about each attribute too.
            batch_size: pictures a forward pass.
        """
        if isinstance(source, str | Path | bytes | Image.Image):
            return self.assess([source], rationale=rationale, facts=facts,
                               attributes=attributes)[0]  # fmt: skip
        results: list[Assessment] = []
        for start in range(0, len(source), batch_size):
            part = source[start : start + batch_size]
            native = measures.CROP_SIDE if facts else None
            opened = [
                open_picture(s, needed_side=self.needed_side, native_side=native) for s in part
            ]
            good = [p for p in opened if isinstance(p, Picture)]
            rated = iter(
                self.assess_pictures(good, rationale=rationale, facts=facts, attributes=attributes)
            )
            for s, picture in zip(part, opened, strict=True):
                path = str(s) if isinstance(s, str | Path) else ""
                if isinstance(picture, PictureError):
                    results.append(self.refused(picture, path))
                else:
                    results.append(replace(next(rated), path=path))
        return results

    def refused(self, error: PictureError, path: str = "") -> Assessment:
        """The assessment of a picture that could not be opened."""
        return Assessment(
            path=path,
            sha256=error.sha256,
            width=error.width,
            height=error.height,
            model=self.model_id,
            prompt=self.prompt_id,
            error=str(error),
        )

    def assess_pictures(
        self,
        pictures: Sequence[Picture],
        *,
        rationale: bool = False,
        facts: bool = False,
        attributes: bool = False,
    ) -> list[Assessment]:
        """Rate opened pictures in one batch; paths are left empty.

        Nothing that is not asked for is computed, except that a critique needs the told facts.
        """
        if not pictures:
            return []
        images = [picture.image for picture in pictures]
        asked = self.rating_attributes if attributes else ()
        told: list[dict[str, Fact]] = []
        if rationale or self.prompt.facts_line:
            told = [measures.measure_told(image) for image in images]
        lines = [measures.sentence(f) for f in told] if self.prompt.facts_line else None
        states = self.rater.states(images, asked, facts=lines)
        probabilities = self.rater.probabilities(states)
        scores = ratings.score(probabilities)
        spreads = ratings.score_std(probabilities[:, 0])
        levels = [ratings.level(p) for p in probabilities[:, 0]]
        unfamiliar = self._unfamiliar(states[:, 0])
        critiques: Sequence[str | None] = [None] * len(pictures)
        if rationale:
            critiques = self.critic.checked(
                images, told, [float(s) for s in scores[:, 0]], levels, self.rater.faults(images)
            )
        return [
            Assessment(
                sha256=picture.sha256,
                width=picture.width,
                height=picture.height,
                score=float(scores[i, 0]),
                score_std=float(spreads[i]),
                **self._worth(float(scores[i, 0])),
                level=levels[i],
                probabilities=dict(
                    zip(ratings.WORDS, map(float, probabilities[i, 0]), strict=True)
                ),
                model=self.model_id,
                prompt=self.prompt_id,
                facts=measures.measure(picture.image, picture.native) if facts else {},
                warning=warning_of(picture.image) or unfamiliar[i],
                attributes=dict(zip(asked, map(float, scores[i, 1:]), strict=True)),
                residuals=self._residuals(asked, scores[i]),
                critique=critiques[i],
            )
            for i, picture in enumerate(pictures)
        ]

    def _worth(self, score: float) -> dict[str, Any]:
        """Interval and percentile, where the checkpoint is calibrated."""
        if self.calibration is None:
            return {}
        low, high = self.calibration.interval(score)
        percentile = self.calibration.percentile(score)
        return {"score_low": float(low), "score_high": float(high), "percentile": float(percentile)}

    def _residuals(self, asked: Sequence[str], scores: Any) -> dict[str, float]:
        if self.calibration is None:
            return {}
        found = {
            name: self.calibration.residual(name, float(value), float(scores[0]))
            for name, value in zip(asked, scores[1:], strict=True)
        }
        return {name: value for name, value in found.items() if value is not None}

    def _unfamiliar(self, states: Any) -> list[str]:
        """A warning for each picture that looks unlike those that the checkpoint was made for."""
        familiar = self.calibration.familiar if self.calibration else None
        if familiar is None:
            return [""] * len(states)
        distances = familiar.distance(states.float().cpu().numpy())
        return ["out_of_domain" if d > familiar.limit else "" for d in distances]


def terms_of(folder: Path) -> str:
    """The first line of a checkpoint's ``LICENSE-WEIGHTS`` file: its terms in one line."""
    file = folder / "LICENSE-WEIGHTS"
    if not file.exists():
        return ""
    return file.read_text(encoding="utf-8").strip().splitlines()[0]
