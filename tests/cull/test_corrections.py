"""Corrections of groups survive later runs, other names and other programs."""

import pytest

from vlm_aes.bulk.select.groups import Group
from vlm_aes.cull.corrections import CORRECTIONS_FILE, Corrections, MemberRef
from vlm_aes.errors import OutputError


def refs(names="abcdef"):
    return [MemberRef(f"{n}.jpg", n * 4, float(i)) for i, n in enumerate(names)]


def groups(*members):
    return [Group(f"k{m[0]}", "burst" if len(m) > 1 else "single", tuple(m), (0,) * len(m)) for m in members]


def members(found):
    return [g.members for g in found]


FOUND = groups([0, 1, 2], [3], [4, 5])


def test_merge_split_and_dissolve():
    a, b, c, d, e, f = refs()
    merged = Corrections().merge([a, b, c, d])
    assert members(merged.apply(FOUND, refs())) == [(0, 1, 2, 3), (4, 5)]
    parted = merged.split([a, b], [c, d])
    assert members(parted.apply(FOUND, refs())) == [(0, 1), (2, 3), (4, 5)]
    apart = parted.dissolve([e, f])
    assert members(apart.apply(FOUND, refs())) == [(0, 1), (2, 3), (4,), (5,)]
    assert [g.kind for g in apart.apply(FOUND, refs())] == ["burst", "burst", "single", "single"]
    assert members(apart.forget([a, b, c, d, e, f]).apply(FOUND, refs())) == members(FOUND)
    assert Corrections().apply(FOUND, refs()) == FOUND


def test_they_survive_a_file_other_names_new_frames_and_other_contents(tmp_path):
    a, b, c, *_ = refs()
    Corrections().merge([a, c]).dissolve([b]).save(tmp_path)
    saved = Corrections.load(tmp_path)
    assert members(saved.apply(FOUND, refs())) == [(0, 2), (1,), (3,), (4, 5)]
    renamed = [MemberRef("z/new.jpg", "aaaa", 0.0), *refs()[1:]]
    rewritten = [MemberRef("a.jpg", "other content", 0.0), *refs()[1:]]
    for frames in (renamed, rewritten):
        assert members(saved.apply(FOUND, frames)) == [(0, 2), (1,), (3,), (4, 5)]
    stranger = [MemberRef("a.jpg", "other content", 99.0), *refs()[1:]]
    assert members(saved.apply(FOUND, stranger)) == [(0,), (1,), (2,), (3,), (4, 5)]
    more = [*refs("xyabc"), MemberRef("new.jpg", "n", 9.0)]
    assert members(saved.apply(groups([0, 1, 2, 3, 4, 5]), more)) == [(0, 1, 5), (2, 4), (3,)]


def test_a_dissolved_set_and_a_set_in_parts():
    a, b, c, *_ = refs()
    found = [Group("p", "panorama", (0, 1, 2), (0, 0, 0)), *groups([3], [4, 5])]
    assert [g.kind for g in Corrections().dissolve([a, b, c]).apply(found, refs())][:3] == ["single"] * 3
    parts = Corrections().split([a, b], [c]).apply(found, refs())
    assert [g.kind for g in parts] == ["panorama", "single", "single", "burst"]
    mixed = Corrections().merge([a, b, c, refs()[3]]).apply(found, refs())
    assert [g.kind for g in mixed] == ["burst", "burst"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "groups": []}', '{"version": 1, "groups": [[{}]]}'])
def test_a_damaged_file_is_not_passed_over(tmp_path, text):
    (tmp_path / CORRECTIONS_FILE).write_text(text)
    with pytest.raises(OutputError, match="groups.json"):
        Corrections.load(tmp_path)
