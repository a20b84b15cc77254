"""Ratings tables: every format reads the same, and errors name row and column."""

import csv
import io
import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes.cli import app
from vlm_aes.errors import RatingsError, TableError
from vlm_aes.ratings.records import iter_rows
from vlm_aes.ratings.table import Scale, read_ratings

N = 24
MEANS = [1 + (i * 7 % 33) / 8 for i in range(N)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(N)):
        image.save(folder / f"{i}.png")
    return folder


def rows(**changes):
    made = [{"path": f"{i}.png", "rating": MEANS[i]} for i in range(N)]
    for row, values in changes.items():
        made[int(row[1:]) - 1] |= values
    return made


def csv_file(tmp_path, records):
    file = tmp_path / "r.csv"
    with file.open("w", encoding="utf-8-sig") as lines:
        table = csv.DictWriter(lines, list(dict.fromkeys(name for record in records for name in record)))
        table.writeheader()
        table.writerows(records)
    return file


def test_csv_jsonl_and_parquet_read_the_same(photos, tmp_path):
    records = [r | {"std": 0.5, "group": "g", "split": "val"} for r in rows()]
    one = csv_file(tmp_path, records)
    two = tmp_path / "r.jsonl"
    two.write_text("".join(json.dumps(r) + "\n" for r in records))
    three = tmp_path / "r.parquet"
    pq.write_table(pa.Table.from_pylist(records), three)
    tables = [read_ratings(file, photos) for file in (one, two, three)]
    assert tables[0].ratings == tables[1].ratings == tables[2].ratings
    table = tables[0]
    assert (table.scale, table.declared) == (Scale(1, 5), False)
    assert table.ratings[3].std == 0.5
    assert list(table.of_split("validation")) == list(range(N))
    np.testing.assert_allclose(table.scores(), (np.array(MEANS) - 1) * 25)
    assert table.select([5, 2]).source(0) == str(photos / "5.png")


@pytest.mark.parametrize("shape", ["binary", "struct", "shards"])
def test_images_in_the_table(photos, tmp_path, shape):
    data = [(photos / f"{i}.png").read_bytes() for i in range(N)]
    images = data if shape == "binary" else [{"bytes": b, "path": f"{i}"} for i, b in
                                             enumerate(data)]  # fmt: skip
    table = pa.table({"image": images, "rating": MEANS})
    file = tmp_path / "r.parquet"
    if shape == "shards":
        file = tmp_path / "folder"
        file.mkdir()
        pq.write_table(table.slice(0, 10), file / "a.parquet")
        pq.write_table(table.slice(10), file / "b.parquet")
    else:
        pq.write_table(table, file)
    found = read_ratings(file)
    assert [found.source(i) for i in range(N)] == data
    assert found.select([7]).source(0) == data[7]
    assert found.ratings[2].path == ("row 3" if shape == "binary" else "2")


def test_one_image_with_two_ratings_is_refused(tmp_path):
    buffer = io.BytesIO()
    tiny.images(1)[0].save(buffer, "PNG")
    file = tmp_path / "r.parquet"
    pq.write_table(pa.table({"image": [buffer.getvalue()] * 2, "rating": [1.0, 2.0]}), file)
    with pytest.raises(RatingsError, match="row 2, column rating: row 2 has a rating in row 1"):
        read_ratings(file)


def test_votes_are_averaged_by_image(photos, tmp_path):
    votes = [{"path": f"{i}.png", "rater": r, "rating": 1 + (i + r) % 5,
              "critique": "dull" if r else ""} for r in range(3) for i in range(N)]  # fmt: skip
    table = read_ratings(csv_file(tmp_path, votes), photos)
    assert len(table) == N
    assert table.ratings[4].votes == {"0": 5.0, "1": 1.0, "2": 2.0}
    assert table.ratings[4].mean == pytest.approx(8 / 3)
    assert table.ratings[4].std == pytest.approx(np.std([5, 1, 2], ddof=1))
    assert table.ratings[4].critique == "dull"


@pytest.mark.parametrize(
    ("transform", "wanted"),
    [
        ("log", np.log1p), ("cube-root", np.cbrt),
        ("rank", lambda x: (x + 0.5) / N), ("per-age", lambda x: np.log1p(x / (x + 1))),
    ],
)  # fmt: skip
def test_counts_are_transformed(photos, tmp_path, transform, wanted):
    likes = [{"path": f"{i}.png", "likes": i, "age": i + 1} for i in range(N)]
    file = csv_file(tmp_path, likes)
    table = read_ratings(file, photos, transform=transform, column="likes")
    np.testing.assert_allclose([r.mean for r in table.ratings], wanted(np.arange(N)))
    assert table.scores().min() == 0
    assert table.scores().max() == 100


