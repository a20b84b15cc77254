"""The command as a person types it: streams, exit codes, bad input."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny_checkpoints as tiny
from tests.golden.make import png_header
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny.build("fast_vlm", tmp_path_factory.mktemp("tiny") / "fast_vlm"))


def vlm_aes(*words, stdin=""):
    command = [sys.executable, "-m", "vlm_aes.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, input=stdin)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """Good images of every odd kind, and bad files of every kind."""
    folder = tmp_path_factory.mktemp("zoo")
    photo = tiny.images(1)[0].resize((120, 90))
    photo.save(folder / "good.jpg")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(folder / "sixteen.png")
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=exif)
    Image.merge("RGBA", [*photo.split(), Image.new("L", photo.size, 90)]).save(folder / "clear.png")
    photo.save(folder / "zähne 東京 [1].webp")
    (folder / "cut.jpg").write_bytes((folder / "good.jpg").read_bytes()[:900])
    (folder / "text.jpg").write_text("dear diary")
    (folder / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    (folder / "huge.png").write_bytes(png_header(30_000, 30_000))
    return folder


ERRORS = {"cut.jpg": "truncated", "text.jpg": "not_an_image", "empty.jpg": "truncated",
          "dot.png": "too_small", "huge.png": "too_large"}  # fmt: skip


def test_every_file_is_a_row_with_a_score_or_an_error(zoo, checkpoint, tmp_path):
    out = tmp_path / "t.csv"
    code = (
        "import sys; from pathlib import Path; from vlm_aes.cli import app\n"
        f"sys.argv = ['vlm-aes', 'score', {str(zoo)!r}, '--model', {checkpoint!r}, '--out', "
        f"{str(out)!r}, '--attributes', '--facts', '--rationale']\n"
        "try: app()\n"
        # getrusage would tell of the process that started this one, too
        "finally: print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert int(result.stdout) < 2_000_000  # kilobytes
    rows = {Path(r["path"]).name: r for r in read_rows(out, Columns(facts=True).schema)}
    assert len(rows) == 12
    assert {name: row["error"].split(": ")[0] for name, row in rows.items() if row["error"]} == ERRORS
    for row in rows.values():
        assert row["score"] is None if row["error"] else 0 <= row["score"] <= 100, row
    assert (rows["turned.jpg"]["width"], rows["turned.jpg"]["height"]) == (90, 120)
    assert "12 images" in result.stderr


def test_the_list_is_on_stdout_and_all_else_on_stderr(zoo, checkpoint):
    result = vlm_aes("score", zoo / "good.jpg", "--model", checkpoint, "--rationale")
    assert result.returncode == 0
    assert "good.jpg" in result.stdout
    assert result.stderr.startswith("Loading ") and "1 image in" in result.stderr
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


def test_paths_come_from_stdin_and_scores_are_shown_on_the_scale(zoo, checkpoint, tmp_path):
    out = tmp_path / "t.jsonl"
    result = vlm_aes("score", "-", "--model", checkpoint, "--out", out, "--scale", "1-5",
                     stdin=f"{zoo / 'good.jpg'}\n{zoo / 'gone.jpg'}\n")  # fmt: skip
    assert result.returncode == 1
    good, gone = map(json.loads, out.read_text().splitlines())
    assert good["score_scaled"] == pytest.approx(1 + good["score"] / 25)
    assert gone["error"].startswith("missing: ")
    assert gone["score"] is None


def test_explain_prints_one_json_object_or_text(zoo, checkpoint):
    result = vlm_aes("explain", zoo / "good.jpg", "--model", checkpoint, "--json")
    assert result.returncode == 0, result.stderr
    data = json.loads(result.stdout)
    assert {*Columns(rationale=True).names, "facts", "attributes", "claims"} <= set(data)
    assert data["facts"]["exposure"]["unit"] == "stops"
    shown = vlm_aes("explain", zoo / "good.jpg", "--model", checkpoint)
    assert "excellent" in shown.stdout
    assert vlm_aes("explain", zoo / "cut.jpg", "--model", checkpoint).returncode == 1


def test_samples_are_written_once(tmp_path):
    result = vlm_aes("samples", tmp_path / "s")
    assert (result.returncode, result.stdout) == (0, "")
    files = sorted((tmp_path / "s").iterdir())
    assert len(files) == 28
    before = files[0].stat().st_mtime_ns
    vlm_aes("samples", tmp_path / "s")
    assert files[0].stat().st_mtime_ns == before
    assert vlm_aes("samples", files[0]).returncode == 2
