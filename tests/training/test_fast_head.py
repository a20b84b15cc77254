"""A fast head on ratings, and on preferences: fitted, measured, loaded by its path."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from vlm_aes import Assessor
from vlm_aes.cli import app
from vlm_aes.errors import TrainingError
from vlm_aes.stats import metrics
from vlm_aes.training.personal_head import fit_preferences

N = 120


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    """Red is rated well, and of two images the redder one is preferred."""
    folder = tmp_path_factory.mktemp("shoot")
    rng = np.random.default_rng(0)
    rows, red = ["path,rating"], []
    for i in range(N):
        pixels = rng.integers(0, 256, (6, 6, 3))
        pixels[..., 0] = np.clip(pixels[..., 0] + (i * 37 % N) * 2 - N, 0, 255)
        red.append(float(pixels[..., 0].mean() - pixels[..., 1].mean()))
        image = Image.fromarray(pixels.astype(np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
        image.save(folder / f"{i}.png")
    ends = (min(red), max(red))
    rows += [f"{i}.png,{1 + 4 * (r - ends[0]) / (ends[1] - ends[0]):.3f}" for i, r in enumerate(red)]
    (folder / "r.csv").write_text("\n".join(rows))
    pairs = ["path_a,path_b,preferred"]
    pairs += [f"{i}.png,{i + 1}.png,{'a' if red[i] > red[i + 1] else 'b'}" for i in range(0, N, 2)]
    (folder / "pairs.csv").write_text("\n".join(pairs))
    return folder, red


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in ("finetune", *words)])


def test_a_head_is_fitted_to_ratings_and_loads_by_its_path(shoot, tmp_path):
    folder, red = shoot
    out = tmp_path / "reds"
    shares = ("--validation-share", 0.4, "--test-share", 0.2)
    done = run(folder / "r.csv", "--images", folder, "--out", out, "--fast", "--terms", "made up", *shares)
    assert done.exit_code == 0, done.output
    assert "48 train, 48 validation, 24 test images" in done.stderr
    assert "SRCC of measured facts" in done.stdout
    kept = json.loads((out / "training.json").read_text())
    assert kept["figures"]["srcc"]["value"] > kept["before"]["srcc"]["value"] + 0.2
    assessor = Assessor.from_pretrained(out)
    assert assessor.model_id == kept["model"]
    rated = assessor.assess([str(folder / f"{i}.png") for i in range(N)], facts=False)
    assert metrics.srcc(red, [a.score for a in rated]) > 0.6
    assert rated[0].score_low is not None and rated[0].percentile is not None
    card = (out / "README.md").read_text()
    for text in (
        "48 to calibrate", "made up", "the fast head", "writes no critiques", "its base, untouched",
        "research, non-commercial",
    ):  # fmt: skip
        assert text in card, text
    assert "best step" not in card
    assert not (tmp_path / "reds.part").exists()
    again = run(folder / "r.csv", "--images", folder, "--out", out, "--fast")
    assert again.exit_code == 2
    assert "reds exists; take another --out, or --overwrite" in again.stderr


def test_a_head_is_fitted_to_preferences(shoot, tmp_path):
    folder, red = shoot
    out = tmp_path / "reds"
    done = run(folder / "pairs.csv", "--images", folder, "--out", out, "--fast")
    assert done.exit_code == 0, done.output
    kept = json.loads((out / "training.json").read_text())
    assert kept["pairs"] == {"train": 42, "validation": 9, "test": 9}
    rated = Assessor.from_pretrained(out).assess([str(folder / f"{i}.png") for i in range(N)], facts=False)
    scores = [a.score for a in rated]
    assert metrics.srcc(red, scores) > 0.4
    assert rated[0].score_low is None
    assert "writes no critiques" in (out / "README.md").read_text()


def test_preferences_give_back_the_linear_model_that_made_them():
    rng = np.random.default_rng(0)
    embeddings, base = rng.normal(size=(200, 8)), rng.uniform(20, 80, 200)
    truth = base / 20 + 2 * embeddings[:, 3]
    ends = rng.integers(0, 200, (400, 2))
    ends = ends[ends[:, 0] != ends[:, 1]]
    preferred = (truth[ends[:, 0]] > truth[ends[:, 1]]).astype(float)
    preferred[:5] = 0.5
    scores = fit_preferences(embeddings, base, ends, preferred).score(embeddings, base)
    assert metrics.srcc(truth, scores) > 0.98
    assert (scores.mean(), scores.std()) == (pytest.approx(base.mean(), abs=2), pytest.approx(base.std(), rel=0.1))
    one_sided = np.where(preferred[:, None] > 0.5, ends, ends[:, ::-1])
    always_first = fit_preferences(embeddings, base, one_sided, np.ones(len(ends)))
    assert metrics.srcc(truth, always_first.score(embeddings, base)) > 0.95
    with pytest.raises(TrainingError, match="10 pairs to learn from are too few: give 20"):
        fit_preferences(embeddings, base, ends[5:15], preferred[5:15])
