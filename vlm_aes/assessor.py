"""One object that rates and explains pictures, whichever checkpoint stands behind it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from PIL import Image

from vlm_aes import measure as measures
from vlm_aes.errors import PromptError
from vlm_aes.images.open import ImageError, LoadedImage, open_image
from vlm_aes.measure import Fact
from vlm_aes.measure.domain import input_warning
from vlm_aes.models.scorer import Scorer, Scores, Value
from vlm_aes.prompts import RatingPrompt
from vlm_aes.ratings import scale as ratings
from vlm_aes.stats import calibration
from vlm_aes.stats.calibration import Calibration

Source = str | Path | bytes | Image.Image

NANO = Path(__file__).parent / "models" / "nano"
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
        columns: what the rater adds to a row, such as the score on its own scale.
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
    columns: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A picture with all that is known before a model looks at it; made in any thread.

    Attributes:
        picture: as the vision-language model and the facts need it.
        warning: from its pixels.
        facts: measured, where asked for.
        told: the facts that a model is told, where it is.
        pixels: what the scorer reads, where there is one.
    """

    picture: LoadedImage
    warning: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    told: dict[str, Fact] = field(default_factory=dict)
    pixels: Any = None


class Assessor:
    """Rates pictures with a vision-language model, or with another scorer: a fast head that learned
    from one, a published head, a classifier, a server, several of them.

    Make one with :meth:`from_pretrained`; the constructor takes parts that are already loaded.
    With a ``head``, it gives the scores, and the model behind it is needed for critiques alone.
    """

    def __init__(
        self,
        rater: Any,
        critic: Any,
        prompt: RatingPrompt | None,
        worth: Calibration | None = None,
        head: Scorer | None = None,
    ) -> None:
        self.rater = rater
        self.critic = critic
        self.prompt = prompt
        self.calibration = worth
        self.head = head

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
        fast: bool = False,
        critic: bool = False,
    ) -> Assessor:
        """Load a checkpoint.

        Args:
            model: nothing for the embedded one; or a preset, a hub id (``OWNER/NAME`` or
                ``OWNER/NAME@REVISION``), a checkpoint folder, or a folder with a LoRA adapter or a
                fast head; or what :func:`vlm_aes.models.registry.open_scorer` knows: a published head, a
                classifier, a pair of towers for zero-shot prompts, an ``.onnx`` file, a rater
                file, a server.
            adapter: a LoRA adapter to put on ``model``.
            prompt: name or file of the prompts; the preset's or the checkpoint's own when not
                given.
            precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, ``8bit`` or ``4bit``.
            device: ``auto``, ``cpu``, ``cuda``, ``mps``.
            revision: branch, tag or commit of a hub id.
            pixels: ``auto``, ``pil`` or ``torchvision``: who resizes and normalises.
            fast: rate with the fast head that lies with ``model``.
            critic: load the model behind the fast head too, for critiques.

        Raises:
            vlm_aes.models.vlm.CheckpointError: names the checkpoint and what is wrong with it, or
                that it has no fast head.
            vlm_aes.stats.calibration.CalibrationError: for a damaged ``calibration.json``.
        """
        from vlm_aes.critique.generate import Critic
        from vlm_aes.models.hub.download import fetched
        from vlm_aes.models.registry import open_scorer
        from vlm_aes.models.vlm import load_backbone
        from vlm_aes.models.vlm.rater import Rater, taste_of
        from vlm_aes.prompts import prompt_for

        chosen, revision = fetched(NANO if model is None else model, revision)
        head = open_scorer(
            chosen, fast=fast, precision=precision, device=device, revision=revision, prompt=prompt
        )
        if head is not None:
            return cls._of(head, precision=precision, device=device, critic=critic)
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
        taste = taste_of(own, backbone) if own else None
        return cls(Rater(backbone, words, taste), Critic(backbone, words), words, worth)

    @classmethod
    def _of(cls, head: Scorer, *, precision: str, device: str, critic: bool) -> Assessor:
        folder, behind = head.folder, head.behind
        worth = head.calibration
        if worth is None and folder is not None:
            worth = calibration.load(folder, head.label)
        if critic and behind is not None:
            slow = cls.from_pretrained(behind, precision=precision, device=device)
            return cls(slow.rater, slow.critic, slow.prompt, worth, head)
        notice = (terms_of(folder) if folder else "") or (terms_of(Path(behind)) if behind else "")
        if notice:
            print(notice, file=sys.stderr)
        return cls(None, None, None, worth, head)

    @property
    def model_id(self) -> str:
        """Hub id and revision, or content hash."""
        return str(self.head.model_id if self.head else self.rater.backbone.model_id)

    @property
    def prompt_id(self) -> str:
        """Hash of the exact prompt text, preprocessing and pixel backend."""
        return str(self.head.prompt_id if self.head else self.rater.prompt_id)

    @cached_property
    def quick_head(self) -> Any:
        """The fast head that answers as this model does: its own, or the one in its folder; nothing
        where there is none."""
        if self.head is not None or self.rater is None:
            return self.head
        from vlm_aes.errors import CheckpointError
        from vlm_aes.models.heads import load_head

        backbone = self.rater.backbone
        if backbone.folder is None or backbone.adapter:
            return None
        try:
            return load_head(backbone.folder, device=str(backbone.device))
        except CheckpointError:
            return None

    def styled(self, style: str | None, language: str | None) -> Assessor:
        """The same assessor with critiques in another style or language.

        Raises:
            PromptError: names what the checkpoint was not taught, and what it was.
        """
        if style is None and language is None:
            return self
        if self.critic is None or self.prompt is None:
            raise PromptError(f"{self.model_id} writes no critiques")
        words = self.prompt.styled(style, language)
        critic = type(self.critic)(self.critic.backbone, words)
        return Assessor(self.rater, critic, words, self.calibration, self.head)

    @property
    def terms(self) -> str:
        """Terms of the weights in short; empty where they state none."""
        if not self.head:
            folder = self.rater.backbone.folder
            return terms_of(folder) if folder else ""
        folders = (self.head.folder, self.head.behind)
        return next(filter(None, (terms_of(Path(f)) for f in folders if f)), "")

    @property
    def rating_attributes(self) -> tuple[str, ...]:
        """What can be rated besides the picture as a whole; a fast head rates nothing else."""
        if self.head is not None:
            return self.head.attributes
        return () if self.prompt is None else tuple(self.prompt.questions)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what the rater adds to a row; see :data:`vlm_aes.output.table.ADDED`."""
        return self.head.columns if self.head else ()

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough for every answer of the model and for the facts."""
        wanted = AMPLE_SIDE
        if self.rater is not None:
            wanted = self.rater.backbone.needed_side or AMPLE_SIDE
        elif self.head:
            wanted = self.head.needed_side
        return max(measures.ANALYSIS_SIDE_PX, wanted)

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
            looked = [self.see(s, rationale=rationale, facts=facts) for s in part]
            good = [s for s in looked if isinstance(s, Seen)]
            rated = iter(self.score_prepared(good, rationale=rationale, attributes=attributes))
            for s, seen in zip(part, looked, strict=True):
                path = str(s) if isinstance(s, str | Path) else ""
                if isinstance(seen, ImageError):
                    results.append(self.refused(seen, path))
                else:
                    results.append(replace(next(rated), path=path))
        return results

    def see(
        self, source: Source, *, rationale: bool = False, facts: bool = False, suffix: str = "",
        sha256: str = "",
    ) -> Seen | ImageError:  # fmt: skip
        """Open a picture and measure what is asked for: all that needs no model, in any thread.

        The fast path decodes no more than its tower reads; what else is measured does not change
        what it reads.

        Args:
            suffix: of the file that bytes were read from.
            sha256: of bytes, where it is known already.
        """
        native = measures.NATIVE_CROP_SIDE_PX if facts else None
        if self.head is None or rationale or facts:
            picture = open_image(
                source, needed_side=self.needed_side, native_side=native, suffix=suffix,
                sha256=sha256,
            )  # fmt: skip
        if self.head is None:
            return picture if isinstance(picture, ImageError) else self.seen(
                picture, rationale=rationale, facts=facts
            )  # fmt: skip
        opened = self.head.look(source, suffix, sha256)
        if isinstance(opened, ImageError):
            return opened
        small, pixels = opened
        if rationale or facts:
            if isinstance(picture, ImageError):
                return picture
            looked = self.seen(picture, rationale=rationale, facts=facts)
        else:
            blank = Image.new("RGB", (1, 1))
            looked = Seen(replace(small, image=blank))
        warning = input_warning(small.image)
        return replace(looked, pixels=pixels, warning=warning)

    def seen(self, picture: LoadedImage, *, rationale: bool = False, facts: bool = False) -> Seen:
        """What is known of an opened picture before the vision-language model looks at it."""
        tells = self.prompt is not None and bool(self.prompt.facts_line)
        return Seen(
            picture,
            warning=input_warning(picture.image),
            facts=measures.measure(picture.image, picture.native) if facts else {},
            told=measures.measure_for_prompt(picture.image) if rationale or tells else {},
        )

    def refused(self, error: ImageError, path: str = "") -> Assessment:
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

    def assess_images(
        self,
        pictures: Sequence[LoadedImage],
        *,
        rationale: bool = False,
        facts: bool = False,
        attributes: bool = False,
    ) -> list[Assessment]:
        """Rate opened pictures in one batch; paths are left empty.

        Nothing that is not asked for is computed, except that a critique needs the told facts.
        """
        looked = [self.seen(p, rationale=rationale, facts=facts) for p in pictures]
        if self.head is not None:
            looked = [
                replace(s, pixels=self.head.read(p)) for s, p in zip(looked, pictures, strict=True)
            ]
        return self.score_prepared(looked, rationale=rationale, attributes=attributes)

    def score_prepared(
        self, looked: Sequence[Seen], *, rationale: bool = False, attributes: bool = False
    ) -> list[Assessment]:
        """Rate pictures that were looked at, in one batch; paths are left empty."""
        if not looked:
            return []
        images = [seen.picture.image for seen in looked]
        asked = self.rating_attributes if attributes else ()
        if self.head is not None:
            found = self.head.rate([seen.pixels for seen in looked], asked)
        else:
            lines = None
            if self.prompt is not None and self.prompt.facts_line:
                lines = [measures.facts_sentence(seen.told) for seen in looked]
            probabilities, states = self.rater.look(images, asked, facts=lines)
            found = Scores(probabilities, states[:, 0].float().cpu().numpy())
        scores = ratings.score(found.probabilities)
        unfamiliar = self._unfamiliar(found.states, len(looked))
        failed = found.errors or [""] * len(looked)
        rated: list[Assessment] = []
        for i, seen in enumerate(looked):
            picture, overall = seen.picture, found.probabilities[i, 0]
            if failed[i]:
                size = (picture.width, picture.height)
                rated.append(self.refused(ImageError("model", failed[i], picture.sha256, *size)))
                continue
            rated.append(
                Assessment(
                    sha256=picture.sha256,
                    width=picture.width,
                    height=picture.height,
                    score=float(scores[i, 0]),
                    score_std=float(ratings.score_std(overall)),
                    **self._worth(float(scores[i, 0])),
                    level=ratings.level(overall),
                    probabilities=dict(zip(ratings.WORDS, map(float, overall), strict=True)),
                    model=self.model_id,
                    prompt=self.prompt_id,
                    facts=self.known(seen.facts, picture.image, float(scores[i, 0])),
                    warning=seen.warning or unfamiliar[i],
                    attributes=dict(zip(asked, map(float, scores[i, 1:]), strict=True)),
                    residuals=self._residuals(asked, scores[i]),
                    columns={name: values[i] for name, values in found.columns.items()},
                )
            )
        if not rationale:
            return rated
        good = [i for i, a in enumerate(rated) if not a.error]
        written = self.critiques(
            [looked[i] for i in good],
            [float(scores[i, 0]) for i in good],
            [rated[i].level for i in good],
        )
        for i, critique in zip(good, written, strict=True):
            rated[i] = replace(rated[i], critique=critique)
        return rated

    def critiques(
        self,
        looked: Sequence[Seen],
        scores: Sequence[float],
        levels: Sequence[str],
        heard: Callable[[str], None] | None = None,
    ) -> list[str]:
        """A critique of each picture, checked, that knows its score (0 to 100) and its level.

        Args:
            looked: by :meth:`see` with ``rationale``.
            heard: told the first picture's critique as it is written, before it is checked.
        """
        images = [seen.picture.image for seen in looked]
        told = [
            self.known(seen.told, seen.picture.image, score)
            for seen, score in zip(looked, scores, strict=True)
        ]
        found: list[str] = self.critic.checked(
            images, told, scores, levels, self.faults(images, told), heard
        )
        return found

    def known(
        self, facts: Mapping[str, Fact], image: Image.Image, score: float
    ) -> dict[str, Fact]:  # fmt: skip
        """The facts, with the smear that a low rating of a picture's quality betrays; of a
        finetuned model nobody knows what its rating means."""
        from vlm_aes.measure.focus import with_blur_evidence

        names = self.prompt is not None and self.prompt.faults is not None
        plain = self.head is None and not self.rater.backbone.adapter and self.rater.taste is None
        return dict(with_blur_evidence(facts, image, score) if names and plain else facts)

    def faults(
        self, images: Sequence[Image.Image], told: Sequence[Mapping[str, Fact]]
    ) -> list[str | None]:
        """What spoils each picture, as its critique is told; nothing where nothing does.

        Args:
            told: facts of each, as the model is told them.
        """
        from vlm_aes.measure.degradation import checked_degradation

        known = (
            () if self.prompt is None or self.prompt.faults is None else self.prompt.faults.words
        )
        return [
            checked_degradation(fault, facts, known)
            for fault, facts in zip(self.rater.faults(images), told, strict=True)
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

    def _unfamiliar(self, states: Any, n: int) -> list[str]:
        """A warning for each of ``n`` pictures that looks unlike those that the checkpoint was made
        for."""
        familiar = self.calibration.familiar if self.calibration else None
        if familiar is None or states is None:
            return [""] * n
        return ["out_of_domain" if d > familiar.limit else "" for d in familiar.distance(states)]


def terms_of(folder: Path, *, whole: bool = False) -> str:
    """A checkpoint's ``LICENSE-WEIGHTS`` file: its first line, the terms in short, or all of it."""
    file = folder / "LICENSE-WEIGHTS"
    if not file.exists():
        return ""
    text = file.read_text(encoding="utf-8").strip()
    return text + "\n" if whole else text.splitlines()[0]
