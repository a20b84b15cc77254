"""Tables of paths, Parquet files that hold images, and archives."""

import csv
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bulk.sources.conftest import contents
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources import count_images
from vlm_aes.errors import SourceError
from vlm_aes.images.open import ImageError


def test_tables_of_paths(photos, image_bytes, tmp_path):
    paths = [str(f) for f in sorted(photos.iterdir())]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("rating", "path"), *((3, p) for p in paths)])
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"path": p}) + "\n" for p in paths))
    pq.write_table(pa.table({"where": paths}), tmp_path / "t.parquet")
    assert contents(tmp_path / "t.csv") == image_bytes
    assert contents(tmp_path / "t.jsonl") == image_bytes
    assert contents(tmp_path / "t.parquet", column="where") == image_bytes
    assert contents("-", stdin=[f"{tmp_path / 't.csv'}\n"]) == image_bytes
    assert [i.path for i in find_sources([str(tmp_path / "t.csv")])] == paths


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_that_holds_images(photos, image_bytes, tmp_path, struct):
    file = tmp_path / "t.parquet"
    cells = [{"bytes": b, "path": f"{i}.png"} for i, b in enumerate(image_bytes)] if struct else image_bytes
    pq.write_table(pa.table({"image": [*cells, None]}), file)
    items = list(find_sources([str(file)]))
    assert [i.read() for i in items[:-1]] == image_bytes
    assert items[1].path == f"{file}/1" + ("/1.png" if struct else "")
    assert isinstance(items[-1].read(), ImageError)
    assert len({json.dumps(i.current_fingerprint()) for i in items}) == 6
    assert count_images([str(file)]) == 6


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", "name,rating\na,1\n", "has none of the columns path.*it has name, rating"),
        ("t.jsonl", "[1]\n", "row 1: not a JSON object"),
        ("t.jsonl", "{\n", "row 1: not JSON"),
        ("t.parquet", "no table", "cannot be read as a table"),
    ],
)
def test_a_wrong_table_says_what_to_do(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=reason):
        list(find_sources([str(tmp_path / name)]))
    with pytest.raises(SourceError, match=r"no column 'x'|cannot be read|not JSON|not a JSON object"):
        list(find_sources([str(tmp_path / name)], column="x"))


def test_a_row_without_a_path_is_an_error_row(tmp_path):
    (tmp_path / "t.csv").write_text("path,x\n,1\na.png,2\n")
    empty, good = find_sources([str(tmp_path / "t.csv")])
    assert str(empty.read()) == "missing: the row names no image"
    assert good.path == "a.png"


def test_archives_and_one_that_breaks_off(photos, image_bytes, tmp_path):
    for name in ("a-0.tar", "a-1.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for file in sorted(photos.iterdir()):
                archive.add(file, f"{file.stem}.png")
                label = io.BytesIO(b"3")
                about = tarfile.TarInfo(f"{file.stem}.cls")
                about.size = 1
                archive.addfile(about, label)
    assert contents(tmp_path / "a-0.tar") == image_bytes
    assert contents(tmp_path / "a-*.tar") == image_bytes
    assert contents(tmp_path / "a-1.tar.gz") == image_bytes
    first = next(find_sources([str(tmp_path / "a-0.tar")]))
    assert first.path == f"{tmp_path}/a-0.tar/0.png"
    assert count_images([str(tmp_path / "a-0.tar")]) is None
    with tarfile.open(tmp_path / "a-0.tar") as archive:
        second = archive.getmember("1.png")
    cut = second.offset_data + second.size // 2
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a-0.tar").read_bytes()[:cut])
    good, last = contents(tmp_path / "cut.tar")
    assert good == image_bytes[0]
    assert isinstance(last, ImageError)
    assert str(last).startswith("truncated: the archive breaks off")
