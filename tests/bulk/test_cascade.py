"""A fast head and its model together select what the model alone would."""

import json
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.bulk.select.test_cut import rated
from vlm_aes import Assessor
from vlm_aes.bulk.cascade import OPEN, REJECTED, SELECTED, cascade_tiers
from vlm_aes.bulk.score import ScoreRun
from vlm_aes.bulk.select.cut import Cut, select_rows
from vlm_aes.bulk.settings import RunSettings
from vlm_aes.cli import app
from vlm_aes.images.source import ImageSource
from vlm_aes.models.heads.head import Agreement
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.training.distill import DistillConfig, distill, tower_for

AGREEMENT = Agreement("m", "p", -4.0, 4.0, 1000)


@settings(deadline=None)
@given(st.integers(0, 1000), st.sampled_from([0.05, 0.1, 0.3]))
def test_the_zone_holds_the_cut(seed, share):
    """A head off by as much as its agreement says: nearly all of the slow choice is found."""
    rng = np.random.default_rng(seed)
    fast = rng.normal(50, 12, 2000)  # a head gives what is to be expected: the rest is noise
    slow = fast + rng.normal(0, 4 / 1.645, 2000)
    cut = Cut(fraction=share)
    tier = cascade_tiers(rated(fast), cut, AGREEMENT)
    chosen = select_rows(rated(np.where(tier == OPEN, slow, fast)), cut, tier)
    wanted = select_rows(rated(slow), cut)
    assert len(chosen) == len(wanted) and len(set(chosen) & set(wanted)) >= 0.9 * len(wanted)
    assert (tier == OPEN).mean() < 0.35 and set(tier) <= {SELECTED, OPEN, REJECTED}


def test_threshold_zone_is_the_interval():
    tier = cascade_tiers(rated([50, 57, 62, 65, float("nan")]), Cut(threshold=60), AGREEMENT)
    assert tier.tolist() == [REJECTED, OPEN, OPEN, SELECTED, OPEN]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.images(120, seed=3)):
        (folder / f"day{i % 3}").mkdir(exist_ok=True)
        image.resize((48, 40)).save(folder / f"day{i % 3}" / f"{i:03d}.png")
    (folder / "day0" / "broken.jpg").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory, photos):
    """A checkpoint with a fast head that is often wrong."""
    folder = tiny.stretched(tmp_path_factory.mktemp("tiny") / "model")
    items = [ImageSource(str(f)) for f in sorted(photos.rglob("*.png"))]
    distill(items, folder, *tower_for(None, folder, folder), tmp_path_factory.mktemp("cache"),
            teacher=Assessor.from_pretrained(folder), config=DistillConfig(steps=150, batch=64),
            held=lambda n, c: int(c, 16) % 2 == 0)  # fmt: skip
    return folder


def cascade(model, photos, out, limit=None, **options):
    options |= {"paths": [str(photos)], "model": str(model), "out": str(out), "cascade": True, "batch_size": 8}
    run = ScoreRun(RunSettings(**options))
    if limit:
        run.progress.advance = mock.Mock(side_effect=[*[None] * (limit - 1), KeyboardInterrupt])
    run.write()
    return list(read_rows(out, run.columns.schema)), run.stats, run.assessor, run.slow


def test_the_cascade_looks_again_only_where_the_choice_is_open(model, photos, tmp_path):
    found, stats, fast, slow = cascade(model, photos, tmp_path / "t.parquet", fraction=0.1, rationale=True)
    assert len(found) == 12 and 0 < stats.rated_again < 120
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)
    assert all(r["critique"] for r in found)
    assert stats.errors == {"not_an_image": 1}
    makers = {maker.model_id: maker for maker in (fast, slow)}
    for row in found:
        for name, maker in (("score", makers[row["model"]]), ("score_fast", fast)):
            assert row[name] == pytest.approx(maker.assess(row["path"], facts=False).score, abs=0.01)
    truth = slow.assess(sorted(str(f) for f in photos.rglob("*.png")), facts=False)
    best = {a.path for a in sorted(truth, key=lambda a: -a.score)[:12]}
    assert len(best & {r["path"] for r in found}) >= 10
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]


def test_pictures_that_come_or_go_between_the_rounds(model, photos, tmp_path, monkeypatch):
    copy = shutil.copytree(photos, tmp_path / "photos")

    def meanwhile(*args):
        (copy / "day0" / "000.png").unlink(missing_ok=True)
        tiny.images(1, seed=77)[0].save(copy / "day0" / "000a.png")
        return cascade_tiers(*args)

    monkeypatch.setattr("vlm_aes.bulk.score.cascade_tiers", meanwhile)
    found, _, _, slow = cascade(model, copy, tmp_path / "t.parquet", fraction=1.0)
    by_name = {Path(r["path"]).name: r for r in found}
    assert len(found) == 120 and "000.png" not in by_name
    assert (by_name["000a.png"]["model"], by_name["000a.png"]["score_fast"]) == (slow.model_id, None)


def test_a_cascade_that_was_cut_short_goes_on(model, photos, tmp_path):
    whole, *_ = cascade(model, photos, tmp_path / "whole.csv", top_k=9, rationale=True)
    for limit in (30, 140):
        out = tmp_path / f"{limit}.csv"
        with pytest.raises(KeyboardInterrupt):
            cascade(model, photos, out, limit, top_k=9, rationale=True)
        found, stats, *_ = cascade(model, photos, out, resume=True, top_k=9, rationale=True)
        assert stats.resumed >= 24
        assert [r["path"] for r in found] == [r["path"] for r in whole]


def test_the_commands(model, photos, tmp_path):
    def run(code, *words):
        done = CliRunner().invoke(app, list(map(str, words)))
        assert done.exit_code == code, done.stderr
        return done

    def score(*words):
        return run(1, "score", photos, "--model", model, "--fast", *words).stdout

    out, top, shards = tmp_path / "all.jsonl", tmp_path / "top.csv", f"{tmp_path / 'shards'}/"
    for place in (out, shards):
        score("--out", place)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    best = [r["path"] for r in sorted((r for r in rows if not r["error"]), key=lambda r: -r["score"])[:5]]
    for place in (out, shards):
        assert run(0, "choose", place, "--top-k", 5).stdout.splitlines() == best
    score("--top-k", 5, "--rationale", "--out", top)
    found = list(read_rows(top, Columns(rationale=True).schema))
    assert [r["path"] for r in found] == best and all(r["critique"] for r in found)
    assert score("--top-k", 2, "--per", "folder").count(".png") == 6
    assert "name one of --copy" in run(2, "choose", out, "--top-k", 1, "--copy", "x", "--move", "y").stderr
