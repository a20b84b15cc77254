"""The rows that ``choose`` selects of a finished table: by score, by band, by burst."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows, take_rows
from vlm_aes.bulk.select.groups import capture_runs, find_bursts, score_within_burst
from vlm_aes.bulk.select.sets import FrameSet, find_sets
from vlm_aes.bulk.select.similarity import FeatureExtractor, distinct_rows, feature_extractor
from vlm_aes.bulk.select.units import find_units
from vlm_aes.bulk.settings import ChooseSettings
from vlm_aes.errors import CheckpointError, SettingsError, TableError
from vlm_aes.images.capture import Capture, read_captures
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
    sets: list[FrameSet] = []
    if cut.per == "burst":
        assert extract is not None
        scores, sets = group_by_burst(table, scores, extract)
    selected = select_rows(scores, cut)
    in_sets = np.array(sorted(m for s in sets for m in s.members), np.int64)
    if sets:
        said = [s for s in sets if np.isin(selected, s.members).any()]
        images = int(np.isin(selected, in_sets).sum())
        say(f"sets that stay whole, such as brackets: {len(said)} ({images} images)")
    if not distinct:
        return table.rows(selected)
    assert extract is not None
    whole = cut if cut.threshold is not None else replace(cut, top_k=None, fraction=1.0)
    candidates = select_rows(scores, whole)
    order = candidates[~np.isin(candidates, in_sets)]
    sizes = np.bincount(scores.group[~np.isnan(scores.score)]) if len(order) else np.zeros(0, int)
    places = [cut.places(int(n)) for n in sizes]
    found = distinct_rows(order, places, scores.group[order], table.paths(order), extract)
    if not sets:
        return table.rows(found)
    stays = np.concatenate([found, np.intersect1d(selected, in_sets)])
    return table.rows(candidates[np.isin(candidates, stays)])


def group_by_burst(
    table: ScoredTable, scores: GroupedScores, extract: FeatureExtractor
) -> tuple[GroupedScores, list[FrameSet]]:
    """The same images with a group for each burst, and for each image outside one; and the sets among them.

    The score of a frame becomes its score within the burst. Every image of a set is a group of its own, with the
    score of the best of them: a set is chosen as a whole, or not at all.
    """
    area: list[float] = []
    paths: list[str] = []
    for shard in table.shards():
        rows = to_rows(shard.select(["path", "width", "height", "error"]))
        area.extend((row["width"] or 0) * (row["height"] or 0) for row in rows)
        paths += ["" if row["error"] else row["path"] for row in rows]
    captures = read_captures(paths)
    sets = file_sets(paths, captures)
    pixels, score = np.array(area), scores.score.copy()
    in_set = np.zeros(len(paths), bool)
    for frame_set in sets:
        members = list(frame_set.members)
        in_set[members] = True
        rated = [m for m in members if not np.isnan(scores.score[m])]
        if rated:
            score[rated] = scores.score[rated].max()
    runs, taken = capture_runs(captures, paths, in_set)
    paths_in_runs = {int(number): paths[number] for run in runs for number in run}
    group = np.arange(len(score))
    for burst, features in find_bursts(runs, paths_in_runs, extract, taken):
        group[burst] = burst.min()
        score[burst] = score_within_burst(scores.score[burst], features.stops, pixels[burst])
    return GroupedScores(score, group), sets


def file_sets(paths: Sequence[str], captures: Sequence[Capture]) -> list[FrameSet]:
    """The sets among some files, each of one folder, with the numbers of all files of its exposures.

    Args:
        paths, captures: of N files; an empty path stands for one that cannot be opened.
    """
    number = {path: i for i, path in enumerate(paths) if path}
    of_path = {path: captures[i] for path, i in number.items()}
    folders: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for unit in sorted(find_units(list(number), of_path), key=lambda unit: unit.main):
        folders[os.path.dirname(unit.main)].append(unit.files)  # noqa: PTH120
    sets = []
    for units in folders.values():
        timed = [next((c for f in files if (c := of_path[f]).time_s is not None), of_path[files[0]]) for files in units]
        for found in find_sets(timed):
            members = tuple(number[file] for unit in found.members for file in units[unit])
            sets.append(replace(found, members=members, best=None))
    return sets


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
