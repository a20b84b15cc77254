import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from finetune.edit_comparator import corruptions
from finetune.edit_comparator.corruptions import RIGHT, WRONG
from finetune.edit_comparator.thresholds import BUDGET, FaultTrial, crop_of, figures, fit, place_of
from finetune.edit_comparator.train import ComparedEdits, auc_by_kind, compare_edits, learn
from vlm_aes.measure import measure_for_prompt
from vlm_aes.models.heads import load_head
from vlm_aes.models.nano import NANO
from vlm_aes.suggest.edits import BRIGHTEN, CLASS_OF_KIND, CROP, EDIT_CLASSES, LEVEL, WHITE_BALANCE, Edit, edits
from vlm_aes.suggest.engine import Trial

COFFEE = Image.fromarray(skimage.data.coffee()).resize((300, 200))


def separable_edits(n, width=8, seed=0):
    """Embeddings in which a right edit raises the first number, and a wrong one does not."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, n)
    before = rng.standard_normal((2, n, width)).astype(np.float16)
    after = before + rng.standard_normal((2, n, width)).astype(np.float16) * 0.3
    after[..., 0] += 2 * right
    return ComparedEdits(after, before, rng.integers(0, len(EDIT_CLASSES), n), right)


def test_the_comparator_tells_right_edits_from_wrong_ones_on_other_photos():
    head, same = (learn(separable_edits(3000), epochs=8, batch_size=64) for _ in range(2))
    held = auc_by_kind(head, separable_edits(500, seed=1))
    assert set(held) == set(EDIT_CLASSES)
    assert min(held.values()) > 0.9
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in head.state_dict().items())


def verdicts(corruption, kind):
    offered = edits(corruption.image, measure_for_prompt(corruption.image))
    return {corruption.judge(edit) for edit in offered if edit.kind == kind}


def test_edits_that_undo_a_corruption_are_right_others_are_wrong_and_a_loose_frame_is_cropped_to_the_photo():
    rng = np.random.default_rng(3)
    dark, tinted = (make(COFFEE, rng) for make in (corruptions.dark, corruptions.tinted))
    assert RIGHT in verdicts(dark, BRIGHTEN)
    assert verdicts(dark, CROP) == {WRONG}
    assert RIGHT in verdicts(tinted, WHITE_BALANCE)
    assert verdicts(corruptions.none(COFFEE, rng), BRIGHTEN) == {WRONG}
    tilted = corruptions.leaning(COFFEE, np.random.default_rng(1))
    assert {tilted.judge(Edit(LEVEL, "", {"degrees": degrees})) for degrees in (-9.0, 9.0)} == {RIGHT, WRONG}
    for seed in range(12):
        loose = corruptions.loose(COFFEE, np.random.default_rng(seed))
        assert loose.image.size == COFFEE.size
        right = [edit for edit in edits(loose.image) if edit.kind == CROP and loose.judge(edit) == RIGHT]
        assert len({place_of(edit) for edit in right}) == 1
        assert all(0 <= share <= 1 for edit in right for share in crop_of(edit))


def test_every_version_of_a_photo_is_embedded_once():
    head, photos = load_head(NANO, precision="fp32"), [(str(n), COFFEE) for n in range(2)]
    compared, first = compare_edits(head, photos), compare_edits(head, photos[:1])
    assert compared.after.shape == compared.before.shape == (2, len(compared.kinds), head.config.width)
    assert set(compared.right) == {0, 1}
    assert np.array_equal(first.after[0], compared.after[0, : len(first.kinds)])


def trial_of(fault, log_odds):
    """A photo with a fault, of whose edits the first undoes it, with such log odds."""
    offered = [Edit(kind, f"{kind}.", {"strength": 1.0}) for kind in CLASS_OF_KIND]
    odds = np.array([log_odds, *[-5.0] * (len(offered) - 1)])
    right = (fault != "none", *[False] * (len(offered) - 1))
    return FaultTrial(fault, Trial(offered, np.zeros(len(offered)), odds), right)


def test_thresholds_are_fitted_to_undo_faults_and_leave_good_photos_alone():
    photos = [trial_of("tilted", -1.0 + n % 3) for n in range(20)]
    photos += [trial_of("none", -4.0 + n % 4) for n in range(20)]
    measured = figures(photos, fit(photos))
    assert measured["tilted"] >= 0.6
    assert measured["originals with advice"] <= BUDGET
    with pytest.raises(ValueError, match="suggests too often: fit on more photos"):
        # every price would be paid: each of many faults lies below the one good photo
        fit([*[trial_of("tilted", 0.0)] * 60, trial_of("none", 1.0)])
