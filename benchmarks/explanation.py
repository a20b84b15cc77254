"""What an explanation costs, warm, as multiples of one rating.

python benchmarks/explanation.py [--checkpoint DIR] [--picture FILE] [--rounds 5] [--threads 2]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import skimage.data
import torch
from options import options
from PIL import Image

from vlm_aes import Assessor
from vlm_aes.explain.explanation import explain
from vlm_aes.explain.occlusion import occlusion_map
from vlm_aes.measure import measure


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    image = Image.open(a.picture) if a.picture else Image.fromarray(skimage.data.coffee())
    image = image.convert("RGB")
    assessor = Assessor.from_pretrained(a.checkpoint)
    prepared = assessor.prepare(image, rationale=True)
    ways: dict[str, Callable[[], object]] = {
        "one rating": lambda: assessor.rater.predict([image]),
        "with attributes": lambda: assessor.rater.predict([image], assessor.rating_attributes),
        "facts": lambda: measure(image),
        "suggestions": lambda: assessor.suggestions(prepared),
        "heat map": lambda: occlusion_map(image, assessor.fast_scores),
        "explain": lambda: explain(assessor, image),
        "explain and map": lambda: (explain(assessor, image), occlusion_map(image, assessor.fast_scores)),
    }
    best: dict[str, tuple[float, float]] = {}
    for number in range(a.rounds + 1):
        for name, way in ways.items():
            wall, used = time.perf_counter(), time.process_time()
            way()
            took = (time.perf_counter() - wall, time.process_time() - used)
            if number:  # the first round warms up
                best[name] = min(best.get(name, took), took)
    one = best["one rating"][0]
    print(f"{a.threads} threads, best of {a.rounds}: wall, processor time, ratings")
    for name, (wall, used) in best.items():
        print(f"{name:<16} {wall:8.3f} s {used:8.3f} s {wall / one:8.1f} x")


if __name__ == "__main__":
    main()
