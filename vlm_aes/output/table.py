"""The one definition of a row and its columns, and of its three file formats."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.assessor import Assessment
from vlm_aes.errors import TableError
from vlm_aes.measure import fact_columns
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.ratings import scale as ratings

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()

BASE: tuple[tuple[str, pa.DataType], ...] = (
    ("path", TEXT),
    ("sha256", TEXT),
    ("width", WHOLE),
    ("height", WHOLE),
    ("score", REAL),
    ("score_std", REAL),
    ("score_low", REAL),
    ("score_high", REAL),
    ("percentile", REAL),
    ("level", TEXT),
    *((f"p_{word}", REAL) for word in ratings.WORDS),
    ("model", TEXT),
    ("prompt", TEXT),
    ("warning", TEXT),
    ("error", TEXT),
)

ADDED: dict[str, pa.DataType] = {
    "score_own": REAL, "score_slack": REAL, "disagreement": REAL, "route": TEXT,
}  # fmt: skip
"""What some raters add, at the end of a row: the score on their own scale; how far a server's score
may be off for what it leaves unsaid; how far several raters are apart; which of several rated."""

Row = dict[str, Any]


class Columns:
    """The columns of one call, decided by what was asked for.

    Args:
        facts: adds ``fact_*``.
        attributes: adds ``attr_NAME`` and ``attr_NAME_residual``.
        rationale: adds ``critique``.
        scale: adds ``score_scaled``.
        cascade: adds ``score_fast``.
        stars: adds ``stars``; empty until the end where they stand for a place in the run.
        added: names from :data:`ADDED`.
    """

    def __init__(
        self,
        *,
        facts: bool = False,
        attributes: Sequence[str] = (),
        rationale: bool = False,
        scale: ratings.Scale | None = None,
        cascade: bool = False,
        stars: StarRule | None = None,
        added: Sequence[str] = (),
    ) -> None:
        self.scale = scale
        self.stars = stars
        fields = list(BASE)
        if stars is not None:
            fields.insert(fields.index(("level", TEXT)), ("stars", WHOLE))
        if cascade:
            fields.insert(5, ("score_fast", REAL))
        if scale is not None:
            fields.insert(5, ("score_scaled", REAL))
        if facts:
            fields += [(name, REAL) for name in fact_columns()]
        for name in attributes:
            fields += [(f"attr_{name}", REAL), (f"attr_{name}_residual", REAL)]
        fields += [(name, ADDED[name]) for name in added]
        if rationale:
            fields.append(("critique", TEXT))
        self.schema = pa.schema(fields)

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return list(self.schema.names)

    @property
    def run_stars(self) -> StarRule | None:
        """The rule of stars that stand for a place in the run: they are known at its end."""
        return self.stars if self.stars is not None and self.stars.among == "run" else None

    def row(self, assessment: Assessment) -> Row:
        """An assessment as a row: nothing for what is not there, never NaN."""
        a = assessment
        values: Row = {
            "path": a.path,
            "sha256": a.sha256 or None,
            "width": a.width,
            "height": a.height,
            "score": a.score,
            "score_std": a.score_std,
            "score_low": a.score_low,
            "score_high": a.score_high,
            "percentile": a.percentile,
            "level": a.level or None,
            **{f"p_{word}": a.probabilities.get(word) for word in ratings.WORDS},
            "model": a.model,
            "prompt": a.prompt,
            "warning": a.warning or None,
            "error": a.error or None,
            **{fact.column: fact.value for fact in a.facts.values()},
            **{f"attr_{name}": value for name, value in a.attributes.items()},
            **{f"attr_{name}_residual": value for name, value in a.residuals.items()},
            **a.columns,
            "critique": a.critique,
        }
        if self.scale is not None and a.score is not None:
            values["score_scaled"] = float(self.scale.from_score(a.score))
        values["stars"] = self._stars(values)
        return {name: _finite(values.get(name)) for name in self.names}

    def again(self, row: Row) -> Row:
        """An earlier run's row, its scaled score and its stars as they are asked for now."""
        row = dict(row)
        if self.scale is not None and row["score"] is not None:
            row["score_scaled"] = _finite(float(self.scale.from_score(row["score"])))
        if self.stars is not None:
            row["stars"] = self._stars(row)
        return row

    def _stars(self, row: Row) -> int | None:
        if self.stars is None or self.run_stars is not None or row["error"]:
            return None
        return self.stars.stars(row["percentile"])


