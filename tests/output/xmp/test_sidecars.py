"""Sidecars of other programs keep what is theirs, and a person's word stands."""

import re
import stat
import sys
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import tiny_checkpoints as tiny
from tests.cli import run
from tests.output.xmp.layouts import LAYOUTS
from vlm_aes.errors import OutputError
from vlm_aes.output.results import read_rows
from vlm_aes.output.stars import StarRule
from vlm_aes.output.table import Columns
from vlm_aes.output.xmp import sidecar as xmp
from vlm_aes.output.xmp.fields import PREFIX
from vlm_aes.output.xmp.sidecar import SidecarContent, embedded_rating, merge_sidecar, undo_sidecar
from vlm_aes.output.xmp.sidecars import SidecarWriter, sidecar_content, sidecar_paths

exiv2 = pytest.importorskip("exiv2")

RATED = SidecarContent(4, ("aesthetics: good", "light: fair"), "Grün & <gut>.", {"score": "61.2"})
OURS = ("Xmp.xmp.Rating", "Xmp.dc.subject", "Xmp.dc.description", "Xmp.lr.hierarchicalSubject",
        "Xmp.digiKam.TagsList", f"Xmp.{PREFIX}.")  # fmt: skip
SUBJECT = "Xmp.dc.subject"
STARRED = Columns(stars=StarRule()).schema


def text_of(data):
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def read(data):
    """Every field of a sidecar, as exiv2 reads it."""
    body = re.search("<x:xmpmeta.*</x:xmpmeta>", text_of(data), re.S)[0]
    image = exiv2.ImageFactory.open(body.encode())
    image.readMetadata()
    return {datum.key(): str(datum.value()) for datum in image.xmpData()}


def theirs(fields):
    return {key: value for key, value in fields.items() if not key.startswith(OURS)}


def rating(merged):
    return read(merged.data).get("Xmp.xmp.Rating")


def sidecar(**fields):
    """A sidecar with a few fields, in bytes."""
    image = exiv2.ImageFactory.create(exiv2.ImageType.xmp)
    for name, value in fields.items():
        image.xmpData()[f"Xmp.{name.replace('__', '.')}"] = value
    image.writeMetadata()
    image.io().open()
    return bytes(image.io().mmap())


@pytest.mark.parametrize("name", LAYOUTS)
def test_fields_frame_encoding_and_namespaces_of_others_are_kept(name):
    old, new = LAYOUTS[name], merge_sidecar(LAYOUTS[name], RATED).data
    before, after = read(old), read(new)
    assert theirs(before) == theirs(after) and len(theirs(before)) >= 4
    assert after["Xmp.vlmaes.score"] == "61.2"
    assert {"aesthetics: good", "light: fair"} < {*after[SUBJECT].split(", "), ""}
    for key in (SUBJECT, "Xmp.lr.hierarchicalSubject", "Xmp.digiKam.TagsList"):
        assert key not in before or after[key].startswith(before[key] + ", ")
    assert before.get("Xmp.dc.description", "") in after["Xmp.dc.description"]
    assert new[:3] == old[:3]
    one, other = text_of(old), text_of(new)
    for mark, side in (("<x:xmpmeta", 0), ("</x:xmpmeta>", 1)):
        assert other.split(mark)[side] == one.split(mark)[side]
    declared = {part.split('"')[1] for part in one.split("xmlns:")[1:] if '"' in part.split(">")[0]}
    assert declared and all(f'"{namespace}"' in other for namespace in declared)
    again = merge_sidecar(new, RATED)
    assert (again.data, again.changes) == (new, ())


def test_one_prefix_for_two_namespaces_in_one_run():
    for namespace in ("https://example.org/one/", "https://example.org/two/"):
        old = LAYOUTS["stranger"].replace(b"https://example.org/fields/", namespace.encode())
        new = merge_sidecar(old, RATED).data.decode()
        assert f'"{namespace}"' in new and "Ada" in new


