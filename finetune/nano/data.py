"""The data folder of nano 1.0: photos, their labels and the split.

``Dataset(folder)`` reads PARA, BIQ2021, Flickr8k, the written critiques and the naming rows. A photo
is known by ``source/image_id``. A *view* is a photo with what was done to it (mirrored, degraded).
The split is a hash of the image id: validation photos are neither trained on nor chosen by.
"""

from __future__ import annotations

import importlib.util
import io
import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from finetune import photos

SOURCE_SIDE_PX = 192
"""Side to which PARA's photos were squashed; degradations are made at this size."""
RATING_LEVELS = np.arange(1.0, 5.01, 0.5)
"""The nine levels of PARA's rating scale."""
EMOTIONS = ("amusement", "awe", "contentment", "disgust", "excitement", "fear", "neutral", "sadness")
"""The emotions that PARA's raters chose from."""
PARA_ATTRIBUTES = ("quality", "composition", "color", "depth_of_field", "light", "content", "object_emphasis")
"""PARA's attributes in the order of the attribute head."""
DEGRADATION_KINDS = (
    "blur",
    "motion",
    "noise",
    "compression",
    "underexposure",
    "overexposure",
    "cast",
    "haze",
    "tilt",
    "overprocessing",
)
"""The kinds of ``critiques/degrade.py`` in the order of the degradation head."""
_IMAGE_FILES = (("para", "para/[ta]*-*.parquet"), ("biq", "quality/*.parquet"), ("flickr8k", "captions/*.parquet"))
_TEXT_FILES = ("critiques/photos", "critiques/snapshots", "naming/photos", "naming/validation")

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class View:
    """A photo and what was done to it."""

    pack: str
    """``para``, ``biq`` or ``flickr8k``."""
    image_id: str
    kind: str = ""
    """A degradation; empty for the photo as it is."""
    strength: float = 0.0
    seed: int = 0
    mirrored: bool = False

    @property
    def photo(self) -> str:
        """``source/image_id``."""
        return f"{self.pack}/{self.image_id}"

    @property
    def angle(self) -> float:
        """Degrees by which the photo was tilted, anticlockwise positive; 0 for other kinds."""
        if self.kind != "tilt":
            return 0.0
        sign = 1 if np.random.default_rng(self.seed).random() < 0.5 else -1
        return (4 + 10 * self.strength) * sign * (-1 if self.mirrored else 1)

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


@dataclass
class Labels:
    """What is known about an undegraded photo; None or empty where nothing is known."""

    split: str
    aesthetic: float | None = None
    """PARA's mean rating, 1 to 5."""
    votes: Floats | None = None
    """Shares of the nine rating levels."""
    quality: float | None = None
    """PARA's mean quality, 1 to 5."""
    technical: float | None = None
    """BIQ2021's mean opinion score, 0 to 1."""
    emotions: Floats | None = None
    """Shares of the raters."""
    attributes: Floats | None = None
    """Means in the order of ``PARA_ATTRIBUTES``."""
    texts: list[dict[str, Any]] = field(default_factory=list)
    """Rows of critiques and naming."""
    captions: list[str] = field(default_factory=list)


def split_of(pack: str, image_id: str, attribute_photo: bool = False) -> str:
    """``validation``, ``tuning`` or ``training``; Flickr8k has no validation photos."""
    if pack == "flickr8k":
        return "tuning" if photos.is_tuning(image_id) else "training"
    return photos.split_of(image_id, attribute_photo=attribute_photo or pack == "biq")


