"""Rated photos as arrays: decoded once, kept on disk, shared by every stage of nano's recipe.

Reads a folder in PARA's layout (Yang et al., CVPR 2022): ``train-*.parquet`` and
``attributes-*.parquet`` with ``image_id``, ``image`` and the raters' means, and ``facts.parquet``
with measured facts. The photos are squashed to a square, as nano squashes at inference.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from vlm_aes.images.degrade import DEGRADATIONS, degrade

SIDE = 128
ATTRIBUTES = (
    "quality",
    "composition",
    "color",
    "light",
    "depth_of_field",
    "content",
    "object_emphasis",
)
EMOTIONS = (
    "amusement",
    "awe",
    "contentment",
    "disgust",
    "excitement",
    "fear",
    "neutral",
    "sadness",
)


def is_validation(image_id: str, *, attribute_photo: bool) -> bool:
    """The split, for every purpose and for ever: a hash of the id, one in 10 (one in 5 of the
    attribute photos)."""
    digest = int(hashlib.sha256(image_id.encode()).hexdigest(), 16)
    return digest % (5 if attribute_photo else 10) == 0


def is_tuning(image_id: str) -> bool:
    """One in 20 of the photos that are not validation: neither trained on nor reported, for every
    choice that training leaves open and for calibration."""
    return int(hashlib.sha256(image_id.encode()).hexdigest(), 16) % 20 == 1


@dataclass(frozen=True)
class Photos:
    """All photos of a data folder, row by row in one order.

    Attributes:
        ids: (N,) image ids.
        pixels: (N, SIDE, SIDE, 3) uint8, memory-mapped.
        spoiled: (N, SIDE, SIDE, 3) uint8, one spoiled copy of each, memory-mapped.
        faults: (N,) index into ``DEGRADATIONS`` of the fault of the spoiled copy.
        strengths: (N,) strength of that fault, 0 to 1.
        aesthetic: (N,) mean opinion score, 1 to 5.
        attributes: (N, 7) means in the order of ``ATTRIBUTES`` (1 to 5; object emphasis 0 to 1),
            NaN where not rated.
        emotions: (N, 8) share of the raters who felt each of ``EMOTIONS``.
        facts: (N, F) measured facts, standardised over the photos that are not validation.
        validation: (N,) bool: figures are reported on these, nothing else.
        tuning: (N,) bool: choices and calibration are made on these.
        attribute_photo: (N,) bool: one of the photos that have every attribute.
        scenes: (N,) scene names, empty where unknown.
        left_out: attributes and emotions that are not to be learnt.
    """

    ids: np.ndarray
    pixels: np.ndarray
    spoiled: np.ndarray
    faults: np.ndarray
    strengths: np.ndarray
    aesthetic: np.ndarray
    attributes: np.ndarray
    emotions: np.ndarray
    facts: np.ndarray
    validation: np.ndarray
    tuning: np.ndarray
    attribute_photo: np.ndarray
    scenes: np.ndarray
    left_out: tuple[str, ...] = ()

    def without(self, names: Sequence[str]) -> Photos:
        """The same photos with some attributes and emotions left out, for a nano that never met
        them: nobody felt such an emotion, and such an attribute is what the overall rating says
        of it, nothing more.

        Raises:
            ValueError: a name that is neither.
        """
        attributes, emotions = self.attributes.copy(), self.emotions.copy()
        rated = self.train & ~np.isnan(attributes).any(1)
        for name in names:
            if name in EMOTIONS:
                emotions[:, EMOTIONS.index(name)] = 0
            elif name in ATTRIBUTES:
                place = ATTRIBUTES.index(name)
                line = np.polyfit(self.aesthetic[rated], attributes[rated, place], 1)
                there = ~np.isnan(attributes[:, place])
                attributes[there, place] = np.polyval(line, self.aesthetic[there])
            else:
                known = ", ".join((*ATTRIBUTES, *EMOTIONS))
                raise ValueError(
                    f"{name} is neither an attribute nor an emotion; there are {known}"
                )
        return replace(self, attributes=attributes, emotions=emotions, left_out=tuple(names))

    @property
    def train(self) -> np.ndarray:
        """(N,) bool: what training may see."""
        seen: np.ndarray = ~(self.validation | self.tuning)
        return seen


def fault_of(image_id: str) -> tuple[int, float, int]:
    """Which fault the spoiled copy of a photo has, how strong, and its seed: fixed by the id."""
    digest = hashlib.sha256(f"spoil {image_id}".encode()).digest()
    return digest[0] % len(DEGRADATIONS), digest[1] / 255, int.from_bytes(digest[2:6], "little")


def _decode(row: tuple[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
    image_id, data = row
    image = Image.open(io.BytesIO(data)).convert("RGB")
    fault, strength, seed = fault_of(image_id)
    pair = (image, degrade(image, DEGRADATIONS[fault], strength, seed))
    plain, bad = (np.asarray(i.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for i in pair)
    return plain, bad


def rows_of(data: Path) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Every row of the folder as (is an attribute photo, columns), in the order of the files."""
    for pattern in ("train-*.parquet", "attributes-*.parquet"):
        files = sorted(data.glob(pattern))
        if not files:
            raise FileNotFoundError(f"{data} has no {pattern}: name the folder with the rated data")
        for file in files:
            for batch in pq.ParquetFile(file).iter_batches(512):
                for row in batch.to_pylist():
                    yield pattern.startswith("attributes"), row


