import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.ratings.conftest import write_table
from vlm_aes.cli import app
from vlm_aes.errors import RatingsError, TableError
from vlm_aes.ratings.records import iter_rows
from vlm_aes.ratings.table import Scale, read_ratings

N = 24
MEANS = [1 + (i * 7 % 33) / 8 for i in range(N)]


def rows(**changes):
    made = [{"path": f"{i}.png", "rating": MEANS[i]} for i in range(N)]
    for row, values in changes.items():
        made[int(row[1:]) - 1] |= values
    return made


def test_csv_jsonl_and_parquet_read_the_same(photos, tmp_path):
    records = [r | {"std": 0.5, "group": "g", "split": "val"} for r in rows()]
    files = [write_table(tmp_path, records, suffix) for suffix in (".csv", ".jsonl", ".parquet")]
    table, *others = (read_ratings(file, photos) for file in files)
    assert [other.ratings for other in others] == [table.ratings] * 2
    assert (table.scale, table.declared) == (Scale(1, 5), False)
    assert table.ratings[3].std == 0.5
    assert list(table.of_split("validation")) == list(range(N))
    np.testing.assert_allclose(table.scores(), (np.array(MEANS) - 1) * 25)
    assert table.select([5, 2]).source(0) == str(photos / "5.png")


@pytest.mark.parametrize("shape", ["binary", "struct", "shards"])
def test_images_in_the_table_have_one_rating_each(photos, tmp_path, shape):
    data = [(photos / f"{i}.png").read_bytes() for i in range(N)]
    images = data if shape == "binary" else [{"bytes": b, "path": f"{i}"} for i, b in enumerate(data)]
    table, file = pa.table({"image": images, "rating": MEANS}), tmp_path / "r.parquet"
    if shape == "shards":
        file.mkdir()
        pq.write_table(table.slice(0, 10), file / "a.parquet")
        pq.write_table(table.slice(10), file / "b.parquet")
    else:
        pq.write_table(table, file)
    found = read_ratings(file)
    assert [found.source(i) for i in range(N)] == data
    assert found.select([7]).source(0) == data[7]
    assert found.ratings[2].path == ("row 3" if shape == "binary" else "2")
    twice = tmp_path / "twice.parquet"
    pq.write_table(pa.table({"image": data[:1] * 2, "rating": [1.0, 2.0]}), twice)
    with pytest.raises(RatingsError, match="row 2, column rating: row 2 has a rating in row 1"):
        read_ratings(twice)


def test_votes_are_averaged_by_image(photos, tmp_path):
    images = [(r, i, {"path": f"{i}.png", "rater": r}) for r in range(3) for i in range(N)]
    votes = [vote | {"rating": 1 + (i + r) % 5, "critique": "dull" if r else ""} for r, i, vote in images]
    table = read_ratings(write_table(tmp_path, votes), photos)
    assert len(table) == N
    fourth = table.ratings[4]
    assert fourth.votes == {"0": 5.0, "1": 1.0, "2": 2.0}
    assert (fourth.mean, fourth.std) == pytest.approx((8 / 3, np.std([5, 1, 2], ddof=1)))
    assert fourth.critique == "dull"


def test_counts_are_transformed(photos, tmp_path):
    file = write_table(tmp_path, [{"path": f"{i}.png", "likes": i, "age": i + 1} for i in range(N)])
    i = np.arange(N)
    wanted = {"log": np.log1p(i), "cube-root": np.cbrt(i), "rank": (i + 0.5) / N, "per-age": np.log1p(i / (i + 1))}
    for transform, means in wanted.items():
        table = read_ratings(file, photos, transform=transform, column="likes")
        np.testing.assert_allclose([r.mean for r in table.ratings], means)
        assert (table.scores().min(), table.scores().max()) == (0, 100)


