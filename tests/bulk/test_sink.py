"""No row is lost: formats, permissions, full disks, torn journals, killed processes."""

import json
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.bulk.runs import COLUMNS, run, same_rows
from vlm_aes.bulk import ScoreOptions, Sink, find_image_paths, score_images
from vlm_aes.errors import OutputError
from vlm_aes.output import FORMATS
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_hold_the_same(assessor, folder, tmp_path, suffix):
    out = tmp_path / f"t{suffix}"
    done, _ = run(assessor, folder, out)
    assert list(read_rows(out, COLUMNS.schema)) == done
    assert {*tmp_path.iterdir()} == {folder, out}
    assert b"NaN" not in out.read_bytes()


def test_a_file_is_not_overwritten_unasked_nor_written_by_two_runs(assessor, folder, tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("precious")
    with pytest.raises(OutputError, match="--resume goes on with it, --overwrite replaces it"):
        run(assessor, folder, out)
    assert out.read_text() == "precious"
    run(assessor, folder, out, overwrite=True)
    assert out.read_text().startswith("path,sha256")
    with pytest.raises(OutputError, match="ends in .csv"):
        Sink(str(tmp_path / "t.xlsx"), COLUMNS.schema)
    shared = str(tmp_path / "shared.csv")
    with Sink(shared, COLUMNS.schema), pytest.raises(OutputError, match="another run"):
        Sink(shared, COLUMNS.schema, resume=True).__enter__()


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet", "shards/"])
def test_an_interrupted_run_is_deleted_only_when_asked(assessor, folder, tmp_path, name):
    out = f"{tmp_path}/{name}"
    run(assessor, folder, out, limit=5)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    for schema in (COLUMNS.schema, Columns(facts=True).schema):
        with pytest.raises(OutputError, match="interrupted run: go on with --resume, or start anew with --overwrite"):
            Sink(out, schema)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before
    _, stats = run(assessor, folder, out, limit=8, resume=True)
    assert stats.resumed == 8
    _, stats = run(assessor, folder, out, overwrite=True)
    assert (stats.resumed, stats.rows) == (0, 11)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("ended", ["while it took FILE in", "while it cleared up"])
def test_a_run_that_was_ended_as_it_began_or_finished_leaves_FILE_the_truth(
    assessor, folder, tmp_path, monkeypatch, suffix, ended
):
    out, part = tmp_path / f"t{suffix}", tmp_path / f"t{suffix}.part"
    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 4)
    if ended == "while it took FILE in":
        run(assessor, folder, out)
        with (
            mock.patch("vlm_aes.bulk.sink._sync", side_effect=[None, KeyboardInterrupt]),
            pytest.raises(KeyboardInterrupt),
        ):
            run(assessor, folder, out, resume=True)
    else:
        with mock.patch("vlm_aes.bulk.sink.shutil.rmtree"):
            run(assessor, folder, out)
        next(part.glob("shard-*")).unlink()
    assert part.exists()
    _, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, stats.rated) == (10, 0)
    assert len(list(read_rows(out, COLUMNS.schema))) == 11 and not part.exists()


FULL = OSError(28, "No space left on device")


def test_full_disk_keeps_the_good_part(assessor, folder, tmp_path, monkeypatch):
    out, real = tmp_path / "t.csv", pq.write_table
    monkeypatch.setattr("vlm_aes.bulk.sink.SHARD_ROWS", 4)
    with (
        mock.patch.object(pq, "write_table", wraps=real, side_effect=[mock.DEFAULT, FULL]),
        pytest.raises(OutputError, match=r"No space left.*make room and run again with --resume"),
    ):
        run(assessor, folder, out)
    assert not out.exists()
    done, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, len(done)) == (8, 11)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_loses_at_most_what_was_in_flight(assessor, checkpoint, tmp_path, end):
    photos, out = tmp_path / "photos", tmp_path / "t.jsonl"
    photos.mkdir()
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (800, 24, 24, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(photos / f"{i:03d}.png")
    command = [sys.executable, "-m", "vlm_aes.cli", "score", photos, "--model", checkpoint, "--facts", "--out", out]
    # in small batches, so that the first rows come long before the last
    process = subprocess.Popen([*command, "--batch-size", "4"], stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "t.jsonl.part" / "_journal-0001.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 10):
        time.sleep(0.005)
        assert process.poll() is None, process.stderr.read()
    process.send_signal(end)
    _, said = process.communicate()
    assert not out.exists()
    if end == signal.SIGINT:
        assert process.returncode == 130 and said.strip().endswith("vlm-aes: interrupted")
    resumed = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert " kept" in resumed.stderr
    columns = Columns(facts=True)
    same_rows(list(read_rows(out, columns.schema)), run(assessor, photos, columns=columns)[0])


def test_a_torn_journal_gives_its_whole_rows(assessor, folder, tmp_path):
    out = tmp_path / "t.parquet"
    with Sink(str(out), COLUMNS.schema) as sink:
        paths = find_image_paths([str(folder)])
        assert len(list(score_images(assessor, paths, COLUMNS, ScoreOptions(), batch_size=4, sink=sink))) == 11
    journal = tmp_path / "t.parquet.part" / "_journal-0001.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    _, stats = run(assessor, folder, out, resume=True)
    assert (stats.resumed, stats.rated + stats.repeated) == (9, 1)
    assert len(list(read_rows(out, COLUMNS.schema))) == 11


def test_a_full_disk_in_the_journal_keeps_what_was_committed(assessor, folder, tmp_path):
    out, real, calls = tmp_path / "t.csv", os.write, []

    def full(handle, data):
        calls.append(len(data))
        if len(calls) == 3:
            raise FULL
        return real(handle, data[:50] if len(calls) == 2 else data)

    with mock.patch("vlm_aes.bulk.journal.os.write", full), pytest.raises(OutputError, match="No space left"):
        run(assessor, folder, out)
    journal = tmp_path / "t.csv.part" / "_journal-0001.jsonl"
    kept = journal.read_text().splitlines()
    assert [json.loads(line)["row"]["path"] for line in kept]
    _, stats = run(assessor, folder, out, resume=True)
    assert stats.resumed == len(kept)
    assert len(list(read_rows(out, COLUMNS.schema))) == 11
