"""The comparator of edits as it lies with a fast head."""

import numpy as np
import pytest
import torch

from vlm_aes.errors import CheckpointError
from vlm_aes.models.heads import load_head
from vlm_aes.models.heads.edit_comparator import EDIT_COMPARATOR_FILE, EditComparatorHead
from vlm_aes.models.nano import NANO
from vlm_aes.suggest.edits import EDIT_CLASSES

WIDTH = 8


def test_a_saved_comparator_loads_with_the_same_answers_and_thresholds(tmp_path):
    torch.manual_seed(0)
    head = EditComparatorHead(WIDTH, ["crop", "level"], {"crop": (0.5, 2.0)}).eval()
    head.standardise(torch.randn(50, WIDTH))
    head.save(tmp_path)
    loaded = EditComparatorHead.load(tmp_path, WIDTH)
    assert loaded.thresholds == {"crop": (0.5, 2.0)}
    rng = np.random.default_rng(0)
    after, before = rng.standard_normal((2, 20, WIDTH)).astype(np.float32)
    own, other = (h.log_odds(after, before, ["crop", "level"] * 10) for h in (head, loaded))
    assert np.ptp(own) > 0.1
    np.testing.assert_allclose(own, other, atol=0.02)
    assert np.isneginf(loaded.log_odds(after[:1], before[:1], ["an unknown kind"]))


def test_a_missing_comparator_is_none_and_a_damaged_one_is_refused(tmp_path):
    assert EditComparatorHead.load(tmp_path, WIDTH) is None
    EditComparatorHead(WIDTH, ["crop"]).save(tmp_path)
    with pytest.raises(CheckpointError, match="delete it, or learn it anew"):
        EditComparatorHead.load(tmp_path, WIDTH + 1)
    (tmp_path / EDIT_COMPARATOR_FILE).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=EDIT_COMPARATOR_FILE):
        EditComparatorHead.load(tmp_path, WIDTH)


def test_the_comparator_of_nano_has_a_threshold_for_every_class_of_edits():
    assert set(load_head(NANO).edit_comparator.thresholds) == set(EDIT_CLASSES)
