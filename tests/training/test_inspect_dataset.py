import shutil

import pytest

from vlm_aes.errors import TrainingError
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.training.inspect_dataset import inspect_ratings


def test_broken_images_versions_and_splits(shoot, tmp_path):
    def inspected(rows, validation=0.3, test=0.3):
        made = [Rating(i, str(p), float(m), split=s) for i, (p, m, s) in enumerate(rows, 1)]
        return inspect_ratings(RatingTable("t.csv", made, ratings.FIVE_POINTS, declared=True), validation, test, 0)

    broken, copy = tmp_path / "broken.png", tmp_path / "copy.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    shutil.copy(shoot / "1.png", copy)
    rows = [(shoot / f"{i}.png", 1 + i % 5, "") for i in range(40)]
    found = inspected([*rows, (broken, 3, ""), (copy, 3, "")])
    assert list(found.errors) == [str(broken)]
    assert (len(found.table), found.duplicates, found.leaked) == (41, 1, 0)
    sides = {r.path: r.split for r in found.table.ratings}
    assert sides[str(copy)] == sides[str(shoot / "1.png")]
    own = [(p, m, "validation" if i < 8 else "train") for i, (p, m, _) in enumerate(rows)]
    kept = inspected([*own, (copy, 3, "train")])
    assert kept.leaked == 1
    assert [r.split for r in kept.table.ratings][:9] == ["validation"] * 8 + ["train"]
    with pytest.raises(TrainingError, match="row 41, column split: empty"):
        inspected([*own, (copy, 3, "")])
    with pytest.raises(TrainingError, match="40 for train, 0 for validation, 0 for test; at least"):
        inspected(rows, 0.0, 0.0)
    with pytest.raises(TrainingError, match="must leave something"):
        inspected(rows, 0.5, 0.6)
