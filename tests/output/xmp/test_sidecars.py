"""Sidecars of other programs keep what is theirs, and a person's word stands."""

import re
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.sidecar_layouts import LAYOUTS
from vlm_aes.cli import app
from vlm_aes.errors import OutputError
from vlm_aes.output.results import read_rows
from vlm_aes.output.stars import StarRule
from vlm_aes.output.table import Columns
from vlm_aes.output.xmp import sidecar as xmp
from vlm_aes.output.xmp.fields import PREFIX
from vlm_aes.output.xmp.sidecar import SidecarContent, embedded_rating, merge_sidecar
from vlm_aes.output.xmp.sidecars import SidecarWriter, sidecar_content, sidecar_paths

exiv2 = pytest.importorskip("exiv2")

RATED = SidecarContent(4, ("aesthetics: good", "light: fair"), "Grün & <gut>.", {"score": "61.2"})
OURS = ("Xmp.xmp.Rating", "Xmp.dc.subject", "Xmp.dc.description", "Xmp.lr.hierarchicalSubject",
        "Xmp.digiKam.TagsList", f"Xmp.{PREFIX}.")  # fmt: skip
SUBJECT = "Xmp.dc.subject"
STARRED = Columns(stars=StarRule()).schema


def text_of(data):
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[2:].decode(encoding)
    return data.decode("utf-8-sig")


def read(data):
    """Every field of a sidecar, as exiv2 reads it."""
    body = text_of(data)
    body = body[body.index("<x:xmpmeta") : body.index("</x:xmpmeta>") + 12]
    image = exiv2.ImageFactory.open(body.encode())
    image.readMetadata()
    return {datum.key(): str(datum.value()) for datum in image.xmpData()}


def theirs(fields):
    return {key: value for key, value in fields.items() if not key.startswith(OURS)}


def sidecar(**fields):
    """A sidecar with a few fields, in bytes."""
    image = exiv2.ImageFactory.create(exiv2.ImageType.xmp)
    for name, value in fields.items():
        image.xmpData()[f"Xmp.{name.replace('__', '.')}"] = value
    image.writeMetadata()
    io = image.io()
    io.open()
    return bytes(io.mmap())


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
    assert other.split("<x:xmpmeta")[0] == one.split("<x:xmpmeta")[0]
    assert other.split("</x:xmpmeta>")[1] == one.split("</x:xmpmeta>")[1]
    declared = {part.split('"')[1] for part in one.split("xmlns:")[1:] if '"' in part.split(">")[0]}
    assert declared and all(f'"{namespace}"' in other for namespace in declared)


@pytest.mark.parametrize("name", [None, *LAYOUTS])
def test_the_same_again_changes_no_byte(name):
    once = merge_sidecar(LAYOUTS.get(name), RATED).data
    again = merge_sidecar(once, RATED)
    assert again.data == once
    assert again.changes == ()


def test_one_prefix_for_two_namespaces_in_one_run():
    for namespace in ("https://example.org/one/", "https://example.org/two/"):
        old = LAYOUTS["stranger"].replace(b"https://example.org/fields/", namespace.encode())
        new = merge_sidecar(old, RATED).data.decode()
        assert f'"{namespace}"' in new
        assert "Ada" in new


@pytest.mark.parametrize(
    ("there", "expected", "kept"),
    [
        (None, "4", ()),
        ({"xmp__Rating": "5"}, "5", ("rating 5",)),
        ({"xmp__Rating": "-1"}, "-1", ("rating -1",)),
        ({"xmp__Rating": "0"}, "4", ()),
        ({"xmp__Rating": "2.0"}, "2.0", ("rating 2",)),
        ({"MicrosoftPhoto__Rating": "75"}, None, ("rating 75",)),
        ({"xmp__Rating": "3", "vlmaes__rating": "3"}, "4", ()),
        ({"xmp__Rating": "2", "vlmaes__rating": "3"}, "2", ("rating 2",)),
        ({"xmp__Rating": "0", "vlmaes__rating": "3"}, "0", ("rating 0",)),
        ({"vlmaes__rating": "3"}, None, ("rating 0",)),
    ],
)
def test_a_persons_rating_stays(there, expected, kept):
    merge_sidecar(None, RATED)  # so that exiv2 knows our namespace
    found = merge_sidecar(sidecar(**there) if there else None, RATED)
    assert read(found.data).get("Xmp.xmp.Rating") == expected
    assert found.kept == kept
    asked = merge_sidecar(sidecar(**there) if there else None, RATED, overwrite_rating=True)
    assert read(asked.data)["Xmp.xmp.Rating"] == "4"
    later = merge_sidecar(asked.data, SidecarContent(2))
    assert read(later.data)["Xmp.xmp.Rating"] == "2"


