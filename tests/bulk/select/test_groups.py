"""Groups by sets, capture time and likeness, and the best frame of a burst."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bulk.select.photos import looks_of
from vlm_aes.bulk.select.groups import (
    find_groups,
    label_bursts,
    label_same_image,
    score_within_burst,
    time_runs,
    untimed_frames,
)
from vlm_aes.images.capture import Capture


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


def grouped(captures, looks=None, names=None, sets=()):
    """Members of each group; by default all images look the same."""
    looks = looks or looks_of([[1, 0]] * len(captures))
    names = names or [f"IMG_{i:04d}.jpg" for i in range(len(captures))]
    return find_groups(captures, looks, names, sets)


def members(groups):
    return [group.members for group in groups]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["", "A", "B"]), st.integers(0, 40)), min_size=1, max_size=25), st.data())
def test_groups_hold_every_frame_once_whatever_the_order(frames, data):
    captures = [Capture(time_s=1000.25 + t, whole_seconds=False, body=body) for body, t in frames]
    names = [f"{i}.jpg" for i in range(len(frames))]
    groups = grouped(captures, names=names)
    assert sorted(m for group in groups for m in group.members) == list(range(len(frames)))
    for group in groups:
        assert len({captures[m].body for m in group.members}) == 1
        times = [captures[m].time_s for m in group.members]
        assert (np.diff(times) >= 0).all() and (np.diff(times) <= 2).all()
        assert group.kind == ("burst" if len(times) > 1 else "single")
    order = data.draw(st.permutations(range(len(frames))))
    other = grouped([captures[i] for i in order], names=[names[i] for i in order])
    assert {g.key for g in other} == {g.key for g in groups}


def test_sets_come_first_and_leave_the_burst_around_them():
    captures = [Capture(time_s=10.5 + i / 4, whole_seconds=False) for i in range(6)]
    bracket = SimpleNamespace(kind="bracket", members=(1, 2, 3), best=2)
    groups = grouped(captures, sets=[bracket, SimpleNamespace(kind="hdr", members=(3,), best=None)])
    assert [(g.kind, g.members, g.is_set) for g in groups] == [
        ("burst", (0, 4, 5), False),
        ("bracket", (1, 2, 3), True),
    ]


def test_times_without_seconds_group_by_file_number_and_likeness_alone():
    captures = [Capture(time_s=60.0 * (1 + i // 3), whole_seconds=True) for i in range(6)]
    looks = looks_of([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1], [1, 0]])
    looks.layout[[2, 3, 4]] *= -1
    names = ["a/IMG_1.jpg", "a/IMG_2.jpg", "a/IMG_3.jpg", "a/IMG_4.jpg", "a/IMG_6.jpg", "a/IMG_7.jpg"]
    assert members(grouped(captures, looks, names)) == [(0, 1), (2, 3), (4,), (5,)]
    assert untimed_frames(captures, names) == 6
    with_seconds = [*captures[:5], Capture(time_s=121.0)]
    assert members(grouped(with_seconds, names=names)) == [(0, 1, 2), (3, 4, 5)]
    assert untimed_frames(with_seconds, names) == 0
    assert members(grouped([Capture()] * 3, names=["x.jpg", "y9.jpg", "y10.jpg"])) == [(0,), (1, 2)]


def test_a_burst_is_parted_where_it_is_too_long_or_the_look_jumps():
    long = [Capture(time_s=i / 2, whole_seconds=False) for i in range(260)]
    assert [len(g) for g in members(grouped(long))] == [100, 100, 60]
    slow = [Capture(time_s=1.5 * i, whole_seconds=False) for i in range(50)]
    assert [len(g) for g in members(grouped(slow))] == [41, 9]
    looks = looks_of([[1, 0.0], [1, 0.01], [1, 0.02], [1, 1.1], [1, 1.11]])
    looks.layout[:] = 0
    assert label_bursts(looks).tolist() == [0, 0, 0, 1, 1]


def test_a_phone_that_names_its_burst_is_believed():
    captures = [Capture(time_s=t, burst_id=b) for t, b in ((1.0, "x"), (9.0, "x"), (9.5, ""), (30.0, "y"))]
    assert members(grouped(captures)) == [(0, 1), (2,), (3,)]


def test_a_subgroup_has_no_unlike_ends():
    looks = looks_of([[1, 0], [1, 0.4], [1, 0.8], [1, 0]])
    looks.layout[:, :] = 0
    looks.layout[:, 0] = 0.7
    assert label_same_image(looks) == (0, 0, 1, 0)
