"""Training on preferences: splits that cannot leak, what is learned, the folder and its card."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.training.conftest import bright_images
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import TrainingError
from vlm_aes.ratings.preferences import Preference, PreferenceTable, read_preferences
from vlm_aes.training.dataset import PreferenceDataset, collate_preferences
from vlm_aes.training.inspect_dataset import inspect_pairs
from vlm_aes.training.job import FinetuneJob
from vlm_aes.training.objective import pair_accuracy, score_gaps
from vlm_aes.training.trainer import RatingModel, TrainingConfig

N = 60
QUICK = TrainingConfig(epochs=12, batch_size=8, learning_rate=3e-3)


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    """The brighter of two images is preferred, whatever it shows."""
    folder = tmp_path_factory.mktemp("shoot")
    rng = np.random.default_rng(0)
    bright_images(folder, 2 * N, lambda i: rng.uniform(0.1, 0.4) + 0.5 * (i % 2))
    lines = ["path_a,path_b,preferred"]
    for i in range(N):
        swap = i % 3 == 0
        a, b = (2 * i, 2 * i + 1) if swap else (2 * i + 1, 2 * i)
        lines.append(f"{a}.png,{b}.png,{'b' if swap else 'a'}")
    (folder / "pairs.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def table(shoot):
    return read_preferences(shoot / "pairs.csv", shoot)


def test_accuracy_counts_a_tied_score_half_and_leaves_peoples_ties_out():
    gaps, preferred = np.array([3.0, -1, 0, 5, -2]), np.array([1.0, 0, 1, 0.5, 1])
    assert pair_accuracy(gaps, preferred) == pytest.approx((1 + 1 + 0.5 + 0) / 4)
    assert np.isnan(pair_accuracy(gaps[3:4], preferred[3:4]))


def test_a_batch_holds_the_two_images_of_a_pair_side_by_side(table, tiny_checkpoint):
    assessor = Assessor.from_pretrained(tiny_checkpoint("fast_vlm"))
    pairs = PreferenceDataset(assessor, table, range(4))
    pad = assessor.rater.backbone.tokenizer.pad_token_id
    batch = collate_preferences([pairs[i] for i in range(4)], pad)
    out = RatingModel(assessor, QUICK).eval()(**batch)
    assert out["prediction"].tolist() == pytest.approx(score_gaps(assessor, table, range(4)).tolist(), abs=0.02)
    assert batch["preferred"].tolist() == [0, 1, 1, 0]


def assert_no_image_in_two_splits(table):
    splits = {}
    for pair in table.pairs:
        assert splits.setdefault(pair.a, pair.split) == splits.setdefault(pair.b, pair.split) == pair.split
    assert set(splits.values()) == {"train", "validation", "test"}


def test_no_image_is_in_two_splits(table):
    found = inspect_pairs(table, 0.2, 0.2, 0)
    assert found.straddling == found.leaked == 0
    assert_no_image_in_two_splits(found.table)


def test_where_all_pairs_are_connected_images_are_split_and_pairs_between_left_out(table):
    rng = np.random.default_rng(0)
    ends = [rng.choice(2 * N, 2, replace=False) for _ in range(400)]
    pairs = [Preference(i, int(a), int(b), 1.0) for i, (a, b) in enumerate(ends, 1)]
    found = inspect_pairs(PreferenceTable("p.csv", table.paths, pairs), 0.2, 0.2, 0)
    assert 0 < found.straddling < 400
    assert len(found.table) == 400 - found.straddling
    assert_no_image_in_two_splits(found.table)


def test_the_split_of_a_table_stays_and_its_leaks_are_counted(table):
    sides = ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    pairs = [replace(p, split=s) for p, s in zip(table.pairs, sides, strict=True)]
    pairs[59] = replace(pairs[59], a=0)
    found = inspect_pairs(PreferenceTable("p.csv", table.paths, pairs), 0.2, 0.2, 0)
    assert [p.split for p in found.table.pairs] == sides
    assert found.leaked == 1
    pairs[3] = replace(pairs[3], split="")
    with pytest.raises(TrainingError, match="row 4, column split: empty; give every pair"):
        inspect_pairs(PreferenceTable("p.csv", table.paths, pairs), 0.2, 0.2, 0)


def test_a_preference_is_learned_and_loads_by_its_path(shoot, tiny_checkpoint, tmp_path):
    out = tmp_path / "bright"
    settings = ["--epochs", 24, "--batch-size", 8, "--learning-rate", 1e-2, "--terms", "made up"]
    words = ["finetune", shoot / "pairs.csv", "--images", shoot, "--out", out, *settings]
    words += ["--model", tiny_checkpoint("fast_vlm")]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    assert "42 train, 9 validation, 9 test pairs" in done.stderr
    kept = json.loads((out / "training.json").read_text())
    assert kept["figures"]["after"]["value"] >= 0.85
    assert kept["figures"]["n"] == 9
    bright = Assessor.from_pretrained(out)
    rated = bright.assess([str(shoot / f"{i}.png") for i in range(20)], facts=False)
    scores = np.array([a.score for a in rated])
    assert (scores[1::2] > scores[0::2]).mean() >= 0.9
    assert rated[0].score_low is None
    assert kept["model"] == bright.model_id
    card = (out / "README.md").read_text()
    texts = ("pairs.csv", "made up", "42 pairs to train on", bright.model_id, "its base, untouched", "trust the order")
    assert not [text for text in texts if text not in card]
    assert "pair accuracy" in done.stdout


def test_pairs_hold_no_ratings(shoot, tmp_path):
    words = ["finetune", shoot / "pairs.csv", "--images", shoot, "--out", tmp_path / "x", "--transform", "log"]
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 2
    assert "pairs hold no ratings: leave --ratings-scale, --transform" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_image_that_cannot_be_opened_takes_its_pairs_along(table, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    paths = [*table.paths, str(tmp_path / "broken.png")]
    pairs = [*table.pairs, Preference(61, 0, len(table.paths), 1.0)]
    found = inspect_pairs(PreferenceTable("p.csv", paths, pairs), 0.2, 0.2, 0)
    assert list(found.errors) == [str(tmp_path / "broken.png")]
    assert len(found.table) == 60


def test_too_few_pairs_to_choose_by(table, tmp_path):
    job = FinetuneJob(table.select(range(20)), tmp_path / "x", QUICK, validation=0.1)
    with pytest.raises(TrainingError, match="at least 2 pairs to train on and 5 for validation"):
        job.run()
    assert not list(tmp_path.iterdir())
