"""Several raters as one: joined, fitted, and each for its kind of image."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
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
from vlm_aes.ratings import scale as ratings
from vlm_aes.training import ensemble as fitting

N = 48


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images, and ratings that follow their brightness."""
    folder = tmp_path_factory.mktemp("photos")
    lines = ["path,rating"]
    for i, image in enumerate(tiny.images(N, seed=5)):
        small = image.resize((64, 48))
        small.save(folder / f"{i:02d}.png")
        bright = np.asarray(small.convert("L")).mean() / 255
        lines.append(f"{i:02d}.png,{1 + 4 * bright:.4f}")
    (folder / "ratings.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A tiny vision-language model whose scores differ."""
    return tiny.stretched(tmp_path_factory.mktemp("tiny") / "slow")


def run(*words):
    return CliRunner().invoke(app, list(map(str, words)))


def test_weights_of_ones_own(photos, slow, tmp_path):
    shutil.copytree(slow, tmp_path / "slow")
    (tmp_path / "mine.toml").write_text(
        'kind = "ensemble"\n[[member]]\nmodel = "slow"\nweight = 3\n'
        '[[member]]\nmodel = "nano"\nfast = true\nweight = 1\n'
    )
    paths = sorted(map(str, photos.glob("*.png")))[:6]
    one = Assessor.from_pretrained(slow).assess(paths, facts=False)
    two = Assessor.from_pretrained(fast=True).assess(paths, facts=False)
    found = Assessor.from_pretrained(tmp_path / "mine.toml").assess(paths, facts=False)
    for a, b, c in zip(one, two, found, strict=True):
        assert c.score == pytest.approx(0.75 * a.score + 0.25 * b.score, abs=0.01)
        assert c.columns["disagreement"] == pytest.approx(abs(a.score - b.score) / 2, abs=0.01)
        mixed = [0.75 * p + 0.25 * q for p, q in zip(a.probabilities.values(), b.probabilities.values())]
        np.testing.assert_allclose(list(c.probabilities.values()), mixed, atol=1e-4)
        assert (c.sha256, c.width, c.height) == (a.sha256, a.width, a.height)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), st.floats(0, 1, allow_subnormal=False))
def test_tilted_words_have_the_score_that_is_wanted(mass, share):
    p = np.array(mass) / sum(mass)
    found = ratings.reweighted([p], [100 * share])[0]
    assert (found >= 0).all()
    assert found.sum() == pytest.approx(1)
    assert float(ratings.score(found)) == pytest.approx(100 * share, abs=0.01)


def test_weights_are_found_again():
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 100, (3, 200))
    wanted = 5 + 0.6 * scores[0] + 0.3 * scores[2]
    weights, intercept = fitting.nonnegative_weights(scores, wanted)
    np.testing.assert_allclose(weights, [0.6, 0, 0.3], atol=1e-6)
    assert intercept == pytest.approx(5)


def test_a_member_that_adds_nothing_has_no_weight():
    rng = np.random.default_rng(0)
    good = rng.uniform(20, 80, 400)
    wanted = good + rng.normal(0, 8, 400)
    other = 100 - wanted + rng.normal(0, 8, 400)
    scores = np.stack([rng.uniform(0, 100, 400), good, good + rng.normal(0, 1, 400), 100 - other])
    folds = np.arange(400) % fitting.FOLDS
    kept = fitting.select_members(scores, wanted, folds)
    assert 3 in kept
    assert 0 not in kept
    assert len({1, 2} & set(kept)) == 1


def test_facts_learn_a_bend_and_bear_what_is_missing():
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 1, (2, 300))
    gone = rng.uniform(size=300) < 0.2
    wanted = 30 + 40 * np.abs(x - 0.5) + 10 * gone
    facts = [
        {"a": Fact("a", float(u), "share", ""), "b": Fact("b", None if g else float(v), "share", "")}
        for u, v, g in zip(x, y, gone)
    ]
    model = FactsRegression.fit(facts[:200], wanted[:200])
    assert np.abs(model.predict(facts[200:]) - wanted[200:]).mean() < 1.5


