"""A file name is bytes: it goes through every table, list and sidecar, and comes back."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny_checkpoints as tiny
from tests.cli import run
from vlm_aes.bulk.select.place_files import place_files, undo_placement
from vlm_aes.files import NAME_ERRORS, path_of, spell_path
from vlm_aes.output.results import read_rows
from vlm_aes.ratings.records import read_records

pytestmark = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are UTF-16, or must be UTF-8")
NAMES = [b"caf\xe9.png", b"\xff\xfe\x80.png", "na\u00efve \uefe9\n\u65e5.png".encode(), b'\xe6\x97 [1],"a".png']


@given(st.binary() | st.text(st.characters(min_codepoint=0xEF70, max_codepoint=0xF010)).map(str.encode))
def test_every_name_is_spelled_in_utf8_and_comes_back(name):
    path = os.fsdecode(name)
    spelled = spell_path(path)
    assert spelled.encode().decode() == spelled
    assert path_of(spelled) == path
    assert path.encode("utf-8", NAME_ERRORS) == name and name.decode("utf-8", NAME_ERRORS) == path


def test_what_is_no_byte_of_a_name_is_a_question_mark():
    assert "a\ud800\udce9b".encode("utf-8", NAME_ERRORS) == b"a?\xe9b"


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p").mkdir()
    for name, image in zip(NAMES, tiny.images(len(NAMES))):
        image.save(Path("p", os.fsdecode(name)), "PNG")
    return [str(Path("p", name)) for name in sorted(map(os.fsdecode, NAMES))]


def command(*words, stdin=b""):
    """The command in a process of its own, whose streams are bytes."""
    call = [sys.executable, "-m", "vlm_aes.cli", *words]
    return subprocess.run(call, input=stdin, capture_output=True, env={**os.environ, "PYTHONPATH": os.fspath(HERE)})


HERE = Path(__file__).parents[1]


@pytest.mark.parametrize("out", ["t.csv", "t.jsonl", "t.parquet", "t/"])
def test_tables_lists_and_choices_hold_any_name(photos, out):
    kept = []
    for words in ([], ["--resume"]):
        assert run("score", "p", "--fast", "--out", out, "--stats", "s.json", *words).exit_code == 0
        assert [row["path"] for row in read_rows(Path(out))] == photos
        assert [r["path"] for r in read_records(Path(out))[0]] == photos
        kept.append(json.loads(Path("s.json").read_text())["kept"])
    assert kept == [0, len(photos)]
    assert run("choose", out, "--fraction", "1", "--link", "best").exit_code == 0
    assert sorted(os.path.realpath(f) for f in Path("best").glob("*.png")) == [str(Path(p).resolve()) for p in photos]


def test_paths_go_in_and_out_ended_by_nul(photos):
    names = [os.fsencode(p) for p in photos]
    done = command("score", "-", "-0", "--fast", "--out", "t.csv", stdin=b"\0".join([*names, b"gone\r"]))
    assert done.returncode == 1 and b", 1 missing" in done.stderr
    listed = command("choose", "t.csv", "--fraction", "1", "--null")
    assert sorted(listed.stdout.split(b"\0")) == sorted([b"", *names])
    lines = command("score", "-", "--fast", "--out", "u.csv", stdin=b"\r\n".join([*names[:1], b""]))
    assert lines.returncode == 0
    assert command("choose", "u.csv", "--top-k", "1").stdout == names[0] + b"\n"
    assert b"--null goes with the path -" in command("score", "p", "--null").stderr


def test_every_name_gets_its_sidecar_and_one_that_is_gone_stops_no_other(photos):
    pytest.importorskip("exiv2")
    assert run("score", "p", "--fast", "--out", "t.csv", "--xmp").exit_code == 0
    sidecars = [Path(f"{photo}.xmp") for photo in photos]
    assert all(b"aesthetics:" in sidecar.read_bytes() for sidecar in sidecars)
    upper = sidecars[0].rename(f"{photos[0]}.XMP")
    Path(photos[1]).unlink()
    sidecars[2].unlink()
    done = command("xmp", "t.csv")
    assert done.returncode == 1
    assert b"sidecars: 1 left, 1 new, 2 same" in done.stderr and os.fsencode(photos[1]) + b": left" in done.stderr
    assert sidecars[2].exists() and upper.exists() and not sidecars[0].exists()


@pytest.mark.parametrize("way", ["link", "copy", "move"])
def test_a_file_that_is_gone_or_has_a_long_name_stops_no_other(photos, way):
    long = Path("p", "x" * 200 + os.fsdecode(b"\xe9") * 51 + ".png")
    Path(photos[0]).rename(long)
    said = []
    assert place_files([*photos, str(long), "y" * 300], Path("best"), way, say=said.append) == len(photos)
    assert len(said) == 2 and "no such file" in said[0]
    assert max(len(os.fsencode(file.name)) for file in Path("best").iterdir()) == 255
    assert undo_placement(Path("best")) == len(photos)
    assert long.is_file()
