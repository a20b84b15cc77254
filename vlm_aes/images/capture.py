"""What the camera wrote about one file: when, with which exposure, and in which set of shots."""

import math
import os
import re
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vlm_aes.images.maker_notes import MakerNote, read_canon_directory, read_maker_note, read_phone_packet
from vlm_aes.images.metadata_blocks import MetadataBlocks, find_blocks
from vlm_aes.images.source import MAX_FILE_BYTES
from vlm_aes.images.tag_directory import ReadAt, TagDirectory

HEAD_BYTES = 1 << 16
"""Bytes that are read at once; most files have all that is asked for within them."""
EXIF_THREADS = 8
"""Threads that read what the camera wrote."""

_MAKE, _MODEL, _EXIF, _DNG_SERIAL = 0x010F, 0x0110, 0x8769, 0xC62F
_EXPOSURE_TIME, _F_NUMBER, _SHUTTER_SPEED, _APERTURE, _BIAS = 0x829A, 0x829D, 0x9201, 0x9202, 0x9204
_SENSITIVITIES = (0x8827, 0x8832, 0x8831)
"""EXIF 2.32: PhotographicSensitivity, which holds 65535 at most, and the two that hold more."""
_ISO_AT_ITS_LIMIT = 65535
_FOCAL_LENGTH, _SERIAL = 0x920A, 0xA431
_TIMES = ((0x9003, 0x9291), (0x9004, 0x9292))
"""EXIF 2.32: DateTimeOriginal and DateTimeDigitized, each with its SubSecTime."""
_CUSTOM_RENDERED, _EXPOSURE_MODE, _COMPOSITE, _COMPOSITE_SHOTS = 0xA401, 0xA402, 0xA460, 0xA461
_AUTO_EXPOSURE, _AUTO_BRACKET = 0, 2
_APPLE_RENDERED = {
    3: MakerNote(set_kind="hdr", merged=True),
    4: MakerNote(set_kind="hdr"),
    6: MakerNote(set_kind="panorama", merged=True),
}
"""Values of CustomRendered that Apple gives a meaning of its own."""


@dataclass(frozen=True, slots=True)
class Capture:
    """What the camera wrote about one file, read without decoding pixels. Every field may be unknown.

    Attributes:
        time_s: seconds of the camera's own clock, with sub-seconds where they are written.
        whole_seconds: whether no sub-second is written.
        body: make, model and serial number; empty where unknown.
        exposure_ev: ``log2(N^2 / t) - log2(ISO / 100)``; a larger value lets in less light. A lens that names no
            aperture counts as f/1.
        bias_ev: exposure compensation, in stops.
        exposure_s: exposure time, in seconds.
        focal_length_mm: focal length of the lens, in millimetres.
        set_kind: the set of shots that the camera names: empty, or one of bracket, wb_bracket, focus_stack,
            pixel_shift, hdr, panorama, timelapse.
        set_shot: number of the shot in its set, from 1.
        set_size: number of shots of its set.
        burst_id: identifier of the burst that a phone gives.
        content_id: identifier that the still and the film of a Live Photo share.
        sharp_place: place of the sharpest detail, as shares of width and height. The reader leaves it empty.
        sharpness: of that detail, to compare frames of one scene. The reader leaves it empty too.
        merged: whether the file is what the camera made of the shots of a set, and no shot itself.
        auto_exposure: whether the camera says that it chose the exposure of each shot anew.
    """

    time_s: float | None = None
    whole_seconds: bool = True
    body: str = ""
    exposure_ev: float | None = None
    bias_ev: float | None = None
    exposure_s: float | None = None
    focal_length_mm: float | None = None
    set_kind: str = ""
    set_shot: int | None = None
    set_size: int | None = None
    burst_id: str = ""
    content_id: str = ""
    sharp_place: tuple[float, float] | None = None
    sharpness: float | None = None
    merged: bool = False
    auto_exposure: bool = False


