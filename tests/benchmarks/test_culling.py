"""The bench of culling: the made shoot holds what its truth says, and figures count what they are named after."""

import importlib
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlm_aes.images.capture import read_capture

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("culling")


@pytest.fixture(scope="module")
def made_shoot(bench):
    return importlib.import_module("made_shoot")


@pytest.fixture(scope="module")
def shoot(made_shoot, tmp_path_factory):
    """About 60 frames of three small photos, and their truth by file name."""
    photos, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    for i in range(3):
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        coarse.resize((128, 80), Image.Resampling.NEAREST).save(photos / f"{i}.png")
    truth = made_shoot.make_shoot(photos, out / "a", frames=60)
    assert [json.loads(line) for line in (out / "a/truth.jsonl").read_text().splitlines()] == truth
    return {out / "a" / row["path"]: row for row in truth}


def test_every_kind_is_there_and_every_file_has_its_truth(shoot):
    assert {p.name for p in next(iter(shoot)).parent.iterdir()} == {p.name for p in shoot}
    kinds = Counter(row["kind"] for row in shoot.values())
    assert {"burst", "single", "bracket", "focus_stack", "panorama"} <= set(kinds)
    assert len({row["body"] for row in shoot.values()}) == 2
    bursts = {row["group"]: [] for row in shoot.values() if row["kind"] == "burst"}
    for row in shoot.values():
        if row["group"] in bursts:
            bursts[row["group"]].append(row["fault"])
    assert all("blur" in faults and "" in faults for faults in bursts.values())


def test_exif_says_what_the_truth_says(shoot):
    captures = {path: read_capture(str(path)) for path in shoot}
    for path, row in shoot.items():
        capture = captures[path]
        assert row["body"] in capture.body
        assert capture.whole_seconds == (row["body"] == "Canon EOS R6")
        flagged = row["kind"] == "bracket" and row["variant"].endswith("flag")
        assert (capture.set_kind == "bracket") == flagged
    order, variant = next(row["variant"].split() for row in shoot.values() if row["kind"] == "bracket")
    frames = [captures[p] for p, r in shoot.items() if r["variant"] == f"{order} {variant}" and p.suffix == ".JPG"]
    signs = "".join({0: "0", 1: "+", -1: "-"}[round(np.sign(f.bias_ev))] for f in frames)
    if len(frames) == 3:
        assert signs == order
    # a longer exposure is a lower exposure value, by as many stops as the bias says
    values = [f.exposure_ev + f.bias_ev for f in frames]
    assert values == pytest.approx([values[0]] * len(frames), abs=0.02)
    times = [captures[p].time_s for p, r in shoot.items() if r["body"] == "NIKON Z 6_2" and p.suffix == ".JPG"]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_light_is_added_in_linear_light(made_shoot):
    grey = Image.new("RGB", (2, 2), (100, 100, 100))
    assert made_shoot.exposed(grey, 1).getpixel((0, 0)) == (138,) * 3
    assert made_shoot.exposed(grey, 0).getpixel((0, 0)) == (100,) * 3
    assert made_shoot.exposed(grey, 6).getpixel((0, 0)) == (255,) * 3


def test_closed_eyes_change_the_eyes_alone(made_shoot):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (100, 100, 3), dtype=np.uint8))
    shut = np.asarray(made_shoot.closed_eyes(image, [[30.0, 40.0], [70.0, 40.0]]))
    rows, columns = np.nonzero((shut != np.asarray(image)).any(2))
    assert 32 <= rows.min() < rows.max() <= 47
    assert 15 < columns.min() < columns.max() < 85
    assert 45 not in columns.tolist()


def record(unit, group, kind, said_group, verdict, rank=None, fault="", said_kind="burst"):
    said = {"group": said_group, "verdict": verdict, "rank": rank, "group_kind": said_kind, "unit": unit}
    rating = {"": 3, "soft": 2, "blur": 1}[fault]
    return {"unit": unit, "group": group, "kind": kind, "fault": fault, "rating": rating, "said": said, "units": [unit]}


RECORDS = [
    record("a", "1", "bracket", "x", "set", said_kind="bracket"),
    record("b", "1", "bracket", "x", "set", said_kind="bracket"),
    record("c", "2", "bracket", "y", "set", said_kind="bracket"),
    record("d", "2", "bracket", "z", "keep", 1),
    record("e", "3", "burst", "z", "maybe", 2),
    record("f", "3", "burst", "w", "keep", 1, "blur"),
    record("g", "3", "burst", "w", "reject", 2),
]


def test_figures_of_sets_groups_and_faults(bench):
    sets = bench.set_figures(RECORDS)
    assert sets["sets preserved, all"].value == 0.5
    assert sets["sets preserved, all"].low < 0.05  # two sets prove little
    groups = bench.grouping_figures(RECORDS)
    assert groups["grouping precision"].value == pytest.approx(2 / 3)  # ab and fg of ab, de, fg
    assert groups["grouping recall"].value == pytest.approx(2 / 5)  # ab and fg of ab, cd, ef, eg, fg
    assert groups["other frames taken for a set"].value == 0
    assert bench.fault_figures(RECORDS)["blur wins or is kept"].value == 1


def test_choices_are_held_to_the_planted_faults(bench):
    reports = bench.choices(RECORDS, {"e": 3.0, "f": 1.0, "g": 2.0})
    assert reports["sharpness alone"].top1.value == reports["sharpness alone"].pair_accuracy.value == 1
    assert reports["cull"].top1.value == 0
    assert reports["fast head alone"].pair_accuracy.value == 0.5  # no scores: a coin
    bench.print_choices(reports)


def test_files_of_a_unit_become_one_exposure(bench):
    truth = [{"path": f"shoot/{name}", "unit": "a.JPG"} for name in ("a.JPG", "a.NEF")]
    rows = [{"path": "shoot/a.JPG", "unit": "shoot/a.JPG"}, {"path": "shoot/a.NEF", "unit": "shoot/a.JPG"}]
    (one,) = bench.exposures(truth, rows)
    assert one["units"] == ["shoot/a.JPG"] * 2
    (one,) = bench.exposures(truth, rows[:1])
    assert one["units"] == ["shoot/a.JPG", None]
    assert bench.exposures(truth, [])[0]["said"] == {}
