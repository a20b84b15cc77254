"""What looks alike, what belongs to one burst, and which of them is the best."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from vlm_aes import Assessor
from vlm_aes.bulk.select.similarity import label_bursts, distinct, near, time_runs, score_within_burst
from vlm_aes.bulk.select.bursts import capture_time
from vlm_aes.bulk.select.from_table import parse_bands
from vlm_aes.bulk.select.image_features import GRID, ImageFeatures, layout_of, feature_extractor, stops_of
from vlm_aes.cli import app
from vlm_aes.images.degrade import degrade

EXIF = 0x8769


def looks_of(vectors, stops=None):
    """ImageFeatures whose embedding is as given and whose layout tells nothing."""
    unit = np.array(vectors, np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    stops = np.zeros(len(unit)) if stops is None else stops
    return ImageFeatures(unit, np.tile(np.float32(1 / GRID), (len(unit), GRID**2)),
                 np.array(stops, np.float32))  # fmt: skip


def photo(name="astronaut"):
    return Image.fromarray(getattr(data, name)()).convert("RGB").resize((160, 120))


def save(image, file, seconds, fraction="0"):
    exif = Image.Exif()
    exif[0x0110] = "camera"  # an EXIF without a tag of its own is not written
    taken = time.strftime("%Y:%m:%d %H:%M:%S", time.gmtime(seconds))
    exif.get_ifd(EXIF).update({0x9003: taken, 0x9291: fraction})
    image.save(file, exif=exif)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 60) | st.just(float("nan")))))
def test_runs_hold_what_lies_close_in_one_folder(pictures):
    folder = np.array([f for f, _ in pictures], np.int64)
    taken = np.array([t for _, t in pictures], float)
    runs = time_runs(folder, taken, gap=2.0)
    together = {int(row): n for n, run in enumerate(runs) for row in run}
    assert len(together) == sum(map(len, runs))
    for run in runs:
        assert len(run) > 1 and len(set(folder[run])) == 1
        assert (np.diff(taken[run]) >= 0).all() and (np.diff(taken[run]) <= 2.0).all()
    for i in range(len(pictures)):
        for j in range(i):
            if folder[i] == folder[j] and abs(taken[i] - taken[j]) <= 2.0:
                assert together[i] == together[j]


def test_a_run_parts_where_the_scene_changes():
    found = label_bursts(looks_of([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    assert found.tolist() == [0, 0, 0, 0]  # the layout is the same
    parted = looks_of([[1, 0], [1, 0.1], [-0.3, 1], [-0.2, 1]])
    parted.layout[2:] *= -1
    found = label_bursts(parted)
    assert found[0] == found[1] != found[2] == found[3]


def test_what_cannot_be_opened_is_like_nothing():
    looks = looks_of([[1, 0], [1, 0]])
    for values in (looks.embedding, looks.layout, looks.stops):
        values[1] = np.nan
    assert near(looks, looks).tolist() == [[True, False], [False, False]]
    assert label_bursts(looks).tolist() == [0, 1]
    assert np.isfinite(score_within_burst([50, 50], looks.stops, [100, 100])).all()


def test_within_a_group_exposure_and_frame_decide_where_scores_are_close():
    dark = score_within_burst([50, 50, 51], [0.0, 0.1, -2.5], [100, 100, 100])
    assert dark.argmax() != 2
    crop = score_within_burst([50, 51], [0.0, 0.0], [100, 85])
    assert crop.argmax() == 0
    better = score_within_burst([50, 75], [0.0, 0.0], [100, 100])
    assert better.argmax() == 1
    assert score_within_burst([], [], []).tolist() == []


def test_of_near_duplicates_only_the_best():
    paths = ["a", "b", "c", "d"]
    vectors = {"a": [1, 0], "b": [1, 0.01], "c": [0, 1], "d": [0.01, 1]}
    asked = []

    def of(order, k, sign=1):
        def look(some):
            asked.extend(some)
            looks = looks_of([vectors[p] for p in some])
            looks.layout[[p in "cd" for p in some]] *= sign
            return looks

        rows = np.array(order, np.int64)
        return distinct(rows, [k], np.zeros(len(rows), np.int64), [paths[i] for i in order], look)

    assert of([1, 0, 2, 3], 4).tolist() == [1]  # one layout: the same frame
    assert of([1, 0, 2, 3], 4, sign=-1).tolist() == [1, 2]
    assert of([3, 2, 1, 0], 1, sign=-1).tolist() == [3]
    asked.clear()
    assert of([], 1).tolist() == [] and of([0, 1], 0).tolist() == [] and not asked


def test_layout_and_stops_tell_a_darker_copy_of_the_same_frame():
    image, other = photo(), photo("coffee")
    dark = degrade(image, "underexposure", 0.2)
    assert layout_of(image) @ layout_of(dark) > 0.9 > layout_of(image) @ layout_of(other)
    assert stops_of(dark) < stops_of(image) - 1
    assert np.isfinite(layout_of(Image.new("RGB", (9, 9)))).all()


def test_capture_times(tmp_path):
    for name in ("a.jpg", "a.png"):
        save(photo(), tmp_path / name, 1_700_000_000, "25")
        assert capture_time(str(tmp_path / name)) == 1_700_000_000.25
    photo().save(tmp_path / "none.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8no")
    wrong = Image.Exif()
    wrong.get_ifd(EXIF)[0x9003] = "0000:00:00 00:00:00"
    photo().save(tmp_path / "zero.jpg", exif=wrong)
    for name in ("none.jpg", "bad.jpg", "zero.jpg", "gone.jpg"):
        assert capture_time(str(tmp_path / name)) is None
    assert capture_time("") is None


@pytest.mark.parametrize("wrong", ["", "x", "60,40", "0", "100", "40,40", "nan"])
def test_wrong_bands_are_refused(wrong):
    with pytest.raises(ValueError, match="--bands"):
        parse_bands(wrong)


def test_the_commands(tmp_path):
    place = tmp_path / "photos"
    place.mkdir()
    save(photo(), place / "1.png", 1_700_000_000)
    save(degrade(photo(), "underexposure", 0.8), place / "2.png", 1_700_000_001)
    save(photo("coffee"), place / "3.png", 1_700_000_100)
    table = tmp_path / "t.csv"

    def run(*words):
        done = CliRunner().invoke(app, [str(w) for w in words])
        return done.exit_code, done.stdout.splitlines(), done.stderr

    assert run("score", place, "--fast", "--out", table)[0] == 0
    code, found, error = run("choose", table, "--top-k", 1, "--per", "burst")
    assert (code, sorted(found)) == (0, [str(place / "1.png"), str(place / "3.png")]), error
    code, found, _ = run("choose", table, "--fraction", 1, "--distinct")
    assert code == 0 and str(place / "3.png") in found and len(found) == 2
    code, found, _ = run("choose", table, "--bands", "20,60")
    assert code == 0 and len(found) == 3
    assert {line.split("\t")[0] for line in found} <= {"0-20", "20-60", "60-100"}
    assert run("choose", table, "--bands", "20,60", "--copy", tmp_path / "sorted")[0] == 0
    assert len(list((tmp_path / "sorted").glob("*/*.png"))) == 3
    assert run("choose", "--undo", tmp_path / "sorted")[0] == 0
    assert not list((tmp_path / "sorted").iterdir()) and len(list(place.iterdir())) == 3
    assert run("choose", table, "--bands", "20", "--top-k", 1)[0] == 2
    assert run("score", place, "--top-k", 1, "--per", "burst")[0] == 2


def test_looks_of_files(tmp_path):
    head = Assessor.from_pretrained(fast=True).head
    photo().save(tmp_path / "a.png")
    photo().save(tmp_path / "b.png")  # equal content
    photo("coffee").save(tmp_path / "c.png")
    (tmp_path / "d.png").write_text("x")
    paths = [str(tmp_path / name) for name in ("a.png", "d.png", "b.png", "c.png", "gone.png")]
    looks = feature_extractor(head)(paths)
    assert np.isnan(looks.stops).tolist() == [False, True, False, False, True]
    assert near(looks, looks)[0].tolist() == [True, False, True, False, False]
