"""Bursts: frames of one moment, found by their capture time and likeness, and ranked.

A score says how good an image is among all; between two frames of one moment, it says little. In a burst the
frames are compared with each other: with the exposure that most of them have, and with how much of the scene
they hold.
"""

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from vlm_aes.bulk.select.similarity import COMPARED_IMAGES, FeatureExtractor, ImageFeatures, maybe_same_scene

BURST_GAP_S = 2.0
"""Seconds between two frames of a burst, at most."""
EXPOSURE_PENALTY = 10.0
"""Points that a stop away from the burst's median exposure costs."""
AREA_WEIGHT = 60.0
"""Points that a natural logarithm of the pixels is worth: a crop has lost what it left out."""
EXIF_THREADS = 8
"""Threads that read capture times."""
_TIME_TAGS = ((0x9003, 0x9291), (0x9004, 0x9292))
"""EXIF 2.32, DateTimeOriginal and DateTimeDigitized, each with its SubSecTime."""


def capture_time(path: str) -> float | None:
    """Seconds of the camera's own clock, to tell images apart by; None where the file does not say it or
    cannot be opened. Nothing else of the file is read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        for whole, fraction in _TIME_TAGS:
            if whole in tags:
                taken = datetime.strptime(str(tags[whole]).strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
                digits = str(tags.get(fraction, "")).strip("\0 ")
                return taken.timestamp() + (float(f"0.{digits}") if digits.isdigit() else 0.0)
    except Exception:  # whatever a damaged file makes its decoder raise
        return None
    return None


def capture_runs(paths: Iterable[Sequence[str]]) -> list[NDArray[np.int64]]:
    """Numbers of the images that were taken close after one another in one folder; see :func:`time_runs`. The paths
    come part by part, of which one is held; an empty path stands for an image that cannot be opened."""
    numbers: dict[str, int] = {}
    folders: list[int] = []
    times: list[float] = []
    with ThreadPoolExecutor(EXIF_THREADS) as pool:
        for part in paths:
            names = map(os.path.dirname, part)
            folders += [numbers.setdefault(name, len(numbers)) for name in names]
            times += [math.nan if t is None else t for t in pool.map(capture_time, part)]
    return time_runs(np.array(folders, np.int64), np.array(times, np.float64))


def time_runs(
    folder: NDArray[np.int64], taken: NDArray[np.float64], gap_s: float = BURST_GAP_S
) -> list[NDArray[np.int64]]:
    """Numbers of images that were taken close after one another in one folder, two or more a run, by time.

    Args:
        folder, taken: (N,) the folder's number; (N,) seconds, NaN where it is not known.
    """
    known = np.flatnonzero(~np.isnan(taken))
    order = known[np.lexsort((known, taken[known], folder[known]))]
    breaks = (np.diff(taken[order]) > gap_s) | (np.diff(folder[order]) != 0)
    return [run for run in np.split(order, np.flatnonzero(breaks) + 1) if len(run) > 1]


def label_bursts(features: ImageFeatures) -> NDArray[np.int64]:
    """(N,) the number of each image's burst, of images taken within seconds: those of one scene, directly or
    through others between them."""
    _, labels = connected_components(csr_array(maybe_same_scene(features)), directed=False)
    return np.asarray(labels, dtype=np.int64)


def score_within_burst(score: ArrayLike, stops: ArrayLike, area: ArrayLike) -> NDArray[np.float64]:
    """(N,) the score of each frame of one burst among the others, from its score, its exposure in stops (NaN where
    it is not known) and its area in pixels."""
    score, stops, area = (np.asarray(v, dtype=np.float64) for v in (score, stops, area))
    known = ~np.isnan(stops)
    off = np.abs(stops - np.median(stops[known])) if known.any() else stops
    smaller = np.log(np.maximum(area, 1) / max(float(area.max(initial=1)), 1))
    return np.asarray(score - EXPOSURE_PENALTY * np.nan_to_num(off) + AREA_WEIGHT * smaller)


def find_bursts(
    runs: Iterable[NDArray[np.int64]], paths: dict[int, str], extract: FeatureExtractor
) -> Iterator[tuple[NDArray[np.int64], ImageFeatures]]:
    """Each burst of two or more: the numbers of its images, and their features, held chunk by chunk. The runs are
    from :func:`time_runs`, the paths those of every image in them, by its number."""
    for chunk in _chunks(runs):
        features = extract([paths[int(number)] for run in chunk for number in run])
        ends = np.cumsum([len(run) for run in chunk])
        for run, end in zip(chunk, ends.tolist(), strict=True):
            of_run = features.take(slice(end - len(run), end))
            labels = label_bursts(of_run)
            for label in np.unique(labels):
                members = np.flatnonzero(labels == label)
                if len(members) > 1:
                    yield run[members], of_run.take(members)


def _chunks(runs: Iterable[NDArray[np.int64]]) -> Iterator[list[NDArray[np.int64]]]:
    """Runs in lists of about :data:`COMPARED_IMAGES` images."""
    chunk: list[NDArray[np.int64]] = []
    size = 0
    for run in runs:
        for part in np.split(run, range(COMPARED_IMAGES, len(run), COMPARED_IMAGES)):
            chunk.append(part)
            size += len(part)
            if size >= COMPARED_IMAGES:
                yield chunk
                chunk, size = [], 0
    if chunk:
        yield chunk
