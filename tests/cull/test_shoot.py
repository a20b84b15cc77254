"""A small shoot from files to verdicts: units, groups, resumption, hostile files, and what is written."""

import io
import json
import os
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFilter

from tests.bulk.select.photos import photo
from tests.cli import run
from vlm_aes import Assessor
from vlm_aes.cull import shoot as shoots
from vlm_aes.cull.corrections import Corrections
from vlm_aes.cull.measurement import Measurement
from vlm_aes.cull.settings import CullSettings
from vlm_aes.cull.shoot import cull_shoot
from vlm_aes.errors import OutputError, SettingsError, SourceError


class NoFaces:
    def read(self, image):
        return []


@pytest.fixture(scope="module")
def assessor():
    return Assessor.from_pretrained(fast=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def exif_at(second, body="X100"):
    exif = Image.Exif()
    exif[0x0110] = body
    exif.get_ifd(0x8769).update({0x9003: f"2024:05:04 10:00:{second:02d}", 0x9291: "25"})
    return exif


@pytest.fixture
def folder(tmp_path):
    """A burst of three with a blurred frame, two single frames, and a RAW of one of them."""
    place = tmp_path / "shoot"
    place.mkdir()
    frames = [photo(), photo().filter(ImageFilter.GaussianBlur(3)), photo(), photo("coffee"), photo("chelsea")]
    for i, (image, second) in enumerate(zip(frames, (1, 2, 3, 20, 40), strict=True)):
        image.save(place / f"IMG_{i}.jpg", exif=exif_at(second), quality=92)
    (place / "IMG_4.CR2").write_bytes(b"II*\0 no raw file")
    return place


def judge(assessor, place, keep=None, **options):
    settings = CullSettings(paths=[str(place)], keep=keep)
    return cull_shoot(settings.paths, settings, assessor=assessor, reader=NoFaces(), **options)


def by_name(shoot):
    return {Path(row["path"]).name: row for row in shoot.rows}


def names_in(folder):
    return sorted(file.name for file in folder.iterdir())


def hostile(place):
    for i in range(8):
        (place / f"hostile{i}.jpg").write_bytes((b"", b"\xff\xd8\xff", b"GIF89a", b"<html>")[i % 4] * (1 + i))
    (place / "IMG_9.jpg").symlink_to("nowhere")
    os.mkfifo(place / "pipe.png")


def test_rows_units_groups_and_verdicts(folder, assessor):
    rows = by_name(judge(assessor, folder))
    assert list(rows) == ["IMG_0.jpg", "IMG_1.jpg", "IMG_2.jpg", "IMG_3.jpg", "IMG_4.CR2", "IMG_4.jpg"]
    burst = [rows[f"IMG_{i}.jpg"] for i in range(3)]
    assert len({row["group"] for row in burst}) == 1 and {row["group_kind"] for row in burst} == {"burst"}
    assert burst[1]["rank"] == 3 and burst[1]["verdict"] == "reject" and "blurred" in burst[1]["reason"]
    assert burst[0]["verdict"] == burst[2]["verdict"] == "maybe" and "too close to call" in burst[0]["reason"]
    raw, jpeg = rows["IMG_4.CR2"], rows["IMG_4.jpg"]
    assert raw["unit"] == jpeg["unit"] == jpeg["path"] and raw["verdict"] == jpeg["verdict"]
    assert jpeg["sha256"] and not raw["sha256"] and not raw["error"] and jpeg["width"] == 160
    assert sum(row["verdict"] == "keep" for row in judge(assessor, folder, keep=2).rows) in (2, 3)


def test_hostile_files_are_error_rows_and_change_nothing(folder, assessor):
    clean = by_name(judge(assessor, folder))
    hostile(folder)
    shoot = judge(assessor, folder)
    rows = by_name(shoot)
    assert {name: row for name, row in rows.items() if name in clean} == clean
    failed = [row for name, row in rows.items() if name not in clean]
    assert len(failed) >= 9 and all(row["error"] and row["verdict"] is None for row in failed)
    assert shoot.counts["error"] == len(failed)


def test_a_jpeg_that_broke_gives_way_to_its_raw(folder, assessor):
    preview = io.BytesIO()
    photo().resize((1200, 900)).save(preview, "JPEG")
    (folder / "IMG_4.CR2").write_bytes(b"II*\0 sensor " + preview.getvalue() + b" more")
    (folder / "IMG_4.jpg").write_bytes(b"broken")
    rows = by_name(judge(assessor, folder))
    assert rows["IMG_4.jpg"]["error"] and rows["IMG_4.jpg"]["verdict"] is None
    raw = rows["IMG_4.CR2"]
    assert raw["verdict"] and (raw["width"], raw["height"]) == (1200, 900) and raw["sha256"]
    assert raw["unit"] == rows["IMG_4.jpg"]["unit"]


def test_a_second_run_decodes_nothing_and_says_the_same(folder, assessor, monkeypatch, tmp_path):
    first = judge(assessor, folder)
    monkeypatch.setattr(shoots.FrameMeter, "_prepare", None)
    again = judge(assessor, folder)
    assert again.rows == first.rows and again.stats.resumed == 5
    (folder / "IMG_3.jpg").rename(folder / "IMG_8.jpg")
    data = (folder / "IMG_8.jpg").read_bytes()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert by_name(judge(assessor, folder))["IMG_8.jpg"]["sha256"] == first.rows[3]["sha256"] and data


def test_an_interrupted_run_keeps_what_it_measured(folder, assessor, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shoots, "judge", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judge(assessor, folder)
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    assert judge(assessor, folder).stats.resumed == 5


def test_a_corrected_group_survives(folder, assessor):
    first = judge(assessor, folder)
    refs = {ref.name: ref for ref in shoots.member_refs(str(folder), first.frames, first_measured(assessor, folder))}
    Corrections().dissolve([refs[f"IMG_{i}.jpg"] for i in range(3)]).save(folder)
    kinds = [row["group_kind"] for row in judge(assessor, folder).rows]
    assert kinds == ["single"] * 6
    (folder / "IMG_4.jpg").rename(folder / "other.jpg")
    assert run("cull", folder, "--xmp").exit_code in (0, 1)
    assert by_name(judge(assessor, folder))["IMG_0.jpg"]["group_kind"] == "single"


def first_measured(assessor, folder):
    seen = []
    original = shoots.member_refs

    def keep(place, frames, measured):
        seen[:] = measured
        return original(place, frames, measured)

    Corrections().merge([shoots.MemberRef("none")]).save(folder)
    shoots.member_refs = keep
    try:
        judge(assessor, folder)
    finally:
        shoots.member_refs = original
    return seen


def test_measurements_survive_the_cache(folder, assessor):
    one = first_measured(assessor, folder)[0]
    again = Measurement.from_bytes(one.to_bytes())
    assert again.row == one.row and again.signals == one.signals and again.stops == one.stops
    assert all((getattr(again, n) == getattr(one, n)).all() for n in ("embedding", "layout", "grey"))


def test_the_command_writes_what_is_asked_for_and_takes_it_back(folder, tmp_path):
    before = names_in(folder)
    table, log, links = tmp_path / "t.parquet", tmp_path / "log.jsonl", tmp_path / "best"
    dry = run("cull", folder, "--xmp", "--link", links, "--dry-run", "--log", log)
    assert dry.exit_code == 0 and "IMG_0 to 2" in dry.stdout and "6 files, 5 exposures, 1 burst" in dry.stdout
    assert names_in(folder) == before and not links.exists()
    assert Counter(bool(json.loads(line).get("planned")) for line in log.read_text().splitlines()) == {
        True: 6,
        False: 6,
    }
    done = run("cull", folder, "--xmp", "--link", links, "--out", table, "--json")
    shown = json.loads(done.stdout)
    assert done.exit_code == 0 and shown["counts"]["reject"] == 1 and len(shown["rows"]) == 6
    assert pq.read_table(table)["verdict"].to_pylist() == [row["verdict"] for row in shown["rows"]]
    assert (links / "reject").is_dir() and "IMG_4.xmp" in names_in(folder)
    assert {"IMG_1.jpg.xmp", "IMG_4.jpg.xmp"} < set(names_in(folder))
    assert run("cull", folder, "--out", table).exit_code == 2
    assert run("cull", "--undo", links).exit_code == 0 and list(links.iterdir()) == []
    assert run("cull", "--undo", folder).exit_code == 0 and names_in(folder) == before


def test_wrong_calls(tmp_path, assessor):
    for wrong in ({}, {"paths": ["a"], "undo": tmp_path}, {"paths": ["a"], "keep": 0}, {"paths": ["a"], "null": True}):
        with pytest.raises(SettingsError):
            CullSettings(**wrong)
    with pytest.raises(OutputError, match="ends in"):
        CullSettings(paths=["a"], out=tmp_path / "t.txt")
    with pytest.raises(SourceError, match="no image"):
        judge(assessor, tmp_path)
