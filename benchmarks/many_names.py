"""A million rows from ten thousand files under a hundred names each: memory, and what is rated.

    python benchmarks/many_names.py --model DIR [--files 10000] [--names 100]

Prints peak memory after a tenth of the rows and at the end, how many contents were rated, and rows
a second.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from options import options
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.bulk import RunStats, ScoreOptions, Sink, find_sources, score_images
from vlm_aes.output.table import Columns


def make_files(folder: Path, files: int, names: int) -> None:
    """Small PNGs, each under ``names`` hard links in as many folders."""
    rng = np.random.default_rng(0)
    first = folder / "000"
    first.mkdir()
    for i in range(files):
        pixels = rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(first / f"{i:06d}.png")
    for name in range(1, names):
        place = folder / f"{name:03d}"
        place.mkdir()
        for i in range(files):
            os.link(first / f"{i:06d}.png", place / f"{i:06d}.png")


def peak_mib() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", help="with a fast head; default: the embedded checkpoint")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--names", type=int, default=100)
    a = parser.parse_args()
    assessor = Assessor.from_pretrained(a.model, fast=True)
    columns, stats, total = Columns(), RunStats(), a.files * a.names
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        make_files(folder, a.files, a.names)
        out = Path(place) / "t.parquet"
        began, early = time.perf_counter(), 0.0
        with Sink(str(out), columns.schema) as sink:
            every = score_images(
                assessor, find_sources([str(folder)]), columns, ScoreOptions(), sink=sink, stats=stats, batch_size=64
            )
            for number, _ in enumerate(every):
                if number == total // 10:
                    early = peak_mib()
            sink.finish()
        seconds = time.perf_counter() - began
        late = peak_mib()
        found = pq.read_table(out, columns=["path", "sha256", "score"])
        print(
            f"{found.num_rows} rows, {len(set(found['path'].to_pylist()))} paths, "
            f"{len(set(found['sha256'].to_pylist()))} contents; rated {stats.rated}, "
            f"repeated {stats.repeated}, errors {dict(stats.errors)}"
        )
        print(
            f"peak memory {early:.0f} MiB after a tenth, {late:.0f} MiB at the end; {total / seconds:.0f} rows a second"
        )


if __name__ == "__main__":
    main()
