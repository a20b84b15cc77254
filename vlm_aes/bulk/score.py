"""One call of ``score``: from its settings to the models that rate, and to everything written."""

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.assessor import Assessor, PreparedImage
from vlm_aes.bulk.cascade import CascadeRows, cascade_tiers
from vlm_aes.bulk.exports import Say, write_sidecars
from vlm_aes.bulk.pipeline import RunStats, ScoreOptions, begin_sink, score_images
from vlm_aes.bulk.prefetch import Prefetcher
from vlm_aes.bulk.progress import Progress, count_in_background
from vlm_aes.bulk.ray import ray_cluster, score_on_ray
from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows, take_rows
from vlm_aes.bulk.settings import RunSettings
from vlm_aes.bulk.sink import Sink
from vlm_aes.bulk.sources import PassedOver, find_sources, open_containers
from vlm_aes.bulk.target import FAST
from vlm_aes.errors import CheckpointError, SettingsError, SourceError
from vlm_aes.files import write_text
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads import FastScorer
from vlm_aes.output.hf_dataset import check_new_dataset, write_dataset
from vlm_aes.output.html.gallery import write_gallery
from vlm_aes.output.results import add_stars, read_rows
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.output.table import Columns, Row, add_stars_to_tables, rationale_cells, to_rows, to_table
from vlm_aes.output.terminal import count_text
from vlm_aes.output.xmp.sidecars import SidecarWriter
from vlm_aes.ratings.scale import Scale

FIRST_BATCH_IMAGES = 4
"""Largest batch where critiques are shown as they come, so that the first is there soon."""