def test_the_rating_that_stands_for_none_is_the_users_to_say():
    assert read(merge_sidecar(LAYOUTS["darktable"], RATED).data)["Xmp.xmp.Rating"] == "1"
    assert read(merge_sidecar(LAYOUTS["darktable"], RATED, unrated=1).data)["Xmp.xmp.Rating"] == "4"


def test_a_rating_in_the_picture_goes_along(tmp_path):
    """A program that finds a sidecar does not look into the picture for what the sidecar lacks."""
    photo = tmp_path / "a.jpg"
    tiny.images(1)[0].save(photo)
    assert embedded_rating(photo) == 0
    image = exiv2.ImageFactory.open(str(photo))
    image.readMetadata()
    image.xmpData()["Xmp.xmp.Rating"] = "5"
    image.writeMetadata()
    assert embedded_rating(photo) == 5
    found = merge_sidecar(None, RATED, embedded=5)
    assert (read(found.data)["Xmp.xmp.Rating"], found.kept) == ("5", ("rating 5",))
    assert read(merge_sidecar(found.data, RATED, embedded=5).data)["Xmp.xmp.Rating"] == "5"
    (tmp_path / "notes.txt").write_text("no picture")
    assert embedded_rating(tmp_path / "notes.txt") == 0


def test_keywords_are_replaced_by_subject_and_a_persons_stay():
    bag = exiv2.XmpArrayValue(["light: fair", "sea"], exiv2.TypeId.xmpBag)
    first = merge_sidecar(sidecar(dc__subject=bag), RATED).data
    second = merge_sidecar(first, SidecarContent(4, ("aesthetics: poor",))).data
    assert read(second)[SUBJECT] == "light: fair, sea, aesthetics: poor"
    third = merge_sidecar(second, SidecarContent(4, ("light: bad",))).data
    # "light: fair" was a person's before it was ours
    assert read(third)[SUBJECT] == "light: fair, sea, aesthetics: poor, light: bad"
    assert read(merge_sidecar(third, SidecarContent(4, ("light: good",))).data)[SUBJECT] == (
        "light: fair, sea, aesthetics: poor, light: good")  # fmt: skip


def test_trees_of_keywords_follow():
    first = merge_sidecar(LAYOUTS["digikam"], RATED).data
    again = read(merge_sidecar(first, SidecarContent(4, ("light: bad",))).data)
    assert again["Xmp.digiKam.TagsList"] == ("People/Ada, vlm-aes/aesthetics: good, vlm-aes/light: bad")


def test_a_persons_description_stays_and_ours_is_renewed():
    ours = merge_sidecar(None, RATED).data
    renewed = merge_sidecar(ours, SidecarContent(description="Now else."))
    assert "Now else." in read(renewed.data)["Xmp.dc.description"]
    assert "description" in renewed.changes
    edited = renewed.data.replace(b'x-default">Now else.', b'x-default">My words.')
    kept = merge_sidecar(edited, RATED)
    assert read(kept.data)["Xmp.dc.description"] == 'lang="x-default" My words.'
    assert kept.kept == ("description",)
    assert b"Gr\xc3\xbcn" not in kept.data


@pytest.mark.parametrize("data", [b"", b"dear diary", LAYOUTS["darktable"][:900], b"\xff\xfe\0",
                                  b"<svg/>", b"\x89PNG\r\n\x1a\n"])  # fmt: skip
def test_what_is_no_xmp_is_left(data):
    with pytest.raises(OutputError, match="no XMP that can be read"):
        merge_sidecar(data, RATED)


