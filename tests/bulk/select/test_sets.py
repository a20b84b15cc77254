"""Sets of shots are found by what the camera says, by exposures, intervals and thumbnails, whatever the order."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from vlm_aes.bulk.select.sets import find_sets
from vlm_aes.bulk.select.thumbnails import Thumbnail, drift, stands_still
from vlm_aes.images.capture import Capture

ORDERS = {
    "0-+": (0, -1, 1),
    "-0+": (-1, 0, 1),
    "+0-": (1, 0, -1),
    "0+-": (0, 1, -1),
    "five": (0, -1, 1, -2, 2),
    "one-sided": (-2, -1, 0),
}


def shots(rungs, *, start=0.0, gap=0.3, kind="", step=1.0, bias=True, whole=False, body="a", **more):
    """Captures of one exposure after the other."""
    captures = []
    for n, rung in enumerate(rungs):
        time_s = start + n * gap
        captures.append(
            Capture(
                time_s=float(math.floor(time_s)) if whole else time_s,
                whole_seconds=whole,
                body=body,
                exposure_ev=10.0 - step * rung,
                bias_ev=step * rung if bias else 0.0,
                exposure_s=0.01,
                focal_length_mm=35.0,
                set_kind=kind,
                **more,
            )
        )
    return captures


def members(captures, thumbnails=None):
    return {s.members: s.kind for s in find_sets(captures, thumbnails)}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("variant", ["flag", "bias", "manual", "whole seconds"])
@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 10_000))
def test_brackets_are_found_in_any_order_of_exposures_and_of_files(order, variant, seed):
    rungs = ORDERS[order]
    n = len(rungs)
    kind = "bracket" if variant == "flag" else ""
    gap = 1.0 if variant == "whole seconds" else 0.3
    common = {"kind": kind, "bias": variant != "manual", "whole": variant == "whole seconds", "gap": gap}
    captures = [
        *shots([0, 0, 0], auto_exposure=True),
        *shots(rungs, start=30.0, **common),
        *shots(rungs, start=30.0 + gap * n, **common),  # without a pause
        *shots(rungs, start=30.0, body="b", step=2.0, **common),
        *shots([0, 0], start=60.0),
    ]
    expected = [range(3, 3 + n), range(3 + n, 3 + 2 * n), range(3 + 2 * n, 3 + 3 * n)]
    shuffle = np.random.default_rng(seed).permutation(len(captures))
    place = {int(old): new for new, old in enumerate(shuffle)}
    found = find_sets([captures[i] for i in shuffle])
    assert {s.members: s.kind for s in found} == {tuple(place[i] for i in part): "bracket" for part in expected}
    # without compensations, the middle exposure is the best
    best_ev = 11.0 if (order, variant) == ("one-sided", "manual") else 10.0
    for s in found:
        step = 2.0 if captures[int(shuffle[s.best])].body == "b" else 1.0
        assert captures[int(shuffle[s.best])].exposure_ev == 10.0 + step * (best_ev - 10.0)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Capture,
            time_s=st.none() | st.floats(0, 40),
            body=st.sampled_from(["", "a"]),
            exposure_ev=st.none() | st.sampled_from([9.0, 10.0, 11.0]),
            bias_ev=st.none() | st.sampled_from([-1.0, 0.0, 1.0]),
            set_kind=st.sampled_from(["", "bracket", "focus_stack", "hdr", "timelapse", "panorama"]),
            set_shot=st.none() | st.integers(1, 3),
            set_size=st.none() | st.integers(1, 4),
            merged=st.booleans(),
        ),
        max_size=14,
    )
)
def test_a_shot_is_in_one_set_at_most_and_a_set_has_two_shots_of_one_body(captures):
    found = find_sets(captures)
    numbers = [i for s in found for i in s.members]
    assert len(numbers) == len(set(numbers))
    for s in found:
        assert len(s.members) > 1 and len({captures[i].body for i in s.members}) == 1
        assert s.best is None or s.best in s.members


UNEVEN = [
    shots([0, 0, 0, 0, 1.3, 0], auto_exposure=True, bias=False),  # one frame is too bright
    shots([0, 1, 2, 3], auto_exposure=True, bias=False),  # the light changes
    shots([0, -1]),
    shots([0, -1, 1], gap=20.0),
    shots([0, -0.3, 0.3]),
    shots([0, -1, 2]),
    [replace(c, time_s=60.0 * n, whole_seconds=True) for n, c in enumerate(shots([0, -1, 1]))],
    [replace(c, body=str(n)) for n, c in enumerate(shots([0, -1, 1]))],
    shots([0] * 30, gap=0.1),
]


@pytest.mark.parametrize("captures", UNEVEN)
def test_what_is_no_set_stays_free(captures):
    assert find_sets(captures) == []


def test_traps_of_brackets():
    two_bases = [*shots([0, -1, 1], kind="bracket"), *shots([0, -1, 1], kind="bracket", start=1.5, step=1.0)]
    two_bases[3:] = [replace(c, exposure_ev=c.exposure_ev + 3) for c in two_bases[3:]]
    assert members(two_bases) == {(0, 1, 2): "bracket", (3, 4, 5): "bracket"}
    equal_frames = shots([-3, -2, -1, 0, 1, 2, 2], kind="bracket", bias=False)
    assert members(equal_frames) == {tuple(range(7)): "bracket"}
    pairs = shots([0, -2, 0, -2], kind="bracket")
    assert members(pairs) == {(0, 1): "bracket", (2, 3): "bracket"}
    counted = [replace(c, set_shot=1 + n % 5) for n, c in enumerate(shots([0] * 10, kind="bracket"))]
    assert members(counted) == {tuple(range(5)): "bracket", tuple(range(5, 10)): "bracket"}
    constant = [replace(c, set_shot=1) for c in shots([0, -1, 1], kind="bracket", gap=5.0)]
    assert members(constant) == {(0, 1, 2): "bracket"}
    untimed = [replace(c, time_s=None) for c in shots([0, -1, 1], kind="bracket")]
    assert members(untimed) == {(0, 1, 2): "bracket"}
    long_exposures = [replace(c, exposure_s=20.0) for c in shots([0, -1, 1], gap=25.0)]
    assert members(long_exposures) == {(0, 1, 2): "bracket"}
    assert members(shots([0] * 12, kind="bracket")) == {tuple(range(12)): "focus_stack"}


def test_named_sets_end_by_number_size_or_pause():
    stack = [*shots([0] * 6, kind="focus_stack"), *shots([0] * 5, kind="focus_stack", start=10.0)]
    assert members(stack) == {tuple(range(6)): "focus_stack", tuple(range(6, 11)): "focus_stack"}
    shift = [replace(c, set_size=4) for c in shots([0] * 8, kind="pixel_shift")]
    assert members(shift) == {tuple(range(4)): "pixel_shift", tuple(range(4, 8)): "pixel_shift"}
    lapse = [replace(c, set_shot=n + 1) for n, c in enumerate(shots([0] * 4, kind="timelapse", gap=300.0))]
    assert members(lapse) == {tuple(range(4)): "timelapse"}
    assert members(shots([0] * 3, kind="wb_bracket", gap=0.0)) == {(0, 1, 2): "wb_bracket"}


@pytest.mark.parametrize(("whole", "gap", "is_set"), [(False, 2.5, True), (True, 5.4, True), (True, 1.2, False)])
def test_many_shots_at_one_interval_are_a_timelapse(whole, gap, is_set):
    captures = [*shots([0] * 12, gap=gap, whole=whole), *shots([0], start=500.0)]
    assert members(captures) == ({tuple(range(12)): "timelapse"} if is_set else {})


def test_a_person_who_shoots_is_no_timelapse():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(1, 9, 60))
    assert find_sets([replace(c, time_s=float(t)) for c, t in zip(shots([0] * 60), times, strict=True)]) == []


def test_merged_photos_join_the_set_that_they_are_made_of():
    merged = Capture(time_s=2.0, body="a", set_kind="hdr", merged=True)
    found = find_sets([*shots([0, -2, 2], kind="bracket"), merged])
    assert [(s.kind, s.members, s.best) for s in found] == [("bracket", (0, 1, 2, 3), 0)]
    phone = [replace(merged, merged=False), merged]
    assert members(phone) == {(0, 1): "hdr"}
    assert members([merged, replace(merged, time_s=2.5)]) == {}  # a phone that merges every photo
    assert members([*shots([0, -2, 2], kind="bracket"), replace(merged, time_s=500.0)]) == {(0, 1, 2): "bracket"}


def views(name="coffee", n=4, window=0.5):
    """Upright windows that travel over a photo."""
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    width = round(image.width * window)
    lefts = np.linspace(0, image.width - width, n).round().astype(int).tolist()
    return [image.crop((left, left % 5, left + width, image.height - 5 + left % 5)) for left in lefts]


@pytest.mark.parametrize("name", ["coffee", "chelsea", "astronaut", "rocket"])
def test_a_camera_that_turns_makes_a_panorama(name):
    captures = shots([0] * 4, gap=2.0)
    thumbnails = [Thumbnail.of(view) for view in views(name)]
    assert members(captures) == {}
    assert members(captures, thumbnails) == {(0, 1, 2, 3): "panorama"}
    still = [thumbnails[0]] * 4
    back_and_forth = [thumbnails[i] for i in (0, 1, 0, 1)]
    strangers = [
        Thumbnail.of(Image.fromarray(getattr(data, n)())) for n in ("coffee", "chelsea", "astronaut", "rocket")
    ]
    for others in (still, back_and_forth, strangers):
        assert members(captures, others) == {}
    assert members([replace(c, focal_length_mm=20.0 + n) for n, c in enumerate(captures)], thumbnails) == {}


def test_how_far_the_camera_turned_is_measured():
    first, second, *_ = map(Thumbnail.of, views("chelsea", n=4, window=0.5))
    right, down, correlation = drift(first, second)
    assert right == pytest.approx(-1 / 3, abs=0.03) and abs(down) < 0.03 and correlation > 0.6
    assert drift(first, first)[:2] == (0.0, 0.0)


def test_a_sharp_place_that_travels_makes_a_focus_stack():
    image = data.coffee()
    soft = cv2.GaussianBlur(image, (0, 0), 4)
    rows = np.linspace(0, 1, len(image))[:, None, None]
    places = [0.95, 0.7, 0.45, 0.2]
    frames = [np.where(abs(rows - place) < 0.15, image, soft).astype(np.uint8) for place in places]
    thumbnails = [Thumbnail.of(Image.fromarray(frame)) for frame in frames]
    assert stands_still(thumbnails[0], thumbnails[-1])
    captures = [replace(c, sharp_place=(0.5, place)) for c, place in zip(shots([0] * 4), places, strict=True)]
    assert members(captures, thumbnails) == {(0, 1, 2, 3): "focus_stack"}
    assert members([replace(c, sharp_place=(0.5, 0.5)) for c in captures], thumbnails) == {}
    assert members([replace(c, sharp_place=None) for c in captures], thumbnails) == {}
    sky = [replace(captures[0], sharp_place=(0.1, 0.9), sharpness=1.0), *(replace(c, sharpness=90.0) for c in captures)]
    sky = [replace(c, time_s=shot.time_s) for c, shot in zip(sky, shots([0] * 5), strict=True)]
    assert members(sky, [thumbnails[0], *thumbnails]) == {(0, 1, 2, 3, 4): "focus_stack"}
    moved = [Thumbnail.of(Image.fromarray(np.roll(frame, 40 * n, axis=1))) for n, frame in enumerate(frames)]
    assert "focus_stack" not in members(captures, moved).values()
