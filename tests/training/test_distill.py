"""Distillation: a fast head from a checkpoint's answers or from ratings, and its command."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.models.heads.test_vision_tower import build_tower
from vlm_aes import Assessor
from vlm_aes.cli import app
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
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(260, seed=3)):
        image.resize((48, 40)).save(folder / f"{i:03d}.bmp")
    return folder


@pytest.fixture(scope="module")
def items(photos):
    return [ImageSource(str(f)) for f in sorted(photos.iterdir())]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A checkpoint whose scores differ from image to image."""
    return tiny.stretched(tmp_path_factory.mktemp("tiny") / "teacher")


@pytest.fixture(scope="module")
def taught(teacher, items, tmp_path_factory):
    """The same checkpoint with a fast head."""
    folder = tmp_path_factory.mktemp("taught") / "checkpoint"
    shutil.copytree(teacher, folder)
    tower, name = tower_for(None, folder, folder)
    assert name == "own"
    report = distill(
        items, folder, tower, name, tmp_path_factory.mktemp("cache"),
        teacher=Assessor.from_pretrained(folder), config=QUICK,
    )  # fmt: skip
    return folder, report


def test_a_head_learns_its_teacher(taught, photos):
    folder, report = taught
    assert report.teacher["srcc"].value > 0.6
    slow, fast = Assessor.from_pretrained(folder), Assessor.from_pretrained(folder, fast=True)
    paths = sorted(map(str, photos.iterdir()))[:40]
    one, other = slow.assess(paths, facts=False), fast.assess(paths, facts=False)
    gap = [abs(a.score - b.score) for a, b in zip(one, other, strict=True)]
    flat = np.std([a.score for a in one])
    assert np.mean(gap) < flat
    b = other[0]
    weights = (0, 0.25, 0.5, 0.75, 1)
    expected = sum(p * w for p, w in zip(b.probabilities.values(), weights, strict=True))
    assert b.score == pytest.approx(100 * expected)
    assert sum(b.probabilities.values()) == pytest.approx(1)
    assert b.model != one[0].model
    assert b.model.startswith("checkpoint/fast@")
    assert b.prompt.startswith("fast-1@")
    assert (b.sha256, b.width, b.height) == (one[0].sha256, one[0].width, one[0].height)
    alone = fast.assess(paths[7], facts=False)
    assert alone.score == pytest.approx(other[7].score, abs=0.01)
    measured = fast.assess(paths[7], facts=True)
    assert measured.score == alone.score
    assert measured.facts


def test_critiques_come_from_the_critique_model(taught, photos):
    fast = Assessor.from_pretrained(taught[0], fast=True, critic=True)
    a = fast.assess(str(next(photos.iterdir())), rationale=True)
    assert isinstance(a.critique, str)
    assert a.model.startswith("checkpoint/fast@")


def test_a_folder_of_its_own_holds_its_tower(teacher, items, tmp_path):
    tower, name = tower_for(None, tmp_path / "head", teacher)
    distill(items[:60], tmp_path / "head", tower, name, tmp_path / "cache",
            teacher=Assessor.from_pretrained(teacher), config=QUICK)  # fmt: skip
    assert is_head(tmp_path / "head")
    assert "Learned from the answers of" in (tmp_path / "head" / "README.md").read_text()
    assessor = Assessor.from_pretrained(tmp_path / "head")
    assert isinstance(assessor.head, FastScorer)
    assert assessor.head.critique_model is None
    a = assessor.assess(tiny.images(1)[0])
    assert 0 <= a.score <= 100
    (tmp_path / "head" / "tower" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError):
        load_head(tmp_path / "head")


