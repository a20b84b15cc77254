"""Datasets of the Hugging Face library as a source."""

import pytest

from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources import count_images
from vlm_aes.bulk.sources.hf_datasets import is_hub_name
from vlm_aes.errors import SourceError
from vlm_aes.images.open import ImageError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def files(photos):
    return sorted(photos.iterdir())[:3]


@pytest.fixture
def made(files):
    """A dataset of three images with names, and a row without one."""
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
    assert count_images([str(place)]) is None


def test_a_saved_dataset_with_splits_and_columns(made, files, tmp_path):
    place = tmp_path / "saved"
    two = made.add_column("n", [1, 2, 3, 4]).rename_column("image", "photo").remove_columns("image_id")
    datasets.DatasetDict({"train": two, "test": two.select([1])}).save_to_disk(place)
    items = list(find_sources([str(place)], column="photo"))
    assert [i.path for i in items] == [f"{place}/train/{n}" for n in range(4)] + [f"{place}/test/0"]
    assert items[4].read() == files[1].read_bytes()
    with pytest.raises(SourceError, match="no column of images n; it has photo, n"):
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
