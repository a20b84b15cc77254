"""A row holds its suggestion, and tables of earlier versions are read."""

import pytest

from vlm_aes.assessor import Assessment
from vlm_aes.output import table
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


@pytest.mark.parametrize("suffix", table.FORMATS)
def test_a_table_without_suggestions_is_read(tmp_path, suffix):
    earlier = table.to_table([COLUMNS.row(assessment())], COLUMNS.schema)
    earlier = earlier.drop_columns(["suggestion", "suggestion_kind"])
    file = tmp_path / f"t{suffix}"
    table.write([earlier], earlier.schema, file, suffix)
    (row,) = read_rows(file)
    assert (row["critique"], row.get("suggestion")) == ("Good.", None)