def votes(raters, **columns):
    """Two votes on one image."""
    made = [{"path": "0.png", "rater": rater, "rating": i} for i, rater in enumerate(raters, 1)]
    return [vote | {name: values[i] for name, values in columns.items()} for i, vote in enumerate(made)]


WRONG = [
    (rows(r3={"path": "gone.png"}), {}, "row 3, column path: no file .*gone.png; 1 of 24 images are missing; relative "
     "paths are below --images"),
    (rows(r3={"path": ""}), {}, "row 3, column path: empty"),
    ([{"rating": 1}, {"rating": 2}], {}, "row 1, column path: missing; name the"),
    ([{"path": "0.png", "stars": 1}], {}, "no column 'rating' .* path, stars"),
    ([], {}, "no rows"),
    ([row | {"rating": 3} for row in rows()], {}, "column rating: every rating is 3; there is nothing to learn"),
    (rows()[:19], {}, "19 rated images are too few; give 20"),
    (rows(r5={"rating": "inf"}), {}, "row 5, column rating: 'inf' is no rating"),
    ([row | {"rating": " "} for row in rows()], {}, "column rating: no row holds a rating: empty"),
    ([*rows()[:19], {"path": "19.png", "rating": "NA"}], {}, "19 rated .* too few; give 20; 1 empty left out"),
    (rows(r2={"path": "./1.png"}, r3={"path": "1.png"}), {}, "row 3, .*1.png has a rating in row 2 already"),
    ([{"path": p, "rater": "x", "rating": i} for i, p in enumerate(("a/../0.png", "0.png"), 2)], {}, "x has voted on"),
    (rows(r5={"rating": "good"}), {}, "row 5, column rating: 'good' is not a number"),
    (rows(r5={"rating": 6}), {"scale": Scale(1, 5)},
     "row 5, column rating: 6 is outside the scale 1 to 5; correct it or declare"),
    (rows(r5={"rating": 900}), {}, "ratings from 1 to 900 are on no usual"),
    (rows(r7={"path": "1.png"}), {},
     "row 7, column rating: .*1.png has a rating in row 2 already; keep one of them, or name the rater"),
    (votes("xx"), {}, "row 2, column rater: x has voted on .*0.png already"),
    (votes(["", ""]), {}, "row 1, column rater: empty"),
    (votes("12", split=("train", "test")), {}, "row 2, column split: .*0.png has another split in row 1"),
    (rows(r2={"split": "later"}), {}, "row 2, column split: 'later' is none of dev"),
    (rows(r2={"std": 9}), {}, "row 2, column std: 9 is no spread on this scale"),
    (rows(r2={"rating": -1}), {"transform": "log"}, "row 2, .*-1 is no count"),
    (rows(), {"transform": "per-age"}, "per-age needs a column age"),
    ([r | {"age": i} for i, r in enumerate(rows())], {"transform": "per-age"}, "row 1, column age: 0 is not above 0"),
    (rows(), {"transform": "sqrt"}, "choose one of log, cube-root"),
    (votes("12"), {"transform": "log"}, "holds votes"),
]  # fmt: skip


