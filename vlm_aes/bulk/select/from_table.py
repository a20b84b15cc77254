"""The rows that ``choose`` selects of a finished table: by score, by band, by burst."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows, take_rows
from vlm_aes.bulk.select.groups import capture_runs, find_bursts, score_within_burst
from vlm_aes.bulk.select.similarity import FeatureExtractor, distinct_rows, feature_extractor
from vlm_aes.bulk.settings import ChooseSettings
from vlm_aes.errors import CheckpointError, SettingsError, TableError
from vlm_aes.models.heads import FastScorer
from vlm_aes.models.scorer import Scorer
from vlm_aes.output.results import read_batches, table_files
from vlm_aes.output.table import BASE_COLUMNS, Row, to_rows, to_table

READ_ROWS = 4096
"""Rows whose paths are read at a time."""


@dataclass(frozen=True)
class ScoredTable:
    """A table that ``score`` wrote: a file, or a folder of shards. Raises TableError where it is none, when it is
    read."""

    file: Path

    def shards(self) -> Iterator[pa.Table]:
        """Its rows, part by part; each time anew."""
        schema = pa.schema(BASE_COLUMNS)
        for file in table_files(self.file):
            empty = True
            for rows in read_batches(file, schema):
                empty = False
                yield to_table(rows, schema)
            if empty:
                raise TableError(f"{file} is no table that score wrote: it lacks rows or columns")

    def rows(self, numbers: NDArray[np.int64]) -> list[Row]:
        """The rows of these numbers, in this order."""
        table = take_rows(self.shards, numbers)
        return [] if table is None else to_rows(table)

    def paths(self, numbers: NDArray[np.int64]) -> Iterator[str]:
        """The paths of these rows, in this order."""
        for start in range(0, len(numbers), READ_ROWS):
            yield from (row["path"] for row in self.rows(numbers[start : start + READ_ROWS]))


def choose_from_table(
    settings: ChooseSettings, head: Scorer | None = None, *, say: Callable[[str], None] = lambda line: None
) -> tuple[list[Row], list[str] | None]:
    """The rows that a call of ``choose`` selects, the best first, and the name of each one's band, if there are any.

    Args:
        head: fast head that measures similarity, where the settings need it.
        say: gets a line about images that are left out.

    Raises:
        TableError, CheckpointError: for a table of another program; for a head that cannot measure similarity.
    """
    assert settings.table is not None
    table, skip = ScoredTable(settings.table), settings.skip_warned
    if settings.bands is not None:
        bands = parse_bands(settings.bands)
        rows = choose_rows(table, Cut(fraction=1.0), skip_warned=skip, say=say)
        return rows, [next(name for low, name in bands.items() if row["score"] >= low) for row in rows]
    cut = Cut(settings.top_k, settings.fraction, settings.threshold, settings.per)
    extract = None
    if settings.needs_similarity:
        if not isinstance(head, FastScorer):
            raise CheckpointError("similarity needs a model with a fast head", "pass one with --model")
        extract = feature_extractor(head)
    return choose_rows(table, cut, extract, distinct=settings.distinct, skip_warned=skip, say=say), None


def choose_rows(
    table: ScoredTable,
    cut: Cut,
    extract: FeatureExtractor | None = None,
    *,
    distinct: bool = False,
    skip_warned: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """The selected rows, the best first; with ``distinct``, only the best of near-duplicates; with ``skip_warned``,
    none with a warning, whose number is said. ``extract`` is needed for the second, and for bursts. Raises
    TableError for a table that ``score`` did not write."""
    scores = GroupedScores.read(table.shards, cut.per, skip_warned=skip_warned)
    if scores.skipped:
        say(f"{scores.skipped} with a warning left out")
    if cut.per == "burst":
        assert extract is not None
        scores = group_by_burst(table, scores, extract)
    if not distinct:
        return table.rows(select_rows(scores, cut))
    assert extract is not None
    whole = cut if cut.threshold is not None else replace(cut, top_k=None, fraction=1.0)
    order = select_rows(scores, whole)
    sizes = np.bincount(scores.group[~np.isnan(scores.score)]) if len(order) else np.zeros(0, int)
    places = [cut.places(int(n)) for n in sizes]
    return table.rows(distinct_rows(order, places, scores.group[order], table.paths(order), extract))


def group_by_burst(table: ScoredTable, scores: GroupedScores, extract: FeatureExtractor) -> GroupedScores:
    """The same images with a group for each burst, and for each image outside one. The score of a frame
    becomes its score within the burst."""
    area: list[float] = []

    def paths() -> Iterator[list[str]]:
        for shard in table.shards():
            rows = to_rows(shard.select(["path", "width", "height", "error"]))
            area.extend((row["width"] or 0) * (row["height"] or 0) for row in rows)
            yield ["" if row["error"] else row["path"] for row in rows]

    runs, taken = capture_runs(paths())
    in_runs = np.sort(np.concatenate([np.zeros(0, np.int64), *runs]))
    paths_in_runs = dict(zip(in_runs.tolist(), table.paths(in_runs), strict=True))
    pixels, score = np.array(area), scores.score.copy()
    group = np.arange(len(score))
    for members, features in find_bursts(runs, paths_in_runs, extract, taken):
        group[members] = members.min()
        score[members] = score_within_burst(scores.score[members], features.stops, pixels[members])
    return GroupedScores(score, group)


def parse_bands(text: str) -> dict[float, str]:
    """Bands between 0 and 100 from the scores that divide them, as in ``40,60``: the lowest score of each to
    its name, the best first. Raises SettingsError for a text that is no such list."""
    try:
        ends = [0.0, *(float(part) for part in text.split(",")), 100.0]
    except ValueError:
        ends = []
    if not ends or any(not low < high for low, high in pairwise(ends)):
        raise SettingsError(f"--bands {text}: name rising scores between 0 and 100, as in 40,60")
    return {low: f"{low:g}-{high:g}" for low, high in reversed(list(pairwise(ends)))}
