"""Files of one exposure are one unit, whatever the order of their names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm_aes.bulk.select.units import find_units
from vlm_aes.images.capture import Capture

UNITS = [
    ("raw+jpeg", ["a/IMG_1.JPG", "a/IMG_1.CR2"]),
    ("raw+jpeg", ["a/img_1.heic", "a/img_1.dng"]),
    ("raw+jpeg", ["a/IMG_1.JPG", "a/IMG_1.CR2", "a/IMG_1-Edit.tif"]),
    ("raw+jpeg", ["a/PXL_1.RAW-01.COVER.jpg", "a/PXL_1.RAW-02.ORIGINAL.dng"]),
    ("edited", ["a/IMG_1.CR2", "a/IMG_1-Edit.tif", "a/IMG_1-Edit-2.tif"]),
    ("edited", ["a/IMG_1234.JPG", "a/IMG_E1234.JPG"]),
    ("edited", ["a/x.jpg", "a/x_edited.jpg"]),
    ("edited", ["a/PXL_1.MP.jpg", "a/PXL_1~2.jpg"]),
    ("edited", ["a/x.nef", "a/x.dng"]),
    ("live", ["a/IMG_1.HEIC", "a/IMG_1.MOV"]),
]


@pytest.mark.parametrize(("kind", "files"), UNITS)
def test_files_of_one_exposure_are_a_unit_with_the_original_first(kind, files):
    others = ["b/" + files[0][2:], "a/z.jpg"]
    for paths in (files + others, (files + others)[::-1]):
        units = {unit.main: unit for unit in find_units(paths, {})}
        assert units.keys() == {files[0], *others}
        assert set(units[files[0]].files) == set(files) and units[files[0]].kind == kind
        assert all(units[other].files == (other,) and units[other].kind == "" for other in others)


@pytest.mark.parametrize(
    "files",
    [
        ["name (1).jpg", "name (2).jpg", "name (356).jpg"],
        ["a.jpg", "a.png"],
        ["2024_024.jpg", "2024_025.jpg"],
        ["edit.jpg", "img_e.jpg", "IMG_1.jpg"],
    ],
)
def test_names_that_only_look_alike_stay_apart(files):
    assert [unit.files for unit in find_units(files, {})] == [(file,) for file in files]


def test_the_capture_time_parts_what_only_shares_a_name():
    times = {"IMG_1.CR2": 10.0, "IMG_1.JPG": 900.0}
    captures = {path: Capture(time_s=time) for path, time in times.items()}
    assert len(find_units(list(times), captures)) == 2
    captures["IMG_1.JPG"] = Capture(time_s=11.0)
    assert len(find_units(list(times), captures)) == 1
    same = {path: Capture(time_s=5.0) for path in ("a.jpg", "a.tif")}
    assert len(find_units(list(same), same)) == 1


def test_the_identifier_of_a_live_photo_joins_whatever_the_names():
    captures = {name: Capture(content_id="c") for name in ("IMG_1.HEIC", "copy.jpg")}
    (unit,) = find_units(["copy.jpg", "IMG_1.HEIC"], captures)
    assert unit.kind == "live" and len(unit.files) == 2


NAMES = st.sampled_from(["IMG_1", "IMG_E1", "IMG_1-Edit", "IMG_2", "PXL_1.MP", "x (1)"])
PATHS = st.builds("{}/{}{}".format, st.sampled_from("ab"), NAMES, st.sampled_from([".JPG", ".CR2", ".HEIC", ".MOV"]))


@settings(deadline=None)
@given(st.lists(PATHS, unique=True).flatmap(lambda paths: st.tuples(st.just(paths), st.permutations(paths))))
def test_units_hold_every_file_once_in_any_order(orders):
    paths, shuffled = orders
    units = find_units(paths, {})
    assert sorted(file for unit in units for file in unit.files) == sorted(paths)
    assert all(unit.files[0] == unit.main for unit in units)
    assert {frozenset(unit.files) for unit in units} == {frozenset(unit.files) for unit in find_units(shuffled, {})}