def _build(data: Path, cache: Path, workers: int) -> None:
    pictures: list[tuple[str, bytes]] = []
    columns: dict[str, list[Any]] = {
        "ids": [],
        "aesthetic": [],
        "attributes": [],
        "emotions": [],
        "attribute_photo": [],
        "scenes": [],
    }
    for attribute_photo, row in rows_of(data):
        pictures.append((row["image_id"], row["image"]["bytes"]))
        columns["ids"].append(row["image_id"])
        columns["aesthetic"].append(row["aesthetic_mean"])
        columns["attributes"].append([row.get(f"{name}_mean", np.nan) for name in ATTRIBUTES])
        votes = np.array([row[f"emotion_{name}"] for name in EMOTIONS], dtype=np.float32)
        columns["emotions"].append(votes / max(1, row["n_raters"]))
        columns["attribute_photo"].append(attribute_photo)
        columns["scenes"].append(row.get("scene") or "")
    ids = columns["ids"]
    shape = (len(ids), SIDE, SIDE, 3)
    plain = np.lib.format.open_memmap(cache / "pixels.npy", "w+", np.uint8, shape)
    bad = np.lib.format.open_memmap(cache / "spoiled.npy", "w+", np.uint8, shape)
    # Spawned: a forked worker can wait forever for a lock that a thread of torch held.
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for i, (a, b) in enumerate(pool.map(_decode, pictures, chunksize=64)):
            plain[i], bad[i] = a, b
    plain.flush()
    bad.flush()
    facts = pq.read_table(data / "facts.parquet").to_pandas().set_index("image_id").loc[ids]
    np.savez(
        cache / "columns.npz",
        facts=facts.to_numpy(np.float32),
        **{k: np.array(v, dtype=np.float32) for k, v in columns.items() if k in _FLOATS},
        ids=np.array(ids),
        scenes=np.array(columns["scenes"]),
        attribute_photo=np.array(columns["attribute_photo"]),
    )
    (cache / "complete.json").write_text(json.dumps({"photos": len(ids), "side": SIDE}))


_FLOATS = ("aesthetic", "attributes", "emotions")


def load_photos(data: Path, cache: Path, workers: int = 2) -> Photos:
    """Give the photos of ``data``, decoding them into ``cache`` the first time (about 3 GB)."""
    if not (cache / "complete.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        _build(data, cache, workers)
    columns = np.load(cache / "columns.npz")
    ids, attribute_photo = columns["ids"], columns["attribute_photo"]
    validation = np.array(
        [is_validation(str(i), attribute_photo=bool(a)) for i, a in zip(ids, attribute_photo)]
    )
    tuning = np.array([is_tuning(str(i)) for i in ids]) & ~validation
    raw = columns["facts"]
    mean, std = raw[~validation].mean(0), raw[~validation].std(0) + 1e-6
    made = [fault_of(str(i)) for i in ids]
    return Photos(
        ids=ids,
        pixels=np.load(cache / "pixels.npy", mmap_mode="r"),
        spoiled=np.load(cache / "spoiled.npy", mmap_mode="r"),
        faults=np.array([f for f, _, _ in made]),
        strengths=np.array([s for _, s, _ in made], dtype=np.float32),
        aesthetic=columns["aesthetic"],
        attributes=columns["attributes"],
        emotions=columns["emotions"],
        facts=np.clip((raw - mean) / std, -5, 5),
        validation=validation,
        tuning=tuning,
        attribute_photo=attribute_photo,
        scenes=columns["scenes"],
    )