@pytest.mark.parametrize(
    ("there", "expected", "kept"),
    [
        (None, "4", ()), ({"xmp__Rating": "0"}, "4", ()), ({"xmp__Rating": "5"}, "5", ("rating 5",)),
        ({"xmp__Rating": "-1"}, "-1", ("rating -1",)), ({"xmp__Rating": "2.0"}, "2.0", ("rating 2",)),
        ({"xmp__Rating": "3", "vlmaes__rating": "3"}, "4", ()),
        ({"xmp__Rating": "2", "vlmaes__rating": "3"}, "2", ("rating 2",)),
        ({"xmp__Rating": "0", "vlmaes__rating": "3"}, "0", ("rating 0",)),
        ({"MicrosoftPhoto__Rating": "75"}, None, ("rating 75",)), ({"vlmaes__rating": "3"}, None, ("rating 0",)),
    ],
)  # fmt: skip
def test_a_persons_rating_stays(there, expected, kept):
    merge_sidecar(None, RATED)  # so that exiv2 knows our namespace
    old = sidecar(**there) if there else None
    found = merge_sidecar(old, RATED)
    assert (rating(found), found.kept) == (expected, kept)
    asked = merge_sidecar(old, RATED, overwrite_rating=True)
    assert rating(asked) == "4"
    assert rating(merge_sidecar(asked.data, SidecarContent(2))) == "2"


def test_the_rating_that_stands_for_none_is_the_users_to_say():
    assert rating(merge_sidecar(LAYOUTS["darktable"], RATED)) == "1"
    assert rating(merge_sidecar(LAYOUTS["darktable"], RATED, unrated=1)) == "4"


def test_a_rating_in_the_picture_goes_along(tmp_path):
    """A program that finds a sidecar does not look into the picture for what the sidecar lacks."""
    photo = tmp_path / "a.jpg"
    tiny.images(1)[0].save(photo)
    assert embedded_rating(photo) == 0
    image = exiv2.ImageFactory.open(str(photo))
    image.xmpData()["Xmp.xmp.Rating"] = "5"
    image.writeMetadata()
    assert embedded_rating(photo) == 5
    found = merge_sidecar(None, RATED, embedded=5)
    assert (rating(found), found.kept) == ("5", ("rating 5",))
    assert rating(merge_sidecar(found.data, RATED, embedded=5)) == "5"
    (tmp_path / "notes.txt").write_text("no picture")
    assert embedded_rating(tmp_path / "notes.txt") == 0


def test_keywords_are_replaced_by_subject_and_a_persons_stay_and_trees_of_keywords_follow():
    bag = exiv2.XmpArrayValue(["light: fair", "sea"], exiv2.TypeId.xmpBag)
    data = merge_sidecar(sidecar(dc__subject=bag), RATED).data
    # "light: fair" was a person's before it was ours
    poor = "aesthetics: poor"
    for keyword, ours in ((poor, poor), ("light: bad", f"{poor}, light: bad"), ("light: good", f"{poor}, light: good")):
        data = merge_sidecar(data, SidecarContent(4, (keyword,))).data
        assert read(data)[SUBJECT] == f"light: fair, sea, {ours}"
    first = merge_sidecar(LAYOUTS["digikam"], RATED).data
    again = read(merge_sidecar(first, SidecarContent(4, ("light: bad",))).data)
    assert again["Xmp.digiKam.TagsList"] == "People/Ada, vlm-aes/aesthetics: good, vlm-aes/light: bad"


def test_programs_that_read_trees_of_keywords_find_all_in_a_new_one():
    bag = exiv2.XmpArrayValue(["sea"], exiv2.TypeId.xmpBag)
    found = read(merge_sidecar(sidecar(dc__subject=bag), RATED).data)
    assert found["Xmp.digiKam.TagsList"] == "sea, vlm-aes/aesthetics: good, vlm-aes/light: fair"
    assert found["Xmp.lr.hierarchicalSubject"] == "sea, vlm-aes|aesthetics: good, vlm-aes|light: fair"


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("overwrite", [False, True])
def test_taken_back_a_sidecar_holds_what_it_held(name, overwrite):
    old = LAYOUTS[name]
    once = merge_sidecar(old, RATED, overwrite_rating=overwrite).data
    twice = merge_sidecar(once, SidecarContent(2, ("light: good",), "Else."), overwrite_rating=overwrite).data
    found = undo_sidecar(twice)
    assert read(found.data) == read(old)
    assert undo_sidecar(found.data).data == found.data