def read_capture(path: str) -> Capture:
    """What the camera wrote about the file at ``path``; unknown fields where it is damaged or says nothing.

    Nothing is raised, also for a file that is missing, or is no regular file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116  (takes any text)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:  # a named pipe would be waited for
            return Capture()
        with Path(path).open("rb") as file:
            head = file.read(HEAD_BYTES)

            def read(offset: int, length: int) -> bytes:
                if offset < 0 or length <= 0:
                    return b""
                if offset + length <= len(head):
                    return head[offset : offset + length]
                file.seek(offset)
                return file.read(length)

            return _capture_of(read)
    except Exception:  # whatever a damaged file leads to
        return Capture()


def read_captures(paths: Sequence[str]) -> list[Capture]:
    """:func:`read_capture` of each path, in threads."""
    with ThreadPoolExecutor(EXIF_THREADS) as pool:
        return list(pool.map(read_capture, paths))


def _capture_of(read: ReadAt) -> Capture:
    blocks = find_blocks(read)
    if not blocks.directories:
        return Capture(burst_id=read_phone_packet(blocks.xmp).burst_id)
    first = blocks.directories[0]
    make, model = first.text(_MAKE), first.text(_MODEL)
    exif = first.child(_EXIF)
    if exif is None and len(blocks.directories) > 1:  # a CR3 file keeps each directory in a box of its own
        exif = blocks.directories[1]
    exif = exif or first
    try:
        note = _note_of(blocks, first, exif, make, model)
    except Exception:  # a damaged note leaves the rest
        note = MakerNote()
    time_s, whole_seconds = _time(exif)
    exposure_s = _positive(exif, _EXPOSURE_TIME, _SHUTTER_SPEED, lambda v: 2**-v)
    serial = exif.text(_SERIAL) or first.text(_DNG_SERIAL) or note.serial
    bias = exif.number(_BIAS)
    return Capture(
        time_s=time_s,
        whole_seconds=whole_seconds,
        body=" ".join(part for part in (make, model, serial) if part),
        exposure_ev=_exposure(exif, exposure_s),
        bias_ev=note.bias_ev if bias is None else bias,
        exposure_s=exposure_s,
        focal_length_mm=_positive(exif, _FOCAL_LENGTH),
        set_kind=note.set_kind,
        set_shot=note.set_shot,
        set_size=note.set_size,
        burst_id=note.burst_id,
        content_id=note.content_id,
        merged=note.merged,
        auto_exposure=exif.integer(_EXPOSURE_MODE) == _AUTO_EXPOSURE,
    )


def _note_of(blocks: MetadataBlocks, first: TagDirectory, exif: TagDirectory, make: str, model: str) -> MakerNote:
    """What maker, phone and EXIF say of the set; the maker comes first."""
    if len(blocks.directories) > 2 and make.upper().startswith("CANON"):
        note = read_canon_directory(blocks.directories[2])
    else:
        note = read_maker_note(first, exif, make, model)
    note = replace(note, burst_id=note.burst_id or read_phone_packet(blocks.xmp).burst_id)
    if note.set_kind:
        return note
    said = MakerNote()
    if make.upper().startswith("APPLE"):
        said = _APPLE_RENDERED.get(exif.integer(_CUSTOM_RENDERED) or 0, said)
    if exif.integer(_EXPOSURE_MODE) == _AUTO_BRACKET:
        said = MakerNote(set_kind="bracket")
    elif not said.set_kind and exif.integer(_COMPOSITE) in (2, 3):
        said = MakerNote(set_kind="hdr", merged=True, set_size=exif.integer(_COMPOSITE_SHOTS, 1))
    return replace(note, set_kind=said.set_kind, merged=said.merged, set_size=said.set_size)


def _time(exif: TagDirectory) -> tuple[float | None, bool]:
    """Seconds of the camera's clock, and whether they are whole ones."""
    for whole, fraction in _TIMES:
        parts = re.match(r"(\d{4}):(\d\d):(\d\d)[ T](\d\d):(\d\d):(\d\d)", exif.text(whole))
        if not parts:
            continue
        try:
            taken = datetime(*map(int, parts.groups()), tzinfo=UTC)  # type: ignore[arg-type,misc]  # six numbers
        except ValueError:
            continue
        digits = exif.text(fraction).strip()
        known = digits.isascii() and digits.isdigit()
        return taken.timestamp() + (float(f"0.{digits}") if known else 0.0), not known
    return None, True


def _exposure(exif: TagDirectory, exposure_s: float | None) -> float | None:
    """Exposure value at ISO 100, of the settings; None without exposure time or sensitivity."""
    sensitivities = [v for v in (exif.number(tag) for tag in _SENSITIVITIES) if v and v > 0]
    if exposure_s is None or not sensitivities:
        return None
    iso = next((v for v in sensitivities if v != _ISO_AT_ITS_LIMIT), sensitivities[0])
    f_number = _positive(exif, _F_NUMBER, _APERTURE, lambda v: 2 ** (v / 2)) or 1.0
    return math.log2(f_number**2 / exposure_s) - math.log2(iso / 100)


def _positive(exif: TagDirectory, tag: int, apex_tag: int = 0, of_apex: Callable[[float], float] = abs) -> float | None:
    """A number above zero, else the same quantity by its APEX value (EXIF 2.32, annex C)."""
    value = exif.number(tag)
    if value is not None and value > 0:
        return value
    apex = exif.number(apex_tag)
    return of_apex(apex) if apex is not None and abs(apex) < 64 else None
