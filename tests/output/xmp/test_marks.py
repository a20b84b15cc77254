"""Flags and colour labels in sidecars: a person's stay, ours can be taken back."""

import pytest

from tests.output.xmp.layouts import LAYOUTS
from tests.output.xmp.test_sidecars import read, sidecar
from vlm_aes.output.xmp.sidecar import SidecarContent, merge_sidecar, undo_sidecar
from vlm_aes.output.xmp.sidecars import sidecar_content, sidecar_paths

exiv2 = pytest.importorskip("exiv2")
merge_sidecar(None, SidecarContent(1))  # so that exiv2 knows our namespace


def content(verdict, **cells):
    return sidecar_content({"verdict": verdict, "reason": "eyes open", "group": "a1", "rank": 1, **cells})


def marks(data):
    fields = read(data)
    return tuple(
        fields.get(f"Xmp.{name}") for name in ("xmpDM.pick", "xmpDM.good", "xmp.Label", "photoshop.LabelColor")
    )


KEEP, REJECT = ("1", "true", "Green", "green"), ("-1", "false", "Red", "red")
SOFT = (None, None, "Yellow", "yellow")


def test_verdicts_become_flags_and_labels_and_change_with_the_next_run():
    data = None
    for verdict, expected in (("keep", KEEP), ("reject", REJECT), ("maybe", SOFT), ("keep", KEEP)):
        data = merge_sidecar(data, content(verdict)).data
        assert marks(data) == expected
        fields = read(data)
        assert fields["Xmp.vlmaes.verdict"] == verdict and fields["Xmp.vlmaes.reason"] == "eyes open"
        assert "Xmp.xmp.Rating" not in fields and "Xmp.dc.subject" not in fields
    assert merge_sidecar(data, content("keep")).data == data
    assert undo_sidecar(data).data == b""


@pytest.mark.parametrize("name", LAYOUTS)
def test_other_programs_fields_are_kept_and_come_back_as_they_were(name):
    old = LAYOUTS[name]
    new = merge_sidecar(old, content("keep", stars=4)).data
    assert "Xmp.vlmaes.verdict" in read(new)
    before, after = read(old), read(undo_sidecar(new).data)
    assert {k: v for k, v in after.items() if v} == {k: v for k, v in before.items() if v}


@pytest.mark.parametrize(
    ("there", "expected", "kept"),
    [
        ({"xmpDM__pick": "-1", "xmpDM__good": "false"}, ("-1", "false", "Green", "green"), ("flag -1",)),
        ({"xmp__Label": "Purple"}, ("1", "true", "Purple", None), ("label Purple",)),
        ({"vlmaes__pick": "1", "vlmaes__good": "true"}, (None, None, "Green", "green"), ("flag none",)),
        ({"xmpDM__pick": "-1", "vlmaes__pick": "1"}, ("-1", None, "Green", "green"), ("flag -1",)),
    ],
)
def test_what_a_person_set_or_took_away_stays(there, expected, kept):
    merged = merge_sidecar(sidecar(**there), content("keep"))
    assert marks(merged.data) == expected and merged.kept == kept
    undone = undo_sidecar(merged.data)
    assert marks(undone.data)[:2] == (there.get("xmpDM__pick"), there.get("xmpDM__good"))


def test_each_kind_of_file_gets_its_name(tmp_path):
    for name in ("a.cr2", "a.jpg", "b.nef", "c.jpg", "d.nef", "d.nef.xmp", "e.jpg", "e.xmp"):
        (tmp_path / name).write_bytes(b"")
    expected = {"a.cr2": ["a.xmp"], "a.jpg": ["a.jpg.xmp"], "b.nef": ["b.xmp"], "c.jpg": ["c.jpg.xmp"],
                "d.nef": ["d.nef.xmp"], "e.jpg": ["e.xmp"]}  # fmt: skip
    found = {name: [p.name for p in sidecar_paths(tmp_path / name, "by-kind")] for name in expected}
    assert found == expected
