"""Datasets as a source and as a sink."""

import pytest
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources.hf_datasets import is_hub_name, write_dataset
from vlm_aes.bulk.sources import count
from vlm_aes.cli import app
from vlm_aes.errors import HubError, OutputError, SourceError
from vlm_aes.images.open import ImageError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.hub.push import packed
from vlm_aes.output.table import Columns

datasets = pytest.importorskip("datasets")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for i, image in enumerate(tiny.pictures(3)):
        image.save(folder / f"{i}.png")
    return sorted(folder.iterdir())


@pytest.fixture
def made(files):
    """A dataset of three pictures with names, and a row without one."""
    cells = {"image": [*map(str, files), None], "image_id": ["a", "b", "c", "d"]}
    features = datasets.Features({"image": datasets.Image(), "image_id": datasets.Value("string")})
    return datasets.Dataset.from_dict(cells, features=features)


def test_a_saved_dataset(made, files, tmp_path):
    place = tmp_path / "saved"
    made.save_to_disk(place)
    items = list(find_sources([str(place)]))
    assert [i.path for i in items] == [f"{place}/{n}/{c}" for n, c in enumerate("abcd")]
    assert [i.read() for i in items[:3]] == [f.read_bytes() for f in files]
    assert isinstance(items[3].read(), ImageError)
    again = list(find_sources([str(place)]))
    assert [i.current_fingerprint() for i in again] == [i.current_fingerprint() for i in items]
    assert len({str(i.current_fingerprint()) for i in items}) == 4
    assert count([str(place)]) is None


def test_a_saved_dataset_with_splits_and_columns(made, files, tmp_path):
    place = tmp_path / "saved"
    two = (
        made.add_column("n", [1, 2, 3, 4])
        .rename_column("image", "photo")
        .remove_columns("image_id")
    )
    datasets.DatasetDict({"train": two, "test": two.select([1])}).save_to_disk(place)
    items = list(find_sources([str(place)], column="photo"))
    assert [i.path for i in items] == [f"{place}/train/{n}" for n in range(4)] + [f"{place}/test/0"]
    assert items[4].read() == files[1].read_bytes()
    with pytest.raises(SourceError, match="no column of pictures n; it has photo, n"):
        list(find_sources([str(place)], column="n"))
    (place / "dataset_dict.json").write_text("{")
    with pytest.raises(SourceError, match=str(place)):
        list(find_sources([str(place)]))


def test_a_hub_name_with_its_revision(made, monkeypatch):
    asked = []

    def load(name, revision):
        asked.append((name, revision))
        return datasets.DatasetDict({"train": made})

    monkeypatch.setattr(datasets, "load_dataset", load)
    items = list(find_sources(["hf://datasets/me/photos@v1"]))
    assert items[0].path == "hf://datasets/me/photos@v1/train/0/a"
    list(find_sources(["hf://datasets/me/photos"]))
    assert asked == [("me/photos", "v1"), ("me/photos", None)]


def test_an_address_below_a_dataset_is_left_to_fsspec():
    assert is_hub_name("hf://datasets/me/photos")
    for other in ("hf://datasets/me", "hf://datasets/me/photos/a.png", "hf://me/photos",
                  "hf://datasets/me/*", "s3://datasets/me/photos"):  # fmt: skip
        assert not is_hub_name(other)


def test_what_is_written_loads_again(files, tmp_path):
    place, model = tmp_path / "rated", tmp_path / "cache"
    (files[0].parent / "bad.jpg").write_text("no picture")
    words = ["--attributes", "--stars-among", "run", "--stars", "0,20,40,60,80"]
    result = CliRunner().invoke(
        app, ["score", str(files[0].parent), *words, "--dataset", str(place)]
    )
    assert result.exit_code == 1, result.output
    assert "dataset of 3 pictures" in result.stderr
    loaded = datasets.load_dataset(str(place), cache_dir=str(model), split="train")
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded["path"] == [str(f) for f in files]
    assert sorted(loaded["stars"]) == [1, 3, 5]
    assert loaded[1]["image"].size == (loaded[1]["width"], loaded[1]["height"])
    raw = loaded.cast_column("image", datasets.Image(decode=False))
    assert [r["image"]["bytes"] for r in raw] == [f.read_bytes() for f in files]
    assert {"score", "attr_light", "model"} < set(loaded.features)
    # and as a source, and as a parcel for the hub
    again = [i.read() for i in find_sources([f"{place}/data/*.parquet"])]
    assert again == [f.read_bytes() for f in files]
    with pytest.raises(HubError, match="names no license"):
        packed(place)
    parcel = packed(place, "cc-by-4.0")
    assert (parcel.kind, list(parcel.files)) == ("dataset", ["data/train-00000-of-00001.parquet"])


def test_many_rows_are_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vlm_aes.bulk.sources.hf_datasets.SHARD_ROWS", 4)
    monkeypatch.setattr("vlm_aes.bulk.sources.hf_datasets.GROUP_ROWS", 2)
    columns = Columns()
    empty = dict.fromkeys(columns.names)
    rows = [{**empty, "path": str(n), "score": float(n), "model": "m", "prompt": "p"}
            for n in range(9)]  # fmt: skip
    items = [ImageSource(str(n), lambda n=n: bytes([n])) for n in [*range(9), 77]]
    assert write_dataset(tmp_path / "out", rows, items, columns.schema) == 9
    names = sorted(f.name for f in (tmp_path / "out" / "data").iterdir())
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    held = [i.read() for i in find_sources([str(tmp_path / "out" / "data" / "*.parquet")])]
    assert held == [bytes([n]) for n in range(9)]
    assert write_dataset(tmp_path / "none", [], items, columns.schema) == 0
    assert (tmp_path / "none" / "data" / "train-00000-of-00001.parquet").is_file()
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Not a directory"):
        write_dataset(tmp_path / "file" / "out", rows, items, columns.schema)


def test_nothing_is_overwritten(files, tmp_path):
    (tmp_path / "there").mkdir()
    result = CliRunner().invoke(app, ["score", str(files[0]), "--dataset", str(tmp_path / "there")])
    assert result.exit_code == 2
    assert "exists already" in result.stderr
