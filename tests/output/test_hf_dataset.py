"""A dataset of rated images loads again, and nothing is overwritten."""

import pytest

from tests import tiny_checkpoints as tiny
from tests.cli import run
from vlm_aes.bulk import find_sources
from vlm_aes.errors import HubError, OutputError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.hub import prepare_upload
from vlm_aes.output.hf_dataset import write_dataset
from vlm_aes.output.table import Columns

datasets = pytest.importorskip("datasets")


def test_what_is_written_loads_again_and_is_not_overwritten(tmp_path):
    folder, place = tmp_path / "files", tmp_path / "rated"
    folder.mkdir()
    files = [folder / f"{i}.png" for i in range(3)]
    for file, image in zip(files, tiny.images(3)):
        image.save(file)
    (folder / "bad.jpg").write_text("no picture")
    words = ["--attributes", "--stars-among", "run", "--stars", "0,20,40,60,80", "--dataset", place]
    result = run("score", folder, *words)
    assert result.exit_code == 1, result.output
    assert "dataset of 3 images" in result.stderr
    again = run("score", folder, *words)
    assert again.exit_code == 2 and "exists already" in again.stderr
    loaded = datasets.load_dataset(str(place), cache_dir=str(tmp_path / "cache"), split="train")
    assert isinstance(loaded.features["image"], datasets.Image)
    assert loaded["path"] == [str(f) for f in files]
    assert sorted(loaded["stars"]) == [1, 3, 5]
    assert loaded[1]["image"].size == (loaded[1]["width"], loaded[1]["height"])
    raw = loaded.cast_column("image", datasets.Image(decode=False))
    assert [r["image"]["bytes"] for r in raw] == [f.read_bytes() for f in files]
    assert {"score", "attr_light", "model"} < set(loaded.features)
    # and as a source, and as an upload for the hub
    assert [i.read() for i in find_sources([f"{place}/data/*.parquet"])] == [f.read_bytes() for f in files]
    with pytest.raises(HubError, match="names no license"):
        prepare_upload(place)
    upload = prepare_upload(place, "cc-by-4.0")
    assert (upload.kind, list(upload.files)) == ("dataset", ["data/train-00000-of-00001.parquet"])


def test_many_rows_are_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr("vlm_aes.output.hf_dataset.FILE_ROWS", 4)
    monkeypatch.setattr("vlm_aes.output.hf_dataset.ROW_GROUP_ROWS", 2)
    empty, schema = dict.fromkeys(Columns().names), Columns().schema
    rows = [{**empty, "path": str(n), "score": float(n), "model": "m", "prompt": "p"} for n in range(9)]
    items = [ImageSource(str(n), lambda n=n: bytes([n])) for n in [*range(9), 77]]
    assert write_dataset(tmp_path / "out", rows, items, schema) == 9
    names = sorted(f.name for f in (tmp_path / "out/data").iterdir())
    assert names == [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    held = [i.read() for i in find_sources([f"{tmp_path}/out/data/*.parquet"])]
    assert held == [bytes([n]) for n in range(9)]
    assert write_dataset(tmp_path / "none", [], items, schema) == 0
    assert (tmp_path / "none/data/train-00000-of-00001.parquet").is_file()
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Not a directory"):
        write_dataset(tmp_path / "file/out", rows, items, schema)
