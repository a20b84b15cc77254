"""``kill -9`` at random moments of a run, each resumed: does the table equal the undisturbed one?

    python benchmarks/kills.py [--model DIR] [--kills 50] [--pictures 300] [--fast]
    python benchmarks/kills.py --full-disk PLACE

A run is killed after a random time, resumed, killed again, until so many kills have fallen in the
middle of a run; whenever one finishes, its table is compared and the next begins anew. Each run is
a process of its own, forked where the model is loaded already, so that what is killed is the run
and not the loading. (The parent starts no thread and reads no table: what is forked must not wait
for a lock that another thread held.) What was counted is kept in ``--state``, and a call that was
ended goes on.

``--full-disk`` fills a small disk at PLACE (a tmpfs of a few MB: ``mount -t tmpfs -o size=8m none
PLACE``) while a run writes there: the call must end with exit 2 and say so, what was written must
be readable, and after room is made the resumed table must equal the undisturbed one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from options import options
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.bulk import ScoreOptions, Sink, find_sources, score_images
from vlm_aes.errors import OutputError
from vlm_aes.output import table
from vlm_aes.output.results import read_rows
from vlm_aes.output.table import Columns

DONE, FULL = 0, 2


def make_photos(folder: Path, n: int) -> None:
    """Small PNGs that differ."""
    rng = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for i in range(n):
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:06d}.png")


def same(one: list[table.Row], other: list[table.Row]) -> bool:
    """Equal; numbers within what another batch may change."""
    return len(one) == len(other) and all(
        abs(a[k] - b[k]) <= 0.01 if isinstance(a[k], float) else a[k] == b[k]
        for a, b in zip(one, other, strict=True)
        for k in a
    )


def forked(work: Callable[[], None]) -> int:
    """Do ``work`` in a process of its own; gives its id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = DONE
    except OutputError as error:
        print(f"vlm-aes: {error}", file=sys.stderr)
        code = FULL
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(child: int, seconds: float = float("inf")) -> int | None:
    """The exit code of a process, waiting so long at most; nothing where it still runs."""
    until = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= until:
            return None
        time.sleep(0.002)


def score(assessor: Assessor, photos: Path, out: Path, *, resume: bool) -> None:
    """What ``vlm-aes score`` does."""
    torch.set_num_threads(1)
    columns = Columns()
    with Sink(str(out), columns.schema, resume=resume) as sink:
        items = find_sources([str(photos)])
        for _ in score_images(assessor, items, columns, ScoreOptions(), sink=sink, batch_size=8):
            pass
        sink.finish()


def compare(one: Path, other: Path) -> None:
    """Whether two tables hold the same."""
    schema = Columns().schema
    assert same(list(read_rows(one, schema)), list(read_rows(other, schema))), "the tables differ"


def kill(assessor: Assessor, a: argparse.Namespace) -> None:
    """Kills, until there are enough."""
    a.state.mkdir(parents=True, exist_ok=True)
    photos, out = a.state / "photos", a.state / f"t{a.suffix}"
    whole_file, count_file = a.state / f"whole{a.suffix}", a.state / "counts.json"
    counts = {"kills": 0, "finished": 0, "seconds": 0.0}
    if count_file.exists():
        counts = json.loads(count_file.read_text(encoding="utf-8"))
    else:
        make_photos(photos, a.pictures)
        began = time.monotonic()
        assert ended(forked(lambda: score(assessor, photos, whole_file, resume=True))) == DONE
        counts["seconds"] = time.monotonic() - began
    rng = random.Random()
    while counts["kills"] < a.kills or out.with_name(f"{out.name}.part").exists():
        fresh = not out.with_name(f"{out.name}.part").exists()
        began = time.monotonic()
        child = forked(lambda: score(assessor, photos, out, resume=True))
        last = counts["kills"] >= a.kills
        patience = float("inf") if last else rng.uniform(0, 1) * counts["seconds"]
        code = ended(child, patience)
        if code is None:
            os.kill(child, signal.SIGKILL)
            ended(child)
            counts["kills"] += 1
        else:
            took = time.monotonic() - began
            assert code == DONE, f"a run ended with {code}"
            assert ended(forked(lambda: compare(out, whole_file))) == DONE, "the tables differ"
            counts["finished"] += 1
            if fresh:  # on a machine that others use, the next may take as long as this one
                counts["seconds"] = took
            out.unlink()
        count_file.write_text(json.dumps(counts), encoding="utf-8")
    print(
        f"{counts['kills']} kills, {counts['finished']} finished tables of {a.pictures} rows, "
        "all equal to the undisturbed one"
    )


def fill(assessor: Assessor, a: argparse.Namespace) -> None:
    """A run on a disk that is full."""
    with tempfile.TemporaryDirectory() as elsewhere:
        photos, whole_file = Path(elsewhere) / "photos", Path(elsewhere) / f"w{a.suffix}"
        make_photos(photos, a.pictures)
        assert ended(forked(lambda: score(assessor, photos, whole_file, resume=True))) == DONE
        ballast, out = a.full_disk / "ballast", a.full_disk / f"t{a.suffix}"
        journal = whole_file.stat().st_size
        with ballast.open("wb") as file:  # leave room for a part of the rows only
            left = os.statvfs(a.full_disk)
            file.write(bytes(max(0, left.f_bavail * left.f_frsize - journal)))
        code = ended(forked(lambda: score(assessor, photos, out, resume=False)))
        assert code == FULL, f"the run on a full disk ended with {code}"
        part = out.with_name(f"{out.name}.part")
        assert ended(forked(lambda: readable(part))) == DONE
        ballast.unlink()
        assert ended(forked(lambda: score(assessor, photos, out, resume=True))) == DONE
        assert ended(forked(lambda: compare(out, whole_file))) == DONE, "the tables differ"
        out.unlink()
        print(f"full disk: the run ended with {FULL}; resumed, the table equals the other one")


def readable(part: Path) -> None:
    """Every shard and every line of a journal is whole."""
    good = sum(pq.read_table(f).num_rows for f in part.glob("shard-*.parquet"))
    for file in part.glob("_journal-*.jsonl"):
        with file.open(encoding="utf-8") as lines:
            good += sum(1 for line in lines if json.loads(line)["row"])
    print(f"{good} rows are there and can be read", flush=True)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", help="default: the embedded checkpoint")
    parser.add_argument("--fast", action="store_true", help="with the model's fast head")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--suffix", default=".parquet", choices=table.FORMATS)
    parser.add_argument("--state", type=Path, help="where it is kept how far this came")
    parser.add_argument("--full-disk", type=Path, metavar="PLACE")
    a = parser.parse_args()
    # one thread: what is forked must not wait for another one's lock
    torch.set_num_threads(1)
    assessor = Assessor.from_pretrained(a.model, fast=a.fast)
    if a.full_disk:
        fill(assessor, a)
    elif a.state:
        kill(assessor, a)
    else:
        with tempfile.TemporaryDirectory() as place:
            a.state = Path(place)
            kill(assessor, a)


if __name__ == "__main__":
    main()