def test_ratings_alone_train_a_head(items, tmp_path):
    folder = build_tower("dinov2", tmp_path / "tower")
    tower = load_tower(folder)
    people = {}
    for item in items:
        brightness = np.asarray(Image.open(item.path).convert("L")).mean() / 255
        people[item.path] = HumanRating.of(1 + 4 * brightness, None, FIVE_POINTS)
    report = distill(
        items, tmp_path / "head", tower, "tower", tmp_path / "cache", people=people, config=QUICK,
        held=lambda name, content: int(content, 16) % 3 == 0,
    )  # fmt: skip
    assert not report.teacher
    assert report.people["srcc"].value > 0.7
    a = Assessor.from_pretrained(tmp_path / "head").assess(items[0].path)
    assert a.score_low < a.score_high
    assert 0 <= a.percentile <= 100
    about = HeadConfig.load(tmp_path / "head")
    assert about.agreement is None


def test_cached_answers_are_not_computed_again(teacher, items, tmp_path, monkeypatch):
    tower = checkpoint_tower(teacher)
    assessor = Assessor.from_pretrained(teacher)
    first = collect(items[:40], tower, assessor, {}, tmp_path)

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(assessor, "score_prepared", refuse)
    monkeypatch.setattr(assessor, "prepare", refuse)
    again = collect([*items[:40], *items[:5]], tower, assessor, {}, tmp_path)
    assert again.sha256s == first.sha256s
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    np.testing.assert_array_equal(again.teacher, first.teacher)
    np.testing.assert_array_equal(again.degraded, first.degraded)


def test_degraded_copies_count_as_familiar(teacher, items, tmp_path):
    material = collect(items[:40], checkpoint_tower(teacher), Assessor.from_pretrained(teacher), {}, tmp_path)
    learnt = material.embeddings[~material.held]
    assert material.degraded.shape == learnt.shape
    differs = np.abs(material.degraded - learnt).max(1) > 0
    assert differs.mean() > 0.8  # an even image looks the same when it is tilted
    assert len(material.familiar) == 2 * len(learnt)
    limit = Familiarity.fit(material.familiar).limit
    assert np.isfinite(limit) and limit > 0


@pytest.mark.parametrize(("n", "reason"), [(5, "too few: give at least 20"), (50, "nothing to learn")])
def test_nothing_to_learn_is_refused(n, reason):
    data = DistillData(
        ["a"] * n,
        ["0"] * n,
        np.zeros((n, 4), np.float32),
        np.full((n, 5), 0.2),
        np.full((n, 5), np.nan),
        np.full(n, np.nan),
        np.zeros(n, bool),
    )
    with pytest.raises(TrainingError, match=reason):
        train_head(data, QUICK)


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_the_commands(teacher, photos, tmp_path):
    none = run("score", photos, "--fast", "--model", teacher)
    assert none.exit_code == 2
    assert "vlm-aes distill" in none.stderr
    out = tmp_path / "head"
    table_file = tmp_path / "ratings.csv"
    names = sorted(f.name for f in photos.iterdir())
    table_file.write_text("path,rating\n" + "".join(f"{n},{1 + i % 5}\n" for i, n in enumerate(names)))
    made = run("distill", "--images", photos, "--teacher", teacher, "--out", out, "--cache",
               tmp_path / "cache", "--ratings", table_file, "--json")  # fmt: skip
    assert made.exit_code == 0, made.stderr
    report = json.loads(made.stdout)
    assert set(report["teacher"]["srcc"]) == {"value", "low", "high"}
    rated = run("score", photos, "--model", out, "--out", tmp_path / "t.parquet", "--stats", tmp_path / "s.json")
    assert rated.exit_code == 0, rated.stderr
    assert len(list(read_rows(tmp_path / "t.parquet", Columns().schema))) == 260
    assert json.loads((tmp_path / "s.json").read_text())["rated"] == 260
    for words, reason in (
        (["--attributes"], "rates the image as a whole"),
        (["--rationale"], "writes no critiques"),
        (["--cascade"], "go with --top-k"),
        (["--cascade", "--top-k", 3], "needs a checkpoint with a fast head"),
    ):
        result = run("score", photos, "--model", out, "--fast", *words)
        assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr
    table_file.write_text("path,rating\na.png,9\nb.png,3\n")
    wrong = run("distill", "--images", photos, "--ratings", table_file, "--out", tmp_path / "x")
    assert wrong.exit_code == 2
    assert "row 1, column path" in wrong.stderr
    assert not (tmp_path / "x").exists()