def add_stars_to_tables(
    tables: Iterable[pa.Table], rule: StarRule, standing: PercentileRank
) -> Iterator[pa.Table]:
    """Tables with their ``stars`` filled in by where each score stands in the run."""
    for table in tables:
        found = [rule.stars(standing.percentile(score)) for score in table["score"].to_pylist()]
        place = table.schema.get_field_index("stars")
        yield table.set_column(place, "stars", pa.array(found, WHOLE))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def to_table(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table; a lone surrogate of an undecodable file name becomes ``?``."""
    rows = list(rows)
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (UnicodeEncodeError, pa.ArrowInvalid):
        pass  # rare, and to look for it in every row takes half of the time
    clean = [
        {k: _encodable(v) if isinstance(v, str) else v for k, v in row.items()} for row in rows
    ]
    return pa.Table.from_pylist(clean, schema=schema)


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def csv_line(values: Iterable[Any]) -> str:
    """One CSV line; empty for nothing."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(["" if v is None else v for v in values])
    return buffer.getvalue()


def json_line(row: Row) -> str:
    """One JSON line; null for nothing."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS = (".csv", ".jsonl", ".parquet")


def write(tables: Iterable[pa.Table], schema: pa.Schema, file: Path, suffix: str) -> None:
    """Write Arrow tables one after another into ``file`` in the format of ``suffix``."""
    if suffix == ".parquet":
        with pq.ParquetWriter(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return
    with file.open("w", encoding="utf-8", errors="replace", newline="") as out:
        if suffix == ".csv":
            out.write(csv_line(schema.names))
        for table in tables:
            for row in table.to_pylist():
                out.write(csv_line(row.values()) if suffix == ".csv" else json_line(row))


def read(file: Path, schema: pa.Schema) -> list[Row]:
    """The rows of an existing table that has every column of ``schema``; none where it lacks one.

    Raises:
        ValueError: for a table that cannot be read.
    """
    return [row for rows in read_batches(file, schema) for row in rows]


def read_batches(file: Path, schema: pa.Schema, size: int = 8192) -> Iterator[list[Row]]:
    """The same as :func:`read`, up to ``size`` rows at a time."""
    try:
        raw = _raw_rows(file, size)
        first = next(raw, None)
        if first is None or not set(schema.names) <= set(first):
            return
        kinds = [(name, schema.field(name).type) for name in schema.names]
        every = chain([first], raw)
        while rows := [{n: _typed(r.get(n), k) for n, k in kinds} for r in islice(every, size)]:
            yield rows
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(f"{file} cannot be read as a table ({error})") from None


def schema_of(file: Path) -> pa.Schema:
    """The columns of an existing table that are columns of ours, in its order; others are left.

    Raises:
        ValueError: for a table that cannot be read, or that lacks what every row has.
    """
    try:
        if file.suffix.lower() == ".parquet":
            names = pq.read_schema(file).names
        else:
            names = list(next(_raw_rows(file, 1), {}))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise TableError(f"{file} cannot be read as a table ({error})") from None
    missing = [name for name, _ in BASE if name not in names]
    if missing:
        raise TableError(
            f"{file} is no table that score wrote: it lacks {', '.join(missing[:3])} or has no row"
        )
    known = dict(BASE) | {"score_fast": REAL, "score_scaled": REAL, "stars": WHOLE,
                          "critique": TEXT}  # fmt: skip
    measured = ("attr_", "fact_")
    return pa.schema(
        [(n, known.get(n, REAL)) for n in names if n in known or str(n).startswith(measured)]
    )


def _raw_rows(file: Path, size: int) -> Iterator[dict[str, Any]]:
    suffix = file.suffix.lower()
    if suffix == ".parquet":
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(size):
                yield from batch.to_pylist()
        return
    with file.open(encoding="utf-8", newline="") as lines:
        if suffix == ".jsonl":
            yield from (json.loads(line) for line in lines if line.strip())
        else:
            yield from csv.DictReader(lines)


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None or value == "":
        return None
    if kind == REAL:
        return float(value)
    return int(value) if kind == WHOLE else str(value)
