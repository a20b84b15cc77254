"""Numbers a picture, kept by content: computed once, memory-mapped, safe to end at any moment."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

KEY = 32
"""Bytes of a key: a SHA-256."""


def default_cache() -> Path:
    """Where embeddings are kept when no place is named."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "vlm-aes"


class Kept:
    """A growing array of rows on disk, found by a picture's content.

    Rows are appended first and their keys after them, so that whatever a killed process leaves is
    whole. One process writes at a time.

    Args:
        folder: for all stores.
        identity: of what makes the rows (model and preprocessing); another one, another store.
        width: numbers a row.
        dtype: of the numbers.
    """

    def __init__(
        self, folder: Path, identity: str, width: int, dtype: type[np.floating] = np.float16
    ) -> None:
        name = hashlib.sha256(f"{identity} {width}".encode()).hexdigest()[:16]
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "identity.txt").write_text(f"{identity}\n", encoding="utf-8")
        self._rows_file, self._keys_file = place / "rows.bin", place / "keys.bin"
        self.width, self.dtype = width, np.dtype(dtype)
        self._of: dict[bytes, int] = {}
        keys = self._keys_file.read_bytes() if self._keys_file.exists() else b""
        size = self._rows_file.stat().st_size if self._rows_file.exists() else 0
        whole = min(len(keys) // KEY, size // (width * self.dtype.itemsize))
        for i in range(whole):
            self._of[keys[i * KEY : (i + 1) * KEY]] = i
        self._n = whole
        for file, item in ((self._rows_file, width * self.dtype.itemsize), (self._keys_file, KEY)):
            with file.open("ab") as end:
                end.truncate(whole * item)

    def __contains__(self, sha256: str) -> bool:
        return bytes.fromhex(sha256) in self._of

    def __len__(self) -> int:
        return len(self._of)

    def append(self, sha256s: list[str], rows: ArrayLike) -> None:
        """Keep a row for each content."""
        values = np.ascontiguousarray(rows, dtype=self.dtype)
        if values.shape != (len(sha256s), self.width):
            raise ValueError(f"expected {(len(sha256s), self.width)} numbers, got {values.shape}")
        keys = [bytes.fromhex(s) for s in sha256s]
        with self._rows_file.open("ab") as file:
            file.write(values.tobytes())
        with self._keys_file.open("ab") as file:
            file.write(b"".join(keys))
        for key in keys:
            self._of[key] = self._n
            self._n += 1

    def rows(self, sha256s: list[str]) -> NDArray[np.float32]:
        """(N, width) rows of these contents.

        Raises:
            KeyError: for one that is not kept.
        """
        at = [self._of[bytes.fromhex(s)] for s in sha256s]
        if not at:
            return np.zeros((0, self.width), np.float32)
        mapped = np.memmap(self._rows_file, self.dtype, "r", shape=(self._n, self.width))
        return np.asarray(mapped[at], dtype=np.float32)
