"""A run that is gone on with keeps what holds and gives the same table."""

import csv
import json
from datetime import datetime

import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny_checkpoints as tiny
from tests.bulk.runs import COLUMNS, run, same_rows
from vlm_aes.bulk.disk_index import DiskIndex
from vlm_aes.errors import OutputError
from vlm_aes.output import FORMATS, results
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.ratings.records import iter_rows
from vlm_aes.ratings.scale import Scale


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 10), max_size=3), suffix=st.sampled_from(FORMATS))
def test_resume_gives_the_same_table(assessor, folder, tmp_path_factory, cuts, suffix):
    place = tmp_path_factory.mktemp("resume")
    for cut in (*cuts, None):
        run(assessor, folder, place / f"cut{suffix}", limit=cut, resume=True)
    run(assessor, folder, place / f"whole{suffix}")
    same_rows(*(list(read_rows(place / f"{name}{suffix}", COLUMNS.schema)) for name in ("cut", "whole")))


def test_resume_keeps_what_holds_and_redoes_what_changed(assessor, folder, tmp_path):
    out = tmp_path / "t.parquet"
    run(assessor, folder, out)
    (folder / "bad.jpg").unlink()
    tiny.images(1, seed=9)[0].save(folder / "2.png")
    done, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, stats.rated, len(done)) == (9, 1, 10)
    _, stats = run(assessor, folder, out, columns=Columns(facts=True), resume=True)
    assert stats.resumed == 0


def test_resume_goes_on_with_a_table_that_a_spreadsheet_saved(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    before, _ = run(assessor, folder, out)
    pandas.read_csv(out).to_csv(out, sep=";", decimal=",", encoding="utf-16")
    after, stats = run(assessor, folder, out, resume=True)
    assert stats.rated == 0 and stats.resumed >= 9
    same_rows(after, before)


OWN = {
    ".csv": {"my notes": '007, "x"', "Größe": "1e3", "keep": ""},
    ".jsonl": {"my notes": ["a", {"b": None}], "stars_mine": 4, "ok": True},
    ".parquet": {"my notes": datetime(2024, 2, 3, 4, 5), "box": [1, 2], "raw": b"\x00\xff"},
}


def with_own(out, own):
    """A finished table with columns of a user's, as another program writes it back; gives its rows."""
    (content,) = results.read_tables(out, 100)
    rows = [{**row, **own} for row in content.to_pylist()]
    if out.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), out)
    else:
        with out.open("w", encoding="utf-8", newline="") as lines:
            writer = csv.DictWriter(lines, list(rows[0]))
            writer.writeheader() if out.suffix == ".csv" else None
            for row in rows:
                writer.writerow(row) if out.suffix == ".csv" else lines.write(json.dumps(row) + "\n")
    return {row["path"]: row for row in iter_rows(out, as_written=True)}


@pytest.mark.parametrize("suffix", FORMATS)
def test_columns_that_were_not_asked_for_stay(assessor, folder, tmp_path, suffix):
    out, facts = tmp_path / f"t{suffix}", Columns(facts=True)
    run(assessor, folder, out, columns=facts)
    before = with_own(out, OWN[suffix])
    _, stats = run(assessor, folder, out, limit=5, resume=True)  # a run that was ended, too
    assert stats.rated == 0
    tiny.images(1, seed=9)[0].save(folder / "2.png")
    _, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, stats.rated) == (9, 1)
    after = {row["path"]: row for row in iter_rows(out, as_written=True)}
    new = str(folder / "2.png")
    assert {path: row for path, row in after.items() if path != new and not row["error"]} == {
        path: row for path, row in before.items() if path != new and not row["error"]
    }
    assert {name: after[new][name] for name in OWN[suffix]} == {name: before[new][name] for name in OWN[suffix]}
    assert after[new]["fact_exposure_stops"] in (None, "")  # they were measured on another image
    _, stats = run(assessor, folder, out, columns=facts, resume=True)
    assert (stats.resumed, stats.rated) == (9, 1)
    assert all(
        ({*OWN[suffix]} <= {*row} and row["fact_exposure_stops"]) or row["error"]
        for row in iter_rows(out, as_written=True)
    )


def test_a_file_that_is_no_table_of_ours_is_not_gone_on_with(assessor, folder, tmp_path):
    for name, content in (
        ("t.csv", "name,age\nx,3\n"),
        ("t.jsonl", '{"a": 1}\n'),
        ("u.csv", "precious\nwords\n"),
        ("v.csv", "one line\n"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(OutputError, match="no table that score wrote.*--overwrite replaces it"):
            run(assessor, folder, tmp_path / name, resume=True)
        assert (tmp_path / name).read_text() == content


def test_scale_is_the_one_asked_for_when_gone_on(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    for scale, top in (("1-5", 5), ("1-10", 10)):
        done, _ = run(assessor, folder, out, columns=Columns(scale=Scale.parse(scale)), resume=True)
        scores, scaled = ([row[name] for row in done if not row["error"]] for name in ("score", "score_scaled"))
        assert scaled == pytest.approx([1 + (top - 1) * score / 100 for score in scores], abs=1e-4)


def test_index_keeps_first_and_last():
    index = DiskIndex()
    assert index.add("a", 1) and not index.add("a", 2)
    assert (index.get("a"), index.get("b")) == (1, None)
    index.put("a", 3)
    index.put("\udcff", 4)
    assert (index.get("a"), index.get("\udcff")) == (3, 4)
