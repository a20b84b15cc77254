"""A row holds its suggestion, and tables of earlier versions are read."""

import csv
import json

import pandas
import pytest

from vlm_aes.assessor import Assessment
from vlm_aes.errors import TableError
from vlm_aes.output import FORMATS, table
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import RATIONALE_COLUMNS, Columns
from vlm_aes.suggest.engine import Suggestion

SUGGESTIONS = [Suggestion("crop", "Crop it a little.", {}, 2.0), Suggestion("level", "Level it.", {}, 1.0)]
COLUMNS = Columns(rationale=True)


def assessment(*suggestions):
    rated = {"path": "a.jpg", "score": 50.0, "level": "fair", "model": "m", "prompt": "p", "critique": "Good."}
    return Assessment(**rated, suggestions=suggestions)


def test_a_row_with_a_rationale_holds_the_first_suggestion():
    for suggestions, words in ((SUGGESTIONS, ["Crop it a little.", "crop"]), ([], [None, None])):
        row = COLUMNS.row(assessment(*suggestions))
        assert [row[name] for name, _ in RATIONALE_COLUMNS] == [None, "Good.", *words]
    assert "suggestion" not in Columns().row(assessment(*SUGGESTIONS))


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_without_suggestions_is_read(tmp_path, suffix):
    earlier = table.to_table([COLUMNS.row(assessment())], COLUMNS.schema)
    earlier = earlier.drop_columns(["suggestion", "suggestion_kind"])
    file = tmp_path / f"t{suffix}"
    table.write([earlier], earlier.schema, file, suffix)
    (row,) = read_rows(file)
    assert (row["critique"], row.get("suggestion")) == ("Good.", None)


def saved(file, delimiter, encoding, decimal=".", tail=()):
    """The table as a spreadsheet saves it, with a suffix in capitals."""
    with file.open(encoding="utf-8", newline="") as lines:
        header, *rows = csv.reader(lines)
    rows = [[c.replace(".", decimal) if c.replace(".", "").isdigit() else c for c in row] + [*tail] for row in rows]
    with file.with_suffix(".TXT").open("w", encoding=encoding, newline="") as out:
        lines = csv.writer(out, delimiter=delimiter, lineterminator="\r\n")
        lines.writerows([[name.upper() for name in header] + [*tail], *rows, [""] * len(header)])
    return file.with_suffix(".TXT")


def test_our_table_reads_the_same_after_a_spreadsheet_or_pandas_saved_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "straße").mkdir()
    (tmp_path / "straße/a.jpg").touch()
    rated = Assessment(path="straße/a.jpg", score=50.125, width=512, height=341, score_std=1 / 3, critique="Zart; gut.")
    made = [COLUMNS.row(one) for one in (rated, Assessment(path="gone.jpg", error="missing: check the path"))]
    file = tmp_path / "t.csv"
    table.write([table.to_table(made, COLUMNS.schema)], COLUMNS.schema, file, ".csv")
    pandas.read_csv(file).to_csv("pandas.csv")
    pandas.read_csv(file).to_json("pandas.jsonl", orient="records", lines=True)
    lines = [json.dumps(row) + "\n" for row in pandas.read_csv(file).to_dict("records")]  # with NaN
    (tmp_path / "nan.jsonl").write_text("".join(lines), encoding="utf-8")
    windows = tmp_path / "windows.csv"
    windows.write_text(file.read_text(encoding="utf-8").replace("straße/", "straße\\"), encoding="utf-8")
    tables = [(";", "utf-8-sig", ","), ("\t", "utf-16", ","), (";", "cp1252", ",", ("", "")), (",", "utf-8-sig")]
    tables = [
        windows,
        tmp_path / "nan.jsonl",
        *(tmp_path / f"pandas.{s}" for s in ("csv", "jsonl")),
        *((file, *form) for form in tables),
    ]
    wanted = list(read_rows(file))
    assert [row["score"] for row in wanted] == [50.125, None]
    for one in tables:
        place = saved(*one) if isinstance(one, tuple) else one
        assert list(read_rows(place)) == list(read_rows(place, COLUMNS.schema)) == wanted, one
    windows.write_text(windows.read_text(encoding="utf-8").replace("512", "512.5"), encoding="utf-8")
    with pytest.raises(TableError, match=r"row 1: column width: '512.5' is no whole number"):
        list(read_rows(windows))
