"""A first look at a table: images that do not open, versions of one image, splits."""

import shutil

import pytest

from vlm_aes.errors import TrainingError
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.training.inspect_dataset import inspect_ratings


def test_broken_images_versions_and_splits(shoot, tmp_path):
    def named(*rows):
        made = [Rating(i, str(p), float(m), split=s) for i, (p, m, s) in enumerate(rows, 1)]
        return RatingTable("t.csv", made, ratings.FIVE_POINTS, declared=True)

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    shutil.copy(shoot / "1.png", tmp_path / "copy.png")
    rows = [(shoot / f"{i}.png", 1 + i % 5, "") for i in range(40)]
    extra = [(tmp_path / "broken.png", 3, ""), (tmp_path / "copy.png", 3, "")]
    found = inspect_ratings(named(*rows, *extra), 0.3, 0.3, 0)
    assert list(found.errors) == [str(tmp_path / "broken.png")]
    assert len(found.table) == 41
    assert (found.duplicates, found.leaked) == (1, 0)
    sides = {r.path: r.split for r in found.table.ratings}
    assert sides[str(tmp_path / "copy.png")] == sides[str(shoot / "1.png")]
    own = [(p, m, "validation" if i < 8 else "train") for i, (p, m, _) in enumerate(rows)]
    kept = inspect_ratings(named(*own, (tmp_path / "copy.png", 3, "train")), 0.3, 0.3, 0)
    assert kept.leaked == 1
    assert [r.split for r in kept.table.ratings][:9] == ["validation"] * 8 + ["train"]
    with pytest.raises(TrainingError, match="row 41, column split: empty"):
        inspect_ratings(named(*own, (tmp_path / "copy.png", 3, "")), 0.3, 0.3, 0)
    with pytest.raises(TrainingError, match="40 for train, 0 for validation, 0 for test; at least"):
        inspect_ratings(named(*rows), 0.0, 0.0, 0)
    with pytest.raises(TrainingError, match="must leave something"):
        inspect_ratings(named(*rows), 0.5, 0.6, 0)
