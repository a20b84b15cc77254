"""Directories of tags as TIFF, EXIF and most maker notes have them, read in place from a file."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

ReadAt = Callable[[int, int], bytes]
"""From an offset and a length to bytes of a file; fewer where it ends."""

MAX_ENTRIES = 2048
"""Entries of a directory; one with more is damaged."""
MAX_VALUE_BYTES = 65536
"""Bytes of a value that are read at most."""
_ENTRY_BYTES = 12
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I"}
"""TIFF 6.0, section 2: a type's number, and how ``struct`` names it; type 13 is an offset."""
_BYTES_OF_TYPE = {number: struct.calcsize("<" + code) for number, code in _TYPES.items()}


@dataclass(frozen=True)
class TagField:
    """One entry of a directory: its type, how many values it has, and where in the file they are."""

    type: int
    count: int
    position: int

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return _BYTES_OF_TYPE.get(self.type, 0) * self.count


class TagDirectory:
    """The entries of one directory. A value is read when it is asked for; a damaged one is empty.

    Args:
        read: reads the file.
        at: where the directory begins, from the start of the file.
        order: ``<`` for little-endian, ``>`` for big-endian.
        base: the place in the file from which the offsets of its values count.
    """

    def __init__(self, read: ReadAt, at: int, order: str, base: int) -> None:
        self.read, self.order, self.base, self.at = read, order, base, at
        self.fields: dict[int, TagField] = {}
        head = read(at, 2)
        count = struct.unpack(order + "H", head)[0] if len(head) == 2 else 0
        if not 0 < count <= MAX_ENTRIES:
            count = 0
        entries = read(at + 2, count * _ENTRY_BYTES)
        self.end = at + 2 + count * _ENTRY_BYTES
        """Where the entries end."""
        for i in range(len(entries) // _ENTRY_BYTES):
            tag, kind, n, offset = struct.unpack_from(order + "HHII", entries, i * _ENTRY_BYTES)
            inline = _BYTES_OF_TYPE.get(kind, 0) * n <= 4
            position = at + 2 + i * _ENTRY_BYTES + 8 if inline else base + offset
            self.fields.setdefault(tag, TagField(kind, n, position))

    def data(self, tag: int) -> bytes:
        """The bytes of a value; empty where it is missing."""
        field = self.fields.get(tag)
        if field is None:
            return b""
        return self.read(field.position, min(field.size, MAX_VALUE_BYTES))

    def numbers(self, tag: int) -> tuple[float, ...]:
        """The numbers of a value; NaN for a fraction without denominator."""
        field = self.fields.get(tag)
        if field is None or field.type not in _TYPES:
            return ()
        code, size = _TYPES[field.type], _BYTES_OF_TYPE[field.type]
        data = self.data(tag)
        if code == "s":
            return tuple(data)
        flat = struct.unpack(f"{self.order}{len(data) // size * len(code)}{code[0]}", data[: len(data) // size * size])
        if len(code) == 1:
            return flat
        return tuple(n / d if d else math.nan for n, d in zip(flat[::2], flat[1::2], strict=True))

    def number(self, tag: int, index: int = 0) -> float | None:
        """One number of a value; None where it is missing or not finite."""
        numbers = self.numbers(tag)
        return numbers[index] if index < len(numbers) and math.isfinite(numbers[index]) else None

    def integer(self, tag: int, index: int = 0) -> int | None:
        """One whole number of a value; None where it is missing."""
        number = self.number(tag, index)
        return None if number is None else int(number)

    def text(self, tag: int) -> str:
        """A value as text, without control characters; empty where it is missing."""
        text = self.data(tag).split(b"\0")[0].decode("latin-1")
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    def shorts(self, tag: int) -> tuple[int, ...]:
        """A value of any type as signed numbers of 16 bits, as a record of a maker note holds them."""
        return self._array(tag, "h")

    def longs(self, tag: int) -> tuple[int, ...]:
        """A value of any type as signed numbers of 32 bits, as a record of a maker note holds them."""
        return self._array(tag, "i")

    def _array(self, tag: int, code: str) -> tuple[int, ...]:
        data, size = self.data(tag), struct.calcsize("<" + code)
        return struct.unpack(f"{self.order}{len(data) // size}{code}", data[: len(data) // size * size])

    def child(self, tag: int) -> "TagDirectory | None":
        """The directory that a value points to; None where there is none."""
        field = self.fields.get(tag)
        if field is None:
            return None
        if field.type in (4, 13):
            offset = self.integer(tag)
            return None if not offset else TagDirectory(self.read, self.base + offset, self.order, self.base)
        return TagDirectory(self.read, field.position, self.order, self.base)

    def mended(self, start: int, length: int) -> "TagDirectory":
        """The directory with offsets that lie inside the block of ``length`` bytes at ``start``.

        A program that moves a maker note inside its file leaves the offsets as they were. All of them then lie
        outside the note. They are moved so that the first value follows the entries.
        """
        outside = [f for f in self.fields.values() if f.size > 4]
        if not outside or any(start <= f.position < start + length for f in outside):
            return self
        shift = self.end + 4 - min(f.position for f in outside)
        if max(f.position + shift + f.size for f in outside) > start + length:
            return self
        return TagDirectory(self.read, self.at, self.order, self.base + shift)


def byte_order(mark: bytes) -> str:
    """``<`` or ``>`` for the mark ``II`` or ``MM``; empty for anything else."""
    return {b"II": "<", b"MM": ">"}.get(mark, "")


def open_tiff(read: ReadAt, start: int) -> TagDirectory | None:
    """The first directory of a TIFF block at ``start``, whatever its magic number; None where there is none."""
    head = read(start, 8)
    order = byte_order(head[:2])
    if not order or len(head) < 8:
        return None
    return TagDirectory(read, start + struct.unpack(order + "I", head[4:])[0], order, start)
