"""The facade: prepare, score, measure, critique, suggest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from PIL import Image

from vlm_aes import measure as measures
from vlm_aes.assessor.assessment import Assessment, PreparedImage, Source, rated_images
from vlm_aes.assessor.versions import VersionRater
from vlm_aes.errors import PromptError
from vlm_aes.images.open import open_image
from vlm_aes.images.result import ImageError, LoadedImage
from vlm_aes.measure import Fact
from vlm_aes.measure.input_warning import input_warning
from vlm_aes.models.nano import NANO
from vlm_aes.models.scorer import Scorer, Scores
from vlm_aes.prompts import RatingPrompt
from vlm_aes.stats.calibration import Calibration
from vlm_aes.stats.calibration import load as load_calibration

if TYPE_CHECKING:
    from vlm_aes.critique.generate import Critique


class Assessor(VersionRater):
    """Rates images with a vision-language model, or with another scorer: a fast head, a published
    head, a classifier, a server, or an ensemble.

    Make one with :meth:`from_pretrained`; the constructor takes parts that are already loaded.
    With a ``head``, the head gives the scores and the model is needed for critiques alone.
    """

    def __init__(
        self,
        rater: Any,
        critic: Any,
        prompt: RatingPrompt | None,
        calibration: Calibration | None = None,
        head: Scorer | None = None,
    ) -> None:
        self.rater = rater
        self.critic = critic
        self.prompt = prompt
        self.calibration = calibration
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
        any_base: bool = False,
    ) -> Assessor:
        """Load a model.

        Args:
            model: None for the embedded one; a preset, a hub id (``OWNER/NAME`` or
                ``OWNER/NAME@REVISION``), a folder with a checkpoint, a LoRA adapter or a fast head;
                or another name that :func:`vlm_aes.models.registry.load_scorer` knows: a published
                head, a classifier, a zero-shot model, an ``.onnx`` file, a rater file, a server.
            adapter: LoRA adapter to put on ``model``.
            prompt: name or file of the prompts; the preset's or the checkpoint's own if None.
            precision: ``auto``, ``fp32``, ``bf16``, ``fp16``, ``8bit`` or ``4bit``.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            revision: branch, tag or commit of a hub id.
            pixels: library that resizes and normalises: ``auto``, ``pil`` or ``torchvision``.
            fast: rate with the fast head in the folder of ``model``.
            critic: load the model behind a fast head too, for critiques.
            any_base: put an adapter also on a base that it was not trained on.

        Raises:
            CheckpointError: for a model that cannot be loaded, or has no fast head.
            CalibrationError: for a damaged ``calibration.json``.
            PromptError: for prompts that cannot be used.
        """
        from vlm_aes.critique.generate import Critic
        from vlm_aes.models.hub import fetch
        from vlm_aes.models.pretrained import LoadOptions
        from vlm_aes.models.registry import load_scorer
        from vlm_aes.models.vlm.scorer import VlmScorer

        name, revision = fetch(NANO if model is None else model, revision)
        options = LoadOptions(precision, device, revision, prompt, adapter, pixels, any_base=any_base)
        scorer = load_scorer(name, fast=fast, options=options)
        calibration = scorer.calibration
        if calibration is None and scorer.folder is not None:
            calibration = load_calibration(scorer.folder, scorer.calibration_id)
        if isinstance(scorer, VlmScorer):
            return cls(scorer, Critic(scorer.backbone, scorer.prompt), scorer.prompt, calibration)
        if not critic or scorer.critique_model is None:
            return cls(None, None, None, calibration, scorer)
        base = cls.from_pretrained(scorer.critique_model, precision=precision, device=device)
        return cls(base.rater, base.critic, base.prompt, calibration, scorer)

    @property
    def model_id(self) -> str:
        """Hub id and revision, or content hash."""
        return str(self.head.model_id if self.head else self.rater.backbone.model_id)

    @property
    def prompt_id(self) -> str:
        """Hash of the exact prompt text, preprocessing and pixel backend."""
        return str(self.head.prompt_id if self.head else self.rater.prompt_id)

    @property
    def terms(self) -> str:
        """Licence of the weights in one line; empty if they state none."""
        folders = (self.rater.backbone.folder,) if self.rater else ()
        if self.head is not None:
            folders = (self.head.folder, self.head.critique_model, *folders)
        return next(filter(None, (terms_of(Path(f)) for f in folders if f)), "")

    @property
    def rating_attributes(self) -> tuple[str, ...]:
        """What can be rated besides the image as a whole."""
        if self.head is not None:
            return self.head.attributes
        return () if self.rater is None else tuple(self.rater.attributes)

    @property
    def degradation_kinds(self) -> tuple[str, ...]:
        """Kinds of degradation that heads tell; none for a model whose heads name nothing."""
        return self.rater.backbone.degradation_kinds if self.rater and self.head is None else ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what the scorer adds to a row: see ``SCORER_COLUMNS`` of the row."""
        return self.head.columns if self.head else ()

    @property
    def needed_side(self) -> int:
        """Long side in pixels that is enough for every answer of the model and for the facts."""
        scorer: Any = self.rater or self.head
        return max(measures.ANALYSIS_SIDE_PX, int(scorer.needed_side))

    def with_style(self, style: str | None, language: str | None) -> Assessor:
        """The same assessor with critiques in another style or language.

        Raises:
            PromptError: names what the checkpoint does not have, and what it has.
        """
        if style is None and language is None:
            return self
        if self.critic is None or self.prompt is None:
            raise PromptError(f"{self.model_id} writes no critiques")
        prompts = self.prompt.with_style(style, language)
        critic = type(self.critic)(self.critic.backbone, prompts)
        return Assessor(self.rater, critic, prompts, self.calibration, self.head)

    @overload
    def assess(  # type: ignore[overload-overlap]  # a str is also a sequence of str
        self, source: Source, *, rationale: bool = ..., facts: bool = ..., attributes: bool = ...
    ) -> Assessment: ...
    @overload
    def assess(
        self,
        source: Sequence[Source],
        *,
        rationale: bool = ...,
        facts: bool = ...,
        attributes: bool = ...,
        batch_size: int = ...,
    ) -> list[Assessment]: ...
    def assess(
        self,
        source: Source | Sequence[Source],
        *,
        rationale: bool = False,
        facts: bool = True,
        attributes: bool = False,
        batch_size: int = 16,
    ) -> Assessment | list[Assessment]:
        """Rate one image, or a list of images in order.

        An image that cannot be opened gives an assessment with ``error``; nothing is raised for it. For folders
        and for more than fits in memory use ``vlm-aes score`` or :mod:`vlm_aes.bulk`.

        Args:
            source: a path, a PIL image or the bytes of a file; or a list of these.
            rationale: write critiques and try edits.
            facts: measure.
            attributes: rate each attribute too.
            batch_size: images per forward pass.
        """
        options: dict[str, bool] = {"rationale": rationale, "attributes": attributes}
        if isinstance(source, str | Path | bytes | Image.Image):
            return self.assess([source], facts=facts, **options)[0]
        results: list[Assessment] = []
        for start in range(0, len(source), batch_size):
            part = source[start : start + batch_size]
            prepared = [self.prepare(s, rationale=rationale, facts=facts) for s in part]
            good = [image for image in prepared if isinstance(image, PreparedImage)]
            assessments = iter(self.score_prepared(good, **options))
            for one, image in zip(part, prepared, strict=True):
                path = str(one) if isinstance(one, str | Path) else ""
                if isinstance(image, ImageError):
                    results.append(self.error_assessment(image, path))
                else:
                    results.append(replace(next(assessments), path=path))
        return results

    def assess_images(
        self, images: Sequence[LoadedImage], *, rationale: bool = False, facts: bool = False, attributes: bool = False
    ) -> list[Assessment]:
        """Rate opened images in one batch; paths are left empty."""
        prepared = [self.prepare_loaded(i, rationale=rationale, facts=facts) for i in images]
        if self.head is not None:
            prepared = [replace(p, pixels=self.head.preprocess(p.loaded)) for p in prepared]
        return self.score_prepared(prepared, rationale=rationale, attributes=attributes)

    def prepare(
        self, source: Source, *, rationale: bool = False, facts: bool = False, suffix: str = "", sha256: str = ""
    ) -> PreparedImage | ImageError:
        """Open an image and measure what is asked for: all that needs no model, in any thread.

        A fast head decodes no more than its tower reads; what else is measured does not change what it reads.

        Args:
            suffix, sha256: of the file that bytes were read from, if known.
        """
        prepared: PreparedImage | None = None
        if self.head is None or rationale or facts:
            loaded = open_image(
                source,
                needed_side=self.needed_side,
                suffix=suffix,
                sha256=sha256,
                native_side=measures.NATIVE_CROP_SIDE_PX if facts else None,
            )
            if isinstance(loaded, ImageError):
                return loaded
            prepared = self.prepare_loaded(loaded, rationale=rationale, facts=facts)
            if self.head is None:
                return prepared
        opened = self.head.open(source, suffix, sha256)
        if isinstance(opened, ImageError):
            return opened
        small, pixels = opened
        if prepared is None:
            prepared = PreparedImage(replace(small, image=Image.new("RGB", (1, 1))))
        return replace(prepared, pixels=pixels, warning=input_warning(small.image, small.damaged))

    def prepare_loaded(self, loaded: LoadedImage, *, rationale: bool = False, facts: bool = False) -> PreparedImage:
        """Measure what an opened image needs for the vision-language model."""
        needed = rationale or (self.prompt is not None and bool(self.prompt.facts_line))
        return PreparedImage(
            loaded,
            warning=input_warning(loaded.image, loaded.damaged),
            facts=measures.measure(loaded.image, loaded.native, loaded.frame, loaded.damaged) if facts else {},
            prompt_facts=measures.measure_for_prompt(loaded.image) if needed else {},
        )

    def error_assessment(self, error: ImageError, path: str = "") -> Assessment:
        """The assessment of an image that could not be rated."""
        return Assessment.failed(error, self.model_id, self.prompt_id, path)

    def score_prepared(
        self, images: Sequence[PreparedImage], *, rationale: bool = False, attributes: bool = False
    ) -> list[Assessment]:
        """Rate prepared images in one batch; paths are left empty."""
        if not images:
            return []
        names = self.rating_attributes if attributes else ()
        scores = self._scores(images, names)
        results = rated_images(images, names, scores, self.calibration)
        for i, (image, a) in enumerate(zip(images, results, strict=True)):
            facts = self.facts_with_blur(image.facts, image.loaded.image, a.score or 0.0)
            results[i] = replace(a, facts={} if a.error else facts, model=self.model_id, prompt=self.prompt_id)
        rated = [i for i, a in enumerate(results) if not a.error]
        if rationale and rated:
            critiques = self.critiques(
                [images[i] for i in rated],
                [results[i].score or 0.0 for i in rated],
                [results[i].level for i in rated],
                look=scores.look.rows(rated) if scores.look and self.head is None else None,
            )
            for i, critique in zip(rated, critiques, strict=True):
                suggestions = self.suggestions(images[i], critique)
                results[i] = replace(
                    results[i], critique=critique.text, subject=critique.subject, suggestions=suggestions
                )
        return results

    def _scores(self, images: Sequence[PreparedImage], names: Sequence[str]) -> Scores:
        if self.head is not None:
            return self.head.score([image.pixels for image in images], names)
        states_facts = self.prompt is not None and bool(self.prompt.facts_line)
        inputs = [(i.loaded.image, measures.facts_sentence(i.prompt_facts) if states_facts else None) for i in images]
        scores: Scores = self.rater.score(inputs, names)
        return scores

    def critiques(
        self,
        images: Sequence[PreparedImage],
        scores: Sequence[float],
        levels: Sequence[str],
        on_text: Callable[[str], None] | None = None,
        look: Any = None,
    ) -> list[Critique]:
        """A checked critique of each image, written with its score (0 to 100) and its level.

        Args:
            images: by :meth:`prepare` with ``rationale``.
            on_text: receives the first critique while it is written, before it is checked.
            look: of the scores, where the model has heads and has looked at these images already.
        """
        plain, facts, degradations = self.critique_inputs(images, scores)
        critiques: list[Critique] = self.critic.critiques(plain, facts, scores, levels, degradations, on_text, look)
        return critiques

    def critique_inputs(
        self, images: Sequence[PreparedImage], scores: Sequence[float]
    ) -> tuple[list[Image.Image], list[dict[str, Fact]], list[str | None]]:
        """What critiques are written from: the images, their facts, and the degradation of each, if any."""
        from vlm_aes.measure.degradation import checked_degradation

        plain = [image.loaded.image for image in images]
        facts = [
            self.facts_with_blur(image.prompt_facts, image.loaded.image, score)
            for image, score in zip(images, scores, strict=True)
        ]
        known = self.prompt.degradation.words if self.prompt and self.prompt.degradation else ()
        found = zip(self.rater.degradations(plain), facts, strict=True)
        return plain, facts, [checked_degradation(name, own, known) for name, own in found]

    def facts_with_blur(self, facts: Mapping[str, Fact], image: Image.Image, score: float) -> dict[str, Fact]:
        """The facts, with the blur that a low score betrays.

        Of a finetuned model nobody knows what its score means: its facts stay as they are.
        """
        from vlm_aes.measure.focus import with_blur_evidence

        asks = self.prompt is not None and self.prompt.degradation is not None
        original = self.head is None and not self.rater.backbone.adapter and self.rater.residual_head is None
        return dict(with_blur_evidence(facts, image, score) if asks and original else facts)


def terms_of(folder: Path, *, whole: bool = False) -> str:
    """The ``LICENSE-WEIGHTS`` file of a checkpoint: its first line, or all of it."""
    file = folder / "LICENSE-WEIGHTS"
    if not file.exists():
        return ""
    text = file.read_text(encoding="utf-8").strip()
    return text + "\n" if whole else text.splitlines()[0]
