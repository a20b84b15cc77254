"""One call of ``score``: from its settings to the models that rate, and to everything written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

from vlm_aes.assessor import Assessor
from vlm_aes.bulk.exports import Exports
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions
from vlm_aes.bulk.progress import Progress, count_in_background
from vlm_aes.bulk.ray import RayEngine
from vlm_aes.bulk.ray_worker import WorkerModel
from vlm_aes.bulk.run import ScoreJob, score_to_rows, score_to_sink
from vlm_aes.bulk.select.cut import Cut
from vlm_aes.bulk.settings import RunSettings
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import find_sources
from vlm_aes.errors import CheckpointError, SettingsError, SourceError
from vlm_aes.files import write_text
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads import FastScorer
from vlm_aes.output.results import add_stars, read_rows
from vlm_aes.output.stars import StarRule
from vlm_aes.output.table import Columns, Row
from vlm_aes.output.xmp.sidecars import SidecarWriter
from vlm_aes.ratings.scale import Scale

FIRST_BATCH_IMAGES = 4
"""Largest batch where critiques are shown as they come, so that the first is there soon."""


class ScoreRun:
    """Rates the images that the settings name.

    The constructor finds the first image, then loads the models; nothing is written yet.

    Args:
        settings: of the call.
        stdin: lines for the path ``-``.

    Attributes:
        assessor: rates every image.
        slow: rates borderline images again, in a cascade.
        stats: counts along.

    Raises:
        VlmAesError: for settings, a source or a model that cannot be used.
    """

    def __init__(self, settings: RunSettings, stdin: Iterable[str] = ()) -> None:
        s = self.settings = settings
        stars = StarRule.parse(s.stars, s.stars_among) if s.xmp or s.stars else None
        sidecars = None
        if s.xmp:
            sidecars = SidecarWriter(s.xmp_layout, s.overwrite_ratings, s.unrated, s.dry_run)
        self.exports = Exports(sidecars, s.html, s.dataset)
        scale = Scale.parse(s.scale) if s.scale else None
        cut = Cut(s.top_k, s.fraction, s.threshold, s.per) if s.selects else None
        # a list can be read once
        again = s.reads_images_again
        self._stdin = list(stdin) if "-" in s.paths and again else stdin
        sources = self._find()
        first = next(sources, None)
        if first is None:
            raise SourceError(f"no image found in {', '.join(s.paths)}")
        self.assessor, self.slow = self._load()
        self._check_models(stars)
        once = chain([first], sources)
        columns = Columns(
            facts=s.facts,
            attributes=self.assessor.rating_attributes if s.attributes else (),
            rationale=s.rationale,
            scale=scale,
            cascade=s.cascade,
            stars=stars,
            added=self.assessor.columns,
        )
        waits = s.rationale and s.out is None
        self._job = ScoreJob(
            lambda: self._find() if again else once,
            columns,
            ScoreOptions(rationale=s.rationale, facts=s.facts, attributes=s.attributes),
            cut,
            min(s.batch_size, FIRST_BATCH_IMAGES) if waits else s.batch_size,
            column=s.image_column,
        )
        self.stats = RunStats()
        self.progress = Progress(self.stats, count_in_background(s.paths, s.image_column))
        self._shown: list[Row] = []

    def rows(self) -> Iterator[Row]:
        """Rate, and give rows as they are rated, or those that are selected of all."""
        with self.progress as progress:
            job, stats, advance = self._job, self.stats, self.progress.advance
            for row in score_to_rows(self.assessor, job, stats, advance, self.slow):
                progress.hide()
                yield row
                if self.exports:
                    self._shown.append(row)

    def write(self) -> None:
        """Rate, and write the table ``out``.

        Raises:
            VlmAesError: where the table or a source cannot be used; what was rated is kept.
        """
        s, job = self.settings, self._job
        assert s.out is not None
        with ExitStack() as stack:
            sink = stack.enter_context(Sink(s.out, job.columns.schema, resume=s.resume, overwrite=s.overwrite))
            if s.engine == "ray":
                pool = RayEngine(self._worker_model, workers=s.workers, column=s.image_column)
                job = replace(job, engine=stack.enter_context(pool).rows)
            stack.enter_context(self.progress)
            score_to_sink(sink, self.assessor, job, self.stats, self.progress.advance, self.slow)

    def export(self, show: Callable[[str], None], say: Callable[[str], None]) -> int:
        """Write what was asked for beside the table; gives how many sidecars failed."""
        if not self.exports:
            return 0
        columns, out = self._job.columns, self.settings.out
        rows = self._shown
        if out is None and self._job.cut is None and columns.run_stars is not None:
            rows = list(add_stars(lambda: self._shown, columns.run_stars))
        finished = (lambda: read_rows(Path(out), columns.schema)) if out else (lambda: rows)
        return self.exports.write(finished, self._job.sources, columns.schema, show=show, say=say)

    def summarize(self) -> None:
        """Print the counts of the run, and write them to the file that was asked for."""
        self.progress.summary(self.settings.out)
        if self.settings.stats is not None:
            write_text(self.settings.stats, json.dumps(self.progress.statistics(), indent=1) + "\n")

    def _find(self) -> Iterator[ImageSource]:
        s = self.settings
        return find_sources(s.paths, self._stdin, s.image_column, keep_containers=s.engine == "ray")

    def _load(self) -> tuple[Assessor, Assessor | None]:
        """The model that rates every image, and the one that rates borderline images again."""
        s = self.settings
        device = s.device
        # the accelerator is the workers', unless critiques of selected images are written here
        if s.engine == "ray" and device == "auto" and not (s.selects and s.rationale):
            device = "cpu"
        assessor = Assessor.from_pretrained(
            s.model,
            precision=s.precision,
            device=device,
            fast=s.fast or s.cascade,
            critic=s.rationale and not s.cascade,
        )
        if not s.cascade:
            return assessor, None
        head = assessor.head
        if not isinstance(head, FastScorer) or None in (head.critique_model, head.config.agreement):
            raise CheckpointError(
                "--cascade needs a checkpoint with a fast head that was distilled from it",
                "vlm-aes distill --teacher MODEL --out MODEL --images DIR",
            )
        return assessor, Assessor.from_pretrained(head.critique_model, precision=s.precision, device=device)

    def _check_models(self, stars: StarRule | None) -> None:
        s, assessor = self.settings, self.assessor
        is_head = assessor.head is not None
        if s.attributes and is_head and not assessor.rating_attributes:
            raise SettingsError("a fast head rates the image as a whole", "leave --attributes or --fast out")
        if s.rationale and is_head and assessor.critic is None and self.slow is None:
            raise SettingsError(
                "this model writes no critiques",
                "leave --rationale out; of a fast head, name the checkpoint that it lies in",
            )
        if stars and stars.among == "reference" and assessor.calibration is None:
            raise SettingsError("this model has no reference photos to give stars by", "--stars-among run")

    def _worker_model(self, assessor: Assessor) -> WorkerModel:
        """How a worker of Ray loads the same model."""
        s, head = self.settings, self.assessor.head
        if assessor is self.slow and head is not None:
            return WorkerModel(head.critique_model, s.precision, s.device, critic=s.rationale)
        return WorkerModel(s.model, s.precision, s.device, fast=s.fast or s.cascade, critic=s.rationale)
