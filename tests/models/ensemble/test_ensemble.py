"""Several raters as one: joined, fitted, and each for its kind of image."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.models.external.test_zero_shot import towers
from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import CheckpointError
from vlm_aes.images.open import open_image
from vlm_aes.measure import Fact, measure
from vlm_aes.models.ensemble.facts import FactsRegression
from vlm_aes.models.registry import load_member
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns
from vlm_aes.stats import metrics
from vlm_aes.training import ensemble as fitting

N = 48


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images, and ratings that follow their brightness."""
    folder = tmp_path_factory.mktemp("photos")
    with (folder / "ratings.csv").open("w") as table:
        print("path,rating", file=table)
        for i, image in enumerate(tiny.images(N, seed=5)):
            small = image.resize((64, 48))
            small.save(folder / f"{i:02d}.png")
            print(f"{i:02d}.png,{1 + 4 * np.asarray(small.convert('L')).mean() / 255:.4f}", file=table)
    return folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    return tiny.stretched(tmp_path_factory.mktemp("tiny") / "slow")


def run(*words, code=0):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == code, done.stderr
    return done


def rated(images, model=None, fast=False):
    return Assessor.from_pretrained(model, fast=fast).assess(images, facts=False)


def test_weights_of_ones_own(photos, slow, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        f'kind = "ensemble"\n[[member]]\nmodel = "{slow}"\nweight = 3\n'
        '[[member]]\nmodel = "nano"\nfast = true\nweight = 1\n'
    )
    paths = sorted(map(str, photos.glob("*.png")))[:6]
    one, two, found = rated(paths, slow), rated(paths, fast=True), rated(paths, file)
    for a, b, c in zip(one, two, found, strict=True):
        assert c.score == pytest.approx(0.75 * a.score + 0.25 * b.score, abs=0.01)
        assert c.columns["disagreement"] == pytest.approx(abs(a.score - b.score) / 2, abs=0.01)
        mixed = [0.75 * p + 0.25 * q for p, q in zip(a.probabilities.values(), b.probabilities.values())]
        np.testing.assert_allclose(list(c.probabilities.values()), mixed, atol=1e-4)
        assert (c.sha256, c.width, c.height) == (a.sha256, a.width, a.height)


def test_weights_are_found_again_and_a_member_that_adds_nothing_has_none():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 100, (3, 200))
    weights, intercept = fitting.nonnegative_weights(scores, 5 + 0.6 * scores[0] + 0.3 * scores[2])
    np.testing.assert_allclose([*weights, intercept], [0.6, 0, 0.3, 5], atol=1e-5)
    good = rng.uniform(20, 80, 400)
    wanted = good + rng.normal(0, 8, 400)
    other = wanted + rng.normal(0, 8, 400)
    scores = np.stack([rng.uniform(0, 100, 400), good, good + rng.normal(0, 1, 400), other])
    kept = fitting.select_members(scores, wanted, np.arange(400) % fitting.FOLDS)
    assert set(kept) in ({1, 3}, {2, 3})


def test_facts_learn_a_bend_and_bear_what_is_missing():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (2, 300))
    gone = rng.uniform(size=300) < 0.2
    wanted = 30 + 40 * np.abs(x - 0.5) + 10 * gone
    values = [{"a": float(u), "b": None if g else float(v)} for u, v, g in zip(x, y, gone)]
    facts = [{name: Fact(name, value, "share", "") for name, value in pair.items()} for pair in values]
    model = FactsRegression.fit(facts[:200], wanted[:200])
    assert np.abs(model.predict(facts[200:]) - wanted[200:]).mean() < 1.5


