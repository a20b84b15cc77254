import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny_checkpoints as tiny
from tests.models.heads.test_vision_tower import build_tower
from tests.training.conftest import run
from vlm_aes import Assessor
from vlm_aes.errors import CheckpointError, TrainingError
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads import FastScorer, is_head, load_head
from vlm_aes.models.heads.head import HeadConfig
from vlm_aes.models.heads.vision_tower import checkpoint_tower, load_tower
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.ratings.scale import FIVE_POINTS
from vlm_aes.stats.calibration import Familiarity
from vlm_aes.training.distill import DistillConfig, distill, tower_for, train_head
from vlm_aes.training.distill_data import DistillData, HumanRating, collect

QUICK = DistillConfig(steps=300, batch=64)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    files = [folder / f"{i:03d}.bmp" for i in range(260)]
    for file, image in zip(files, tiny.images(260, seed=3)):
        image.resize((48, 40)).save(file)
    return [ImageSource(str(file)) for file in files]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A checkpoint whose scores differ from image to image."""
    return tiny.stretched(tmp_path_factory.mktemp("tiny") / "teacher")


def test_a_head_in_the_checkpoint_learns_its_teacher(teacher, items, tmp_path):
    folder = tmp_path / "checkpoint"
    shutil.copytree(teacher, folder)
    tower, name = tower_for(None, folder, folder)
    assert name == "own"
    learned_from = Assessor.from_pretrained(folder)
    report = distill(items, folder, tower, name, tmp_path / "cache", teacher=learned_from, config=QUICK)
    assert report.teacher["srcc"].value > 0.6
    slow, fast = Assessor.from_pretrained(folder), Assessor.from_pretrained(folder, fast=True)
    paths = [item.path for item in items[:40]]
    slow_results, fast_results = slow.assess(paths, facts=False), fast.assess(paths, facts=False)
    slow_scores, fast_scores = (np.array([a.score for a in found]) for found in (slow_results, fast_results))
    assert abs(slow_scores - fast_scores).mean() < slow_scores.std()
    a, b = slow_results[0], fast_results[0]
    assert b.score == pytest.approx(100 * np.dot(list(b.probabilities.values()), [0, 0.25, 0.5, 0.75, 1]))
    assert sum(b.probabilities.values()) == pytest.approx(1)
    assert b.model.startswith("checkpoint/fast@") and not a.model.startswith("checkpoint/fast@")
    assert b.prompt.startswith("fast-1@")
    assert (b.sha256, b.width, b.height) == (a.sha256, a.width, a.height)
    alone, measured = (fast.assess(paths[7], facts=facts) for facts in (False, True))
    assert alone.score == pytest.approx(fast_scores[7], abs=0.01)
    assert measured.score == alone.score and measured.facts
    criticised = Assessor.from_pretrained(folder, fast=True, critic=True).assess(paths[0], rationale=True)
    assert isinstance(criticised.critique, str) and criticised.model.startswith("checkpoint/fast@")


def test_ratings_alone_train_a_head(items, tmp_path):
    tower, folder = load_tower(build_tower("dinov2", tmp_path / "tower")), tmp_path / "head"
    light = {item.path: np.asarray(Image.open(item.path).convert("L")).mean() / 255 for item in items}
    people = {path: HumanRating.of(1 + 4 * level, None, FIVE_POINTS) for path, level in light.items()}
    third = {"held": lambda name, content: int(content, 16) % 3 == 0}
    report = distill(items, folder, tower, "tower", tmp_path / "cache", people=people, config=QUICK, **third)
    assert not report.teacher
    assert report.people["srcc"].value > 0.7
    a = Assessor.from_pretrained(folder).assess(items[0].path)
    assert a.score_low < a.score_high
    assert 0 <= a.percentile <= 100
    assert HeadConfig.load(folder).agreement is None


def test_answers_are_computed_once_and_degraded_copies_are_familiar(teacher, items, tmp_path, monkeypatch):
    tower, assessor = checkpoint_tower(teacher), Assessor.from_pretrained(teacher)
    first = collect(items[:40], tower, assessor, {}, tmp_path)
    for name in ("score_prepared", "prepare"):
        monkeypatch.setattr(assessor, name, lambda *_, **__: pytest.fail("computed again"))
    again = collect([*items[:40], *items[:5]], tower, assessor, {}, tmp_path)
    assert again.sha256s == first.sha256s
    for name in ("embeddings", "teacher", "degraded"):
        np.testing.assert_array_equal(getattr(again, name), getattr(first, name))
    learnt = first.embeddings[~first.held]
    assert first.degraded.shape == learnt.shape
    differs = abs(first.degraded - learnt).max(1) > 0
    assert differs.mean() > 0.8  # an even image looks the same when it is tilted
    assert len(first.familiar) == 2 * len(learnt)
    assert 0 < Familiarity.fit(first.familiar).limit < np.inf


@pytest.mark.parametrize(("n", "reason"), [(5, "too few: give at least 20"), (50, "nothing to learn")])
def test_nothing_to_learn_is_refused(n, reason):
    embeddings, same, unknown = np.zeros((n, 4), np.float32), np.full((n, 5), 0.2), np.full((n, 5), np.nan)
    data = DistillData(["a"] * n, ["0"] * n, embeddings, same, unknown, unknown[:, 0], np.zeros(n, bool))
    with pytest.raises(TrainingError, match=reason):
        train_head(data, QUICK)


def test_the_commands_and_a_folder_of_its_own_holds_its_tower(teacher, items, tmp_path):
    photos = Path(items[0].path).parent
    none = run("score", photos, "--fast", "--model", teacher)
    assert (none.exit_code, "vlm-aes distill" in none.stderr) == (2, True)
    out, table, ratings = tmp_path / "head", tmp_path / "t.parquet", tmp_path / "ratings.csv"
    ratings.write_text("path,rating\n" + "".join(f"{i:03d}.bmp,{1 + i % 5}\n" for i in range(260)))
    options = ["--images", photos, "--ratings", ratings, "--out"]
    made = run("distill", *options, out, "--teacher", teacher, "--cache", tmp_path / "cache", "--json")
    assert made.exit_code == 0, made.stderr
    assert set(json.loads(made.stdout)["teacher"]["srcc"]) == {"value", "low", "high"}
    assert "Learned from the answers of" in (out / "README.md").read_text()
    head = Assessor.from_pretrained(out).head
    assert is_head(out) and isinstance(head, FastScorer) and head.critique_model is None
    rated = run("score", photos, "--model", out, "--out", table, "--stats", tmp_path / "s.json")
    assert rated.exit_code == 0, rated.stderr
    scores = [row["score"] for row in read_rows(table, Columns().schema)]
    assert len(scores) == 260 and 0 <= min(scores) < max(scores) <= 100
    assert json.loads((tmp_path / "s.json").read_text())["rated"] == 260
    for words, reason in (
        (["--attributes"], "rates the image as a whole"),
        (["--rationale"], "writes no critiques"),
        (["--cascade"], "go with --top-k"),
        (["--cascade", "--top-k", 3], "needs a checkpoint with a fast head"),
    ):
        result = run("score", photos, "--model", out, "--fast", *words)
        assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr
    ratings.write_text("path,rating\na.png,9\nb.png,3\n")
    wrong = run("distill", *options, tmp_path / "x")
    assert (wrong.exit_code, "row 1, column path" in wrong.stderr) == (2, True)
    assert not (tmp_path / "x").exists()
    (out / "tower" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError):
        load_head(out)
