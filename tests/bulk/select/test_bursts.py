"""Bursts by capture time and likeness, and the best frame of one."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.bulk.select.photos import looks_of, photo
from vlm_aes.bulk.select.bursts import capture_time, label_bursts, score_within_burst, time_runs


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 60) | st.just(float("nan")))))
def test_runs_hold_what_lies_close_in_one_folder(pictures):
    folder = np.array([f for f, _ in pictures], np.int64)
    taken = np.array([t for _, t in pictures], float)
    runs = time_runs(folder, taken, gap_s=2.0)
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
    looks = looks_of([[1, 0], [1, 0.1], [-0.3, 1], [-0.2, 1]])
    assert label_bursts(looks_of([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])).tolist() == [0] * 4  # the layout is the same
    looks.layout[2:] *= -1
    found = label_bursts(looks)
    assert found[0] == found[1] != found[2] == found[3]


def test_within_a_group_exposure_and_frame_decide_where_scores_are_close():
    assert score_within_burst([50, 50, 51], [0.0, 0.1, -2.5], [100, 100, 100]).argmax() != 2
    assert score_within_burst([50, 51], [0.0, 0.0], [100, 85]).argmax() == 0
    assert score_within_burst([50, 75], [0.0, 0.0], [100, 100]).argmax() == 1
    assert score_within_burst([], [], []).tolist() == []


def test_capture_times(tmp_path):
    exif, wrong = Image.Exif(), Image.Exif()
    exif[0x0110] = "camera"  # an EXIF without a tag of its own is not written
    exif.get_ifd(0x8769).update({0x9003: "2023:11:14 22:13:20", 0x9291: "25"})
    wrong.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    for name in ("a.jpg", "a.png"):
        photo().save(tmp_path / name, exif=exif)
        assert capture_time(str(tmp_path / name)) == 1_700_000_000.25
    photo().save(tmp_path / "none.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8no")
    photo().save(tmp_path / "zero.jpg", exif=wrong)
    for file in ("", *(tmp_path / name for name in ("none.jpg", "bad.jpg", "zero.jpg", "gone.jpg"))):
        assert capture_time(str(file)) is None