def test_taken_back_a_new_sidecar_is_gone_unless_a_person_wrote_into_it():
    new = merge_sidecar(None, RATED, extension="JPG").data
    assert undo_sidecar(new).data == b""
    assert undo_sidecar(merge_sidecar(None, RATED, embedded=5).data, embedded=5).data == b""
    edited = new.replace(b'xmp:Rating="4"', b'xmp:Rating="2"')
    assert edited != new
    left = undo_sidecar(edited)
    assert left.kept == ("rating 2",) and read(left.data) == {
        "Xmp.xmp.Rating": "2",
        "Xmp.photoshop.SidecarForExtension": "JPG",
    }


def test_a_persons_description_stays_and_ours_is_renewed():
    ours = merge_sidecar(None, RATED).data
    assert merge_sidecar(ours, RATED).data == ours
    renewed = merge_sidecar(ours, SidecarContent(description="Now else."))
    assert "Now else." in read(renewed.data)["Xmp.dc.description"]
    assert "description" in renewed.changes
    edited = renewed.data.replace(b'x-default">Now else.', b'x-default">My words.')
    kept = merge_sidecar(edited, RATED)
    assert read(kept.data)["Xmp.dc.description"] == 'lang="x-default" My words.'
    assert kept.kept == ("description",)
    assert b"Gr\xc3\xbcn" not in kept.data


def test_what_is_no_xmp_or_has_keywords_that_are_no_list_is_left():
    for data in (b"", b"dear diary", LAYOUTS["darktable"][:900], b"\xff\xfe\0", b"<svg/>", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(OutputError, match="no XMP that can be read"):
            merge_sidecar(data, RATED)
    no_list = b'<rdf:li rdf:parseType="Resource"><dc:title>Ada</dc:title></rdf:li>'
    with pytest.raises(OutputError, match=r"dc\.subject is no plain list"):
        merge_sidecar(LAYOUTS["digikam"].replace(b"<rdf:li>Ada</rdf:li>", no_list), RATED)


def test_a_sidecar_that_would_lose_something_is_left(monkeypatch):
    def forgetful(library, data, real=xmp._open):
        return real(library, data.replace(b'darktable:operation="exposure"', b""))

    monkeypatch.setattr(xmp, "_open", forgetful)
    with pytest.raises(OutputError, match=r"it would lose .*darktable.*operation; it is left as it"):
        merge_sidecar(LAYOUTS["darktable"], RATED)


WORD = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")),
               min_size=1, max_size=12).filter(lambda s: s == s.strip())  # fmt: skip
NAMES = st.from_regex(r"[A-Za-z][A-Za-z0-9]{0,7}", fullmatch=True)


@settings(max_examples=60, deadline=None)
@given(plain=st.dictionaries(NAMES, WORD, max_size=4), listed=st.lists(WORD, max_size=4))
def test_whatever_is_there_survives(plain, listed):
    attributes = " ".join(f"a:{n}={quoteattr(v)}" for n, v in plain.items())
    items = "".join(f"<rdf:li>{escape(v)}</rdf:li>" for v in listed)
    old = LAYOUTS["stranger"].decode().replace("my:empty", f'xmlns:a="https://example.org/a/" {attributes} my:empty')
    old = old.replace("<my:link", f"<my:list><rdf:Seq>{items}</rdf:Seq></my:list><my:link").encode()
    assert theirs(read(merge_sidecar(old, RATED).data)) == theirs(read(old))


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, image in zip(("a.png", "ä ö [1].jpg", "c.jpg", "c.png"), tiny.images(4)):
        image.save(folder / name)
    (folder / "a.png.xmp").write_bytes(LAYOUTS["darktable"])
    (folder / "a.png.xmp").chmod(0o640)
    (folder / "c.xmp").write_bytes(LAYOUTS["lightroom"])
    (folder / "bad.jpg").write_text("no picture")
    return folder


