"""The best of many, as rows and as files, and the cascade that looks again where it is open."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from vlm_aes import Assessor
from vlm_aes.bulk import ImageSource, Sink, RunStats, ScoreOptions, find_sources
from vlm_aes.bulk.cascade import IN, OPEN, OUT, cascade_tiers
from vlm_aes.bulk.select.cut import Cut, Rated, choose, take
from vlm_aes.bulk.select.place_files import place, undo
from vlm_aes.bulk.run import Job, score_to_sink
from vlm_aes.cli import app
from vlm_aes.errors import OutputError
from vlm_aes.models.heads.head import Agreement
from vlm_aes.output import table
from vlm_aes.output.table import Columns
from vlm_aes.training.distill import DistillConfig, distill, tower_for

scores = st.lists(st.one_of(st.just(float("nan")), st.integers(0, 20).map(float)), max_size=60)


def rated(values, groups=None):
    n = len(values)
    return Rated(np.array(values, float), np.array(groups or [0] * n, np.int64))


@settings(deadline=None)
@given(scores, st.integers(1, 30))
def test_top_k_is_what_sorting_gives(values, k):
    found = choose(rated(values), Cut(top_k=k))
    good = [(-v, i) for i, v in enumerate(values) if not np.isnan(v)]
    assert found.tolist() == [i for _, i in sorted(good)[:k]]


@settings(deadline=None)
@given(scores, st.floats(0.01, 1))
def test_fraction_and_threshold(values, share):
    n = sum(not np.isnan(v) for v in values)
    found = choose(rated(values), Cut(fraction=share))
    assert len(found) == (min(n, max(1, int(np.ceil(share * n - 1e-9)))) if n else 0)
    above = choose(rated(values), Cut(threshold=10))
    assert sorted(above.tolist()) == [i for i, v in enumerate(values) if v >= 10]


@settings(deadline=None)
@given(scores.filter(len), st.integers(1, 4), st.data())
def test_of_each_group(values, k, data):
    groups = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    found = choose(rated(values, groups), Cut(top_k=k, per="folder"))
    for group in set(groups):
        mine = [i for i, g in enumerate(groups) if g == group]
        alone = choose(rated([values[i] for i in mine]), Cut(top_k=k))
        assert [i for i in found if groups[i] == group] == [mine[i] for i in alone]


def test_a_share_is_not_off_by_one():
    assert Cut(fraction=0.05).places(100) == 5
    assert Cut(fraction=0.07).places(100) == 7
    assert Cut(fraction=0.001).places(100) == 1


@pytest.mark.parametrize(
    "wrong", [{}, {"top_k": 0}, {"fraction": 0}, {"fraction": 1.1}, {"top_k": 1, "threshold": 2.0},
              {"threshold": float("nan")}, {"top_k": 1, "per": "moon"}])  # fmt: skip
def test_a_wrong_cut_is_refused(wrong):
    with pytest.raises(ValueError, match="--"):
        Cut(**wrong)


@settings(deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12), st.integers(1, 5))
def test_taken_rows_come_in_the_order_asked_for(order, n, shard):
    whole = pa.table({"x": range(12)})
    shards = [whole.slice(i, shard) for i in range(0, 12, shard)]
    assert take(lambda: shards, np.array(order[:n], np.int64))["x"].to_pylist() == order[:n]


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
    chosen = choose(rated(seen), Cut(fraction=share), tier)
    wanted = choose(rated(slow), Cut(fraction=share))
    assert len(chosen) == len(wanted)
    assert len(set(chosen) & set(wanted)) >= 0.9 * len(wanted)
    assert (tier == OPEN).mean() < 0.35
    assert set(tier) <= {IN, OPEN, OUT}


def test_threshold_zone_is_the_interval():
    tier = cascade_tiers(rated([50, 57, 62, 65, float("nan")]), Cut(threshold=60), AGREEMENT)
    assert tier.tolist() == [OUT, OPEN, OPEN, IN, OPEN]


def test_files_placed_and_taken_back(tmp_path):
    files = []
    for i in range(3):
        file = tmp_path / "photos" / f"{i}.jpg"
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(i))
        files.append(file)
    for way in ("copy", "link", "move"):
        folder = tmp_path / way
        assert place(map(str, reversed(files)), folder, way) == 3
        assert [(folder / f"{r:04d}-{i}.jpg").read_text() for r, i in ((1, 2), (2, 1), (3, 0))] == [
            "2", "1", "0"]  # fmt: skip
        assert all(f.exists() for f in files) == (way != "move")
        with pytest.raises(OutputError, match="earlier choice"):
            place([], folder, way)
        assert undo(folder) == 3
        assert [f.read_text() for f in files] == ["0", "1", "2"]
        assert list(folder.iterdir()) == []
        with pytest.raises(OutputError, match="holds no choice"):
            undo(folder)


def test_nothing_is_overwritten_or_lost(tmp_path):
    file = tmp_path / "a.jpg"
    file.write_text("a")
    folder = tmp_path / "best"
    place([str(file)], folder, "move")
    file.write_text("another")
    with pytest.raises(OutputError, match="exists again"):
        undo(folder)
    assert (folder / "0001-a.jpg").read_text() == "a"
    file.unlink()
    assert undo(folder) == 1
    place([str(file)], folder, "copy")
    file.unlink()
    with pytest.raises(OutputError, match="only copy left"):
        undo(folder)
    with pytest.raises(OutputError, match="no such file"):
        place([str(tmp_path / "gone.jpg")], tmp_path / "new", "copy")
    assert not (tmp_path / "new").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "0001-0001-a.jpg").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        place([str(folder / "0001-a.jpg")], tmp_path / "full", "copy")
    assert (tmp_path / "full" / "0001-0001-a.jpg").read_text() == "mine"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i, image in enumerate(tiny.pictures(120, seed=3)):
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
    tiny.stretch(assessor.rater, tiny.pictures(8))
    network = assessor.rater.backbone.model
    network.config.tie_word_embeddings = network.config.text_config.tie_word_embeddings = False
    network.save_pretrained(folder)
    tower, name = tower_for(None, folder, folder)
    items = [ImageSource(str(f)) for f in sorted(photos.rglob("*.png"))]
    distill(items, folder, tower, name, tmp_path_factory.mktemp("cache"),
            teacher=Assessor.from_pretrained(folder), config=DistillConfig(steps=150, batch=64),
            held=lambda n, c: int(c, 16) % 2 == 0)  # fmt: skip
    return folder


def cascade(model, photos, out, limit=None, resume=False, rationale=True, **options):
    fast, slow = Assessor.from_pretrained(model, fast=True), Assessor.from_pretrained(model)
    job = Job(lambda: find_sources([str(photos)]), Columns(cascade=True, rationale=rationale),
              ScoreOptions(rationale=rationale), Cut(**options), 8)  # fmt: skip
    tally, calls = RunStats(), []

    def advance():
        calls.append(1)
        if limit and len(calls) >= limit:
            raise KeyboardInterrupt

    with Sink(str(out), job.columns.schema, resume=resume) as sink:
        score_to_sink(sink, fast, job, tally, advance, slow)
    return table.read(out, job.columns.schema), tally, fast, slow


def test_the_cascade_looks_again_only_where_the_choice_is_open(model, photos, tmp_path):
    found, tally, fast, slow = cascade(model, photos, tmp_path / "t.parquet", fraction=0.1)
    assert len(found) == 12
    assert 0 < tally.looked_again < 120
    assert [r["score"] for r in found] == sorted((r["score"] for r in found), reverse=True)
    assert all(r["critique"] for r in found)
    assert tally.errors == {"not_an_image": 1}
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
        tiny.pictures(1, seed=77)[0].save(copy / "day0" / "000a.png")
        return real(*args)

    monkeypatch.setattr("vlm_aes.bulk.run.cascade_tiers", meanwhile)
    found, _, _, slow = cascade(model, copy, tmp_path / "t.parquet", rationale=False,
                                fraction=1.0)  # fmt: skip
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
    found, tally, _, _ = cascade(model, photos, tmp_path / "t.csv", resume=True, top_k=9)
    assert tally.resumed >= 24
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
    top = run("score", photos, "--model", model, "--fast", "--top-k", 5, "--rationale",
              "--out", tmp_path / "top.csv")  # fmt: skip
    assert top.exit_code == 1, top.stderr
    found = table.read(tmp_path / "top.csv", Columns(rationale=True).schema)
    assert [r["path"] for r in found] == [r["path"] for r in best]
    assert all(r["critique"] for r in found)
    shown = run("score", photos, "--model", model, "--fast", "--top-k", 2, "--per", "folder")
    assert shown.stdout.count(".png") == 6
    each = run("choose", out, "--fraction", 0.01, "--per", "folder")
    assert sorted(Path(p).parent.name for p in each.stdout.splitlines()) == [
        "day0", "day1", "day2"]  # fmt: skip
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    shards = f"{tmp_path / 'shards'}/"
    assert run("score", copy, "--model", model, "--fast", "--out", shards).exit_code == 1
    before = sorted(str(p) for p in copy.rglob("*"))
    moved = run("choose", shards, "--top-k", 3, "--move", tmp_path / "best")
    assert moved.exit_code == 0, moved.stderr
    assert len(list((tmp_path / "best").glob("0*.png"))) == 3
    assert run("choose", "--undo", tmp_path / "best").exit_code == 0
    assert sorted(str(p) for p in copy.rglob("*")) == before
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