def test_fitted_to_ratings(photos, slow, tmp_path):
    out = tmp_path / "joined"
    words = ["ensemble", photos / "ratings.csv", "--images", photos, "--member", "facts",
             "--member", "fast:nano", "--member", slow]  # fmt: skip
    made = run(*words, "--out", out, "--json")
    assert made.exit_code == 0, made.stderr
    said = json.loads(made.stdout)
    assert said["n"] == N
    assert set(said["figures"]) == {"facts", "fast:nano", str(slow), "ensemble"}
    assert said["figures"]["facts"]["srcc"]["value"] > 0.8
    assert said["figures"]["ensemble"]["srcc"]["value"] > 0.8
    assert set(said["weights"]) == {"facts", "fast:nano", str(slow)}
    assert run(*words, "--out", out).exit_code == 2
    assert run(*words[:-2], "--out", tmp_path / "one", "--member", "facts").exit_code == 2

    path = str(photos / "07.png")
    found = Assessor.from_pretrained(out).assess(path, facts=False)
    image = open_image(path)
    measured = measure(image.image, image.native)
    facts = json.loads((out / "facts" / "facts.json").read_text())
    scores = [
        float(np.clip(FactsRegression(**facts).predict([measured])[0], 0, 100)),
        Assessor.from_pretrained(fast=True).assess(path, facts=False).score,
        Assessor.from_pretrained(slow).assess(path, facts=False).score,
    ]
    weighed = sum(w * s for w, s in zip(said["weights"].values(), scores))
    assert found.score == pytest.approx(np.clip(said["intercept"] + weighed, 0, 100), abs=0.02)
    assert found.score_low < found.score_high
    assert 0 <= found.percentile <= 100
    rated = run("score", photos, "--model", out, "--out", tmp_path / "rows.parquet")
    assert rated.exit_code == 0, rated.stderr
    rows = list(read_rows(tmp_path / "rows.parquet", Columns(added=("disagreement",)).schema))
    assert len(rows) == N
    assert all(row["disagreement"] >= 0 for row in rows)
    measured = run("evaluate", photos / "ratings.csv", "--images", photos, "--model", out, "--no-facts", "--json")
    assert measured.exit_code == 0, measured.stderr
    assert json.loads(measured.stdout)["srcc"]["value"] > 0.8


def test_what_no_ensemble_is(tmp_path):
    file = tmp_path / "mine.toml"
    for text, reason in (
        ('[[member]]\nmodel = "nano"', "at least two members"),
        ('[[member]]\nmodel = "nano"\nweight = -1\n[[member]]\nmodel = "nano"\nfast = true', "weights are at least 0"),
        ("[[member]]\nweight = 1", "model is needed"),
    ):
        file.write_text(f'kind = "ensemble"\n{text}\n')
        with pytest.raises(CheckpointError, match=reason):
            Assessor.from_pretrained(file)


def test_a_router_by_prompts(photos, tmp_path):
    towers("clip", tmp_path / "clip")
    (tmp_path / "mine.toml").write_text(
        'kind = "router"\n[[route]]\nname = "photo"\nmodel = "nano"\nfast = true\n'
        'prompts = ["a photo", "a photo of a place"]\n'
        '[[route]]\nname = "drawing"\nmodel = "clip"\nprompts = ["a drawing"]\n'
        '[judge]\nmodel = "clip"\n'
    )
    paths = sorted(map(str, photos.glob("*.png")))[:8]
    assessor = Assessor.from_pretrained(tmp_path / "mine.toml")
    found = assessor.assess(paths, facts=False)
    alone = {
        "photo": Assessor.from_pretrained(fast=True).assess(paths, facts=False),
        "drawing": Assessor.from_pretrained(tmp_path / "clip").assess(paths, facts=False),
    }
    judge = load_member(str(tmp_path / "clip"))
    texts = judge.tower.embed_texts(["a photo", "a photo of a place", "a drawing"])
    for i, a in enumerate(found):
        inputs = [judge.open(paths[i])[1]]
        logits = judge.tower.logits(judge.tower.embed_images(inputs), texts)
        shares = logits.detach().softmax(-1)[0]
        route = "photo" if shares[0] + shares[1] > shares[2] else "drawing"
        assert a.columns["route"] == route
        assert a.score == pytest.approx(alone[route][i].score, abs=0.01)


def test_a_router_learns_from_a_table(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["path,route"]
    for i, image in enumerate(tiny.images(40, seed=6)):
        kind = "drawing" if i % 2 else "photo"
        if kind == "drawing":
            made = image.quantize(3).convert("RGB")
        else:
            noise = rng.normal(0, 30, (*image.size[::-1], 3))
            noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
            made = Image.fromarray(noisy)
        made.save(folder / f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{kind}")
    kinds = tmp_path / "kinds.csv"
    kinds.write_text("\n".join(lines) + "\n")
    towers("clip", tmp_path / "clip")
    words = ["route", kinds, "--images", folder, "--to", "photo=fast:nano",
             "--to", f"drawing={tmp_path / 'clip'}", "--out", tmp_path / "router"]  # fmt: skip
    made = run(*words, "--json")
    assert made.exit_code == 0, made.stderr
    said = json.loads(made.stdout)
    assert said["n"] == 40
    assert said["accuracy"] > 0.8
    rated = run("score", folder, "--model", tmp_path / "router", "--out", tmp_path / "rows.csv")
    assert rated.exit_code == 0, rated.stderr
    rows = list(read_rows(tmp_path / "rows.csv", Columns(added=("route",)).schema))
    right = [row["route"] == ("drawing" if i % 2 else "photo") for i, row in enumerate(rows)]
    assert np.mean(right) > 0.9
    assert run(*words).exit_code == 2
    kinds.write_text("path,route\n00.png,painting\n")
    wrong = run(*words, "--overwrite")
    assert wrong.exit_code == 2
    assert "row 1" in wrong.stderr
    file = tmp_path / "router" / "rater.toml"
    text = file.read_text()
    file.write_text(text.replace('name = "photo"', 'name = "image"'))
    with pytest.raises(CheckpointError, match="it tells photo, drawing"):
        Assessor.from_pretrained(tmp_path / "router")
