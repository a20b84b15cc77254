"""A row holds its suggestion, and tables of earlier versions are read."""

import pytest

from vlm_aes.assessor import Assessment
from vlm_aes.output import table
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import RATIONALE_COLUMNS, Columns
from vlm_aes.suggest.engine import Suggestion

CROP = Suggestion("crop", "Crop it a little from the right.", {}, 2.0)
LEVEL = Suggestion("level", "Level it.", {}, 1.0)


def assessment(**values):
    rated = {"path": "a.jpg", "score": 50.0, "level": "fair", "model": "m", "prompt": "p"}
    return Assessment(**rated, **values)


def test_a_row_with_a_rationale_holds_the_first_suggestion():
    row = Columns(rationale=True).row(assessment(critique="Good.", suggestions=[CROP, LEVEL]))
    assert [row[name] for name, _ in RATIONALE_COLUMNS] == ["Good.", CROP.text, "crop"]
    without = Columns(rationale=True).row(assessment(critique="Good."))
    assert [without[name] for name, _ in RATIONALE_COLUMNS] == ["Good.", None, None]
    assert "suggestion" not in Columns().row(assessment(suggestions=[CROP]))


@pytest.mark.parametrize("suffix", table.FORMATS)
def test_a_table_without_suggestions_is_read(tmp_path, suffix):
    columns = Columns(rationale=True)
    rows = [columns.row(assessment(critique="Good."))]
    earlier = table.to_table(rows, columns.schema).drop_columns(["suggestion", "suggestion_kind"])
    file = tmp_path / f"t{suffix}"
    table.write([earlier], earlier.schema, file, suffix)
    (row,) = read_rows(file)
    assert (row["critique"], row.get("suggestion")) == ("Good.", None)
