"""A table reads the same however a program or a spreadsheet wrote it."""

import csv
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlm_aes.errors import TableError
from vlm_aes.ratings.cells import image_path, to_number
from vlm_aes.ratings.records import iter_rows
from vlm_aes.ratings.table import read_ratings

CELLS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=8)
RESUMED = [HealthCheck.function_scoped_fixture]


@settings(deadline=None, suppress_health_check=RESUMED)
@given(
    rows=st.lists(st.tuples(CELLS.map("p".__add__), CELLS), min_size=1, max_size=4),
    form=st.tuples(
        *map(st.sampled_from, (",;\t", ("utf-8", "utf-8-sig", "utf-16", "utf-16-le"), ("\n", "\r\n", "\r")))
    ),
    header=st.sampled_from((("path", "note"), (" PATH", "Note "))),
    blank=st.booleans(),
)
def test_cells_are_as_they_were_written(tmp_path, rows, form, header, blank):
    delimiter, encoding, end = form
    text = io.StringIO()
    lines = csv.writer(text, delimiter=delimiter, lineterminator=end)
    lines.writerows([[*row, *[""] * blank] for row in (header, *rows)])
    lines.writerows([[], ["", "", ""]] * blank)
    file = tmp_path / "t.CSV"
    file.write_bytes(text.getvalue().encode(encoding))
    assert list(iter_rows(file)) == [{"path": path, "note": note} for path, note in rows]


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"sep=;\npath;rating\na,b.jpg;3,5\n", [{"path": "a,b.jpg", "rating": "3,5"}]),
        (b"path\nParis, 2019.jpg\n", [{"path": "Paris, 2019.jpg"}]),
        (b"\n;;\nPath;Rating\n\na.jpg;4;;\n", [{"path": "a.jpg", "rating": "4"}]),
        (b",path,rating\n0,a.jpg,4\n1,b.jpg\n", [{"path": "a.jpg", "rating": "4"}, {"path": "b.jpg", "rating": None}]),
        (b"Rating,rating,ID\n1,2,3\n", [{"Rating": "1", "rating": "2", "id": "3"}]),
        (b"path,note\na," + b"x" * 200_000 + b"\n", [{"path": "a", "note": "x" * 200_000}]),
        ("path\tort\nstraße.jpg\tKöln\n".encode("cp1252"), [{"path": "straße.jpg", "ort": "Köln"}]),
    ],
)
def test_tables_as_people_have_them(tmp_path, capfd, data, rows):
    file = tmp_path / "t.csv"
    file.write_bytes(data)
    assert list(iter_rows(file)) == list(iter_rows(file)) == rows
    assert capfd.readouterr().err.count("read as Latin-1") == (b"\xdf" in data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'path,note\na,"never closed\nb,2\n', "line 3: unexpected end of data"),
        (b"path,note\na,b,c\n", "row 1: more fields than the header has columns: put a cell that holds ','"),
        (b"path,note, note\na,b,c\n", "two columns are called 'note'"),
        (b"PK\x03\x04\x14\x00\x06\x00", "holds no text.: save it as CSV"),
    ],
)
def test_a_table_that_would_lose_rows_or_cells_is_refused(tmp_path, data, said):
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(TableError, match=said):
        list(iter_rows(tmp_path / "t.csv"))


def test_numbers():
    cells = {"3,5": 3.5, " 0,125 ": 0.125, "5,1E+02": 510, "512.0": 512, "": None, "NA": None, "#N/A": None, None: None}
    assert {cell: to_number(cell) for cell in cells} == cells
    for cell in ("1.234,5", "1,234,567", "good", "NA,5", "4 stars"):
        with pytest.raises(ValueError, match="is not a number"):
            to_number(cell)


def test_paths_are_found_as_written_then_without_blanks_or_with_slashes(tmp_path):
    (tmp_path / "day 1").mkdir()
    for name in ("a.jpg", " a.jpg", "day 1/b.jpg", "c\\d.jpg"):
        (tmp_path / name).touch()
    found = {" a.jpg": " a.jpg", "a.jpg ": "a.jpg", "day 1\\b.jpg ": "day 1/b.jpg", "c\\d.jpg": "c\\d.jpg"}
    for written, name in (found | {"./a.jpg": "a.jpg", "gone\\e.jpg": "gone\\e.jpg"}).items():
        assert image_path(written, tmp_path) == str(tmp_path / name)
    assert image_path("./a.jpg") == "./a.jpg"


@pytest.mark.parametrize("kind", ["struct", "large", "view", "dictionary"])
def test_images_of_any_type_of_parquet(tmp_path, kind):
    data, paths = [f"image {i}".encode() for i in range(3)] + [None], [f"{tmp_path}/{i}.png" for i in range(4)]
    (tmp_path / "3.png").touch()
    cells = {
        "struct": lambda: pa.array([{"bytes": b, "path": p} for b, p in zip(data, paths)]),
        "large": lambda: pa.array(data, pa.large_binary()),
        "view": lambda: pa.array(data, pa.binary_view()),
        "dictionary": lambda: pa.array(data).dictionary_encode(),
    }[kind]()
    columns = {"Image": cells, "rating": [1, 2, 3, 4], "split": pa.array(["train"] * 4).dictionary_encode()}
    table = pa.table(columns if kind == "struct" else columns | {"path": pa.array(paths, pa.string_view())})
    pq.write_table(table, tmp_path / "t.PARQUET")
    read = read_ratings(tmp_path / "t.PARQUET", min_images=1)
    assert [read.source(i) for i in range(4)] == [*data[:3], paths[3]]
    assert [rating.split for rating in read.ratings] == ["train"] * 4