@pytest.mark.parametrize(("records", "options", "reason"), WRONG, ids=[reason for *_, reason in WRONG])
def test_wrong_tables_name_row_and_column_and_the_command_prints_one_line(photos, tmp_path, records, options, reason):
    (tmp_path / "tables").mkdir()
    file = write_table(tmp_path / "tables", records)
    with pytest.raises(RatingsError, match=reason):
        read_ratings(file, photos, **options)
    words = ["finetune", file, "--images", photos, "--out", tmp_path / "mine"]
    words += ["--ratings-scale", "1-5"] if "scale" in options else []
    words += ["--transform", options["transform"]] if "transform" in options else []
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
    pq.write_table(pa.table({"image": list(map(str, range(20))), "rating": range(20)}), tmp_path / "text.parquet")
    for name, reason in {
        "r.xlsx": "ends in .csv", "r.parquet": "cannot be read", "r.jsonl": "row 2: not JSON",
        "r.csv": "row 1: more fields", "gone.csv": "cannot be read", "none": "no .parquet file",
        "text.parquet": "row 1, column path: no file 0;",
    }.items():  # fmt: skip
        with pytest.raises(RatingsError, match=reason):
            read_ratings(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_rows_of_any_table_are_read_one_by_one(tmp_path, suffix):
    records = [{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]
    file = write_table(tmp_path, records, suffix)
    assert list(iter_rows(file)) == records
    assert next(iter_rows(file)) == records[0]
    with pytest.raises(TableError, match="cannot be read as a table"):
        list(iter_rows(tmp_path / f"gone{suffix}"))


READ = [  # ratings, options, what is said
    ([0, 5, "", 3, 1, -1, 0], {"column": "stars"}, "3 ratings of 3 images, read as 1 to 5 stars; 1 empty, "
     "2 unrated (0), 1 rejected (-1) left out"),
    ([-1, 0, 2, 4, 5], {}, "3 ratings of 3 images, read as 1 to 5 stars; 1 unrated (0), 1 rejected (-1) left out"),
    ([0, 1, 3, 5], {"scale": Scale(1, 5)}, "3 ratings of 3 images, read as 1 to 5 stars; 1 unrated (0) left out"),
    ([0, 1, 3, -1], {"scale": Scale(0, 5)}, "read as 0 to 5; 1 rejected (-1) left out"),
    (["2,5", "1,125", None, "4"], {}, "3 ratings of 3 images, read as 1 to 5; 1 empty left out"),
    (["1,125", "2,250", "4"], {"scale": Scale(1, 5)}, "read as 1 to 5"),
    ([-2, 0, 1], {"scale": Scale.parse("-2-2")}, "read as -2 to 2"),
    ([-1.7, 0.2, 2.25], {"transform": "z-score"}, "read as -1.7 to 2.25"),
    ([0, 3, 8], {}, "read as 0 to 10"),
    ([1, 2, 3, 7], {}, "on several scales: declare theirs: --ratings-scale 1-7 or --ratings-scale 1-10"),
    ([0, 1, 3, 5], {}, "--ratings-scale 1-5 where 0 is unrated and left out, or --ratings-scale 0-5"),
    ([0.4, 3.2, 4.6], {}, "on several scales: declare theirs: --ratings-scale 0-5 or"),
    ([-2, -1, 0, 1, 2], {}, "cannot be told: declare it, as in --ratings-scale -2-2; for z-scores --transform z-score"),
    ([-1, 0, 1], {}, "cannot be told: declare it, as in --ratings-scale -1-1"),
    ([-1.7, 0.2, 2.25], {}, "cannot be told"),
    (["1,125", "2,250", "4"], {}, "row 1, column rating: 1,125 may be 1.125 or 1125; write that, or declare"),
    (["1,125", "2,250", "4"], {"transform": "log"}, "1,125 may be 1.125 or 1125"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "options", "said"), READ, ids=[said for *_, said in READ])
def test_ratings_as_people_have_them_are_read_or_asked_about(photos, tmp_path, values, options, said):
    name = options.get("column", "rating")
    file = write_table(tmp_path, [{"path": f"{i}.png", name.upper(): v} for i, v in enumerate(values)])
    try:
        found = read_ratings(file, photos, min_images=2, **options).reading
    except RatingsError as error:
        found = str(error)
    assert said in found


def test_two_ways_to_write_a_path_are_one_image(photos, tmp_path):
    names = ("0.png", "./0.png", f"{photos}/0.png", " 1.png")
    ratings = [{"path": p, "rater": f"r{i}", "rating": i + 1} for i, p in enumerate(names)]
    table = read_ratings(write_table(tmp_path, ratings), photos, min_images=2)
    assert [r.mean for r in table.ratings] == [2, 4] and table.reading.startswith("4 ratings of 2 images")
