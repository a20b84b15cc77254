"""Which of two versions of an image is better: what is learned, saved and suggested by it."""

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from finetune.edit_comparator import corruptions as corruptions
from finetune.edit_comparator.thresholds import BUDGET, FaultTrial, figures, fit
from finetune.edit_comparator.train import ComparedEdits, ComparatorConfig, compared, learn, auc_by_kind
from vlm_aes import measure as facts
from vlm_aes.assessor import Assessor
from vlm_aes.models.heads import load_head
from vlm_aes.models.nano import NANO
from vlm_aes.suggest.edits import (
    CROP,
    EXPOSURE,
    KINDS,
    LEVEL,
    WHITE_BALANCE,
    Edit,
    edits,
    lit,
)
from vlm_aes.suggest.engine import (
    CLEARLY,
    VETO,
    Judge,
    Trial,
    advise,
    edit_comparator_of,
)

COFFEE = Image.fromarray(skimage.data.coffee()).resize((300, 200))
LEAST = dict.fromkeys(KINDS, (0.0, 0.0))


def brightness(images):
    """Scores that are all alike, and the brightness as embedding."""
    light = np.array([[np.asarray(i, dtype=np.float32).mean()] for i in images], dtype=np.float32)
    return np.full(len(images), 50.0), light


def lighter(after, before, kinds):
    """Log odds that like light; of exposure alone."""
    odds = (after - before)[:, 0].astype(float) / 10
    return np.where([kind == EXPOSURE for kind in kinds], odds, -9.0)


JUDGE = Judge(brightness, lighter, LEAST)


def test_the_better_version_is_told_though_the_score_is_the_same():
    dark = lit(COFFEE, 2.0**-3)
    (told,) = advise(dark, None, facts=facts.measure(dark), judge=JUDGE)
    assert told.kind == EXPOSURE
    assert told.measured
    assert told.gain == 0
    assert told.margin == told.better > CLEARLY
    assert told.verdict == "clearly better"
    barely = replace(JUDGE, needed={EXPOSURE: (told.better - 0.5, 99.0)})
    (told,) = advise(dark, None, facts=facts.measure(dark), judge=barely)
    assert told.verdict == "better"
    assert not advise(dark, None, judge=replace(JUDGE, needed={EXPOSURE: (99.0, 99.0)}))


@pytest.mark.parametrize(("loses", "told"), [(VETO - 1, 1), (VETO + 1, 0)])
def test_the_score_has_a_veto(loses, told):
    dark = lit(COFFEE, 2.0**-3)

    def look(images):
        _, light = brightness(images)
        return np.where(light[:, 0] > light[0, 0] + 5, 50.0 - loses, 50.0), light

    assert len(advise(dark, None, judge=replace(JUDGE, look=look))) == told

    def confirm(images):
        return look([dark, *images])[0][1:]

    assert len(advise(dark, None, confirm, judge=JUDGE)) == told


def edges(n, width=8, seed=0):
    """Embeddings in which a right edit raises the first number, and a wrong one does not."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, 2, n)
    before = rng.standard_normal((2, n, width)).astype(np.float16)
    after = before + rng.standard_normal((2, n, width)).astype(np.float16) * 0.3
    after[..., 0] += 2 * right
    return ComparedEdits(after, before, rng.integers(0, len(KINDS), n), right)


def test_what_is_learned_tells_right_from_wrong_on_others():
    versions = learn(edges(3000), ComparatorConfig(epochs=8, batch_size=64))
    held = auc_by_kind(versions, edges(500, seed=1))
    assert set(held) == set(KINDS)
    assert min(held.values()) > 0.9
    same = learn(edges(3000), ComparatorConfig(epochs=8, batch_size=64))
    assert all(torch.equal(v, same.state_dict()[k]) for k, v in versions.state_dict().items())




def judge(corruption, kind, **wanted):
    offered = [
        e for e in edits(corruption.image, facts.measure(corruption.image))
        if e.kind == kind and all(getattr(e, k) == v for k, v in wanted.items())
    ]  # fmt: skip
    return [corruption.judge(e) for e in offered]


def test_edits_that_undo_a_corruption_are_right_and_others_are_wrong():
    rng = np.random.default_rng(3)
    dark, tinted = (made(COFFEE, rng) for made in (corruptions.dark, corruptions.tinted))
    assert corruptions.RIGHT in judged(dark, EXPOSURE)
    assert set(judged(dark, CROP)) == {corruptions.WRONG}
    assert corruptions.RIGHT in judged(tinted, WHITE_BALANCE)
    assert set(judged(corruptions.none(COFFEE, rng), EXPOSURE)) == {corruptions.WRONG}
    blank = Image.new("RGB", (1, 1))
    leaning = corruptions.leaning(COFFEE, np.random.default_rng(1))
    ways = {leaning.judge(Edit(LEVEL, "", blank, d)) for d in (-9.0, 9.0)}
    assert ways == {corruptions.RIGHT, corruptions.WRONG}


def test_a_loose_frame_is_cropped_to_the_photo():
    for seed in range(12):
        corruption = corruptions.loose(COFFEE, np.random.default_rng(seed))
        assert corruption.image.size == COFFEE.size
        found = {(e.place, e.amount): corruption.judge(e) for e in edits(corruption.image)
                 if e.kind == CROP}  # fmt: skip
        assert corruptions.RIGHT in found.values()
        assert {place for (place, _), said in found.items() if said == corruptions.RIGHT} == {
            next(place for (place, _), said in found.items() if said == corruptions.RIGHT)
        }


def test_every_version_of_a_photo_is_looked_at(nano_head):
    photos = [(str(n), COFFEE) for n in range(2)]
    seen = compare_edits(nano_head, photos)
    assert seen.after.shape == seen.before.shape == (2, len(seen.kinds), nano_head.config.width)
    assert set(seen.right) == {0, 1}
    again = compare_edits(nano_head, photos[:1])
    assert np.array_equal(again.after[0], seen.after[0, : len(again.kinds)])


@pytest.fixture(scope="module")
def nano_head():
    return load_head(NANO, precision="fp32")




def odds(fault, better, gain=0.0):
    """A photo with a fault, of whose edits the first undoes it, with such log odds."""
    blank = Image.new("RGB", (1, 1))
    offered = [Edit(kind, f"{kind}.", blank, 1.0) for kind in KINDS]
    logs = np.array([better, *[-5.0] * (len(KINDS) - 1)])
    gains = np.full(len(KINDS), gain)
    right = (fault != "none", *[False] * (len(KINDS) - 1))
    return FaultTrial(fault, Trial(blank, (0.0, 0.0), offered, gains, logs), right)


def test_what_an_edit_needs_is_fitted_to_what_compares():
    photos = [odds("tilted", -1.0 + n % 3) for n in range(20)]
    photos += [odds("none", -4.0 + n % 4) for n in range(20)]
    needed = fit(photos)
    found = figures(photos, needed)
    assert found["tilted"] >= 0.6
    assert found["originals with advice"] <= BUDGET
    assert needed[LEVEL][1] < 0
    vetoed = [odds("tilted", 3.0, gain=-VETO - 1) for n in range(20)]
    assert figures([*vetoed, photos[-1]], needed)["undone"] == 0
