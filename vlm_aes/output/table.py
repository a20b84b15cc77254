"""The one definition of a row: its columns, their order and types, and how they are filled.

To add a column that every row has, list it in ``BASE_COLUMNS`` and give ``Assessment`` an attribute of that name. For a
column that an option adds, give :class:`Columns` an argument and list the column in ``OPTIONAL_COLUMNS``, so that
``xmp`` and ``gallery`` read it. Columns of a single scorer stand in ``SCORER_COLUMNS``. Columns of facts come from
:mod:`vlm_aes.measure` without a change here. Older tables that lack an optional column are still read.
"""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vlm_aes.assessor import Assessment
from vlm_aes.files import NAME_ERRORS, spell_path
from vlm_aes.measure import fact_columns
from vlm_aes.output.stars import PercentileRank, StarRule
from vlm_aes.ratings.records import paths_restored
from vlm_aes.ratings.scale import LEVELS, Scale
from vlm_aes.suggest.engine import Suggestion

TEXT, WHOLE, REAL = pa.string(), pa.int64(), pa.float64()
"""Types of columns."""

BASE_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
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
    *((f"p_{word}", REAL) for word in LEVELS),
    ("model", TEXT),
    ("prompt", TEXT),
    ("warning", TEXT),
    ("error", TEXT),
)
"""Columns of every row, in order."""

TAG_COLUMNS = (("scene", TEXT), ("tags", TEXT))
"""Columns that ``--tags`` and ``--rationale`` add, with a ``deg_KIND`` for each kind of degradation."""

RATIONALE_COLUMNS = (("subject", TEXT), ("critique", TEXT), ("suggestion", TEXT), ("suggestion_kind", TEXT))
"""Columns that ``--rationale`` adds at the end of a row."""

CULL_COLUMNS = {
    "unit": TEXT,
    "group": TEXT,
    "subgroup": WHOLE,
    "group_kind": TEXT,
    "rank": WHOLE,
    "verdict": TEXT,
    "reason": TEXT,
    "margin": REAL,
}
"""Columns that ``cull`` adds: the exposure and its group, the place in it, and what is suggested. Other commands take
them as the user's own."""

SCORER_COLUMNS = {"score_own": REAL, "score_slack": REAL, "disagreement": REAL, "route": TEXT}
"""Columns that some scorers add: the score on their own scale; how far a server's score may be off for what
it leaves unsaid; how far several models are apart; which of several rated."""

OPTIONAL_COLUMNS = {
    "score_fast": REAL,
    "score_scaled": REAL,
    "stars": WHOLE,
    **dict(TAG_COLUMNS),
    **dict(RATIONALE_COLUMNS),
}
"""Columns that other commands read where a table has them, beside ``attr_*`` and ``fact_*``."""

JSON_TEXT = b"vlm_aes.json"
"""Key in the metadata of a column of JSON texts: one of the user's own, from a .jsonl file."""

Row = dict[str, Any]


class Columns:
    """The columns of one call, by what was asked for.

    Args:
        facts, attributes: add ``fact_*``, and ``attr_NAME`` with ``attr_NAME_residual``.
        rationale: adds :data:`RATIONALE_COLUMNS`.
        degradations: kinds that the model's heads know; with ``tags`` or ``rationale`` they add ``deg_KIND`` and
            :data:`TAG_COLUMNS`.
        scale, cascade: add ``score_scaled`` and ``score_fast``.
        stars: adds ``stars``; empty until the end where they stand for a place in the run.
        added: names from :data:`SCORER_COLUMNS`.
    """

    def __init__(
        self,
        *,
        facts: bool = False,
        attributes: Sequence[str] = (),
        rationale: bool = False,
        tags: bool = False,
        degradations: Sequence[str] = (),
        scale: Scale | None = None,
        cascade: bool = False,
        stars: StarRule | None = None,
        added: Sequence[str] = (),
    ) -> None:
        self.scale, self.stars = scale, stars
        fields = list(BASE_COLUMNS)
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
        fields += [(name, SCORER_COLUMNS[name]) for name in added]
        if (tags or rationale) and degradations:
            fields += [*TAG_COLUMNS, *((f"deg_{kind}", REAL) for kind in degradations)]
        if rationale:
            fields += RATIONALE_COLUMNS
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
        """An assessment as a row: None for a missing value, never NaN."""
        a = assessment
        values: Row = {
            **vars(a),
            **{name: getattr(a, name) or None for name in ("sha256", "level", "warning", "error")},
            **{f"p_{word}": a.probabilities.get(word) for word in LEVELS},
            **{fact.column: fact.value for fact in a.facts.values()},
            **{f"attr_{name}": value for name, value in a.attributes.items()},
            **{f"attr_{name}_residual": value for name, value in a.residuals.items()},
            **a.columns,
            "scene": a.scene or None,
            "tags": ", ".join(a.tags) or None,
            **{f"deg_{kind}": value for kind, value in a.degradations.items()},
            **rationale_cells(a.critique, a.subject, a.suggestions),
        }
        values = self.refresh(values)
        return {name: _finite(values.get(name)) for name in self.names}

    def refresh(self, row: Row) -> Row:
        """The row with its scaled score and its stars as this call asks for them."""
        row = dict(row)
        if self.scale is not None and row["score"] is not None:
            row["score_scaled"] = _finite(float(self.scale.from_score(row["score"])))
        if self.stars is not None:
            known = self.run_stars is None and not row["error"]
            row["stars"] = self.stars.stars(row["percentile"]) if known else None
        return row


