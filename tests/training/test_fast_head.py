import json

import numpy as np
import pytest

from tests.training.conftest import run
from vlm_aes import Assessor
from vlm_aes.errors import TrainingError
from vlm_aes.stats import metrics
from vlm_aes.training.personal_head import fit_preferences


def finetune(folder, table, out, *words):
    done = run("finetune", folder / table, "--images", folder, "--out", out, "--fast", *words)
    assert done.exit_code == 0, done.output
    return done, json.loads((out / "training.json").read_text()), (out / "README.md").read_text()


def test_a_head_is_fitted_to_ratings_and_loads_by_its_path(shoot, table, tmp_path):
    out = tmp_path / "bright"
    shares = ("--validation-share", 0.5, "--test-share", 0.2)
    done, kept, card = finetune(shoot, "r.csv", out, "--terms", "made up", *shares)
    assert "24 train, 40 validation, 16 test images" in done.stderr
    assert "SRCC of measured facts" in done.stdout
    assert kept["figures"]["srcc"]["value"] > kept["before"]["srcc"]["value"] + 0.2
    assessor = Assessor.from_pretrained(out)
    assert assessor.model_id == kept["model"]
    rated = assessor.assess([table.source(i) for i in range(80)], facts=False)
    assert metrics.srcc(table.scores(), [a.score for a in rated]) > 0.6
    assert rated[0].score_low is not None and rated[0].percentile is not None
    texts = ("40 to calibrate", "made up", "the fast head", "writes no critiques", "its base, untouched")
    assert not [text for text in (*texts, "research, non-commercial") if text not in card]
    assert "best step" not in card
    assert not (tmp_path / "bright.part").exists()
    again = run("finetune", shoot / "r.csv", "--images", shoot, "--out", out, "--fast")
    assert (again.exit_code, "bright exists; take another --out, or --overwrite" in again.stderr) == (2, True)


def test_a_head_is_fitted_to_preferences(pairs_shoot, tmp_path):
    _, kept, card = finetune(pairs_shoot, "pairs.csv", tmp_path / "bright")
    assert kept["pairs"] == {"train": 42, "validation": 9, "test": 9}
    images = [str(pairs_shoot / f"{i}.png") for i in range(120)]
    rated = Assessor.from_pretrained(tmp_path / "bright").assess(images, facts=False)
    scores = np.array([a.score for a in rated])
    assert (scores[1::2] > scores[0::2]).mean() > 0.8
    assert rated[0].score_low is None
    assert "writes no critiques" in card


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
