"""The order inside a group: eyes, sharpness, exposure, then the score; with margins and reasons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cull.made_frames import face, frames_of, signals
from vlm_aes.cull.expressions import closed_eyes, face_softness
from vlm_aes.cull.ranking import TOO_CLOSE_MARGIN, rank_group


def ranking(*measured, scores=None):
    frames = frames_of(*measured, scores=scores)
    return rank_group(range(len(frames)), frames)


def order(*measured, scores=None):
    return [one.member for one in ranking(*measured, scores=scores)]


SHUT = face("closed", 0.1)


@pytest.mark.parametrize(
    ("better", "worse", "scores", "best_says", "other_says"),
    [
        (signals(face()), signals(SHUT), (40, 60), "eyes open", "eyes closed"),
        (signals(face(), face(left=0.1)), signals(face(), face("closed", 0.1, left=0.1)), (40, 60),
         "all eyes open", "1 of 2 with eyes closed"),
        (signals(face(sharpness=90)), signals(face(sharpness=20), sharpness=400), (50, 60),
         "sharper on the face than 1 other", "blurred on the face"),
        (signals(sharpness=100), signals(sharpness=6), (40, 70), "sharper than 1 other", "blurred"),
        (signals(), signals(high=0.3), (50, 50), "holds highlights that 1 other loses", "highlights blown out"),
        (signals(), signals(size=(500, 300)), (50, 55), "shows more than 1 other", "shows less of the scene"),
        (signals(), signals(), (60, 50), "rated highest", "rated 10 points lower"),
    ],
)  # fmt: skip
def test_what_decides_stands_in_the_reason(better, worse, scores, best_says, other_says):
    for frames, first in (((better, worse), 0), ((worse, better), 1)):
        ranked = ranking(*frames, scores=scores if first == 0 else scores[::-1])
        assert [one.member for one in ranked] == [first, 1 - first] and [one.rank for one in ranked] == [1, 2]
        assert best_says in ranked[0].reason and other_says in ranked[1].reason
        assert ranked[0].margin >= TOO_CLOSE_MARGIN and ranked[1].margin == 0


def test_exposure_counts_against_the_group():
    ranked = ranking(signals(stops=-1.5), signals(stops=-1.6), signals(stops=0.4))
    assert [one.member for one in ranked][-1] == 2
    assert "2.0 stops brighter than the group" in ranked[-1].reason or "1.9 stops" in ranked[-1].reason


def test_a_blurred_frame_never_wins_over_a_sharp_one():
    blurred = signals(sharpness=6)
    for rival in (signals(SHUT), signals(stops=2.0), signals(high=0.2)):
        assert order(blurred, rival, rival, scores=(80, 40, 40))[0] != 0


def test_equal_frames_are_too_close_to_call_and_say_so():
    ranked = ranking(signals(), signals(sharpness=98), scores=(50, 51))
    assert ranked[0].too_close
    assert ranked[0].reason.endswith("too close to call with IMG_0.jpg") and "too close" in ranked[1].reason


def test_narrow_eyes_and_eyes_that_cannot_be_told_are_no_blink():
    narrow = [signals(face("closed", o)) for o in (0.20, 0.21, 0.19)]
    assert closed_eyes(narrow)[0].tolist() == [0, 0, 0]
    blink = [signals(face("open", 0.35)), signals(face("closed", 0.12)), signals(face("unknown", None))]
    assert closed_eyes(blink)[0].tolist() == [0, 1, 0]
    small_behind = signals(face(side=0.3), face("closed", 0.1, left=0.05, side=0.1))
    assert [n.tolist() for n in closed_eyes([small_behind, None])] == [[0, 0], [1, 0]]


def test_persons_are_compared_with_themselves():
    near, far = face(sharpness=400, side=0.3, left=0.1), face(sharpness=50, side=0.2, left=0.7)
    soft_far = face(sharpness=25, side=0.2, left=0.68)
    found = face_softness([signals(near, far), signals(near, soft_far), signals()])
    assert found[0] == 0 and 0.4 < found[1] < 0.5 and np.isnan(found[2])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from([None, 5.0, 60.0, 100.0]), st.sampled_from([None, 30.0, 60.0])), min_size=1,
                max_size=6))  # fmt: skip
def test_a_missing_signal_is_neutral_and_ranks_are_whole(frames):
    measured = [None if s is None else signals(sharpness=s) for s, _ in frames]
    ranked = ranking(*measured, scores=[score for _, score in frames])
    assert [one.rank for one in ranked] == list(range(1, len(frames) + 1))
    assert sorted(one.member for one in ranked) == list(range(len(frames)))
    assert all(0 <= one.margin <= 1 for one in ranked) and ranked[-1].margin == 0
    points = {one.member: one.points for one in ranked}
    sharp = [m for m, (s, score) in enumerate(frames) if s == 100.0 and score == 60.0]
    unknown = [m for m, (s, score) in enumerate(frames) if s is None and score == 60.0]
    assert all(points[a] == points[b] for a in sharp for b in unknown)
