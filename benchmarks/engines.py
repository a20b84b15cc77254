"""The fast path by torch, ONNX Runtime and OpenVINO: pictures a second, and how far they are apart.

    python benchmarks/engines.py [--model DIR] [--threads 2] [--pictures 2000]

The network alone, over pictures that are prepared already; and the preparing of one picture.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from options import options
from PIL import Image

from vlm_aes.images.open import LoadedImage
from vlm_aes.models.heads.export import export, largest_difference, trial_images
from vlm_aes.models.heads.onnx import OnnxScorer
from vlm_aes.models.nano import NANO
from vlm_aes.models.pretrained import LoadOptions
from vlm_aes.models.registry import load_scorer
from vlm_aes.models.scorer import Scorer


def rate_of(run: Callable[[], object], n: int, rounds: int = 3) -> float:
    """Pictures a second, the best of some rounds, the first of all left out."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return n / min(times)


def measured(scorer: Scorer, pictures: list[Image.Image], batch: int, n: int) -> float:
    """Pictures a second of the network alone."""
    looked = [scorer.preprocess(LoadedImage(image, *image.size, "")) for image in pictures]
    looked = (looked * (batch // len(looked) + 1))[:batch]
    return rate_of(lambda: [scorer.score(looked) for _ in range(max(1, n // batch))], batch * max(1, n // batch))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=2000, help="a round")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    pictures = trial_images(16)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fast.onnx"
        scorer = load_scorer(a.model, fast=True, options=LoadOptions("fp32", "cpu"))
        assert scorer is not None
        export(scorer, file)
        engines: dict[str, Scorer] = {"torch": scorer, "onnxruntime": OnnxScorer(file)}
        if find_spec("openvino"):
            engines["openvino"] = OnnxScorer(file, openvino=True)
        print(f"{a.model}, {a.threads} threads for torch; pictures a second, the network alone")
        print(f"{'engine':<12} {'by 1':>8} {'by 16':>8} {'by 64':>8}  largest difference to torch")
        for name, engine in engines.items():
            speeds = [measured(engine, pictures, batch, a.pictures) for batch in (1, 16, 64)]
            apart = largest_difference(scorer, engine, pictures)
            print(f"{name:<12}" + "".join(f" {s:8.0f}" for s in speeds) + f"  {apart:.1g}")
        for name, engine in list(engines.items())[:2]:
            ready = [LoadedImage(image, *image.size, "") for image in pictures]
            speed = rate_of(lambda e=engine, r=ready: [e.read(p) for p in r], len(ready))
            print(f"preparing, {name}: {speed:.0f} pictures a second on one core")


if __name__ == "__main__":
    main()