WRONG = {
    "missing file": (rows(r3={"path": "gone.png"}), {}, "row 3, column path: no file .*gone.png; "
                     "1 of 24 images are missing; relative paths are below --images"),
    "empty path": (rows(r3={"path": ""}), {}, "row 3, column path: empty"),
    "no images": ([{"rating": 1}, {"rating": 2}], {}, "row 1, column path: missing; name the"),
    "no ratings": ([{"path": "0.png", "stars": 1}], {}, "no column 'rating' .* path, stars"),
    "no rows": ([], {}, "no rows"),
    "constant": (rows(**{f"r{i}": {"rating": 3} for i in range(1, N + 1)}), {},
                 "column rating: every rating is 3; there is nothing to learn"),
    "too few": (rows()[:19], {}, "19 rated images are too few; give 20"),
    "NaN": (rows(r5={"rating": "nan"}), {}, "row 5, column rating: 'nan' is no rating"),
    "empty": (rows(r5={"rating": ""}), {}, "row 5, column rating: empty"),
    "word": (rows(r5={"rating": "good"}), {}, "row 5, column rating: 'good' is not a number"),
    "out of scale": (rows(r5={"rating": 6}), {"scale": Scale(1, 5)},
                     "row 5, column rating: 6 is outside the scale 1 to 5; correct it or declare"),
    "no known scale": (rows(r5={"rating": 900}), {}, "ratings from 1 to 900 are on no usual"),
    "twice": (rows(r7={"path": "1.png"}), {}, "row 7, column rating: .*1.png has a rating in row 2 "
              "already; keep one of them, or name the rater"),
    "voted twice": ([{"path": "0.png", "rater": "x", "rating": i} for i in (1, 2)], {},
                    "row 2, column rater: x has voted on .*0.png already"),
    "nameless vote": ([{"path": "0.png", "rater": "", "rating": i} for i in (1, 2)], {},
                      "row 1, column rater: empty"),
    "other split": ([{"path": "0.png", "rater": i, "rating": i, "split": s}
                     for i, s in ((1, "train"), (2, "test"))], {},
                    "row 2, column split: .*0.png has another split in row 1"),
    "split": (rows(r2={"split": "later"}), {}, "row 2, column split: 'later' is none of dev"),
    "spread": (rows(r2={"std": 9}), {}, "row 2, column std: 9 is no spread on this scale"),
    "negative count": (rows(r2={"rating": -1}), {"transform": "log"}, "row 2, .*-1 is no count"),
    "no age": (rows(), {"transform": "per-age"}, "per-age needs a column age"),
    "age": ([r | {"age": i} for i, r in enumerate(rows())], {"transform": "per-age"},
            "row 1, column age: 0 is not above 0"),
    "transform": (rows(), {"transform": "sqrt"}, "choose one of log, cube-root"),
    "votes transformed": ([{"path": "0.png", "rater": i, "rating": i} for i in (1, 2)],
                          {"transform": "log"}, "holds votes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_tables_name_row_and_column(photos, tmp_path, kind):
    records, options, reason = WRONG[kind]
    with pytest.raises(RatingsError, match=reason):
        read_ratings(csv_file(tmp_path, records), photos, **options)


@pytest.mark.parametrize("kind", WRONG)
def test_the_command_line_prints_one_line_for_a_wrong_table(photos, tmp_path, kind):
    records, options, reason = WRONG[kind]
    (tmp_path / "tables").mkdir()
    words = ["finetune", csv_file(tmp_path / "tables", records), "--images", photos,
             "--out", tmp_path / "mine"]  # fmt: skip
    if "scale" in options:
        words += ["--ratings-scale", "1-5"]
    if "transform" in options:
        words += ["--transform", options["transform"]]
    told = CliRunner().invoke(app, [str(word) for word in words])
    assert told.exit_code == 2
    assert re.search(reason, told.stderr)
    first, message = told.stderr.splitlines()
    assert first.startswith("Reading ") and message.startswith("vlm-aes: ")
    assert [f.name for f in tmp_path.iterdir()] == ["tables"]


def test_files_that_are_no_table_are_refused(tmp_path):
    (tmp_path / "r.xlsx").touch()
    (tmp_path / "r.parquet").write_text("dear diary")
    (tmp_path / "r.jsonl").write_text('{"path": "a", "rating": 1}\n{"path"\n')
    (tmp_path / "r.csv").write_text("path,rating\na,1,2\n")
    (tmp_path / "none").mkdir()
    pq.write_table(pa.table({"image": ["a"], "rating": [1]}), tmp_path / "text.parquet")
    for name, reason in {
        "r.xlsx": "ends in .csv", "r.parquet": "cannot be read", "r.jsonl": "row 2: not JSON",
        "r.csv": "row 1: more fields", "gone.csv": "cannot be read", "none": "no .parquet file",
        "text.parquet": "column image: not the bytes",
    }.items():  # fmt: skip
        with pytest.raises(RatingsError, match=reason):
            read_ratings(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_rows_of_any_table_are_read_one_by_one(tmp_path, suffix):
    file = tmp_path / f"t{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"a": ["x", "y"], "b": ["1", "2"]}), file)
    elif suffix == ".jsonl":
        file.write_text('{"a": "x", "b": "1"}\n\n{"a": "y", "b": "2"}\n')
    else:
        comma = "\t" if suffix == ".tsv" else ","
        file.write_text(f"a{comma}b\nx{comma}1\ny{comma}2\n", encoding="utf-8-sig")
    assert list(iter_rows(file)) == [{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]
    assert next(iter_rows(file)) == {"a": "x", "b": "1"}
    with pytest.raises(TableError, match="cannot be read as a table"):
        list(iter_rows(tmp_path / f"gone{suffix}"))
