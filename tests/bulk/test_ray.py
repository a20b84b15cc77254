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
IMAGES = 120
DRIVER = """
import json, os, signal, sys, threading, time
import psutil, ray
from vlm_aes.cli import app

photos, archive, model, place = sys.argv[1:]
ray.init(num_cpus=2, object_store_memory=200 * 2**20, include_dashboard=False, log_to_driver=False)
killed = []

def kill_one():
    while not (os.path.exists(f"{place}/killed.parquet.part")
               and any(f.stat().st_size for f in os.scandir(f"{place}/killed.parquet.part")
                       if f.name.startswith("_journal"))):
        time.sleep(0.01)
    mine = psutil.Process().children(recursive=True)
    workers = [p for p in mine if p.name().startswith("ray::MapWorker")]
    if not os.path.exists(f"{place}/killed.parquet"):
        workers[0].send_signal(signal.SIGKILL)
        killed.append(len(workers))

def call(*words):
    try:
        app(["score", *words, "--model", model, "--engine", "ray", "--workers", "2",
             "--batch-size", "2"])
    except SystemExit as end:
        return end.code

watch = threading.Thread(target=kill_one, daemon=True)
watch.start()
codes = [call(photos, "--out", f"{place}/killed.parquet"),
         call(photos, archive, "--out", f"{place}/resumed.parquet", "--resume"),
         call(photos, "--top-k", "5", "--out", f"{place}/best.jsonl")]
print(json.dumps({"codes": codes, "killed": killed}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.build("qwen3_5", tmp_path_factory.mktemp("tiny") / "qwen")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray") / "photos"
    folder.mkdir()
    for i, image in enumerate(tiny.images(IMAGES)):
        image.resize((48, 40)).save(folder / f"{i:04d}.png")
    (folder / "bad.jpg").write_text("no image")
    return folder


def rows_of(file):
    return list(read_rows(file, Columns().schema))


def test_a_worker_is_killed_and_a_run_is_gone_on_with(model, photos, tmp_path):
    archive = tmp_path / "more.tar"
    with tarfile.open(archive, "w") as tar:
        for file in sorted(photos.glob("000*.png")):
            tar.add(file, f"again/{file.name}")
    assessor = Assessor.from_pretrained(model)
    run(assessor, photos, tmp_path / "whole.parquet")
    run(assessor, photos, tmp_path / "both.parquet", archives=[archive])
    run(assessor, photos, tmp_path / "resumed.parquet", limit=60, archives=[archive])
    words = [str(photos), str(archive), str(model), str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", DRIVER, *words], capture_output=True, text=True,
                          timeout=240, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Ray may print there, too
    told = json.loads(next(x for x in done.stdout.splitlines() if x.startswith("{")))
    assert told == {"codes": [1, 1, 1], "killed": [2]}, done.stderr  # one file is no image
    whole = rows_of(tmp_path / "whole.parquet")
    same_rows(rows_of(tmp_path / "killed.parquet"), whole)
    same_rows(rows_of(tmp_path / "resumed.parquet"), rows_of(tmp_path / "both.parquet"))
    assert "60 kept" in done.stderr
    assert not (tmp_path / "killed.parquet.part").exists()
    good = [r for r in whole if not r["error"]]
    best = sorted(good, key=lambda r: -r["score"])[:5]
    assert [r["path"] for r in rows_of(tmp_path / "best.jsonl")] == [r["path"] for r in best]


def test_without_ray_the_call_says_what_to_install(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["score", str(photos), "--fast", "--engine", "ray"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "t.csv")])
    assert done.exit_code == 2
    assert "vlm-aes[ray]" in done.stderr
    assert CliRunner().invoke(app, words).exit_code == 2  # where would the rows be kept?
    assert CliRunner().invoke(app, ["score", str(photos), "--engine", "spark"]).exit_code == 2


def row_of(path, sha256, model="slow"):
    empty = dict.fromkeys(Columns(cascade=True).names)
    return empty | {"path": path, "sha256": sha256, "score": 50.0, "model": model, "prompt": "p"}


def test_workers_are_told_what_holds(tmp_path):
    schema = Columns(cascade=True).schema
    out = str(tmp_path / "t.parquet")
    with Sink(out, schema) as sink:
        sink.begin({})
        for name in "abc":
            sink.add(row_of(name, f"sha {name}"), {"size": 1})
        sink.add(row_of("d", "sha d", model="another"), {"size": 1})
        sink.flush()
    with Sink(out, schema, resume=True) as sink, Sink(f"{tmp_path}/fast/", schema) as first:
        sink.begin({})
        completed = CompletedRows(sink, {("slow", "p")})
        known = [CompletedRow(name, {"size": 1}, f"sha {name}") for name in "abc"]
        assert list(completed.summaries()) == known
        assert completed.row_of("a")["score"] == 50.0
        assert completed.row_of("d") is None
        first.begin({})
        for name in "ade":
            first.add(row_of(name, f"sha {name}", model="fast"), {})
        first.flush()
        cascade = CascadeRows(first, np.array([OPEN, SELECTED, REJECTED]), completed)
        decided = [CompletedRow(name, None, f"sha {name}") for name in "de"]
        assert list(cascade.summaries()) == decided + known
        assert cascade.row_of("d")["model"] == "fast"
        assert cascade.row_of("d")["score_fast"] == 50.0
        assert cascade.row_of("a")["model"] == "slow"
    digests = completed_digests(decided + known)
    assert (np.diff(digests.astype(float)) >= 0).all() and len(digests) == 3 * 5


def test_pieces_hold_the_source_in_order():
    items = [*(ImageSource(f"{i}.jpg") for i in range(5000)), ImageContainer("a.tar"),
             ImageSource("table.csv/3", lambda: b""), ImageSource("s3://b/x.jpg", lambda: b"")]  # fmt: skip
    pieces = list(source_pieces(iter(items)))
    assert max(map(len, pieces)) <= MAX_PIECE_PATHS
    assert len(pieces[0]) <= 32
    found = [row for piece in pieces for row in piece.to_pylist()]
    assert [os.fsdecode(row["path"]) for row in found] == [item.path for item in items]
    assert [row["how"] for row in found[4999:]] == [PLAIN, OPENED, UNNAMED, OPENED]
    assert not list(source_pieces(iter(())))