def column_type(name: str) -> pa.DataType | None:
    """The type of a column of ours; None for one of the user's own."""
    known = dict(BASE_COLUMNS) | OPTIONAL_COLUMNS | SCORER_COLUMNS
    return known.get(name, REAL if name.startswith(("attr_", "deg_", "fact_")) else None)


def rationale_cells(critique: str | None, subject: str, suggestions: Sequence[Suggestion]) -> Row:
    """The cells of :data:`RATIONALE_COLUMNS`."""
    first = suggestions[0] if suggestions else None
    return {
        "subject": subject or None,
        "critique": critique,
        "suggestion": first.text if first else None,
        "suggestion_kind": first.kind if first else None,
    }


def attribute_scores(row: Row) -> dict[str, float]:
    """Attribute, in words, to its score in a row; without residuals and missing ones."""
    return {
        name.removeprefix("attr_").replace("_", " "): value
        for name, value in row.items()
        if name.startswith("attr_") and not name.endswith("_residual") and value is not None
    }


def add_stars_to_tables(tables: Iterable[pa.Table], rule: StarRule, rank: PercentileRank) -> Iterator[pa.Table]:
    """Tables with their ``stars`` filled in by where each score stands in the run."""
    for table in tables:
        stars = [rule.stars(rank.percentile(score)) for score in table["score"].to_pylist()]
        column = table.schema.get_field_index("stars")
        yield table.set_column(column, "stars", pa.array(stars, WHOLE))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def to_table(rows: Iterable[Row], schema: pa.Schema) -> pa.Table:
    """Rows as an Arrow table; paths as :func:`vlm_aes.files.spell_path` spells them. :func:`to_rows` takes it back."""
    rows = [{**row, "path": spell_path(row["path"])} if row["path"] else row for row in rows]
    try:
        return pa.Table.from_pylist(rows, schema=schema)
    except (UnicodeEncodeError, pa.ArrowInvalid):  # rare, and to look for it in every row takes half of the time
        clean = [
            {k: v.encode("utf-8", "replace").decode() if isinstance(v, str) else v for k, v in row.items()}
            for row in rows
        ]
        return pa.Table.from_pylist(clean, schema=schema)


def to_rows(table: pa.Table) -> list[Row]:
    """The rows of an Arrow table that :func:`to_table` gave, or some of its columns."""
    rows: list[Row] = table.to_pylist()
    return paths_restored(rows)


def write(tables: Iterable[pa.Table], schema: pa.Schema, file: Path, suffix: str) -> None:
    """Write Arrow tables one after another into ``file`` in the format of ``suffix``."""
    if suffix == ".parquet":
        with pq.ParquetWriter(file, schema) as writer:
            for table in tables:
                writer.write_table(table)
        return
    json_texts = [field.name for field in schema if JSON_TEXT in (field.metadata or {})]
    with file.open("w", encoding="utf-8", errors=NAME_ERRORS, newline="") as out:
        lines = csv.writer(out, lineterminator="\n")
        quoted = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)  # else a name with CR ends its line
        if suffix == ".csv":
            lines.writerow(schema.names)
        for row in chain.from_iterable(map(to_rows, tables)):
            if suffix == ".csv":
                (quoted if "\r" in row["path"] else lines).writerow(row.values())  # an empty cell for None
            else:
                row |= {name: json.loads(row[name] or "null") for name in json_texts}
                out.write(json.dumps(row, ensure_ascii=False, allow_nan=bool(json_texts)) + "\n")
