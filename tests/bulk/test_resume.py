"""A run that is gone on with keeps what holds and gives the same table."""

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tiny_checkpoints as tiny
from tests.bulk.runs import COLUMNS, run, same_rows
from vlm_aes.bulk.resume import DiskIndex
from vlm_aes.output import table
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.ratings.scale import Scale


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 10), max_size=3), suffix=st.sampled_from(table.FORMATS))
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
