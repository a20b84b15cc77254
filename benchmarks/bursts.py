"""Bursts made from one photo with spoiled copies and small crops: is the best one found?

Each group holds a photo, a copy of it with each fault, and three crops that keep 85 to 95% of its
sides, as files with capture times of one burst; groups lie a minute apart in one folder. They go
through the whole path: rated, grouped by time and likeness, ranked within. *Found*: of a group, the
photo itself is chosen, and nothing else.

    python benchmarks/bursts.py --data PARA --split tuning [--groups 300] [--model DIR] [--slow]
    python benchmarks/bursts.py --data PARA --split validation

PARA is a folder in its layout. Choices are made on tuning photos, figures are of validation photos.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from options import options
from PIL import Image

from finetune.photos import is_tuning, is_validation, rows_of
from vlm_aes import Assessor
from vlm_aes.bulk import ScoreOptions, Sink, find_sources, score_images
from vlm_aes.bulk.select.cut import Cut
from vlm_aes.bulk.select.from_table import ScoredTable, choose_rows
from vlm_aes.bulk.select.similarity import feature_extractor
from vlm_aes.images.degrade import DEGRADATIONS, degrade
from vlm_aes.images.open import LoadedImage, open_image
from vlm_aes.output.table import Columns
from vlm_aes.stats import metrics

CROPS = 3
BEGIN = 1_700_000_000


def photos(data: Path, split: str, n: int) -> Iterator[tuple[str, Image.Image]]:
    """The first ``n`` photos of a split, as id and picture."""
    for attribute_photo, row in rows_of(data):
        name = row["image_id"]
        held = is_validation(name, attribute_photo=attribute_photo)
        if attribute_photo or not (held if split == "validation" else is_tuning(name) and not held):
            continue
        opened = open_image(row["image"]["bytes"])
        if isinstance(opened, LoadedImage):
            yield name, opened.image
            n -= 1
        if not n:
            return


def group_of(image: Image.Image, rng: np.random.Generator) -> Iterator[tuple[str, Image.Image]]:
    """A photo's frames, each with what it is."""
    yield "photo", image
    for fault in DEGRADATIONS:
        yield fault, degrade(image, fault, float(rng.random()), int(rng.integers(1 << 30)))
    for i in range(CROPS):
        keep = rng.uniform(0.85, 0.95)
        width, height = (round(side * keep) for side in image.size)
        left, top = (int(rng.integers(a - b + 1)) for a, b in zip(image.size, (width, height), strict=True))
        yield f"crop{i}", image.crop((left, top, left + width, top + height))


def write(image: Image.Image, file: Path, seconds: float) -> None:
    """A PNG that says when it was taken."""
    exif = Image.Exif()
    exif[0x0110] = "camera"  # an EXIF without a tag of its own is not written
    taken = time.gmtime(seconds)
    exif.get_ifd(0x8769).update({0x9003: time.strftime("%Y:%m:%d %H:%M:%S", taken), 0x9291: f"{seconds % 1:.3f}"[2:]})
    image.save(file, exif=exif)


def main() -> None:
    parser = options(__doc__, data=True)
    parser.add_argument("--split", choices=("tuning", "validation"), default="tuning")
    parser.add_argument("--groups", type=int, default=300)
    parser.add_argument("--model", help="with a fast head; default: the embedded checkpoint")
    parser.add_argument("--slow", action="store_true", help="rate with the model, not the head")
    a = parser.parse_args()
    head = Assessor.from_pretrained(a.model, fast=True)
    assessor = Assessor.from_pretrained(a.model) if a.slow else head
    columns = Columns()
    with tempfile.TemporaryDirectory() as place:
        folder, kinds = Path(place) / "photos", {}
        folder.mkdir()
        for number, (name, image) in enumerate(photos(a.data, a.split, a.groups)):
            seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
            rng = np.random.default_rng(seed)
            frames = list(group_of(image, rng))
            # the photo itself is not always the first
            for place_in, i in enumerate(rng.permutation(len(frames))):
                kind, frame = frames[i]
                file = folder / f"{number:05d}-{place_in:02d}.png"
                write(frame, file, BEGIN + 60 * number + 0.2 * place_in)
                kinds[str(file)] = number, kind
        out = Path(place) / "t.parquet"
        with Sink(str(out), columns.schema) as sink:
            rated = list(score_images(assessor, find_sources([str(folder)]), columns, ScoreOptions(), sink=sink))
            sink.finish()
        chosen = choose_rows(ScoredTable(out), Cut(top_k=1, per="burst"), feature_extractor(head.head))
    n = 1 + max(number for number, _ in kinds.values())
    absolute: dict[int, tuple[float, str]] = {}
    for row in rated:
        number, kind = kinds[row["path"]]
        absolute[number] = max(absolute.get(number, (-1.0, "")), (row["score"], kind))
    picked: dict[int, list[str]] = {}
    for row in chosen:
        number, kind = kinds[row["path"]]
        picked.setdefault(number, []).append(kind)
    by_score = [kind for _, kind in absolute.values()]
    in_group = [kinds[0] if len(kinds) == 1 else "torn apart" for kinds in picked.values()]
    print(f"{n} groups of {len(kinds) // n} from {a.split} photos; best found")
    for label, won in (("by the absolute score", by_score), ("within the burst", in_group)):
        hit = np.array([kind == "photo" for kind in won], dtype=float)
        share = metrics.bootstrap(lambda x, _: float(x.mean()), hit, hit)
        others = Counter(kind.rstrip("0123456789") for kind in won if kind != "photo")
        print(f"{label:<24} {share.value:.1%} ({share.low:.1%} to {share.high:.1%}); else {dict(others.most_common())}")


if __name__ == "__main__":
    main()
