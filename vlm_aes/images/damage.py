"""Damaged files: how much of an image is lost, and what is left of it.

Damage is looked for only where the decoder or the structure of the file says that data are missing or left
over. An intact file is decoded once, as without this module.
"""

import re
from collections.abc import Callable
from contextlib import suppress

import numpy as np
from PIL import Image
from PIL.ImageFile import ImageFile

MAX_DAMAGED = 0.1
"""Share of lost pixels up to which the rest of an image is still rated."""
_LEAST_DAMAGED = 0.01
"""Share given for damage of unknown extent."""
_TAIL_BYTES = 8
"""A decoder that never asks for the last bytes of a scan lost its place. Some cameras pad it with a few bytes."""
_HOLE = bytes(512)
"""A disk sector of zeros."""
_PADDING = bytes(16)
"""The decoder reads a few bytes ahead."""
_PROBE = b"\x55" * 64
"""Data that change a picture where the decoder still waits for some."""
_END_OF_IMAGE, _START_OF_SCAN = b"\xff\xd9", b"\xff\xda"
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_NO_RESTART = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""A marker that ends coded data (ITU-T T.81, B.1.1), also where restart markers are announced."""
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")

Reopen = Callable[[bytes], ImageFile]


class DataMissing(Exception):
    """Too much of an image is lost; the message says how much."""


def load(image: ImageFile, data: bytes, reopen: Reopen) -> tuple[ImageFile, float]:
    """Decode an opened image; gives the image and the share of its pixels that is lost.

    Args:
        data: the file's bytes.
        reopen: opens other bytes in the same way.

    Raises:
        DataMissing: where more than ``MAX_DAMAGED`` is lost.
        Exception: what the decoder raises where nothing can be saved.
    """
    if image.format in ("JPEG", "MPO"):
        image, lost = _load_jpeg(image, data, reopen)
    else:
        try:
            image.load()
            return image, 0.0
        except Exception:
            # the other formats are decoded as a whole
            if image.format not in ("PNG", "BMP", "TIFF"):
                raise
            image, lost = _decode_rest(data, reopen)
            if lost > 0.99:
                raise
    if lost > MAX_DAMAGED:
        raise DataMissing(f"{lost:.0%} of the image is missing from the file")
    return image, lost


def _decode_rest(data: bytes, reopen: Reopen) -> tuple[ImageFile, float]:
    """What can be decoded, with gray for what cannot, and the share of that.

    Decoded onto black and onto white: what differs was never written.
    """
    images = []
    for fill in (0, 255):
        image = reopen(data)
        image.im = Image.new(image.mode, image.size, (fill,) * len(image.getbands())).im
        with suppress(Exception):
            image.load()
        image.tile = []
        images.append(image)
    differs = np.asarray(images[0]) != np.asarray(images[1])
    lost = differs if differs.ndim == 2 else differs.all(2)
    images[0].paste((128,) * len(image.getbands()), (0, 0), Image.fromarray(lost))
    return images[0], float(lost.mean())


def _load_jpeg(image: ImageFile, data: bytes, reopen: Reopen) -> tuple[ImageFile, float]:
    start, restarts, zeros_are_data = _find_scan(data)
    # a search takes a while; other images may follow in an MPO
    at_end = data.endswith(_END_OF_IMAGE) and image.format == "JPEG"
    end = len(data) - 2 if at_end else data.find(_END_OF_IMAGE, start)
    file, tail = image.fp, max(end - _TAIL_BYTES, 1)
    if end > 0:
        # the tail is then read apart, which shows whether the decoder needs it
        image.decodermaxblock = tail
    error = None
    try:
        image.load()
    except Exception as raised:  # decoders raise whatever they like
        error = raised
    if error and not start:
        raise error
    if "progressive" in image.info or data[start + 2 : start + 3] < bytes([len(image.getbands())]):
        return _check_scans(image, data, end, error, reopen)
    early = error is None and file is not None and file.tell() <= tail
    hole = data.find(_HOLE, start, end) if restarts or not zeros_are_data else -1
    if error is None and end > 0 and hole < 0 and not early and not _ends_gray(image):
        return image, 0.0
    marker = (_NO_RESTART if restarts else _MARKER).search(data, start)
    scan_end = marker.start() if marker else len(data)
    end = data.find(_END_OF_IMAGE, start)
    scan = data[:scan_end]
    in_order = all(m[1][0] == 0xD0 + i % 8 for i, m in enumerate(_RESTART.finditer(scan, start)))
    hole = scan.find(_HOLE, start)
    if in_order and (marker is None or scan_end == end) and (zeros_are_data or hole < 0):
        rest, lost = _decode_rest(scan + _PADDING, reopen)
        # zeros before the end marker may be padding
        needed = scan.rstrip(b"\0\xff") if marker else scan
        if not lost and ((marker and not early) or _decode_rest(needed[:-_TAIL_BYTES], reopen)[1]):
            return rest, 0.0
    rest, lost = _decode_rest((scan if hole < 0 else scan[:hole]) + _PADDING, reopen)
    return rest, lost if hole >= 0 or marker is None else max(lost, _LEAST_DAMAGED)


def _find_scan(data: bytes) -> tuple[int, bool, bool]:
    """Offset behind the first SOS marker, 0 where there is none; what its tables say about the scan.

    That is whether it has restart markers, and whether zeros can be data: the code of zeros belongs to the first
    symbol of a table (ITU-T T.81, C.2). In a flat area that is the end of block, 0.
    """
    at, restarts, zeros_are_data = 2, False, True
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN[1]:
            return at + 2, restarts, zeros_are_data
        restarts |= marker == 0xDD
        table = data[at + 4 : end] if marker == 0xC4 else b""
        while len(table) > 17:
            # tables for AC coefficients have class 1
            zeros_are_data &= not (table[0] >> 4 and table[17])
            table = table[17 + sum(table[1:17]) :]
        at = at + 1 if marker == 0xFF else end
    return 0, restarts, zeros_are_data


def _ends_gray(image: Image.Image) -> bool:
    """Whether the last pixels have the gray that libjpeg gives to blocks without data."""
    right, bottom = image.width - 1, image.height - 1
    levels = np.asarray(image.crop((right - 1, bottom, right + 1, bottom + 1)))
    return int(levels.min()) == int(levels.max()) in (127, 128)


def _check_scans(
    image: ImageFile, data: bytes, end: int, error: Exception | None, reopen: Reopen
) -> tuple[ImageFile, float]:
    """A JPEG of several scans: the last one tells how much detail is there (ITU-T T.81, G.1.1)."""
    at = data.rfind(_START_OF_SCAN, 0, end if end > 0 else len(data))
    last = at + 5 + 2 * data[at + 4 : at + 5][0] if at + 4 < len(data) else len(data)
    bits = data[last + 2] if last + 2 < len(data) else 0
    if error is None and not bits & 15:
        return image, 0.0
    if not bits >> 4:
        raise error or DataMissing("only a blurred version of the image is in the file")
    images = [reopen(data + more + _END_OF_IMAGE) for more in (b"", _PROBE)]
    for one in images:
        one.load()
    # at most the last bits of details are missing; none where more data change nothing
    whole = error and images[0].tobytes() == images[1].tobytes()
    return images[0], 0.0 if whole else _LEAST_DAMAGED
