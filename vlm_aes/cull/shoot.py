"""A shoot from paths to verdicts: units, measurements, sets and groups, corrections, ranking."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vlm_aes.assessor import Assessor
from vlm_aes.bulk.pipeline import RunStats
from vlm_aes.bulk.progress import Progress
from vlm_aes.bulk.select.groups import Group, find_groups, untimed_frames
from vlm_aes.bulk.select.sets import find_sets
from vlm_aes.bulk.select.similarity import ImageFeatures
from vlm_aes.bulk.select.thumbnails import Thumbnail
from vlm_aes.bulk.select.units import FILM_SUFFIXES, Unit, find_units
from vlm_aes.bulk.sources import find_sources
from vlm_aes.cull.cache import SignalCache
from vlm_aes.cull.corrections import Corrections, MemberRef
from vlm_aes.cull.faces import FaceReader
from vlm_aes.cull.measurement import FrameMeter, Measurement, measures_identity
from vlm_aes.cull.ranking import Frame, Ranked, rank_group
from vlm_aes.cull.settings import CullSettings
from vlm_aes.cull.verdicts import Verdict, suggest_verdicts
from vlm_aes.errors import CheckpointError, SourceError
from vlm_aes.images.capture import Capture, read_captures
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads.embedding_cache import default_cache
from vlm_aes.output.table import Row

Say = Callable[[str], None]
"""Takes a line for a person."""
_FILM_ENDINGS = sorted({case(suffix) for suffix in FILM_SUFFIXES for case in (str.lower, str.upper)})


@dataclass(frozen=True)
class Shoot:
    """The outcome for a shoot.

    Attributes:
        rows: one for each photo file, in the order given.
        frames: the exposures that could be read.
        groups, ranked: groups of frames by number, and the order in each; no order in a set.
        verdicts: of each frame, by number.
        best_exposures: key of a bracket to the number of its frame with the best exposure.
        stats: of the run.
        notes: what a person should know, such as frames without a capture time.
    """

    rows: list[Row]
    frames: list[Frame]
    groups: list[Group]
    ranked: list[list[Ranked]]
    verdicts: dict[int, Verdict]
    stats: RunStats
    best_exposures: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Exposures by verdict, and files with an error."""
        counts = Counter(verdict.verdict for verdict in self.verdicts.values())
        return {name: counts[name] for name in ("keep", "maybe", "reject", "set")} | {
            "error": sum(bool(row["error"]) for row in self.rows)
        }


def cull(paths: str | Path | Sequence[str | Path], keep: int | None = None, model: str | None = None) -> list[Row]:
    """Suggest what to keep of a shoot: a row for each photo, with its group, rank, verdict and reason. Nothing is
    written beside the photos.

    Args:
        paths: photos, folders, quoted globs.
        keep: about as many get the verdict ``keep``, beside sets such as brackets, which stay whole.
        model: as for :meth:`vlm_aes.Assessor.from_pretrained`; its fast head rates.

    Raises:
        VlmAesError: where no photo is found, or the model cannot be used.
    """
    names = [paths] if isinstance(paths, str | Path) else paths
    settings = CullSettings(paths=[str(name) for name in names], keep=keep, model=model)
    return cull_shoot(settings.paths, settings).rows


def cull_shoot(
    paths: Sequence[str],
    settings: CullSettings,
    *,
    stdin: Iterable[str] = (),
    say: Say = lambda line: None,
    assessor: Assessor | None = None,
    reader: FaceReader | None = None,
    cache: Path | None = None,
) -> Shoot:
    """Measure and judge a shoot.

    Args:
        paths: as in :func:`vlm_aes.bulk.sources.find_sources`; ``-`` stands for ``stdin``.
        say: gets lines for a person.
        assessor, reader: where they are loaded already.
        cache: folder of what earlier runs measured; by default in the cache of the user.

    Raises:
        SourceError: where no photo is found.
        CheckpointError: for a model without a fast head.
        OutputError: for corrections that cannot be read.
    """
    stats = RunStats()
    sources = list(find_sources(paths, stdin, passed_over=stats.passed_over))
    if not sources:
        raise SourceError(f"no image found in {', '.join(paths)}", "; ".join(stats.passed_over.lines()))
    assessor = assessor or Assessor.from_pretrained(settings.model, fast=True, device=settings.device)
    say(assessor.terms)
    reader = reader or _face_reader(say)
    names = [source.path for source in sources]
    captures = dict(zip(names, read_captures(names), strict=True))
    units = find_units([*captures, *_films(captures)], captures)
    kept = SignalCache(cache or default_cache(), measures_identity(assessor, reader))
    try:
        meter = FrameMeter(assessor, reader, kept)
        with Progress(stats, lambda: len(units)) as progress:
            measured = _measure(units, {s.path: s for s in sources}, meter, progress)
    finally:
        kept.close()
    stats.resumed = meter.from_cache
    shoot = judge(units, measured, captures, settings.keep)
    shoot = replace(shoot, rows=_rows([s.path for s in sources], shoot.rows, units), stats=stats)
    if meter.unmeasured:
        shoot.notes.append(f"{meter.unmeasured} rated, but faces and sharpness could not be measured")
    return shoot


def _films(captures: dict[str, Capture]) -> list[str]:
    """Films that lie beside the stills, under the same name."""
    films: dict[str, None] = {}
    for path in captures:
        stem = os.path.splitext(path)[0]  # noqa: PTH122
        films |= {stem + suffix: None for suffix in _FILM_ENDINGS if os.path.isfile(stem + suffix)}  # noqa: PTH113
    return [film for film in films if film not in captures]


