"""A cache of embeddings on disk: computed once, memory-mapped, safe to interrupt at any moment."""

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

_KEY_BYTES = 32
"""Length of a key: a SHA-256."""


def default_cache() -> Path:
    """The folder of caches where none is named."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "vlm-aes"


class EmbeddingCache:
    """A growing array of rows on disk, each under the SHA-256 of an image's file.

    Rows are appended first and their keys after them, so that whatever a killed process leaves is consistent.
    One process writes at a time.

    Args:
        folder: of all caches.
        identity: of what computes the rows (model and preprocessing); another one has a cache of its own.
        width, dtype: how many numbers a row has, and their format.
    """

    def __init__(self, folder: Path, identity: str, width: int, dtype: type[np.floating] = np.float16) -> None:
        name = hashlib.sha256(f"{identity} {width}".encode()).hexdigest()[:16]
        own = folder / name
        own.mkdir(parents=True, exist_ok=True)
        (own / "identity.txt").write_text(f"{identity}\n", encoding="utf-8")
        self._rows_file, self._keys_file = own / "rows.bin", own / "keys.bin"
        self.width, self.dtype = width, np.dtype(dtype)
        row_bytes = width * self.dtype.itemsize
        keys = self._keys_file.read_bytes() if self._keys_file.exists() else b""
        size = self._rows_file.stat().st_size if self._rows_file.exists() else 0
        self._n = min(len(keys) // _KEY_BYTES, size // row_bytes)
        self._index = {keys[i * _KEY_BYTES : (i + 1) * _KEY_BYTES]: i for i in range(self._n)}
        for file, item_bytes in ((self._rows_file, row_bytes), (self._keys_file, _KEY_BYTES)):
            with file.open("ab") as end:
                end.truncate(self._n * item_bytes)

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._index

    def __len__(self) -> int:
        return len(self._index)

    def append(self, sha256s: list[str], rows: ArrayLike) -> None:
        """Store a row for each key."""
        values = np.ascontiguousarray(rows, dtype=self.dtype)
        if values.shape != (len(sha256s), self.width):
            raise ValueError(f"expected {(len(sha256s), self.width)} numbers, got {values.shape}")
        keys = [bytes.fromhex(s) for s in sha256s]
        with self._rows_file.open("ab") as file:
            file.write(values.tobytes())
        with self._keys_file.open("ab") as file:
            file.write(b"".join(keys))
        for key in keys:
            self._index[key] = self._n
            self._n += 1

    def rows(self, sha256s: list[str]) -> NDArray[np.float32]:
        """(N, width) rows of these keys. Raises KeyError for a key that is not in the cache."""
        places = [self._index[bytes.fromhex(s)] for s in sha256s]
        if not places:
            return np.zeros((0, self.width), np.float32)
        mapped = np.memmap(self._rows_file, self.dtype, "r", shape=(self._n, self.width))
        return np.asarray(mapped[places], dtype=np.float32)