def test_keywords_in_a_form_that_is_no_list_are_left():
    odd = LAYOUTS["digikam"].replace(
        b"<rdf:li>Ada</rdf:li>", b'<rdf:li rdf:parseType="Resource"><dc:title>Ada</dc:title></rdf:li>'
    )
    with pytest.raises(OutputError, match=r"dc\.subject is no plain list"):
        merge_sidecar(odd, RATED)


def test_a_sidecar_that_would_lose_something_is_left(monkeypatch):
    real = xmp._open

    def forgetful(library, data):
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
    from xml.sax.saxutils import escape, quoteattr

    attributes = " ".join(f"a:{n}={quoteattr(v)}" for n, v in plain.items())
    items = "".join(f"<rdf:li>{escape(v)}</rdf:li>" for v in listed)
    old = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        f'xmlns:a="https://example.org/a/" xmlns:b="https://example.org/b/" {attributes}>'
        f"<b:list><rdf:Seq>{items}</rdf:Seq></b:list></rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()
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
    (photos / "c.xmp").write_bytes(LAYOUTS["digikam"])
    with pytest.raises(OutputError, match=r"could be for \.png of the same name"):
        names("c.jpg", "adobe")
    (photos / "c.nef").write_bytes(b"")
    assert names("c.nef", "adobe") == names("c.nef") == ["c.xmp"]
    (photos / "a.xmp").write_bytes(LAYOUTS["digikam"])
    assert names("a.png") == ["a.png.xmp", "a.xmp"]
    with pytest.raises(ValueError, match="choose one of auto, darktable, adobe"):
        SidecarWriter("bridge")


def snapshot(folder):
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns, p.stat().st_mode) for p in Path(folder).iterdir()}


def row(path, **values):
    return {"path": str(path), "score": 61.23, "level": "good", "model": "m@1", "prompt": "p",
            "percentile": 81.0, "error": None, "stars": 4, "critique": "Good.",
            "attr_depth_of_field": 79.0, "attr_depth_of_field_residual": 1.0, **values}  # fmt: skip


def test_what_a_row_says():
    rated = sidecar_content(row("a.png"))
    assert rated.keywords == ("aesthetics: good", "depth of field: good")
    assert rated.notes == {"score": "61.2", "percentile": "81.0", "level": "good", "model": "m@1",
                           "prompt": "p", "critique": "Good."}  # fmt: skip
    ends = [sidecar_content(row("a", attr_light=v)).keywords[-1] for v in (0.0, 19.9, 20.0, 100.0)]
    assert ends == ["light: bad", "light: bad", "light: poor", "light: excellent"]


def test_a_dry_run_says_what_a_run_does_and_changes_nothing(photos):
    rows = [row(p) for p in sorted(photos.glob("*.[jp][pn]g"))] + [row("gone.jpg")]
    before = snapshot(photos)
    dry = [str(o) for o in SidecarWriter(dry_run=True).write(rows)]
    assert snapshot(photos) == before
    assert [str(o) for o in SidecarWriter().write(rows)] == dry
    assert "gone.jpg: left, no file of its own here" in dry
    after = snapshot(photos)
    changed = {n for n in after if after[n] != before.get(n)}
    assert changed == {"a.png.xmp", "ä ö [1].jpg.xmp", "c.jpg.xmp", "c.png.xmp", "bad.jpg.xmp"}
    assert stat.S_IMODE(after["a.png.xmp"][2]) == 0o640
    outcomes = list(SidecarWriter().write(rows))
    assert {o.action for o in outcomes} == {"same", "left"}
    assert snapshot(photos) == after


def test_one_that_cannot_be_written_does_not_end_the_run(photos):
    (photos / "c.jpg.xmp").mkdir()
    (photos / "a.png.xmp").write_text("dear diary")
    found = list(SidecarWriter().write(row(photos / n) for n in ("c.jpg", "a.png", "c.png")))
    assert [o.failed for o in found] == [True, True, False]
    assert "Is a directory" in str(found[0])
    assert (photos / "a.png.xmp").read_text() == "dear diary"
    assert not [p for p in photos.iterdir() if p.name.startswith(".")]


