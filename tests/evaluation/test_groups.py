"""What scores choose inside groups: figures that can be counted by hand, and what chance would give."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny_checkpoints as tiny
from tests.cli import run
from vlm_aes.errors import RatingsError
from vlm_aes.evaluation.evaluate import EvaluationReport, RatedImage
from vlm_aes.evaluation.groups import compare_in_groups
from vlm_aes.evaluation.page import evaluation_page
from vlm_aes.ratings.scale import soft_label
from vlm_aes.ratings.table import read_ratings
from vlm_aes.stats import metrics


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(metrics, "bootstrap", partial(metrics.bootstrap, draws=40))


def test_figures_are_those_that_one_counts_by_hand():
    names = ["a", "a", "a", "b", "b", "c", "c", "d", ""]
    ratings = [3, 2, 1, 1, 5, 4, 4, 2, 2]
    scores = [60, 70, 20, 10, None, 50, 40, 90, 80]
    report = compare_in_groups(names, ratings, scores)
    # group c is rated equal, d is alone, and the last is in no group
    assert (report.n, report.n_images, report.n_pairs) == (2, 5, 4)
    assert report.top1.value == 0
    assert report.random_top1.value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert report.pair_accuracy.value == 2 / 4
    # of nine images the lowest 10% are .9 of the one without a score, which is the best of b
    assert {cut: lost.value for cut, lost in report.keepers_lost.items()} == pytest.approx(
        {"10": 0.45, "20": 0.5, "30": 0.5}
    )
    assert [(m.group, m.model_choice, m.best, m.gap) for m in report.misses] == [("b", 3, 4, 4), ("a", 1, 0, 1)]


@pytest.mark.parametrize(
    ("scores", "top1", "pairs", "lost"),
    [(range(40), 1, 1, 0), ([5] * 40, 1 / 4, 1 / 2, 0.3), (range(40, 0, -1), 0, 0, 1)],
    ids=["perfect", "constant", "reversed"],
)
def test_scores_that_agree_or_say_nothing_or_the_contrary(scores, top1, pairs, lost):
    report = compare_in_groups([str(i % 10) for i in range(40)], list(range(40)), list(scores))
    assert report.random_top1.value == 0.25
    values = [report.top1.value, report.pair_accuracy.value, report.keepers_lost["30"].value]
    assert values == pytest.approx([top1, pairs, lost])


@settings(max_examples=8, deadline=None)
@given(st.randoms(use_true_random=False))
def test_order_of_rows_and_scale_of_scores_change_nothing(random):
    rng = np.random.default_rng(random.randint(0, 1 << 30))
    names, ratings, scores = rng.integers(0, 6, 30).astype(str), rng.integers(1, 6, 30), rng.integers(0, 9, 30)
    mixed = rng.permutation(30)
    first = compare_in_groups(names, ratings, scores.tolist())
    second = compare_in_groups(names[mixed], ratings[mixed], (7 * scores[mixed] - 100).tolist())
    for name in ("top1", "random_top1", "pair_accuracy"):
        assert getattr(first, name).value == pytest.approx(getattr(second, name).value)
    assert first.keepers_lost["20"].value == pytest.approx(second.keepers_lost["20"].value)


def test_a_random_score_is_at_chance_and_intervals_are_over_groups():
    rng = np.random.default_rng(0)
    names = [str(i // 4) for i in range(1200)]
    report = compare_in_groups(names, rng.normal(size=1200), rng.normal(size=1200).tolist())
    assert report.top1.low < 0.25 < report.top1.high
    assert report.pair_accuracy.low < 0.5 < report.pair_accuracy.high
    assert report.keepers_lost["30"].low < 0.3 < report.keepers_lost["30"].high
    assert 0.06 < report.top1.high - report.top1.low < 0.13


def test_one_rater_is_held_to_the_others_on_the_groups_that_he_rated_whole():
    votes = [{"x": 5, "y": 4, "z": 5}, {"x": 1, "y": 5, "z": 2}, {"x": 3, "w": 4}, {"y": 1, "w": 3}]
    report = compare_in_groups(["a", "a", "b", "b"], [4.7, 2.7, 3.5, 2], [1, 0, 1, 0], votes=votes)
    # x: 5 > 1, others 4.5 > 3.5; y: 4 < 5, others 5 > 1.5; z: 5 > 2, others 4.5 > 3; w: 4 > 3, others 3 > 1
    assert report.one_rater.pair_accuracy.value == report.one_rater.top1.value == 3 / 4
    assert compare_in_groups(["a", "a"], [1, 2], [1, 2], votes=[{"x": 1}, {"x": 2}]).one_rater is None
    strangers = compare_in_groups(["a", "a"], [1, 2], [1, 2], votes=[{"x": 1, "y": 1}, {"v": 2, "w": 2}])
    assert strangers.one_rater.top1 is strangers.one_rater.pair_accuracy is None


def test_nothing_to_compare_is_null():
    report = compare_in_groups(["a", "a", "b"], [1, 1, 2], [1, 2, 3])
    found = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert found["n"] == 0
    assert found["top1"] is found["random_top1"] is found["pair_accuracy"] is found["keepers_lost"]["10"] is None
    assert report.in_words() == {}


@pytest.fixture
def shoot(tmp_path):
    """Four groups of three images, one of which cannot be opened."""
    lines = ["path,rating,Burst,group"]
    for i, image in enumerate(tiny.images(12)):
        image.save(tmp_path / f"{i}.png")
        lines.append(f"{i}.png,{1 + (i * 7) % 5},b{i % 4},anna")
    (tmp_path / "11.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    file = tmp_path / "r.csv"
    file.write_text("\n".join(lines))
    return file


def test_the_command_gives_groups_as_json_in_the_terminal_and_on_the_page(tiny_checkpoint, shoot):
    words = ["evaluate", shoot, "--images", shoot.parent, "--model", tiny_checkpoint("fast_vlm"), "--no-facts"]
    assert "groups" not in json.loads(run(*words, "--json").stdout)
    result = run(*words, "--groups", "Burst", "--json")
    assert result.exit_code == 1, result.stderr
    found = json.loads(result.stdout)
    assert (found["n"], found["n_error"], found["groups"]["n"], found["groups"]["n_images"]) == (11, 1, 4, 12)
    assert set(found["groups"]["keepers_lost"]) == {"10", "20", "30"}
    assert found["groups"]["random_top1"]["value"] == pytest.approx(1 / 3)
    shown = run(*words, "--groups", "burst", "--html", shoot.with_name("page.html")).stdout
    assert "4 groups of 12 images" in shown and "top-1 at random" in shown
    page = shoot.with_name("page.html").read_text(encoding="utf-8")
    assert "Inside groups" in page and "keepers lost, 10% cut" in page


def test_the_groups_stand_in_the_named_column_beside_those_of_the_split(shoot):
    table = read_ratings(shoot, shoot.parent, series_column="BURST", min_images=3)
    assert {(r.series, r.group) for r in table.ratings} == {(f"b{i}", "anna") for i in range(4)}
    assert {r.series for r in read_ratings(shoot, shoot.parent, min_images=3).ratings} == {""}
    with pytest.raises(RatingsError, match="no column 'scene' with the groups; its columns: path"):
        read_ratings(shoot, shoot.parent, series_column="scene", min_images=3)
    shoot.write_text("path,rating,b,rater\n0.png,1,x,me\n0.png,2,y,you\n1.png,2,x,me\n2.png,3,x,me")
    with pytest.raises(RatingsError, match=r"row 2, column b: .*0.png has another b in row 1"):
        read_ratings(shoot, shoot.parent, series_column="b", min_images=3)
    shoot.write_text("path,rating,b\n0.png,1,\n1.png,2,\n2.png,3,")
    with pytest.raises(RatingsError, match="column b names no group"):
        read_ratings(shoot, shoot.parent, series_column="b", min_images=3)


def test_the_page_shows_both_images_of_a_group_that_the_model_gets_wrong(shoot):
    table = read_ratings(shoot, shoot.parent, series_column="burst", min_images=3)
    ratings, scores = table.scores(), [100.0 - r for r in table.scores()]
    words = (tuple(soft_label(3.0)),) * 2
    images = [RatedImage(i, f"p{i}", float(r), s, *words) for i, (r, s) in enumerate(zip(ratings, scores))]
    report = EvaluationReport(12, 0, *[None] * 7, images=images)
    names = {"model": "m", "prompt": "p"}
    assert "Inside groups" not in evaluation_page(report, table, **names)
    groups = compare_in_groups([r.series for r in table.ratings], ratings, scores)
    page = evaluation_page(replace(report, groups=groups), table, **names)
    assert page.count(", of the model: ") == page.count(", of people: ") == len(groups.misses) > 0