def test_where_a_sidecar_lies(photos):
    def names(picture, layout="auto"):
        return [p.name for p in sidecar_paths(photos / picture, layout)]

    assert names("a.png") == ["a.png.xmp"]
    assert names("c.jpg") == ["c.jpg.xmp"]  # c.xmp says that it is for c.cr2
    assert names("a.png", "adobe") == ["a.xmp"]
    with pytest.raises(OutputError, match=r"c\.xmp is for the \.cr2 file"):
        names("c.jpg", "adobe")
    for name in ("a.xmp", "c.xmp"):
        (photos / name).write_bytes(LAYOUTS["digikam"])
    with pytest.raises(OutputError, match=r"could be for \.png of the same name"):
        names("c.jpg", "adobe")
    (photos / "c.nef").write_bytes(b"")
    assert names("c.nef", "adobe") == names("c.nef") == ["c.xmp"]
    assert names("a.png") == ["a.png.xmp", "a.xmp"]
    with pytest.raises(ValueError, match="choose one of auto, darktable, adobe"):
        SidecarWriter("bridge")


def snapshot(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.iterdir()}


WRITTEN = {"ä ö [1].jpg.xmp", "c.jpg.xmp", "c.png.xmp"}


def row(path):
    return {"path": str(path), "score": 61.23, "level": "good", "model": "m@1", "prompt": "p",
            "percentile": 81.0, "error": None, "stars": 4, "critique": "Good.",
            "attr_depth_of_field": 79.0, "attr_depth_of_field_residual": 1.0}  # fmt: skip


def test_what_a_row_says():
    rated = sidecar_content(row("a.png"))
    assert rated.keywords == ("aesthetics: good", "depth of field: good") and rated.description is None
    assert sidecar_content(row("a.png"), caption=True).description == "Good."
    assert rated.notes == {"score": "61.2", "percentile": "81.0", "level": "good", "model": "m@1",
                           "prompt": "p", "critique": "Good."}  # fmt: skip
    ends = [sidecar_content(row("a") | {"attr_light": v}).keywords[-1] for v in (0.0, 19.9, 20.0, 100.0)]
    assert ends == ["light: bad", "light: bad", "light: poor", "light: excellent"]


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(photos):
    rows = [row(p) for p in sorted(photos.glob("*.[jp][pn]g"))] + [row("gone.jpg")]
    before = snapshot(photos)
    dry = [str(o) for o in SidecarWriter(dry_run=True).write(rows)]
    assert snapshot(photos) == before
    assert [str(o) for o in SidecarWriter().write(rows)] == dry
    assert "gone.jpg: left, no such file" in dry
    after = snapshot(photos)
    assert {n for n in after if after[n] != before.get(n)} == {*WRITTEN, "a.png.xmp", "bad.jpg.xmp"}
    assert stat.S_IMODE(after["a.png.xmp"][2]) == 0o640
    assert {o.action for o in SidecarWriter().write(rows)} == {"same", "left"}
    assert snapshot(photos) == after


def test_one_with_a_warning_is_left_where_that_is_asked_for(photos):
    rows = [row(photos / "c.jpg") | {"warning": "blank"}, row(photos / "c.png") | {"warning": None}]
    found = list(SidecarWriter(skip_warned=True).write(rows))
    assert [o.action for o in found] == ["left", "new"] and "warning: blank" in str(found[0])
    assert not found[0].failed


