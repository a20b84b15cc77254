"""The page of an evaluation: whole, on its own, and honest about what it shows."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from vlm_aes.evaluation.evaluate import METRIC_NAMES, EvaluationReport, RatedImage
from vlm_aes.evaluation.page import calibration_bins, evaluation_page, histogram, write_evaluation
from vlm_aes.ratings import scale as ratings
from vlm_aes.ratings.table import Rating, RatingTable
from vlm_aes.stats.metrics import Estimate

HUNDRED = ratings.Scale(0, 100)
NAMES = {"model": "nano@1", "prompt": "nano@2", "terms": "for research"}


def judged(place, name, rating, score):
    label, probabilities = (tuple(ratings.soft_label(value, 14, HUNDRED)) for value in (rating, score))
    return RatedImage(place, name, rating, score, label, probabilities)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    photo = tmp_path_factory.mktemp("photos") / "ä & b.png"
    Image.new("RGB", (600, 400), (200, 90, 20)).save(photo)
    return RatingTable("r<1>.csv", [Rating(1, str(photo), 50.0), Rating(2, "gone.png", 5.0)], HUNDRED, declared=True)


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    images = [judged(0, f"p{i}", 50 + 3 * (i % 7), 40 + rng.uniform(0, 30)) for i in range(40)]
    images += [judged(1, "too <high>", 5, 95), judged(0, "too low", 98, 4)]
    filled = dict.fromkeys(METRIC_NAMES, Estimate(0.728, 0.707, 0.75))
    facts = {"facts": {"value": 0.6, "low": 0.5, "high": 0.7}}
    return EvaluationReport(42, 1, **filled, baselines=facts, notes=["said"], images=images)


def test_everything_is_there_and_drawings_are_well_formed_inside_their_frames(report, table):
    page = evaluation_page(report, table, **NAMES)
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:)\w", page)
    assert "http" not in page
    for text in (
        "0.728", "SRCC of measured facts", "Calibration", "The five words", "All scores", "KL divergence", "chi-square",
        "1 could not be opened", "said", "for research", "r&lt;1&gt;.csv", "too &lt;high&gt;", "no longer there",
    ):  # fmt: skip
        assert text in page, text
    assert page.count("<circle") >= 42
    high, low = page[page.index("Rated higher") :].split("Rated lower")
    assert "95, people 5<" in high and "95, people 5<" not in low
    assert "4, people 98<" in low and "4, people 98<" not in high
    for drawing in re.findall(r"<svg.*?</svg>", page, re.S):
        root = ElementTree.fromstring(drawing)
        for circle in root.iter("circle"):
            assert all(0 <= float(circle.get(axis)) <= 300 for axis in ("cx", "cy"))
        for bar in root.iter("rect"):
            top, height = float(bar.get("y")), float(bar.get("height"))
            assert top >= 0 and top + height == pytest.approx(160, abs=0.02)
        assert root.get("aria-label")


def test_bins_and_histograms_are_what_they_say():
    score = np.arange(100.0)
    found = calibration_bins(score, score / 2)
    assert [s.n for s in found] == [10] * 10
    assert found[0].score == pytest.approx(4.5) and found[-1].rating == pytest.approx(94.5 / 2)
    assert len(calibration_bins(score[:3], score[:3])) == 3
    assert histogram(np.array([0.0, 4.9, 100.0, 50.0])) == [0.5, *[0] * 9, 0.25, *[0] * 8, 0.25]


def test_few_images_make_a_page_too_and_it_is_written_whole_or_not_at_all(report, table, tmp_path):
    few = EvaluationReport(3, 0, *[None] * 7, images=report.images[:3])
    assert "Calibration" in evaluation_page(few, table, **NAMES)
    write_evaluation(tmp_path / "page.html", report, table, **NAMES)
    assert (tmp_path / "page.html").read_text().endswith("</html>")
    with pytest.raises(OSError):
        write_evaluation(tmp_path / "nowhere" / "page.html", report, table, **NAMES)
    assert [f.name for f in tmp_path.iterdir()] == ["page.html"]