def test_fitted_to_ratings(photos, slow, tmp_path, monkeypatch):
    monkeypatch.setitem(metrics.bootstrap.__kwdefaults__, "draws", 20)  # a curve is fitted in each of 1000
    out = tmp_path / "joined"
    words = ["ensemble", photos / "ratings.csv", "--images", photos, "--member", "facts",
             "--member", "fast:nano", "--member", slow]  # fmt: skip
    said = json.loads(run(*words, "--out", out, "--json").stdout)
    assert said["n"] == N
    assert {*said["weights"], "ensemble"} == set(said["figures"]) == {"facts", "fast:nano", str(slow), "ensemble"}
    assert all(said["figures"][name]["srcc"]["value"] > 0.8 for name in ("facts", "ensemble"))
    run(*words, "--out", out, code=2)
    path = str(photos / "07.png")
    found, image = rated(path, out), open_image(path)
    facts = FactsRegression(**json.loads((out / "facts" / "facts.json").read_text()))
    own = float(np.clip(facts.predict([measure(image.image, image.native)])[0], 0, 100))
    scores = [own, rated(path, fast=True).score, rated(path, slow).score]
    weighed = sum(w * s for w, s in zip(said["weights"].values(), scores))
    assert found.score == pytest.approx(np.clip(said["intercept"] + weighed, 0, 100), abs=0.02)
    assert found.score_low < found.score_high and 0 <= found.percentile <= 100
    run("score", photos, "--model", out, "--out", tmp_path / "rows.parquet")
    rows = list(read_rows(tmp_path / "rows.parquet", Columns(added=("disagreement",)).schema))
    assert len(rows) == N and all(row["disagreement"] >= 0 for row in rows)
    measured = run("evaluate", photos / "ratings.csv", "--images", photos, "--model", out, "--no-facts", "--json")
    assert json.loads(measured.stdout)["srcc"]["value"] > 0.8


def test_a_router_by_prompts(photos, tmp_path):
    towers("clip", tmp_path / "clip")
    (tmp_path / "mine.toml").write_text(
        'kind = "router"\n[[route]]\nname = "photo"\nmodel = "nano"\nfast = true\n'
        'prompts = ["a photo", "a photo of a place"]\n'
        '[[route]]\nname = "drawing"\nmodel = "clip"\nprompts = ["a drawing"]\n'
        '[judge]\nmodel = "clip"\n'
    )
    paths = sorted(map(str, photos.glob("*.png")))[:8]
    alone = {"photo": rated(paths, fast=True), "drawing": rated(paths, tmp_path / "clip")}
    judge = load_member(str(tmp_path / "clip"))
    texts = judge.tower.embed_texts(["a photo", "a photo of a place", "a drawing"])
    for i, a in enumerate(rated(paths, tmp_path / "mine.toml")):
        embedding = judge.tower.embed_images([judge.open(paths[i])[1]])
        shares = judge.tower.logits(embedding, texts).detach().softmax(-1)[0]
        route = "photo" if shares[0] + shares[1] > shares[2] else "drawing"
        assert a.columns["route"] == route
        assert a.score == pytest.approx(alone[route][i].score, abs=0.01)


def test_a_router_learns_from_a_table(tmp_path):
    folder, kinds = tmp_path / "images", tmp_path / "kinds.csv"
    folder.mkdir()
    rng = np.random.default_rng(0)
    routes = ["photo", "drawing"] * 20
    for i, image in enumerate(tiny.images(40, seed=6)):
        noise = rng.normal(0, 30, (*image.size[::-1], 3))
        noisy = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
        made = noisy if routes[i] == "photo" else image.quantize(3).convert("RGB")
        made.save(folder / f"{i:02d}.png")
    kinds.write_text("path,route\n" + "".join(f"{i:02d}.png,{route}\n" for i, route in enumerate(routes)))
    towers("clip", tmp_path / "clip")
    words = ["route", kinds, "--images", folder, "--to", "photo=fast:nano",
             "--to", f"drawing={tmp_path / 'clip'}", "--out", tmp_path / "router"]  # fmt: skip
    said = json.loads(run(*words, "--json").stdout)
    assert said["n"] == 40 and said["accuracy"] > 0.8
    run("score", folder, "--model", tmp_path / "router", "--out", tmp_path / "rows.csv")
    rows = read_rows(tmp_path / "rows.csv", Columns(added=("route",)).schema)
    assert np.mean([row["route"] == route for row, route in zip(rows, routes, strict=True)]) > 0.9
    run(*words, code=2)
    kinds.write_text("path,route\n00.png,painting\n")
    assert "row 1" in run(*words, "--overwrite", code=2).stderr
    file = tmp_path / "router" / "rater.toml"
    file.write_text(file.read_text().replace('name = "photo"', 'name = "image"'))
    with pytest.raises(CheckpointError, match="it tells photo, drawing"):
        Assessor.from_pretrained(tmp_path / "router")