def test_a_link_stays_a_link(photos, tmp_path):
    store = tmp_path / "store.xmp"
    store.write_bytes(LAYOUTS["digikam"])
    (photos / "c.png.xmp").symlink_to(store)
    list(SidecarWriter().write([row(photos / "c.png")]))
    assert (photos / "c.png.xmp").is_symlink()
    assert b"aesthetics: good" in store.read_bytes()


def test_one_call_and_two_give_the_same(photos, tmp_path):
    """``score --xmp``, and ``score --out`` with ``xmp`` afterwards."""
    run = CliRunner().invoke
    before = snapshot(photos)
    dry = run(app, ["score", str(photos), "--xmp", "--dry-run"])
    assert dry.exit_code == 1, dry.output  # one file is no picture
    assert f"{photos}/a.png.xmp: changed; aesthetics" in dry.stdout.replace("\n", "")
    assert snapshot(photos) == before
    out = tmp_path / "t.csv"
    assert run(app, ["score", str(photos), "--out", str(out), "--xmp"]).exit_code == 1
    stars = [r["stars"] for r in read_rows(out, STARRED)]
    assert [s is None for s in stars] == [False, True, False, False, False]
    first = snapshot(photos)
    assert set(first) - set(before) == {"ä ö [1].jpg.xmp", "c.jpg.xmp", "c.png.xmp"}
    again = run(app, ["xmp", str(out)])
    assert again.exit_code == 0, again.output
    assert "4 same" in again.stderr
    assert snapshot(photos) == first


def test_stars_of_the_run_in_the_table(photos, tmp_path):
    out = tmp_path / "t.jsonl"
    result = CliRunner().invoke(app, ["score", str(photos), "--out", str(out), "--stars",
                                      "0,30,60,80,100", "--stars-among", "run"])  # fmt: skip
    assert result.exit_code == 1, result.output
    rows = [r for r in read_rows(out, STARRED) if not r["error"]]
    rows.sort(key=lambda r: r["score"])
    assert [r["stars"] for r in rows] == [1, 2, 3, 4]
    # the same without a table, with a choice (among all that were rated), and afterwards
    words = ["--xmp", "--dry-run", "--stars", "0,30,60,80,100", "--stars-among", "run"]
    plain = CliRunner().invoke(app, ["score", str(photos), *words]).stdout
    best = CliRunner().invoke(app, ["score", str(photos), *words, "--top-k", "2"]).stdout
    later = CliRunner().invoke(app, ["xmp", str(out), "--dry-run", "--unrated", "1"]).stdout
    for stars, row in enumerate(rows, 1):
        line = rf"{re.escape(row['path'])}.xmp: \w+; (rating {stars}|aes.*rating 1 kept)"
        assert re.search(line, plain)
        assert bool(re.search(line, best)) == (stars > 2)
        assert f"{row['path']}.xmp" in later
        assert f"rating {stars}" in later or stars == 1
    assert not list(photos.glob("*1*.xmp"))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--dry-run"], "go with --xmp"),
        (["--xmp", "--dry-run", "--out", "t.csv"], "leave --out, --html and --dataset out"),
        (["--xmp", "--xmp-layout", "bridge"], "choose one of auto, darktable, adobe"),
        (["--xmp", "--stars", "1,2"], "five ascending percentiles"),
        (["--stars-among", "run"], "goes with --stars or --xmp"),
    ],
)
def test_wrong_calls(photos, words, reason):
    before = snapshot(photos)
    result = CliRunner().invoke(app, ["score", str(photos), *words])
    assert result.exit_code == 2
    assert reason in result.stderr
    assert snapshot(photos) == before


def test_a_model_without_reference_photos_needs_those_of_the_run(photos, tmp_path):
    model = str(tiny.build("fast_vlm", tmp_path / "fast_vlm"))
    words = ["score", str(photos / "a.png"), "--model", model, "--xmp", "--dry-run"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--stars-among run" in result.stderr
    result = CliRunner().invoke(app, [*words, "--stars-among", "run"])
    assert result.exit_code == 0, result.output


def test_without_exiv2_the_message_says_what_to_install(photos, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "exiv2", None)
    result = CliRunner().invoke(app, ["score", str(photos), "--xmp"])
    assert result.exit_code == 2
    assert "pip install 'vlm-aes[xmp]'" in result.stderr