def test_one_that_cannot_be_written_does_not_end_the_run_and_a_link_stays_a_link(photos, tmp_path):
    store = tmp_path / "store.xmp"
    store.write_bytes(LAYOUTS["digikam"])
    (photos / "c.png.xmp").symlink_to(store)
    (photos / "c.jpg.xmp").mkdir()
    (photos / "a.png.xmp").write_text("dear diary")
    found = list(SidecarWriter().write(row(photos / n) for n in ("c.jpg", "a.png", "c.png")))
    assert [o.failed for o in found] == [True, True, False]
    assert "Is a directory" in str(found[0])
    assert (photos / "a.png.xmp").read_text() == "dear diary"
    assert not [p for p in photos.iterdir() if p.name.startswith(".")]
    assert (photos / "c.png.xmp").is_symlink()
    assert b"aesthetics: good" in store.read_bytes()


def test_one_call_and_two_give_the_same(photos, tmp_path):
    """``score --xmp``, and ``score --out`` with ``xmp`` afterwards."""
    before, out = snapshot(photos), tmp_path / "t.csv"
    assert run("score", photos, "--out", out, "--xmp").exit_code == 1  # one file is no picture
    assert [r["stars"] is None for r in read_rows(out, STARRED)] == [False, True, False, False, False]
    first = snapshot(photos)
    assert set(first) - set(before) == WRITTEN
    again = run("xmp", out)
    assert again.exit_code == 0, again.output
    assert "4 same" in again.stderr
    assert snapshot(photos) == first


def test_what_was_written_is_taken_back(photos, tmp_path):
    before, out = snapshot(photos), tmp_path / "t.csv"
    run("score", photos, "--out", out, "--xmp")
    written = snapshot(photos)
    dry = run("xmp", out, "--undo", "--dry-run")
    assert dry.exit_code == 0 and "removed" in dry.stdout and snapshot(photos) == written
    done = run("xmp", out, "--undo")
    assert done.exit_code == 0 and "3 removed" in done.stderr, done.stderr
    assert set(snapshot(photos)) == set(before)
    assert "1 same" in run("xmp", out, "--undo").stderr


def test_stars_of_the_run_in_the_table(photos, tmp_path):
    before, out = snapshot(photos), tmp_path / "t.jsonl"
    words = ["score", photos, "--stars", "0,30,60,80,100", "--stars-among", "run"]
    result = run(*words, "--out", out)
    assert result.exit_code == 1, result.output
    rows = sorted((r for r in read_rows(out, STARRED) if not r["error"]), key=lambda r: r["score"])
    assert [r["stars"] for r in rows] == [1, 2, 3, 4]
    # the same without a table, with a choice (among all that were rated), and afterwards
    dry = run(*words, "--xmp", "--dry-run")
    assert dry.exit_code == 1, dry.output
    assert f"{photos}/a.png.xmp: changed; aesthetics" in dry.stdout.replace("\n", "")
    best = run(*words, "--xmp", "--dry-run", "--top-k", "2").stdout
    later = run("xmp", out, "--dry-run", "--unrated", "1").stdout
    assert snapshot(photos) == before
    for stars, row in enumerate(rows, 1):
        line = rf"{re.escape(row['path'])}.xmp: \w+; (rating {stars}|aes.*rating 1 kept)"
        assert re.search(line, dry.stdout)
        assert bool(re.search(line, best)) == (stars > 2)
        assert f"{row['path']}.xmp" in later
        assert f"rating {stars}" in later or stars == 1


def test_a_model_without_reference_photos_needs_those_of_the_run(photos, tiny_checkpoint):
    words = ["score", photos / "a.png", "--model", tiny_checkpoint("fast_vlm"), "--xmp", "--dry-run"]
    result = run(*words)
    assert result.exit_code == 2 and "--stars-among run" in result.stderr
    result = run(*words, "--stars-among", "run")
    assert result.exit_code == 0, result.output


def test_without_exiv2_the_message_says_what_to_install(photos, monkeypatch):
    monkeypatch.setitem(sys.modules, "exiv2", None)
    result = run("score", photos, "--xmp")
    assert result.exit_code == 2 and "pip install 'vlm-aes[xmp]'" in result.stderr