class Dataset:
    """Everything below the data folder, read on first use."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """Labels by ``source/image_id``."""
        labels = {f"para/{row['image_id']}": _para_labels(row) for row in self._rows("para/train-*.parquet")}
        votes = {row["image_id"]: _vote_shares(row) for row in self._rows("para/votes.parquet")}
        for row in self._rows("para/attributes-*.parquet"):
            labels[f"para/{row['image_id']}"] = _para_labels(row, votes[row["image_id"]])
        for row in self._rows("quality/biq-train.parquet"):
            labels[f"biq/{row['image_id']}"] = Labels(split_of("biq", row["image_id"]), technical=row["quality_mos"])
        for row in self._rows("captions/flickr8k.parquet"):
            split = split_of("flickr8k", row["image_id"])
            labels[f"flickr8k/{row['image_id']}"] = Labels(split, captions=list(row["captions"]))
        for name in _TEXT_FILES:
            for row in self.texts(name):
                labels[f"{row.get('pack', 'para')}/{row['image_id']}"].texts.append(row)
        return labels

    def texts(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSON-lines file such as ``critiques/degraded``."""
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    @cached_property
    def degraded(self) -> dict[View, dict[str, Any]]:
        """The degraded copies that have a written critique, and its row."""
        return {
            View(row["pack"], row["image_id"], row["degradation"], row["strength"], row["seed"]): row
            for row in self.texts("critiques/degraded")
        }

    @cached_property
    def _degrade(self) -> ModuleType:
        """The data folder's own ``degrade.py``, so that critiques fit their images."""
        spec = importlib.util.spec_from_file_location("degrade", self.folder / "critiques" / "degrade.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @cached_property
    def _encoded(self) -> dict[str, bytes]:
        """The encoded images by ``source/image_id`` (about 220 MB)."""
        encoded: dict[str, bytes] = {}
        for pack, pattern in _IMAGE_FILES:
            for path in sorted(self.folder.glob(pattern)):
                table = pq.read_table(path, columns=["image_id", "image"])
                for image_id, image in zip(table["image_id"].to_pylist(), table["image"].to_pylist()):
                    encoded[f"{pack}/{image_id}"] = image["bytes"] if isinstance(image, dict) else image
        return encoded

    def image(self, view: View, side: int) -> NDArray[np.uint8]:
        """The view as uint8 (side, side, 3): squashed to 192 px, degraded, mirrored, then scaled."""
        image = Image.open(io.BytesIO(self._encoded[view.photo])).convert("RGB")
        if image.size != (SOURCE_SIDE_PX, SOURCE_SIDE_PX):
            image = image.resize((SOURCE_SIDE_PX, SOURCE_SIDE_PX), Image.Resampling.BICUBIC)
        if view.kind:
            image = self._degrade.degrade(image, view.kind, view.strength, view.seed)
        if view.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC), dtype=np.uint8)

    def image_ids(self, pack: str, split: str) -> list[str]:
        """Image ids of a source and split, in the order of the files."""
        return [
            name.split("/", 1)[1]
            for name, labels in self.labels.items()
            if name.startswith(f"{pack}/") and labels.split == split
        ]

    def _rows(self, pattern: str) -> list[dict[str, Any]]:
        """Rows of the matching Parquet files, without the images."""
        rows: list[dict[str, Any]] = []
        for path in sorted(self.folder.glob(pattern)):
            names = [name for name in pq.ParquetFile(path).schema_arrow.names if name != "image"]
            rows += pq.read_table(path, columns=names).to_pylist()
        return rows


def _para_labels(row: dict[str, Any], votes: Floats | None = None) -> Labels:
    """Labels of a PARA photo; those with votes are the attribute photos."""
    attribute_photo = votes is not None
    return Labels(
        split=split_of("para", row["image_id"], attribute_photo),
        aesthetic=row["aesthetic_mean"],
        votes=votes,
        quality=row["quality_mean"],
        emotions=_shares([row[f"emotion_{name}"] for name in EMOTIONS]),
        attributes=np.array([row[f"{name}_mean"] for name in PARA_ATTRIBUTES], "f4") if attribute_photo else None,
    )


def _vote_shares(row: dict[str, Any]) -> Floats:
    return _shares([row[f"aestheticScore_{level:.1f}".replace(".", "p")] for level in RATING_LEVELS])


def _shares(counts: list[float]) -> Floats:
    """Counts divided by their sum; all 0 where nothing was counted."""
    array = np.array(counts, "f4")
    shares: Floats = array / max(float(array.sum()), 1.0)
    return shares
