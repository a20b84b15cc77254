"""No row is lost: formats, permissions, full disks, torn journals, killed processes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.bulk.runs import COLUMNS, run, same_rows
from vlm_aes.bulk import ScoreOptions, Sink, find_image_paths, score_images
from vlm_aes.errors import OutputError
from vlm_aes.output import table
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns


@pytest.mark.parametrize("suffix", table.FORMATS)
def test_formats_hold_the_same(assessor, folder, tmp_path, suffix):
    done, _ = run(assessor, folder, tmp_path / f"t{suffix}")
    assert list(read_rows(tmp_path / f"t{suffix}", COLUMNS.schema)) == done
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", f"t{suffix}"]
    assert "NaN" not in (tmp_path / f"t{suffix}").read_bytes().decode("utf-8", "ignore")


def test_an_existing_file_is_not_overwritten_unasked(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite replaces it"):
        run(assessor, folder, out)
    assert out.read_text() == "precious"
    run(assessor, folder, out, overwrite=True)
    assert out.read_text().startswith("path,sha256")
    with pytest.raises(OutputError, match="ends in .csv"):
        Sink(str(tmp_path / "t.xlsx"), COLUMNS.schema)


def test_second_run_on_one_file_is_refused(tmp_path):
    with (
        Sink(str(tmp_path / "t.csv"), COLUMNS.schema),
        pytest.raises(OutputError, match="another run"),
        Sink(str(tmp_path / "t.csv"), COLUMNS.schema, resume=True),
    ):
        pass


def test_a_folder_as_output_holds_shards(assessor, folder, tmp_path):
    out = str(tmp_path / "shards") + "/"
    run(assessor, folder, out)
    assert pq.read_table(out).num_rows == 11
    _, stats = run(assessor, folder, out, resume=True)
    assert stats.resumed == 10


def test_full_disk_keeps_the_good_part(assessor, folder, tmp_path, monkeypatch):
    real, shards = pq.write_table, []

    def full(data, where, *args, **kwargs):
        shards.append(where)
        if len(shards) == 2:
            raise OSError(28, "No space left on device")
        return real(data, where, *args, **kwargs)

    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 4)
    monkeypatch.setattr(pq, "write_table", full)
    out = tmp_path / "t.csv"
    with pytest.raises(OutputError, match=r"No space left.*make room and run again with --resume"):
        run(assessor, folder, out)
    assert not out.exists()
    monkeypatch.setattr(pq, "write_table", real)
    done, stats = run(assessor, folder, out, resume=True)
    assert stats.resumed == 8
    assert len(done) == 11


@pytest.fixture
def interrupted(checkpoint, tmp_path):
    """A run over 400 images that gets a signal soon after its first rows are written: its command, its output file,
    its exit code."""

    def start(signal_number):
        photos = tmp_path / "photos"
        photos.mkdir()
        rng = np.random.default_rng(0)
        for i in range(400):
            pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(photos / f"{i:03d}.png")
        out = tmp_path / "t.jsonl"
        command = [sys.executable, "-m", "vlm_aes.cli", "score", str(photos), "--model",
                   str(checkpoint), "--facts", "--out", str(out)]  # fmt: skip
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        part = tmp_path / "t.jsonl.part"
        deadline = time.monotonic() + 120
        journal = part / "_journal-0001.jsonl"
        while time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > 10:
                break
            time.sleep(0.005)
            assert process.poll() is None, process.stderr.read()
        process.send_signal(signal_number)
        _, said = process.communicate()
        assert not out.exists()
        return command, out, process.returncode, said.decode()

    return start


def test_kill_nine_loses_at_most_what_was_in_flight(interrupted):
    command, out, _, _ = interrupted(signal.SIGKILL)
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert " kept" in result.stderr
    columns = Columns(facts=True).schema
    resumed = list(read_rows(out, columns))
    subprocess.run([*command, "--overwrite"], capture_output=True, check=True)
    same_rows(resumed, list(read_rows(out, columns)))


def test_interrupted_ends_cleanly_and_keeps_what_is_done(interrupted):
    command, out, code, said = interrupted(signal.SIGINT)
    assert code == 130
    assert said.strip().endswith("vlm-aes: interrupted")
    result = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert " kept" in result.stderr
    assert len(out.read_text().splitlines()) == 400


def test_a_torn_journal_gives_its_whole_rows(assessor, folder, tmp_path):
    out = tmp_path / "t.parquet"
    with Sink(str(out), COLUMNS.schema) as sink:
        for _ in score_images(assessor, find_image_paths([str(folder)]), COLUMNS, ScoreOptions(), batch_size=4,
                      sink=sink):  # fmt: skip
            pass
    journal = out.with_name("t.parquet.part") / "_journal-0001.jsonl"
    data = journal.read_bytes()
    journal.write_bytes(data[: len(data) - 40])
    _, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, stats.rated + stats.repeated) == (9, 1)
    assert len(list(read_rows(out, COLUMNS.schema))) == 11


def test_a_full_disk_in_the_journal_keeps_what_was_committed(assessor, folder, tmp_path, monkeypatch):
    out, real, calls = tmp_path / "t.csv", os.write, []

    def full(handle, data):
        calls.append(len(data))
        if len(calls) == 2:
            return real(handle, data[:50])
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr("vlm_aes.bulk.journal.os.write", full)
    with pytest.raises(OutputError, match="No space left"):
        run(assessor, folder, out)
    monkeypatch.undo()
    journal = out.with_name("t.csv.part") / "_journal-0001.jsonl"
    kept = journal.read_text().splitlines()
    assert [json.loads(line)["row"]["path"] for line in kept]
    _, stats = run(assessor, folder, out, resume=True)
    assert stats.resumed == len(kept)
    assert len(list(read_rows(out, COLUMNS.schema))) == 11
