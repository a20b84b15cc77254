"""Tables of paths, Parquet files that hold images, and archives."""

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
    windows = (p.replace("photos/", "photos\\") for p in paths)
    (tmp_path / "t.csv").write_text("rating;Path\n" + "".join(f"3,5; {p} \n" for p in windows))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"PATH": p}) + "\n" for p in paths), encoding="utf-16")
    pq.write_table(pa.table({"where": paths}), tmp_path / "t.parquet")
    assert contents(tmp_path / "t.csv") == contents(tmp_path / "t.jsonl") == image_bytes
    assert contents(tmp_path / "t.parquet", column="where") == image_bytes
    assert contents("-", stdin=[str(tmp_path / "t.csv")]) == image_bytes
    assert [i.path for i in find_sources([str(tmp_path / "t.csv")])] == paths


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_that_holds_images(photos, image_bytes, tmp_path, struct):
    file = tmp_path / "t.parquet"
    cells = [{"bytes": b, "path": f"{i}.png"} for i, b in enumerate(image_bytes)] if struct else image_bytes
    pq.write_table(pa.table({"image": [*cells, None]}), file)
    items = list(find_sources([str(file)]))
    assert [i.read() for i in items[:-1]] == image_bytes and isinstance(items[-1].read(), ImageError)
    assert items[1].path == f"{file}/1" + ("/1.png" if struct else "")
    assert len({json.dumps(i.current_fingerprint()) for i in items}) == 6
    assert count_images([str(file)]) == 6


def test_parquet_of_a_data_set_without_its_files_names_them(photos, image_bytes, tmp_path):
    cells = [{"bytes": None, "path": str(f)} for f in sorted(photos.iterdir())] + [{"bytes": None, "path": None}]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"Photo": pa.array(cells, kind)}), tmp_path / "t.PARQUET")
    pq.write_table(
        pa.table({"Path": pa.array([c["path"] for c in cells[:-1]]).dictionary_encode()}), tmp_path / "p.parquet"
    )
    items = list(find_sources([str(tmp_path / "t.PARQUET")], column="Photo"))
    assert [i.read() for i in items[:-1]] == contents(tmp_path / "p.parquet") == image_bytes
    assert items[0].path == cells[0]["path"] and "holds no image" in str(items[-1].read())


def test_a_wrong_table_or_row_says_what_to_do(tmp_path):
    for name, content, column, reason in (
        ("t.csv", "name,rating\na,1\n", None, "has none of the columns path.*it has name, rating"),
        ("t.csv", "path\na.png\n", "x", "no column 'x'"),
        ("t.jsonl", "[1]\n", None, "row 1: not a JSON object"),
        ("t.jsonl", "{\n", None, "row 1: not JSON"),
        ("t.parquet", "no table", None, "cannot be read as a table"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(SourceError, match=reason):
            contents(tmp_path / name, column=column)
    (tmp_path / "t.csv").write_text("path,x\n,1\na.png,2\n")
    empty, good = find_sources([str(tmp_path / "t.csv")])
    assert (str(empty.read()), good.path) == ("missing: the row names no image", "a.png")


def test_archives_and_one_that_breaks_off(photos, image_bytes, tmp_path):
    plain = tmp_path / "a-0.tar"
    (tmp_path / "label").write_text("3")
    for name, mode in (("a-0.tar", "w"), ("a-1.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:
            for file in sorted(photos.iterdir()):
                archive.add(file, f"{file.stem}.png")
                archive.add(tmp_path / "label", f"{file.stem}.cls")
    for name in ("a-0.tar", "a-*.tar", "a-1.tar.gz"):
        assert contents(tmp_path / name) == image_bytes
    assert next(find_sources([str(plain)])).path == f"{plain}/0.png"
    assert count_images([str(plain)]) is None
    with tarfile.open(plain) as archive:
        second = archive.getmember("1.png")
    cut = second.offset_data + second.size // 2
    (tmp_path / "cut.tar").write_bytes(plain.read_bytes()[:cut])
    good, last = contents(tmp_path / "cut.tar")
    assert good == image_bytes[0] and isinstance(last, ImageError)
    assert str(last).startswith("truncated: the archive breaks off")
