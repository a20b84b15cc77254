"""A fast head and its model together select what the model alone would."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.bulk.cascade import OPEN, REJECTED, SELECTED, cascade_tiers
from vlm_aes.bulk.score import ScoreRun
from vlm_aes.bulk.select.cut import Cut, GroupedScores, select_rows
from vlm_aes.bulk.settings import RunSettings
from vlm_aes.cli import app
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads.head import Agreement
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.training.distill import DistillConfig, distill, tower_for


def rated(values, groups=None):
    n = len(values)
    return GroupedScores(np.array(values, float), np.array(groups or [0] * n, np.int64))


AGREEMENT = Agreement("m", "p", -4.0, 4.0, 1000)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.1, 0.3]))
def test_the_zone_holds_the_cut(seed, share):
    """A head off by as much as its agreement says: nearly all of the slow choice is found."""
    rng = np.random.default_rng(seed)
    fast = rng.normal(50, 12, 2000)  # a head gives what is to be expected: the rest is noise
    slow = fast + rng.normal(0, 4 / 1.645, 2000)
    tier = cascade_tiers(rated(fast), Cut(fraction=share), AGREEMENT)
    seen = np.where(tier == OPEN, slow, fast)
    chosen = select_rows(rated(seen), Cut(fraction=share), tier)
    wanted = select_rows(rated(slow), Cut(fraction=share))
    assert len(chosen) == len(wanted)
    assert len(set(chosen) & set(wanted)) >= 0.9 * len(wanted)
    assert (tier == OPEN).mean() < 0.35
    assert set(tier) <= {SELECTED, OPEN, REJECTED}


def test_threshold_zone_is_the_interval():
    tier = cascade_tiers(rated([50, 57, 62, 65, float("nan")]), Cut(threshold=60), AGREEMENT)
    assert tier.tolist() == [REJECTED, OPEN, OPEN, SELECTED, OPEN]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(120, seed=3)):
        place_ = folder / f"day{i % 3}"
        place_.mkdir(exist_ok=True)
        image.resize((48, 40)).save(place_ / f"{i:03d}.png")
    (folder / "day0" / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos):
    """A checkpoint with a fast head that is often wrong."""
    folder = tiny.build("fast_vlm", tmp_path_factory.mktemp("tiny") / "model")
    assessor = Assessor.from_pretrained(folder)
    tiny.stretch(assessor.rater, tiny.images(8))
    network = assessor.rater.backbone.model
    network.config.tie_word_embeddings = network.config.text_config.tie_word_embeddings = False
    network.save_pretrained(folder)
    tower, name = tower_for(None, folder, folder)
    items = [ImageSource(str(f)) for f in sorted(photos.rglob("*.png"))]
    distill(items, folder, tower, name, tmp_path_factory.mktemp("cache"),
            teacher=Assessor.from_pretrained(folder), config=DistillConfig(steps=150, batch=64),
            held=lambda n, c: int(c, 16) % 2 == 0)  # fmt: skip
    return folder


def cascade(model, photos, out, limit=None, resume=False, rationale=True, **selection):
    run = ScoreRun(RunSettings(paths=[str(photos)], model=str(model), cascade=True, rationale=rationale, out=str(out),
                               resume=resume, batch_size=8, **selection))  # fmt: skip
    calls = []

    def advance():
        calls.append(1)
        if limit and len(calls) >= limit:
            raise KeyboardInterrupt

    run.progress.advance = advance
    run.write()
    return list(read_rows(out, run.columns.schema)), run.stats, run.assessor, run.slow


def test_the_cascade_looks_again_only_where_the_choice_is_open(model, photos, tmp_path):
    found, stats, fast, slow = cascade(model, photos, tmp_path / "t.parquet", fraction=0.1)
    assert len(found) == 12
    assert 0 < stats.rated_again < 120
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)
    assert all(r["critique"] for r in found)
    assert stats.errors == {"not_an_image": 1}
    for row in found:
        assert row["model"] in (fast.model_id, slow.model_id)
        maker = fast if row["model"] == fast.model_id else slow
        own = maker.assess(row["path"], facts=False)
        assert row["score"] == pytest.approx(own.score, abs=0.01)
        first = fast.assess(row["path"], facts=False)
        assert row["score_fast"] == pytest.approx(first.score, abs=0.01)
    truth = slow.assess(sorted(str(f) for f in photos.rglob("*.png")), facts=False)
    best = {a.path for a in sorted(truth, key=lambda a: -a.score)[:12]}
    assert len(best & {r["path"] for r in found}) >= 10
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_pictures_that_come_or_go_between_the_rounds(model, photos, tmp_path, monkeypatch):
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    real = cascade_tiers

    def meanwhile(*args):
        (copy / "day0" / "000.png").unlink(missing_ok=True)
        tiny.images(1, seed=77)[0].save(copy / "day0" / "000a.png")
        return real(*args)

    monkeypatch.setattr("vlm_aes.bulk.score.cascade_tiers", meanwhile)
    found, _, _, slow = cascade(model, copy, tmp_path / "t.parquet", rationale=False, fraction=1.0)
    by_name = {Path(r["path"]).name: r for r in found}
    assert len(found) == 120
    assert "000.png" not in by_name
    assert by_name["000a.png"]["model"] == slow.model_id
    assert by_name["000a.png"]["score_fast"] is None


@pytest.mark.parametrize("limit", [30, 140])
def test_a_cascade_that_was_cut_short_goes_on(model, photos, tmp_path, limit):
    whole, _, _, _ = cascade(model, photos, tmp_path / "whole.csv", top_k=9)
    with pytest.raises(KeyboardInterrupt):
        cascade(model, photos, tmp_path / "t.csv", limit=limit, top_k=9)
    found, stats, _, _ = cascade(model, photos, tmp_path / "t.csv", resume=True, top_k=9)
    assert stats.resumed >= 24
    assert [r["path"] for r in found] == [r["path"] for r in whole]


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_the_commands(model, photos, tmp_path):
    out = tmp_path / "all.jsonl"
    all_of_them = run("score", photos, "--model", model, "--fast", "--out", out)
    assert all_of_them.exit_code == 1, all_of_them.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    best = sorted((r for r in rows if not r["error"]), key=lambda r: -r["score"])[:5]
    chosen = run("choose", out, "--top-k", 5)
    assert chosen.stdout.splitlines() == [r["path"] for r in best]
    top = run("score", photos, "--model", model, "--fast", "--top-k", 5, "--rationale", "--out", tmp_path / "top.csv")
    assert top.exit_code == 1, top.stderr
    found = list(read_rows(tmp_path / "top.csv", Columns(rationale=True).schema))
    assert [r["path"] for r in found] == [r["path"] for r in best]
    assert all(r["critique"] for r in found)
    shown = run("score", photos, "--model", model, "--fast", "--top-k", 2, "--per", "folder")
    assert shown.stdout.count(".png") == 6
    each = run("choose", out, "--fraction", 0.01, "--per", "folder")
    assert sorted(Path(p).parent.name for p in each.stdout.splitlines()) == ["day0", "day1", "day2"]
    shards = f"{tmp_path / 'shards'}/"
    assert run("score", photos, "--model", model, "--fast", "--out", shards).exit_code == 1
    assert run("choose", shards, "--top-k", 5).stdout == chosen.stdout
    for words, reason in (
        ([out], "name one of --top-k"),
        ([], "name a table"),
        ([tmp_path / "gone.csv", "--top-k", 1], "cannot be read"),
        ([out, "--top-k", 1, "--copy", "x", "--move", "y"], "name one of --copy"),
        (["--undo", tmp_path], "holds no choice"),
    ):
        result = run("choose", *words)
        assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr
    for words in (["--top-k", 0], ["--fraction", 2], ["--per", "folder"]):
        assert run("score", photos, "--model", model, *words).exit_code == 2
