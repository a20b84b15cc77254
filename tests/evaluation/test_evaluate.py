"""Figures on a known table are SciPy's, and the baselines never saw what they rate."""

import json
import subprocess
import sys
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from tests import tiny_checkpoints as tiny
from vlm_aes.assessor import Assessment, Assessor
from vlm_aes.errors import EvaluationError
from vlm_aes.evaluation.baselines import cross_fitted, rater_agreement
from vlm_aes.evaluation.evaluate import EvaluationReport, evaluate
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable, read_ratings
from vlm_aes.stats import metrics

RNG = np.random.default_rng(0)
N = 90
UNIT = ratings.Scale(0, 1)


class Known:
    """Stands in for a model: gives the assessments that it was made with."""

    needed_side = 1024

    def __init__(self, scores, names=None, **columns):
        self.said = {
            names[i] if names else str(i): Assessment(
                score=None if s is None else float(s),
                probabilities=dict(zip(ratings.LEVELS, ratings.soft_label((s or 0) / 100, scale=UNIT))),
                error="missing: look" if s is None else "",
                sha256=str(i),
                **{name: values[i] for name, values in columns.items()},
            )
            for i, s in enumerate(scores)
        }

    def assess(self, sources, facts):
        return [self.said[s] for s in sources]


def table(means, names=None, **columns):
    names = names or [str(i) for i in range(len(means))]
    made = [Rating(i + 1, names[i], float(m), **{k: v[i] for k, v in columns.items()}) for i, m in enumerate(means)]
    return RatingTable("t", made, UNIT, declared=True)


def test_metrics_equal_those_of_scipy():
    wanted = RNG.uniform(0, 1, N)
    scores = 100 * np.clip(wanted + RNG.normal(0, 0.2, N), 0, 1)
    model = Known([None, *scores], score_low=[None, *(scores - 20)], score_high=[None, *(scores + 20)])
    report = evaluate(model, table([0.5, *wanted], std=[0.1] * (N + 1)), facts=False)
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
        "emd": metrics.emd(labels, answers),
        "kl": metrics.kl(labels, answers),
        "chi_square": metrics.chi_square(labels, answers),
    }
    assert {name: getattr(report, name).value for name in values} == pytest.approx(values)
    assert report.plcc_fitted.value >= report.plcc.value
    assert report.srcc.low < report.srcc.value < report.srcc.high


FIELDS = {
    "n", "n_error", "srcc", "krcc", "plcc", "plcc_fitted", "rmse", "mae", "accuracy", "emd", "coverage_90",
    "interval_width", "baselines",
}  # fmt: skip


def test_a_metric_that_is_undefined_is_null_and_never_nan():
    report = evaluate(Known([50] * 30), table(RNG.uniform(0, 1, 30)), facts=False)
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert set(found) >= FIELDS
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
    assert metrics.srcc(told, cross_fitted(facts, told, clusters)) > 0.9
    # each image twice: unless the copies stay together, trees learn noise by heart
    noise = np.repeat(RNG.normal(size=150), 2)
    twice = np.repeat(facts[:150], 2, axis=0)
    together = cross_fitted(twice, noise, np.repeat(np.arange(150), 2))
    apart = cross_fitted(twice, noise, clusters)
    assert metrics.srcc(noise, together) < 0.25 < metrics.srcc(noise, apart)


def test_facts_baseline_in_a_report(tmp_path):
    """Brightness is what these raters like, and it is measured."""
    light = RNG.uniform(20, 250, N)
    for i, level in enumerate(light):
        Image.new("RGB", (40, 30), (int(level),) * 3).save(tmp_path / f"{i}.png")
    files = [str(tmp_path / f"{i}.png") for i in range(N)]
    scores = RNG.uniform(0, 100, N)
    report = evaluate(Known(scores, files), table(light / 255, files))
    assert report.baselines["facts"]["value"] > 0.8
    assert set(report.baselines["facts"]) == {"value", "low", "high", "plcc"}
    others = table(light[30:] / 255, files[30:])
    learned = evaluate(Known(scores[:30], files), table(light[:30] / 255, files), others=others)
    assert learned.baselines["facts"]["value"] > 0.8
    few = evaluate(Known([1, 2, 3], files), table(light[:3] / 255, files))
    assert few.baselines["facts"] is None
    assert "too few images to learn from" in few.notes[0]


def test_agreement_of_raters_is_that_of_their_votes():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400)
    votes = truth[:, None] + rng.normal(size=(400, 8))
    rated = [Rating(i, str(i), 0.0, votes={str(k): v for k, v in enumerate(own)}) for i, own in enumerate(votes)]
    found = rater_agreement(rated)
    one = stats.spearmanr(votes[:, 0], votes[:, 1:].mean(1)).statistic
    half = stats.spearmanr(votes[:, :4].mean(1), votes[:, 4:].mean(1)).statistic
    assert found["one_rater"]["value"] == pytest.approx(one, abs=0.04)
    assert found["split_half"]["value"] == pytest.approx(half, abs=0.04)
    assert found["split_half"]["low"] < found["split_half"]["value"] < found["split_half"]["high"]


@pytest.fixture(scope="module")
def shoot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shoot")
    lines = ["path,rating,split"]
    for i, image in enumerate(tiny.images(14)):
        image.save(folder / f"{i}.png")
        lines.append(f"{i}.png,{1 + i % 5},{'test' if i > 9 else 'train'}")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "r.csv").write_text("\n".join(lines))
    (folder / "with_broken.csv").write_text("\n".join([*lines, "broken.png,2,train"]))
    return folder


def command(*words):
    whole = [sys.executable, "-m", "vlm_aes.cli", "evaluate", *map(str, words)]
    return subprocess.run(whole, capture_output=True, text=True, check=False)


def test_command(shoot, tiny_checkpoint):
    model = tiny_checkpoint("fast_vlm")
    result = command(shoot / "with_broken.csv", "--images", shoot, "--model", model, "--json")
    assert result.returncode == 1, result.stderr
    assert "ratings read as 1 to 5" in result.stderr
    found = json.loads(result.stdout)
    assert (found["n"], found["n_error"]) == (14, 1)
    assert set(found["srcc"]) == {"value", "low", "high"}
    shown = command(shoot / "r.csv", "--images", shoot, "--model", model, "--split", "test")
    assert shown.returncode == 0, shown.stderr
    assert "4 images rated, 0 with errors" in shown.stdout
    wrong = command(shoot / "r.csv", "--images", shoot / "elsewhere", "--model", model)
    assert wrong.returncode == 2
    assert "row 1, column path: no file" in wrong.stderr
    assert not wrong.stdout


def test_evaluate_uses_what_score_uses(shoot, tiny_checkpoint):
    assessor = Assessor.from_pretrained(tiny_checkpoint("fast_vlm"))
    read = read_ratings(shoot / "r.csv", shoot, min_images=3)
    scores = [a.score for a in assessor.assess([read.source(i) for i in range(len(read))])]
    report = evaluate(assessor, read, facts=False, batch_size=5)
    assert isinstance(report, EvaluationReport)
    assert asdict(report)["mae"]["value"] == pytest.approx(np.abs(read.scores() - scores).mean(), abs=0.01)
