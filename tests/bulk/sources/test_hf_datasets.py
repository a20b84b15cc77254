"""Datasets of the Hugging Face library as a source."""

from unittest import mock

import pytest

from tests.bulk.sources.conftest import contents
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources import count_images
from vlm_aes.bulk.sources.hf_datasets import is_hub_name
from vlm_aes.errors import SourceError
from vlm_aes.images.open import ImageError

datasets = pytest.importorskip("datasets")


@pytest.fixture
def made(photos):
    """A dataset of three images with names, and a row without one."""
    cells = {"image": [*(str(photos / f"{i}.png") for i in range(3)), None], "image_id": ["a", "b", "c", "d"]}
    features = datasets.Features({"image": datasets.Image(), "image_id": datasets.Value("string")})
    return datasets.Dataset.from_dict(cells, features=features)


def test_a_saved_dataset(made, image_bytes, tmp_path):
    place = tmp_path / "saved"
    made.save_to_disk(place)
    items, again = list(find_sources([str(place)])), list(find_sources([str(place)]))
    assert [i.path for i in items] == [f"{place}/{n}/{c}" for n, c in enumerate("abcd")]
    assert [i.read() for i in items[:3]] == image_bytes[:3] and isinstance(items[3].read(), ImageError)
    marks, marks_again = ([str(i.current_fingerprint()) for i in some] for some in (items, again))
    assert marks == marks_again and len(set(marks)) == 4
    assert count_images([str(place)]) is None


def test_a_saved_dataset_with_splits_and_columns(made, image_bytes, tmp_path):
    place = tmp_path / "saved"
    two = made.add_column("n", [1, 2, 3, 4]).rename_column("image", "photo").remove_columns("image_id")
    datasets.DatasetDict({"train": two, "test": two.select([1])}).save_to_disk(place)
    items = list(find_sources([str(place)], column="photo"))
    assert [i.path for i in items] == [f"{place}/train/{n}" for n in range(4)] + [f"{place}/test/0"]
    assert items[4].read() == image_bytes[1]
    with pytest.raises(SourceError, match="no column of images n; it has photo, n"):
        contents(place, column="n")
    (place / "dataset_dict.json").write_text("{")
    with pytest.raises(SourceError, match=str(place)):
        contents(place)


def test_a_hub_name_with_its_revision(made, monkeypatch):
    load = mock.Mock(return_value=datasets.DatasetDict({"train": made}))
    monkeypatch.setattr(datasets, "load_dataset", load)
    first = next(find_sources(["hf://datasets/me/photos@v1"]))
    assert first.path == "hf://datasets/me/photos@v1/train/0/a"
    contents("hf://datasets/me/photos")
    assert load.mock_calls == [mock.call("me/photos", revision="v1"), mock.call("me/photos", revision=None)]
    # an address below a dataset is left to fsspec
    assert is_hub_name("hf://datasets/me/photos")
    others = "hf://datasets/me hf://datasets/me/photos/a.png hf://me/photos hf://datasets/me/* s3://datasets/me/photos"
    assert not any(map(is_hub_name, others.split()))
