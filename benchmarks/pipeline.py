"""The bulk pipeline against its own parts and against the plain way, in one run.

Makes JPEGs of a size, each different, and takes them through the fast path three ways:

- the parts, one after another on one thread: read and hash, decode, resize, model; their sum is
  what a picture costs at the least;
- the pipeline, from folder to Parquet file;
- the plain way: open in full, one picture a batch, same model.

*Efficiency* is pictures a second times that cost over the cores used. *Useful* is the same with the
processor time that the pipeline itself used instead of the wall clock: what another process takes
from the machine does not count there.

    python benchmarks/pipeline.py --model DIR [--size 12mp] [--pictures 48] [--cores 2]
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from options import options
from PIL import Image
from skimage import data

from vlm_aes import Assessor
from vlm_aes.bulk import ScoreOptions, Sink, find_sources, score_images
from vlm_aes.images.open import open_image
from vlm_aes.measure.input_warning import input_warning
from vlm_aes.output.table import Columns

SIZES = {"12mp": (4000, 3000), "500px": (500, 375)}
BATCH = 16


def make_photos(folder: Path, size: tuple[int, int], n: int) -> list[Path]:
    """JPEGs that differ: crops of public-domain pictures, enlarged, with grain."""
    rng = np.random.default_rng(0)
    sources = [
        Image.fromarray(getattr(data, name)()).convert("RGB") for name in ("astronaut", "coffee", "chelsea", "rocket")
    ]
    grain = rng.normal(0, 4, (size[1], size[0], 1)).astype(np.float32)
    files = []
    for i in range(n):
        source = sources[i % len(sources)]
        left, top = (int(rng.integers(0, s // 4)) for s in source.size)
        crop = source.crop((left, top, left + source.width // 2, top + source.height // 2))
        levels = np.asarray(crop.resize(size, Image.Resampling.BICUBIC), np.float32)
        noisy = np.clip(levels + np.roll(grain, i * 37, 0), 0, 255).astype(np.uint8)
        file = folder / f"{i:05d}.jpg"
        Image.fromarray(noisy).save(file, quality=90)
        files.append(file)
    return files


def parts(assessor: Assessor, files: list[Path]) -> Counter[str]:
    """Processor seconds a picture of each part, on one thread."""
    torch.set_num_threads(1)
    head, spent = assessor.head, Counter[str]()

    def timed(name: str, work: Callable[..., Any], *args: Any) -> Any:
        began = time.thread_time()
        result = work(*args)
        spent[name] += time.thread_time() - began
        return result

    def read(file: Path) -> tuple[bytes, str]:
        content = file.read_bytes()
        return content, hashlib.sha256(content).hexdigest()

    def decode(content: bytes, sha256: str) -> Any:
        return open_image(content, needed_side=head.needed_side, sha256=sha256)

    batch: list[Any] = []
    for file in files:
        content = timed("read and hash", read, file)
        opened = timed("decode", decode, *content)
        batch.append(timed("resize", head.tower.pixels, opened.image))
        timed("warnings (not counted)", input_warning, opened.image)
        if len(batch) == BATCH:
            timed("model", lambda b: head.probabilities(head.tower.embed(b)), batch)
            batch = []
    if batch:
        timed("model", lambda b: head.probabilities(head.tower.embed(b)), batch)
    return Counter({k: v / len(files) for k, v in spent.items()})


def pipeline(assessor: Assessor, folder: Path, n: int, cores: int, threads: int) -> tuple[float, float]:
    """Wall seconds and processor seconds a picture."""
    torch.set_num_threads(threads)
    columns = Columns()
    with tempfile.TemporaryDirectory() as place:
        wall, processor = time.perf_counter(), time.process_time()
        with Sink(f"{place}/t.parquet", columns.schema) as sink:
            for _ in score_images(
                assessor,
                find_sources([str(folder)]),
                columns,
                ScoreOptions(),
                sink=sink,
                batch_size=BATCH,
                workers=cores,
            ):
                pass
            sink.finish()
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall / n, processor / n


def plain(assessor: Assessor, files: list[Path], threads: int) -> tuple[float, float]:
    """Wall seconds and processor seconds a picture, opened in full, one a batch."""
    torch.set_num_threads(threads)
    head = assessor.head
    wall, processor = time.perf_counter(), time.process_time()
    for file in files:
        opened = open_image(file)
        head.probabilities(head.tower.embed([head.tower.pixels(opened.image)]))
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall / len(files), processor / len(files)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", help="with a fast head; default: the embedded checkpoint")
    parser.add_argument("--size", choices=SIZES, default="12mp")
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--threads", type=int, help="of the model; default: one a core")
    parser.add_argument("--rounds", type=int, default=2)
    a = parser.parse_args()
    threads = a.threads or a.cores
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > a.cores:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.cores])
    assessor = Assessor.from_pretrained(a.model, fast=True)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files = make_photos(folder, SIZES[a.size], a.pictures)
        parts(assessor, files[:BATCH])  # warm
        best: dict[str, tuple[float, float]] = {}
        cost: Counter[str] = Counter()
        for _ in range(a.rounds):
            found = parts(assessor, files)
            if not cost or found.total() < cost.total():
                cost = found
            for name, spent in (
                ("pipeline", pipeline(assessor, folder, len(files), a.cores, threads)),
                ("plain", plain(assessor, files[: max(8, len(files) // 4)], threads)),
            ):
                best[name] = min(best.get(name, spent), spent)
    least = sum(v for k, v in cost.items() if "not counted" not in k)
    print(f"{a.size}, {a.pictures} pictures, {a.cores} cores, best of {a.rounds}; ms a picture")
    for name, seconds in cost.items():
        print(f"  {name:<24} {1000 * seconds:8.2f}")
    print(f"  {'least':<24} {1000 * least:8.2f}")
    for name, (wall, processor) in best.items():
        print(
            f"{name:<10} wall {1000 * wall:8.2f}  processor {1000 * processor:8.2f}  "
            f"efficiency {least / wall / a.cores:.2f}  useful {least / processor:.2f}"
        )
    print(f"pipeline over plain: {best['plain'][0] / best['pipeline'][0]:.2f} times")


if __name__ == "__main__":
    main()