def _face_reader(say: Say) -> FaceReader | None:
    try:
        return FaceReader()
    except CheckpointError as error:
        say(f"faces and eyes are left out: {error}")
        return None


def _measure(
    units: Sequence[Unit], sources: dict[str, ImageSource], meter: FrameMeter, progress: Progress
) -> dict[str, Measurement]:
    """A measurement for each unit, by its main file, and for each file that could not be read before another of the
    same unit could."""
    measured: dict[str, Measurement] = {}
    files = {unit.main: [file for file in unit.files if file in sources] for unit in units}
    stats = progress.stats
    waiting = [(main, names) for main, names in files.items() if names]
    while waiting:
        again = []
        results = meter.measure([sources[names[0]] for _, names in waiting])
        for (main, names), result in zip(waiting, results, strict=True):
            if result.row["error"] and len(names) > 1:
                again.append((main, names[1:]))
            else:
                stats.count(result.row)
                stats.rated += not result.row["error"]
            measured[names[0]] = result
            progress.advance()
        waiting = again
    return measured


def judge(
    units: Sequence[Unit], measured: dict[str, Measurement], captures: dict[str, Capture], keep: int | None
) -> Shoot:
    """Group, rank and judge what was measured. The rows are of one file a unit; errors stand alone."""
    rows: list[Row] = []
    frames: list[Frame] = []
    seen: list[Measurement] = []
    for unit in units:
        results = [(file, measured[file]) for file in unit.files if file in measured]
        for file, result in results:
            if result.row["error"]:
                rows.append({**result.row, "unit": unit.main, "path": file})
            else:
                row = result.row
                capture = captures.get(file, Capture())
                capture = capture if capture.time_s is not None else captures.get(unit.main, capture)
                if signals := result.signals:
                    capture = replace(capture, sharp_place=signals.sharp_place, sharpness=signals.sharpness)
                own = replace(unit, main=file)
                frames.append(Frame(own, capture, result.signals, row["score"], warning=row["warning"] or ""))
                seen.append(result)
    names = _names_below(frames)
    taken = [frame.capture for frame in frames]
    sets = find_sets(taken, [Thumbnail(m.grey) for m in seen])
    groups = find_groups(taken, _features(seen), names, sets) if frames else []
    groups = corrected(groups, frames, seen)
    best_of = {frozenset(s.members): s.best for s in sets if s.best is not None}
    best_exposures = {g.key: best for g in groups if (best := best_of.get(frozenset(g.members))) is not None}
    ranked = [[] if group.is_set else rank_group(group.members, frames) for group in groups]
    verdicts = suggest_verdicts(groups, ranked, frames, keep, best_exposures)
    notes = []
    if untimed := untimed_frames(taken, names):
        notes.append(f"{untimed} without a capture time to the second: grouped by file number and likeness")
    for group in groups:
        for member, subgroup in zip(group.members, group.subgroups, strict=True):
            verdict = verdicts[member]
            cells = {
                "unit": frames[member].unit.main,
                "group": group.key,
                "subgroup": subgroup,
                "group_kind": group.kind,
                "rank": verdict.rank,
                "verdict": verdict.verdict,
                "reason": verdict.reason,
                "margin": verdict.margin,
            }
            rows.append({**seen[member].row, "path": frames[member].unit.main, **cells})
    return Shoot(rows, frames, groups, ranked, verdicts, RunStats(), best_exposures, notes)


def corrected(groups: Sequence[Group], frames: Sequence[Frame], measured: Sequence[Measurement]) -> list[Group]:
    """The groups with the corrections that lie in the folders of the photos."""
    result = list(groups)
    for folder in dict.fromkeys(os.path.dirname(frame.unit.main) for frame in frames):  # noqa: PTH120
        corrections = Corrections.load(Path(folder))
        if corrections.groups:
            result = corrections.apply(result, member_refs(folder, frames, measured))
    return result


def member_refs(folder: str, frames: Sequence[Frame], measured: Sequence[Measurement]) -> list[MemberRef]:
    """How each frame is named in the corrections of a folder."""
    return [
        MemberRef(os.path.relpath(frame.unit.main, folder or "."), m.row["sha256"] or "", frame.capture.time_s)
        for frame, m in zip(frames, measured, strict=True)
    ]


def _features(measured: Sequence[Measurement]) -> ImageFeatures:
    embedding = np.stack([m.embedding for m in measured]).astype(np.float32)
    layout = np.stack([m.layout for m in measured])
    return ImageFeatures(embedding, layout, np.array([m.stops for m in measured], np.float32))


def _names_below(frames: Sequence[Frame]) -> list[str]:
    """Paths below the folder that all frames share, so that keys do not depend on where the shoot lies."""
    paths = [os.path.abspath(frame.unit.main) for frame in frames]  # noqa: PTH100
    try:
        top = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    except ValueError:  # no frame, or several drives
        return paths
    return [os.path.relpath(path, top) for path in paths]


def _rows(paths: Sequence[str], rows: Sequence[Row], units: Sequence[Unit]) -> list[Row]:
    """A row for each file, in the order given. The other files of a unit have what its measured file has."""
    empty = dict.fromkeys(("unit", "group", "subgroup", "group_kind", "rank", "verdict", "reason", "margin"))
    by_path = {row["path"]: {**row, **{k: row.get(k) for k in empty}} for row in rows}
    for unit in units:
        known = [by_path[file] for file in unit.files if file in by_path]
        source = next((row for row in known if not row["error"]), None)
        for row in known:
            row["unit"] = unit.main
        if source is not None:
            of_file = {"sha256": None, "width": None, "height": None}
            for file in unit.files:
                by_path.setdefault(file, {**source, **of_file, "path": file})
    return [by_path[path] for path in paths if path in by_path]
