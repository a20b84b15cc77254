"""Every kind of source gives the same pictures, and a wrong one says what to do."""

import csv
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import tiny_checkpoints as tiny
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.index import Index
from vlm_aes.bulk.sources import count
from vlm_aes.errors import SourceError
from vlm_aes.images.open import ImageError


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(tiny.pictures(5)):
        image.save(folder / f"{i}.png")
    return folder


def contents(*paths, **options):
    return [item.read() for item in find_sources([str(p) for p in paths], **options)]


@pytest.fixture
def wanted(photos):
    return [f.read_bytes() for f in sorted(photos.iterdir())]


def test_tables_of_paths(photos, wanted, tmp_path):
    paths = [str(f) for f in sorted(photos.iterdir())]
    with (tmp_path / "t.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("rating", "path"), *((3, p) for p in paths)])
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"path": p}) + "\n" for p in paths))
    pq.write_table(pa.table({"where": paths}), tmp_path / "t.parquet")
    assert contents(tmp_path / "t.csv") == wanted
    assert contents(tmp_path / "t.jsonl") == wanted
    assert contents(tmp_path / "t.parquet", column="where") == wanted
    assert contents("-", stdin=[f"{tmp_path / 't.csv'}\n"]) == wanted
    assert [i.path for i in find_sources([str(tmp_path / "t.csv")])] == paths


@pytest.mark.parametrize("struct", [True, False])
def test_parquet_that_holds_pictures(photos, wanted, tmp_path, struct):
    file = tmp_path / "t.parquet"
    cells = [{"bytes": b, "path": f"{i}.png"} for i, b in enumerate(wanted)] if struct else wanted
    pq.write_table(pa.table({"image": [*cells, None]}), file)
    items = list(find_sources([str(file)]))
    assert [i.read() for i in items[:-1]] == wanted
    assert items[1].path == f"{file}/1" + ("/1.png" if struct else "")
    assert isinstance(items[-1].read(), ImageError)
    assert len({json.dumps(i.current_fingerprint()) for i in items}) == 6
    assert count([str(file)]) == 6


def test_archives_and_one_that_breaks_off(photos, wanted, tmp_path):
    for name in ("a-0.tar", "a-1.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for file in sorted(photos.iterdir()):
                archive.add(file, f"{file.stem}.png")
                label = io.BytesIO(b"3")
                about = tarfile.TarInfo(f"{file.stem}.cls")
                about.size = 1
                archive.addfile(about, label)
    assert contents(tmp_path / "a-0.tar") == wanted
    assert contents(tmp_path / "a-*.tar") == wanted
    assert contents(tmp_path / "a-1.tar.gz") == wanted
    first = next(find_sources([str(tmp_path / "a-0.tar")]))
    assert first.path == f"{tmp_path}/a-0.tar/0.png"
    assert count([str(tmp_path / "a-0.tar")]) is None
    with tarfile.open(tmp_path / "a-0.tar") as archive:
        second = archive.getmember("1.png")
    cut = second.offset_data + second.size // 2
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a-0.tar").read_bytes()[:cut])
    good, last = contents(tmp_path / "cut.tar")
    assert good == wanted[0]
    assert isinstance(last, ImageError)
    assert str(last).startswith("truncated: the archive breaks off")


def test_addresses(wanted):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    for i, data in enumerate(wanted):
        store.pipe(f"/shoot/{i}.png", data)
    store.pipe("/shoot/.hidden.png", b"x")
    store.pipe("/shoot/notes.txt", b"x")
    try:
        items = list(find_sources(["memory://shoot"]))
        assert [i.read() for i in items] == wanted
        assert items[0].path == "memory:///shoot/0.png"
        assert contents("memory://shoot/1.png") == wanted[1:2]
        store.rm("/shoot/2.png")
        assert str(items[2].read()).startswith("missing: ")
        with pytest.raises(SourceError, match="nothing is there"):
            list(find_sources(["memory://nowhere"]))
        with pytest.raises(SourceError, match="nosuch"):
            list(find_sources(["nosuch://x"]))
    finally:
        store.rm("/shoot", recursive=True)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("t.csv", "name,rating\na,1\n", "has none of the columns path.*it has name, rating"),
        ("t.jsonl", "[1]\n", "row 1: not an object"),
        ("t.jsonl", "{\n", "cannot be read as a table"),
        ("t.parquet", "no table", "cannot be read as a table"),
    ],
)
def test_a_wrong_table_says_what_to_do(tmp_path, name, content, reason):
    (tmp_path / name).write_text(content)
    with pytest.raises(SourceError, match=reason):
        list(find_sources([str(tmp_path / name)]))
    with pytest.raises(SourceError, match=r"no column 'x'|cannot be read|not an object"):
        list(find_sources([str(tmp_path / name)], column="x"))


def test_a_row_without_a_path_is_an_error_row(tmp_path):
    (tmp_path / "t.csv").write_text("path,x\n,1\na.png,2\n")
    empty, good = find_sources([str(tmp_path / "t.csv")])
    assert str(empty.read()) == "missing: the row names no picture"
    assert good.path == "a.png"


def test_index_keeps_first_and_last():
    index = Index()
    assert index.add("a", 1)
    assert not index.add("a", 2)
    assert (index.get("a"), index.get("b")) == (1, None)
    index.put("a", 3)
    index.put("\udcff", 4)
    assert (index.get("a"), index.get("\udcff")) == (3, 4)
