"""Splits without leaks: equal images, near-duplicates and groups stay in one split."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR_DUPLICATE_BITS = 10
"""Bits of 128 in which the hashes of two versions of one image may differ."""
_BLOCK_ROWS = 1024


def perceptual_hash(image: Image.Image) -> tuple[int, int]:
    """128 bits that change little by a re-encode, a resize or a slight change of tone.

    Whether brightness rises from each of 8 x 8 cells to the next one across, and down ("difference hash",
    Krawetz 2013, both ways).
    """
    gray = image.convert("L")
    box = Image.Resampling.BOX
    across = np.diff(np.asarray(gray.resize((9, 8), box), dtype=np.int16), axis=1) > 0
    down = np.diff(np.asarray(gray.resize((8, 9), box), dtype=np.int16), axis=0) > 0
    first, second = (int.from_bytes(np.packbits(bits).tobytes(), "big") for bits in (across, down))
    return first, second


def near_duplicates(hashes: Sequence[tuple[int, int]], distance: int = NEAR_DUPLICATE_BITS) -> list[tuple[int, int]]:
    """Pairs of positions, the lower first, whose hashes differ in at most ``distance`` bits."""
    words = np.array(hashes, dtype=np.uint64).reshape(-1, 2)
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(words), _BLOCK_ROWS):
        block = words[start : start + _BLOCK_ROWS, None] ^ words[None, start:]
        near = np.triu(np.bitwise_count(block).sum(-1) <= distance, 1)
        pairs += [(start + i, start + j) for i, j in np.argwhere(near).tolist()]
    return pairs


def clusters(n: int, links: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """(n,) cluster number of each position: the connected components of the links."""
    ends = np.array(list(links), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), tuple(ends.T)), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def equal_key_links(keys: Sequence[str]) -> list[tuple[int, int]]:
    """Links between positions with the same key; an empty key links nothing."""
    first: dict[str, int] = {}
    return [(first.setdefault(key, i), i) for i, key in enumerate(keys) if key]


def split(
    cluster: NDArray[np.int64], names: Sequence[str], *, validation: float = 0.15, test: float = 0.15, seed: int = 0
) -> list[str]:
    """``train``, ``validation`` or ``test`` for each position, whole clusters at a time.

    The same images and seed give the same split, in whatever order they come. A cluster that is larger than
    what a split still needs goes to training.

    Args:
        cluster: (N,) from :func:`clusters`.
        names: (N,) a lasting name of each image, such as the hash of its content.
        validation, test: shares of the images.

    Raises:
        ValueError: for shares that leave nothing to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ValueError("the shares of validation and test must leave something to train on")
    members: dict[int, list[int]] = {}
    for i, number in enumerate(cluster):
        members.setdefault(int(number), []).append(i)

    def order(rows: list[int]) -> bytes:
        return hashlib.sha256(f"{seed} {min(names[i] for i in rows)}".encode()).digest()

    room = {"test": round(test * len(cluster)), "validation": round(validation * len(cluster))}
    sides = ["train"] * len(cluster)
    for rows in sorted(members.values(), key=order):
        side = next((s for s, left in room.items() if len(rows) <= left), "train")
        if side != "train":
            room[side] -= len(rows)
        for i in rows:
            sides[i] = side
    return sides


def count_leaks(cluster: NDArray[np.int64], sides: Sequence[str]) -> int:
    """Number of images outside training with one of their cluster in training."""
    trained = {int(c) for c, side in zip(cluster, sides, strict=True) if side == "train"}
    return sum(int(c) in trained for c, side in zip(cluster, sides, strict=True) if side != "train")
