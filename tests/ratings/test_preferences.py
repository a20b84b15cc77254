import pytest

from tests.ratings.conftest import write_table
from vlm_aes.errors import RatingsError
from vlm_aes.ratings.preferences import is_preferences, read_preferences


def row(preferred="a", a="0.png", b="1.png", **more):
    return {"path_a": a, "path_b": b, "preferred": preferred} | more


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_forms_read_the_same(photos, tmp_path, suffix):
    file = write_table(tmp_path, [row("a"), row("B"), row("tie"), row("./1.png"), row("a", "2.png ", "0.png")], suffix)
    assert is_preferences(file)
    found = read_preferences(file, photos, min_pairs=1)
    assert found.paths == [str(photos / f"{i}.png") for i in (0, 1, 2)]
    pairs = [(p.a, p.b, p.preferred) for p in found.pairs]
    assert pairs == [(0, 1, 1), (0, 1, 0), (0, 1, 0.5), (0, 1, 0), (2, 0, 1)]


def test_wrong_tables_name_row_and_column_and_a_ratings_table_holds_no_pairs(photos, tmp_path):
    for rows, said in (
        ([row(b="./0.png")], "row 1, column path_b: the same image as path_a"),
        ([row(), row("x")], "row 2, column preferred: 'x' is neither a, b, tie nor one of"),
        ([row(), row("")], "row 2, column preferred: '' is neither"),
        ([row(b="gone.png")], "row 1, column path_b: no file .*gone.png; relative paths are below"),
        ([row(a="")], "row 1, column path_a: empty"),
        ([row(split="trian")], "row 1, column split: 'trian' is none of dev, test"),
        ([row("tie"), row("tie")], "column preferred: every pair is a tie"),
        ([{"path_a": "0.png", "rating": 3}], "preferences need path_a, path_b, preferred; it has"),
    ):
        with pytest.raises(RatingsError, match=said):
            read_preferences(write_table(tmp_path, rows), photos, min_pairs=1)
    with pytest.raises(RatingsError, match="2 pairs are too few; give 20"):
        read_preferences(write_table(tmp_path, [row(), row("b")]), photos)
    assert not is_preferences(write_table(tmp_path, [{"path": "0.png", "rating": 3}]))
    assert not is_preferences(tmp_path / "gone.csv")
