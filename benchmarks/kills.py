"""``kill -9`` at random moments of a run, each resumed: does the table equal the undisturbed one?

    python benchmarks/kills.py --model DIR [--kills 50] [--pictures 2000]

A run is killed after a random time, resumed, killed again, until so many kills have fallen in the
middle of a run; whenever one finishes, its table is compared and the next begins anew.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from vlm_aes import table
from vlm_aes.table import Columns


def make_photos(folder: Path, n: int) -> None:
    """Small PNGs that differ."""
    rng = np.random.default_rng(0)
    folder.mkdir()
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="with a fast head")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--suffix", default=".parquet", choices=table.FORMATS)
    a = parser.parse_args()
    rng, schema = random.Random(0), Columns().schema
    with tempfile.TemporaryDirectory() as place:
        photos, out = Path(place) / "photos", Path(place) / f"t{a.suffix}"
        make_photos(photos, a.pictures)
        command = [sys.executable, "-m", "vlm_aes.cli", "score", str(photos), "--fast", "--model",
                   a.model, "--out"]  # fmt: skip
        undisturbed = Path(place) / f"whole{a.suffix}"
        began = time.monotonic()
        subprocess.run([*command, str(undisturbed)], check=True, capture_output=True)
        length = time.monotonic() - began
        whole = table.read(undisturbed, schema)
        kills = finished = 0
        while kills < a.kills:
            process = subprocess.Popen([*command, str(out), "--resume"], stderr=subprocess.DEVNULL)
            try:
                process.wait(rng.uniform(0.1, 1) * length)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
                continue
            assert same(table.read(out, schema), whole), "the tables differ"
            finished += 1
            out.unlink()
        subprocess.run([*command, str(out), "--resume"], check=True, capture_output=True)
        assert same(table.read(out, schema), whole), "the tables differ"
        print(f"{kills} kills, {finished + 1} finished tables of {len(whole)} rows, all equal to "
              "the undisturbed one")  # fmt: skip


if __name__ == "__main__":
    main()
