"""A dataset of rated images loads again, and nothing is overwritten."""

import pytest
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes.bulk import find_sources
from vlm_aes.cli import app
from vlm_aes.errors import HubError, OutputError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.hub import prepare_upload
from vlm_aes.output.hf_dataset import write_dataset
from vlm_aes.output.table import Columns

datasets = pytest.importorskip("datasets")


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "files" / f"{i}.png" for i in range(3)]
    paths[0].parent.mkdir()
    for path, image in zip(paths, tiny.images(3)):
        image.save(path)
    return paths


def test_what_is_written_loads_again(files, tmp_path):
    place, model = tmp_path / "rated", tmp_path / "cache"
    (files[0].parent / "bad.jpg").write_text("no picture")
    words = ["--attributes", "--stars-among", "run", "--stars", "0,20,40,60,80"]
    result = CliRunner().invoke(app, ["score", str(files[0].parent), *words, "--dataset", str(place)])
    assert result.exit_code == 1, result.output
    assert "dataset of 3 images" in result.stderr
    loaded = datasets.load_dataset(str(place), cache_dir=str(model), split="train")
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded["path"] == [str(f) for f in files]
    assert sorted(loaded["stars"]) == [1, 3, 5]
    assert loaded[1]["image"].size == (loaded[1]["width"], loaded[1]["height"])
    raw = loaded.cast_column("image", datasets.Image(decode=False))
    assert [r["image"]["bytes"] for r in raw] == [f.read_bytes() for f in files]
    assert {"score", "attr_light", "model"} < set(loaded.features)
    # and as a source, and as an upload for the hub
    again = [i.read() for i in find_sources([f"{place}/data/*.parquet"])]
    assert again == [f.read_bytes() for f in files]
    with pytest.raises(HubError, match="names no license"):
        prepare_upload(place)
    upload = prepare_upload(place, "cc-by-4.0")
    assert (upload.kind, list(upload.files)) == ("dataset", ["data/train-00000-of-00001.parquet"])


def test_many_rows_are_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vlm_aes.output.hf_dataset.FILE_ROWS", 4)
    monkeypatch.setattr("vlm_aes.output.hf_dataset.ROW_GROUP_ROWS", 2)
    columns = Columns()
    empty = dict.fromkeys(columns.names)
    rows = [{**empty, "path": str(n), "score": float(n), "model": "m", "prompt": "p"} for n in range(9)]
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
