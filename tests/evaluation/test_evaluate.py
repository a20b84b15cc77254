"""Figures on a known table are SciPy's, and the baselines never saw what they rate."""

import json
from functools import partial

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tests import tiny_checkpoints as tiny
from tests.cli import run
from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation import baselines
from vlm_aes.evaluation.evaluate import evaluate
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable, read_ratings
from vlm_aes.stats import metrics

RNG = np.random.default_rng(0)
N = 90
UNIT = ratings.Scale(0, 1)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=100))


class Known:
    """Stands in for a model: gives the scores that it was made with, with intervals where their width is given."""

    def __init__(self, scores, names=None, width=None):
        self.scores, self.width = dict(zip(names or map(str, range(len(scores))), scores)), width

    def assess(self, sources, facts):
        return [self.assessment(self.scores[source]) for source in sources]

    def assessment(self, score):
        if score is None:
            return Assessment(error="missing: look")
        ends = [None, None] if self.width is None else [score - self.width / 2, score + self.width / 2]
        p = dict(zip(ratings.LEVELS, ratings.soft_label(score / 100, scale=UNIT)))
        return Assessment(score=float(score), probabilities=p, score_low=ends[0], score_high=ends[1])


def table(means, names=None, std=None):
    named = enumerate(zip(names or map(str, range(len(means))), means), 1)
    return RatingTable("t", [Rating(i, name, float(m), std=std) for i, (name, m) in named], UNIT, declared=True)


def test_metrics_equal_those_of_scipy():
    wanted = RNG.uniform(0, 1, N)
    scores = 100 * np.clip(wanted + RNG.normal(0, 0.2, N), 0, 1)
    report = evaluate(Known([None, *scores], width=40), table([0.5, *wanted], std=0.1), facts=False)
    assert (report.n, report.n_error) == (N, 1)
    labels = [ratings.soft_label(w, 0.1, UNIT) for w in wanted]
    answers = [ratings.soft_label(s / 100, scale=UNIT) for s in scores]
    errors = 100 * wanted - scores
    values = {
        "srcc": stats.spearmanr(wanted, scores).statistic,
        "krcc": stats.kendalltau(wanted, scores).statistic,
        "plcc": stats.pearsonr(wanted, scores).statistic,
        "rmse": np.sqrt(np.mean(errors**2)),
        "mae": np.abs(errors).mean(),
        "accuracy": np.mean((wanted > 0.5) == (scores > 50)),
        "coverage_90": np.mean(abs(errors) <= 20),
        "interval_width": 40,
        **{name: getattr(metrics, name)(labels, answers) for name in ("emd", "kl", "chi_square")},
    }
    assert {name: getattr(report, name).value for name in values} == pytest.approx(values)
    assert report.plcc_fitted.value >= report.plcc.value
    assert report.srcc.low < report.srcc.value < report.srcc.high


def test_a_metric_that_is_undefined_is_null_and_never_nan():
    report = evaluate(Known([50] * 30), table(RNG.uniform(0, 1, 30)), facts=False)
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["srcc"] is found["emd"] is found["coverage_90"] is None
    assert found["baselines"] == {"facts": None, "one_rater": None, "split_half": None}
    assert found["mae"]["low"] <= found["mae"]["value"]
    assert report.notes == ["every image has the same score: no correlation"]
    with pytest.raises(EvaluationError, match="1 of 3 images could be rated; 3 are needed"):
        evaluate(Known([None, None, 5]), table([0, 0.5, 1]), facts=False)


def test_facts_predict_what_depends_on_them_and_no_noise():
    facts = RNG.normal(size=(300, 3))
    told = 0.5 + 0.1 * np.tanh(facts[:, 0])
    clusters = np.arange(300)
    assert metrics.srcc(told, baselines.cross_fitted(facts, told, clusters)) > 0.9
    # each image twice: unless the copies stay together, trees learn noise by heart
    noise, twice, pairs = (np.repeat(a, 2, axis=0) for a in (RNG.normal(size=150), facts[:150], np.arange(150)))
    together, apart = (metrics.srcc(noise, baselines.cross_fitted(twice, noise, c)) for c in (pairs, clusters))
    assert together < 0.25 < apart


def test_facts_baseline_in_a_report(tmp_path):
    """Brightness is what these raters like, and it is measured."""
    light = RNG.uniform(20, 250, 60)
    files = [str(tmp_path / f"{i}.png") for i in range(60)]
    for file, level in zip(files, light):
        Image.new("RGB", (40, 30), (int(level),) * 3).save(file)

    def report(first, last, others=None):
        rated = table(light[first:last] / 255, files[first:last])
        return evaluate(Known(RNG.uniform(0, 100, last - first), files[first:last]), rated, others=others)

    assert report(0, 60).baselines["facts"]["value"] > 0.8
    assert report(0, 20, table(light[20:] / 255, files[20:])).baselines["facts"]["value"] > 0.8
    few = report(0, 3)
    assert few.baselines["facts"] is None
    assert "too few images to learn from" in few.notes[0]


def test_agreement_of_raters_is_that_of_their_votes(monkeypatch):
    monkeypatch.setattr(baselines, "RATER_DRAWS", 100)
    rng = np.random.default_rng(0)
    votes = rng.normal(size=400)[:, None] + rng.normal(size=(400, 8))
    rated = [Rating(i, str(i), 0.0, votes={str(k): v for k, v in enumerate(own)}) for i, own in enumerate(votes)]
    found = baselines.rater_agreement(rated)
    for name, cut in (("one_rater", 1), ("split_half", 4)):
        wanted = stats.spearmanr(votes[:, :cut].mean(1), votes[:, cut:].mean(1)).statistic
        assert found[name]["value"] == pytest.approx(wanted, abs=0.04)
        assert found[name]["low"] < found[name]["value"] < found[name]["high"]


def test_the_command_gives_what_scores_of_the_model_give(tiny_checkpoint, tmp_path):
    lines, file = ["path,rating,split"], tmp_path / "r.csv"
    for i, image in enumerate(tiny.images(14)):
        image.save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{1 + i % 5},{'test' if i > 9 else 'train'}")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    file.write_text("\n".join([*lines, "broken.png,2,train"]))
    words = ["evaluate", file, "--images", tmp_path, "--model", tiny_checkpoint("fast_vlm"), "--batch-size", "5"]
    result = run(*words, "--json")
    assert result.exit_code == 1, result.stderr
    assert "15 ratings of 15 images, read as 1 to 5; if that is wrong: --ratings-scale" in result.stderr
    found = json.loads(result.stdout)
    assert (found["n"], found["n_error"]) == (14, 1)
    read = read_ratings(file, tmp_path, min_images=3).select(range(14))
    rated = Assessor.from_pretrained(tiny_checkpoint("fast_vlm")).assess([read.source(i) for i in range(14)])
    assert found["mae"]["value"] == pytest.approx(np.abs(read.scores() - [a.score for a in rated]).mean(), abs=0.01)
    shown = run(*words, "--split", "test", "--no-facts")
    assert (shown.exit_code, "4 images rated, 0 with errors" in shown.stdout) == (0, True), shown.stderr
