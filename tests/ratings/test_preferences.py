"""Tables of pairs: every form reads the same, and what is wrong is told with row and column."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.errors import RatingsError
from vlm_aes.ratings.preferences import is_preferences, read_preferences


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(4)):
        image.save(folder / f"{i}.png")
    return folder


def row(preferred="a", a="0.png", b="1.png", **more):
    return {"path_a": a, "path_b": b, "preferred": preferred} | more


def written(folder, rows, suffix=".jsonl"):
    file = folder / f"pairs{suffix}"
    if suffix == ".jsonl":
        file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        file.write_text("\n".join(map(",".join, [rows[0], *(r.values() for r in rows)])))
    return file


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_forms_read_the_same(photos, tmp_path, suffix):
    rows = [row("a"), row("B"), row("tie"), row("1.png"), row("a", "2.png", "0.png")]
    file = written(tmp_path, rows, suffix)
    found = read_preferences(file, photos, min_pairs=1)
    assert is_preferences(file)
    assert found.paths == [str(photos / f"{i}.png") for i in (0, 1, 2)]
    assert [(p.a, p.b, p.preferred) for p in found.pairs] == [
        (0, 1, 1), (0, 1, 0), (0, 1, 0.5), (0, 1, 0), (2, 0, 1)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([row(b="0.png")], "row 1, column path_b: the same image as path_a"),
        ([row(), row("x")], "row 2, column preferred: 'x' is neither a, b, tie nor one of"),
        ([row(), row("")], "row 2, column preferred: '' is neither"),
        ([row(b="gone.png")], "row 1, column path_b: no file .*gone.png; relative paths are below"),
        ([row(a="")], "row 1, column path_a: empty"),
        ([row(split="trian")], "row 1, column split: 'trian' is none of dev, test"),
        ([row("tie"), row("tie")], "column preferred: every pair is a tie"),
        ([{"path_a": "0.png", "rating": 3}], "preferences need path_a, path_b, preferred; it has"),
    ],
)
def test_wrong_tables_name_row_and_column(photos, tmp_path, rows, said):
    with pytest.raises(RatingsError, match=said):
        read_preferences(written(tmp_path, rows), photos, min_pairs=1)


def test_too_few_pairs_are_refused_and_a_ratings_table_holds_none(photos, tmp_path):
    with pytest.raises(RatingsError, match="2 pairs are too few; give 20"):
        read_preferences(written(tmp_path, [row(), row("b")]), photos)
    assert not is_preferences(written(tmp_path, [{"path": "0.png", "rating": 3}]))
    assert not is_preferences(tmp_path / "gone.csv")
