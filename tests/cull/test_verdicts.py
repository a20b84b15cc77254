"""keep, maybe, reject, set: with a target and without."""

from tests.cull.made_frames import face, frame, frames_of, signals
from vlm_aes.bulk.select.groups import Group
from vlm_aes.cull.ranking import rank_group
from vlm_aes.cull.verdicts import suggest_verdicts


def verdicts(groups, frames, keep=None, best=None):
    ranked = [[] if g.is_set else rank_group(g.members, frames) for g in groups]
    return suggest_verdicts(groups, ranked, frames, keep, best)


def group(kind, *members, subgroups=None):
    return Group(f"{kind}{members[0]}", kind, members, subgroups or (0,) * len(members))


def words(found):
    return [found[i].verdict for i in sorted(found)]


def test_a_set_has_no_winner_and_no_reject_whatever_its_frames_look_like():
    frames = frames_of(signals(), signals(sharpness=1), signals(high=0.9), scores=(90, 5, 5))
    for keep in (None, 1):
        found = verdicts([group("bracket", 0, 1, 2)], frames, keep, {"bracket0": 1})
        assert words(found) == ["set"] * 3
        assert {(v.rank, v.margin) for v in found.values()} == {(None, None)}
        assert found[0].reason == "exposure bracket of 3, stays together; best exposure IMG_1.jpg"


def test_a_clear_winner_is_kept_and_clear_losers_of_the_same_picture_go():
    frames = frames_of(signals(), signals(sharpness=20), signals(sharpness=60), signals(face("closed", 0.1)),
                       scores=(60, 60, 40, 60))  # fmt: skip
    burst = group("burst", 0, 1, 2, 3, subgroups=(0, 0, 1, 1))
    assert words(verdicts([burst], frames)) == ["keep", "reject", "maybe", "reject"]


def test_what_is_too_close_to_call_is_maybe():
    frames = frames_of(signals(), signals(), signals(sharpness=5), scores=(50, 50.5, 50))
    found = verdicts([group("burst", 0, 1, 2)], frames)
    assert words(found) == ["maybe", "maybe", "reject"]
    assert "too close to call" in found[0].reason and "too close to call" in found[1].reason
    assert words(verdicts([group("burst", 0, 1, 2)], frames, keep=1)) == ["maybe", "keep", "reject"]


def test_a_target_is_met_with_one_frame_of_each_group_first():
    frames = [frame(i, signals(), score) for i, score in enumerate((80, 70, 79, 40, 60, 20))]
    groups = [group("burst", 0, 1, 2, subgroups=(0, 0, 1)), group("single", 3), group("single", 4), group("hdr", 5)]
    assert words(verdicts(groups, frames, keep=1)) == ["keep", "reject", "maybe", "maybe", "maybe", "set"]
    assert words(verdicts(groups, frames, keep=3)) == ["keep", "reject", "maybe", "keep", "keep", "set"]
    assert words(verdicts(groups, frames, keep=9)) == ["keep", "reject", "keep", "keep", "keep", "set"]


def test_single_frames_without_a_target_and_misfires():
    frames = [frame(i, signals(), score) for i, score in enumerate((80, 40, 50, 60))]
    frames += [frame(4, signals(low=0.95), 70), frame(5, signals(), 70, warning="blank"), frame(6, None, None)]
    found = verdicts([group("single", i) for i in range(7)], frames)
    assert words(found) == ["keep", "maybe", "maybe", "maybe", "reject", "reject", "maybe"]
    assert (found[0].reason, found[4].reason, found[6].reason) == ("single frame, rated 80", "black", "single frame")
