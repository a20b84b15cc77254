import json
from dataclasses import replace

import numpy as np
import pytest

from tests.training.conftest import run
from vlm_aes import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.ratings.preferences import Preference, PreferenceTable, read_preferences
from vlm_aes.training.dataset import PreferenceDataset, collate_preferences
from vlm_aes.training.inspect_dataset import inspect_pairs
from vlm_aes.training.job import FinetuneJob
from vlm_aes.training.objective import pair_accuracy, score_gaps
from vlm_aes.training.trainer import RatingModel, TrainingConfig

QUICK = TrainingConfig(epochs=12, batch_size=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def table(pairs_shoot):
    return read_preferences(pairs_shoot / "pairs.csv", pairs_shoot)


def inspected(table, pairs, more=()):
    return inspect_pairs(PreferenceTable("p.csv", [*table.paths, *more], pairs), 0.2, 0.2, 0)


def test_ties_in_accuracy_and_the_two_images_of_a_pair_side_by_side_in_a_batch(table, fresh):
    gaps, preferred = np.array([3.0, -1, 0, 5, -2]), np.array([1.0, 0, 1, 0.5, 1])
    assert pair_accuracy(gaps, preferred) == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert np.isnan(pair_accuracy(gaps[3:4], preferred[3:4]))
    assessor = fresh()
    pairs = PreferenceDataset(assessor, table, range(4))
    batch = collate_preferences([pairs[i] for i in range(4)], assessor.rater.backbone.tokenizer.pad_token_id)
    found = RatingModel(assessor, QUICK).eval()(**batch)["prediction"]
    assert found.tolist() == pytest.approx(score_gaps(assessor, table, range(4)).tolist(), abs=0.02)
    assert batch["preferred"].tolist() == [0, 1, 1, 0]


def test_no_image_is_in_two_splits_and_where_all_pairs_are_connected_those_between_are_left_out(table):
    rng = np.random.default_rng(0)
    connected = [Preference(i, *rng.choice(120, 2, replace=False).tolist(), 1.0) for i in range(1, 401)]
    for pairs in (table.pairs, connected):
        found = inspected(table, pairs)
        assert (found.straddling > 0) == (pairs is connected)
        assert (len(found.table), found.leaked) == (len(pairs) - found.straddling, 0)
        splits = {}
        for pair in found.table.pairs:
            assert splits.setdefault(pair.a, pair.split) == splits.setdefault(pair.b, pair.split) == pair.split
        assert set(splits.values()) == {"train", "validation", "test"}


def test_the_split_of_a_table_stays_and_leaks_and_errors_are_counted(table, tmp_path):
    sides = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    pairs = [replace(p, split=s) for p, s in zip(table.pairs, sides, strict=True)]
    pairs[59] = replace(pairs[59], a=0)
    found = inspected(table, pairs)
    assert [p.split for p in found.table.pairs] == sides
    assert found.leaked == 1
    pairs[3] = replace(pairs[3], split="")
    with pytest.raises(TrainingError, match="row 4, column split: empty; give every pair"):
        inspected(table, pairs)
    # an image that cannot be opened takes its pairs along
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    found = inspected(table, [*table.pairs, Preference(61, 0, len(table.paths), 1.0)], [str(broken)])
    assert list(found.errors) == [str(broken)]
    assert len(found.table) == 60


def test_a_preference_is_learned_and_loads_by_its_path(pairs_shoot, tiny_checkpoint, tmp_path):
    shoot, out = pairs_shoot, tmp_path / "bright"
    words = ["--epochs", 24, "--batch-size", 8, "--learning-rate", 1e-2, "--terms", "made up"]
    words += ["--images", shoot, "--model", tiny_checkpoint("fast_vlm"), "--out", out]
    done = run("finetune", shoot / "pairs.csv", *words)
    assert done.exit_code == 0, done.output
    assert "42 train, 9 validation, 9 test pairs" in done.stderr
    assert "pair accuracy" in done.stdout
    kept, bright = json.loads((out / "training.json").read_text()), Assessor.from_pretrained(out)
    assert kept["figures"]["after"]["value"] >= 0.85
    assert kept["figures"]["n"] == 9
    assert kept["model"] == bright.model_id
    rated = bright.assess([str(shoot / f"{i}.png") for i in range(20)], facts=False)
    scores = np.array([a.score for a in rated])
    assert (scores[1::2] > scores[0::2]).mean() >= 0.9
    assert rated[0].score_low is None
    card = (out / "README.md").read_text()
    texts = ("pairs.csv", "made up", "42 pairs to train on", bright.model_id, "its base, untouched", "trust the order")
    assert not [text for text in texts if text not in card]


def test_pairs_hold_no_ratings_and_too_few_are_refused(pairs_shoot, table, tmp_path):
    words = ["--images", pairs_shoot, "--out", tmp_path / "x", "--transform", "log"]
    done = run("finetune", pairs_shoot / "pairs.csv", *words)
    assert (done.exit_code, "no ratings: leave --ratings-scale, --transform" in done.stderr) == (2, True), done.stderr
    with pytest.raises(TrainingError, match="at least 2 pairs to train on and 5 for validation"):
        FinetuneJob(table.select(range(20)), tmp_path / "x", QUICK, validation=0.1).run()
    assert not list(tmp_path.iterdir())