class ScoreRun:
    """Rates the images that the settings name, selects, and writes critiques of the selected.

    The constructor finds the first image, then loads the models; nothing is written yet. It takes ``stdin``, the
    paths for the path ``-``.

    Attributes:
        assessor, slow: rates every image; rates borderline images again, in a cascade.

    Raises:
        VlmAesError: for settings, a source or a model that cannot be used.
    """

    def __init__(self, settings: RunSettings, stdin: Iterable[str] = ()) -> None:
        s = self.settings = settings
        stars = StarRule.parse(s.stars, s.stars_among) if s.xmp or s.stars else None
        self._sidecars = (
            SidecarWriter(s.xmp_layout, s.overwrite_ratings, s.unrated, s.dry_run, s.caption) if s.xmp else None
        )
        if s.dataset is not None:
            check_new_dataset(s.dataset)
        self._exports = s.xmp or s.html is not None or s.dataset is not None
        scale = Scale.parse(s.scale) if s.scale else None
        self._cut = Cut(s.top_k, s.fraction, s.threshold, s.per) if s.selects else None
        # a list can be read once
        self._stdin = list(stdin) if "-" in s.paths and s.reads_images_again else stdin
        self.stats = RunStats()
        passed_over = PassedOver() if s.reads_images_again else self.stats.passed_over
        sources = self._find(passed_over)
        first = next(sources, None)
        if first is None:
            raise SourceError(f"no image found in {', '.join(s.paths)}", "; ".join(passed_over.lines()))
        self._first_sources = chain([first], sources)
        self.assessor, self.slow = self._load()
        self._check_models(stars)
        self.columns = Columns(
            facts=s.facts,
            attributes=self.assessor.rating_attributes if s.attributes else (),
            rationale=s.rationale,
            tags=s.tags,
            degradations=self.assessor.degradation_kinds,
            scale=scale,
            cascade=s.cascade,
            stars=stars,
            added=self.assessor.columns,
        )
        # with a cut, critiques are written for the selected alone
        self._options = ScoreOptions(s.rationale and not s.selects, s.facts, s.attributes)
        waits = s.rationale and s.out is None
        self._batch_size = min(s.batch_size, FIRST_BATCH_IMAGES) if waits else s.batch_size
        self._engine: Callable[..., Iterator[Row]] = score_images
        self.progress = Progress(self.stats, count_in_background(s.paths, s.image_column))
        self._shown: list[Row] = []

    def rows(self) -> Iterator[Row]:
        """Rate, and give rows as they are rated, or those that are selected of all."""
        with self.progress as progress:
            for row in self._rate(self.assessor, self.stats) if self._cut is None else self._selected_rows():
                progress.hide()
                yield row
                if self._exports:
                    self._shown.append(row)

    def write(self) -> None:
        """Rate, and write the table ``out``. Raises VlmAesError where the table or a source cannot be used; what was
        rated is kept."""
        s = self.settings
        assert s.out is not None
        with ExitStack() as stack:
            sink = stack.enter_context(Sink(s.out, self.columns.schema, resume=s.resume, overwrite=s.overwrite))
            if s.engine == "ray":
                stack.enter_context(ray_cluster())
                model, workers, column = self._worker_model, s.workers, s.image_column
                self._engine = partial(score_on_ray, worker_model=model, workers=workers, column=column)
            stack.enter_context(self.progress)
            self._fill(sink)

    def export(self, show: Say, say: Say) -> int:
        """Write what was asked for beside the table; gives how many sidecars failed. ``show`` gets a line for each
        sidecar in a dry run, ``say`` what was written, and failures. Raises OutputError where the dataset cannot be
        written."""
        if not self._exports:
            return 0
        s, columns = self.settings, self.columns
        if s.out is None and self._cut is None and columns.run_stars is not None:
            self._shown = list(add_stars(lambda: self._shown, columns.run_stars))

        def rows() -> Iterable[Row]:
            return self._shown if s.out is None else read_rows(Path(s.out), columns.schema)

        failed = write_sidecars(self._sidecars, rows(), show=show, say=say) if self._sidecars else 0
        if s.html is not None:
            write_gallery(s.html, rows, self._sources)
            say(f"gallery in {s.html}")
        if s.dataset is not None:
            n = write_dataset(s.dataset, rows(), self._sources(), columns.schema)
            say(f"dataset of {count_text(n, 'image')} in {s.dataset}")
        return failed

    def summarize(self) -> None:
        """Print the counts of the run, and write them to the file that was asked for."""
        self.progress.summary(self.settings.out)
        if self.settings.stats is not None:
            write_text(self.settings.stats, json.dumps(self.progress.statistics(), indent=1) + "\n")

    def _find(self, passed_over: PassedOver | None = None) -> Iterator[ImageSource]:
        s, is_ray = self.settings, self.settings.engine == "ray"
        return find_sources(s.paths, self._stdin, s.image_column, keep_containers=is_ray, passed_over=passed_over)

    def _sources(self, passed_over: PassedOver | None = None) -> Iterator[ImageSource]:
        """The images; a second time only where the settings need it."""
        return self._find(passed_over) if self.settings.reads_images_again else self._first_sources

    def _load(self) -> tuple[Assessor, Assessor | None]:
        """The model that rates every image, and the one that rates borderline images again."""
        s = self.settings
        device = s.device
        # the accelerator is the workers', unless critiques of selected images are written here
        if s.engine == "ray" and device == "auto" and not (s.selects and s.rationale):
            device = "cpu"
        critic = s.rationale and not s.cascade
        fast = s.fast or s.cascade
        options: dict[str, Any] = {"precision": s.precision, "device": device, "any_base": s.any_base}
        assessor = Assessor.from_pretrained(s.model, fast=fast, critic=critic, **options)
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
        if s.tags and not assessor.degradation_kinds:
            raise SettingsError(f"{assessor.model_id} has no heads that name what an image shows", "leave --tags out")
        if s.attributes and is_head and not assessor.rating_attributes:
            raise SettingsError("a fast head rates the image as a whole", "leave --attributes or --fast out")
        if s.rationale and is_head and assessor.critic is None and self.slow is None:
            raise SettingsError(
                "this model writes no critiques",
                "leave --rationale out; of a fast head, name the checkpoint that it lies in",
            )
        if stars and stars.among == "reference" and assessor.calibration is None:
            raise SettingsError("this model has no reference photos to give stars by", "--stars-among run")

    def _worker_model(self, assessor: Assessor) -> dict[str, Any]:
        """Arguments of ``from_pretrained`` with which a worker of Ray loads the same model."""
        s, head = self.settings, self.assessor.head
        model, fast = s.model, s.fast or s.cascade
        if assessor is self.slow and head is not None:
            model, fast = head.critique_model, False
        options = {"precision": s.precision, "device": s.device, "any_base": s.any_base}
        return {"model": model, "fast": fast, "critic": s.rationale, **options}

    def _rate(self, assessor: Assessor, stats: RunStats, **settings: Any) -> Iterator[Row]:
        """Rows of every image, as the engine rates them."""
        settings |= {"stats": stats, "batch_size": self._batch_size}
        sources = self._sources(stats.passed_over)
        for row in self._engine(assessor, sources, self.columns, self._options, **settings):
            yield row
            self.progress.advance()

    def _selected_rows(self) -> Iterator[Row]:
        with (
            tempfile.TemporaryDirectory(prefix="vlm-aes-") as folder,
            Sink(f"{folder}/rows.parquet", self.columns.schema) as sink,
        ):
            selected = self._fill(sink)
            assert selected is not None
            yield from to_rows(selected)

    def _fill(self, sink: Sink) -> pa.Table | None:
        """Rate every image and finish a sink that is entered already; gives the selected rows, if there is a cut."""
        tiers = None
        try:
            if self.slow is not None:
                tiers = self._rate_in_cascade(sink, self.slow)
            else:
                for _ in self._rate(self.assessor, self.stats, sink=sink):
                    pass
        except KeyboardInterrupt:
            sink.flush()
            raise
        cut, schema, rule = self._cut, sink.schema, self.columns.run_stars
        if cut is None:
            tables = None
            if rule is not None:
                rank = PercentileRank(GroupedScores.read(sink.own_tables, "all").score)
                tables = add_stars_to_tables(sink.own_tables(), rule, rank)
            sink.finish(tables)
            return None
        scores = GroupedScores.read(sink.own_tables, cut.per)
        selected = take_rows(sink.own_tables, select_rows(scores, cut, tiers))
        if selected is None:
            selected = schema.empty_table()
        elif rule is not None:
            (selected,) = add_stars_to_tables([selected], rule, PercentileRank(scores.score))
        if self.settings.rationale:
            selected = to_table(self._with_critiques(to_rows(selected)), schema)
        sink.finish([selected])
        return selected

    def _rate_in_cascade(self, sink: Sink, slow: Assessor) -> NDArray[np.int64]:
        """Rate with the head, then with the model where the head leaves the cut open; gives each row's tier."""
        fast, cut = self.assessor, self._cut
        assert cut is not None and isinstance(fast.head, FastScorer) and fast.head.config.agreement is not None
        with Sink(
            f"{sink.part}/{FAST}/", self.columns.schema, resume=sink.resume, overwrite=not sink.resume
        ) as fast_sink:
            for _ in self._rate(fast, self.stats, sink=fast_sink):
                pass
            scores = GroupedScores.read(fast_sink.own_tables, cut.per)
            tiers = cascade_tiers(scores, cut, fast.head.config.agreement)
            earlier = begin_sink(sink, slow, self.columns, self._options, fast=fast.model_id)
            rows = CascadeRows(fast_sink, tiers, earlier)
            stats = RunStats()
            for _ in self._rate(slow, stats, sink=sink, completed=rows, amend=rows.amend):
                pass
            self.stats.rated_again = stats.rated
            self.stats.errors, self.stats.scores = stats.errors, stats.scores
            # by path: an image may have come or gone between the two rounds
            paths = (row["path"] for table in sink.own_tables() for row in to_rows(table.select(["path"])))
            return np.fromiter(map(rows.tier_of, paths), np.int64)

    def _with_critiques(self, rows: list[Row]) -> list[Row]:
        """Selected rows, each with a critique that knows its score, and with a suggestion."""
        assessor = self.slow or self.assessor
        rows_by_path = {row["path"]: row for row in rows}
        cells: dict[str, Row] = {}

        def prepare(data: bytes, suffix: str, sha256: str) -> PreparedImage | ImageError:
            return assessor.prepare(data, rationale=True, suffix=suffix, sha256=sha256)

        sources = open_containers(self._sources(), self.settings.image_column)
        selected = (source for source in sources if source.path in rows_by_path)
        with Prefetcher(selected, prepare, batch_size=self._batch_size) as prefetcher:
            for batch in prefetcher.batches():
                prepared = [(rows_by_path[e.path], e.prepared()) for e in batch if e.decoding]
                good = [(row, image) for row, image in prepared if isinstance(image, PreparedImage)]
                if good:
                    images, scores = [image for _, image in good], [float(row["score"]) for row, _ in good]
                    critiques = assessor.critiques(images, scores, [str(row["level"]) for row, _ in good])
                    for (row, image), critique in zip(good, critiques, strict=True):
                        suggestions = assessor.suggestions(image, critique)
                        cells[row["sha256"]] = rationale_cells(critique.text, critique.subject, suggestions)
                for entry in batch:
                    prefetcher.settle(entry)
        return [{**row, **cells.get(row["sha256"], {})} for row in rows]
