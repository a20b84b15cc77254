"""The pipeline on a local Ray cluster gives the rows of the local run, whatever happens to a worker. In a
process of its own: no cluster is left behind, and the suite's ban on connections is not in its way."""

import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from typer.testing import CliRunner

from tests import tiny_checkpoints as tiny
from tests.bulk.runs import run, same_rows
from vlm_aes import Assessor
from vlm_aes.bulk import Sink
from vlm_aes.bulk.cascade import OPEN, REJECTED, SELECTED, CascadeRows
from vlm_aes.bulk.ray_worker import MAX_PIECE_PATHS, OPENED, PLAIN, UNNAMED, completed_digests, source_pieces
from vlm_aes.bulk.resume import CompletedRow, CompletedRows
from vlm_aes.cli import app
from vlm_aes.images.source import ImageContainer, ImageSource
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns

pytest.importorskip("ray")
DRIVER = """
import json, signal, sys, threading, time
from pathlib import Path
import psutil, ray
from vlm_aes.cli import app

photos, archive, model, place = *sys.argv[1:4], Path(sys.argv[4])
ray.init(num_cpus=2, object_store_memory=200 * 2**20, include_dashboard=False, log_to_driver=False)
killed = []

def kill_one():
    while not any(file.stat().st_size for file in place.glob("killed.parquet.part/_journal*")):
        time.sleep(0.01)
    mine = psutil.Process().children(recursive=True)
    workers = [p for p in mine if p.name().startswith("ray::MapWorker")]
    if not (place / "killed.parquet").exists():
        workers[0].send_signal(signal.SIGKILL)
        killed.append(len(workers))

def call(*words):
    try:
        app(["score", *words, "--model", model, "--engine", "ray", "--workers", "2", "--batch-size", "2"])
    except SystemExit as end:
        return end.code

threading.Thread(target=kill_one, daemon=True).start()
codes = [call(photos, "--out", f"{place}/killed.parquet"),
         call(photos, archive, "--out", f"{place}/resumed.parquet", "--resume"),
         call(photos, "--top-k", "5", "--out", f"{place}/best.jsonl")]
print(json.dumps({"codes": codes, "killed": killed}))
"""


def test_a_worker_is_killed_and_a_run_is_gone_on_with(tiny_checkpoint, tmp_path, monkeypatch):
    model, photos, archive = tiny_checkpoint("qwen3_5"), tmp_path / "photos", tmp_path / "more.tar"
    photos.mkdir()
    (photos / "bad.jpg").write_text("no image")
    with tarfile.open(archive, "w") as tar:
        for i, image in enumerate(tiny.images(120)):
            file = photos / f"{i:04d}.png"
            image.resize((48, 40)).save(file)
            if i < 10:
                tar.add(file, f"again/{file.name}")
    assessor = Assessor.from_pretrained(model)
    whole, _ = run(assessor, photos)
    both, _ = run(assessor, photos, archives=[archive])
    run(assessor, photos, tmp_path / "resumed.parquet", limit=60, archives=[archive])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    command = [sys.executable, "-c", DRIVER, photos, archive, model, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    # Ray may print there, too
    told = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("{")))
    assert told == {"codes": [1, 1, 1], "killed": [2]}, done.stderr  # one file is no image

    def rows_of(name):
        return list(read_rows(tmp_path / name, Columns().schema))

    same_rows(rows_of("killed.parquet"), whole)
    same_rows(rows_of("resumed.parquet"), both)
    assert "60 kept" in done.stderr and not (tmp_path / "killed.parquet.part").exists()
    best = sorted((r for r in whole if not r["error"]), key=lambda r: -r["score"])[:5]
    assert [r["path"] for r in rows_of("best.jsonl")] == [r["path"] for r in best]


def test_without_ray_the_call_says_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["score", str(folder), "--fast", "--engine", "ray", "--out", str(tmp_path / "t.csv")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2 and "vlm-aes[ray]" in done.stderr


def test_workers_are_told_what_holds(tmp_path):
    columns, out = Columns(cascade=True), str(tmp_path / "t.parquet")
    schema = columns.schema

    def row_of(name, model):
        row = {"path": name, "sha256": f"sha {name}", "score": 50.0, "model": model, "prompt": "p"}
        return dict.fromkeys(columns.names) | row

    with Sink(out, schema) as sink:
        sink.begin({})
        for name in "abcd":
            sink.add(row_of(name, "another" if name == "d" else "slow"), {"size": 1})
        sink.flush()
    with Sink(out, schema, resume=True) as sink, Sink(f"{tmp_path}/fast/", schema) as first:
        sink.begin({})
        completed = CompletedRows(sink, {("slow", "p")})
        known = [CompletedRow(name, {"size": 1}, f"sha {name}") for name in "abc"]
        assert list(completed.summaries()) == known
        assert completed.row_of("a")["score"] == 50.0 and completed.row_of("d") is None
        first.begin({})
        for name in "ade":
            first.add(row_of(name, "fast"), {})
        first.flush()
        cascade = CascadeRows(first, np.array([OPEN, SELECTED, REJECTED]), completed)
        decided = [CompletedRow(name, None, f"sha {name}") for name in "de"]
        assert list(cascade.summaries()) == decided + known
        row = cascade.row_of("d")
        assert (row["model"], row["score_fast"], cascade.row_of("a")["model"]) == ("fast", 50.0, "slow")
    digests = completed_digests(decided + known)
    assert (np.diff(digests.astype(float)) >= 0).all() and len(digests) == 3 * 5


def test_pieces_hold_the_source_in_order():
    items = [*(ImageSource(f"{i}.jpg") for i in range(5000)), ImageContainer("a.tar"),
             ImageSource("table.csv/3", lambda: b""), ImageSource("s3://b/x.jpg", lambda: b"")]  # fmt: skip
    pieces = list(source_pieces(iter(items)))
    assert max(map(len, pieces)) <= MAX_PIECE_PATHS and len(pieces[0]) <= 32
    found = [row for piece in pieces for row in piece.to_pylist()]
    assert [os.fsdecode(row["path"]) for row in found] == [item.path for item in items]
    assert [row["how"] for row in found[4999:]] == [PLAIN, OPENED, UNNAMED, OPENED]
    assert not list(source_pieces(iter(())))
