"""One sidecar: a rating merged into what is there, read and written by exiv2."""

import mmap
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vlm_aes.errors import OutputError
from vlm_aes.output.xmp import fields
from vlm_aes.output.xmp.fields import EXTENSION, OTHER_RATINGS, RATING, SidecarFields, own_key, text_of, whole_number
from vlm_aes.output.xmp.packet import Packet, leaves

_EMBEDDED_RATINGS = (RATING, *OTHER_RATINGS, "Exif.Image.Rating")


@dataclass(frozen=True)
class SidecarContent:
    """The rating of an image, as a sidecar holds it.

    Attributes:
        stars: 0 (none) to 5; None where they are not known.
        pick: 1 picked, -1 rejected; None for neither. ``label`` is the name of a colour.
        keywords: each ``subject: word``; one with the same subject is replaced.
        description: text for the field that programs show as a caption.
        notes: name to text, kept in our own namespace only.
    """

    stars: int | None = None
    keywords: tuple[str, ...] = ()
    description: str | None = None
    notes: dict[str, str] = field(default_factory=dict)
    pick: int | None = None
    label: str | None = None


@dataclass(frozen=True)
class MergedSidecar:
    """A sidecar with a rating in it, or without it again.

    Attributes:
        data: the whole file; the old bytes where nothing changes, nothing where the file is not needed any more.
        changes, kept: new values, and a person's, which stay, in words.
    """

    data: bytes
    changes: tuple[str, ...]
    kept: tuple[str, ...]


def library() -> Any:
    """exiv2, quiet, with our namespace. Raises OutputError where it is not installed."""
    try:
        import exiv2
    except ImportError:
        raise OutputError("sidecars need exiv2: pip install 'vlm-aes[xmp]'") from None
    exiv2.LogMsg.setLevel(exiv2.LogMsg.Level.mute)
    exiv2.XmpParser.initialize()
    exiv2.XmpProperties.registerNs(fields.NAMESPACE, fields.PREFIX)
    return exiv2


def merge_sidecar(
    old: bytes | None,
    content: SidecarContent,
    *,
    embedded: int = 0,
    unrated: int = 0,
    overwrite_rating: bool = False,
    extension: str = "",
) -> MergedSidecar:
    """A rating, merged into a sidecar.

    Args:
        old: the sidecar's bytes, where there is one.
        embedded: rating that the image file itself holds; a person's too.
        unrated: the rating that stands for none; darktable gives new images 1.
        overwrite_rating: replace a person's rating.
        extension: for a new sidecar whose name does not tell which file it is for.

    Raises:
        OutputError: for a sidecar that is no XMP, or that would lose something that is not ours.
    """
    exiv2 = library()
    sidecar = _open(exiv2, old)
    edit = SidecarFields(exiv2, sidecar.xmpData())
    if old is None and extension:
        edit.put(EXTENSION, extension)
    edit.rating(content.stars, embedded, unrated, overwrite_rating)
    edit.keywords(content.keywords)
    edit.describe(content.description)
    if content.pick is not None or content.label is not None:
        edit.marks(content.pick, content.label)
    for name, text in content.notes.items():
        edit.put(own_key(name), text)
    if old is None and edit.changed:
        edit.put(own_key("created"), "yes")
    return _merged(sidecar, edit, old)


def undo_sidecar(old: bytes, *, embedded: int = 0) -> MergedSidecar:
    """A sidecar without all that :func:`merge_sidecar` ever wrote into it. What a person changed since stays.

    Args:
        embedded: rating that the image file itself holds.

    Raises:
        OutputError: for a sidecar that is no XMP, or that would lose something that is not ours.
    """
    exiv2 = library()
    sidecar = _open(exiv2, old)
    edit = SidecarFields(exiv2, sidecar.xmpData())
    edit.take_back(embedded)
    if edit.is_empty:
        return MergedSidecar(b"", ("removed",), ())
    return _merged(sidecar, edit, old)


def _merged(sidecar: Any, edit: SidecarFields, old: bytes | None) -> MergedSidecar:
    """The edited sidecar in the frame of the old one."""
    data = _written(sidecar) if edit.changed else old or b""
    if edit.changed and old is not None:
        frame = Packet.read(old)
        data = frame.with_body(Packet.read(data))
        if lost := leaves(frame) - leaves(Packet.read(data)) - Counter(edit.replaced):
            names = sorted(name for name, _ in lost)
            raise OutputError(f"it would lose {', '.join(names[:3])}; it is left as it is")
    return MergedSidecar(data, tuple(edit.changes), tuple(edit.kept))


def _open(exiv2: Any, old: bytes | None) -> Any:
    if old is None:
        return exiv2.ImageFactory.create(exiv2.ImageType.xmp)
    try:
        packet = Packet.read(old)
        ElementTree.fromstring(packet.body)  # exiv2 passes over XML that breaks off
        image = exiv2.ImageFactory.open(packet.body.encode())
        image.readMetadata()
        # else it would write the Exif and IPTC that it read off the XMP back over it
        image.clearExifData()
        image.clearIptcData()
    except (exiv2.Exiv2Error, ElementTree.ParseError, UnicodeError):
        raise OutputError("it is no XMP that can be read; move it away to get a new one") from None
    return image


def _written(image: Any) -> bytes:
    image.writeMetadata()
    io = image.io()
    io.open()
    try:
        return bytes(io.mmap())
    finally:
        io.munmap()
        io.close()


def named_extension(data: bytes) -> str:
    """The extension, in lower case, of the file that a sidecar says it is for; empty where it names none or is no
    XMP."""
    try:
        return (text_of(_open(library(), data).xmpData(), EXTENSION) or "").lower()
    except OutputError:
        return ""


def embedded_rating(image_file: Path) -> int:
    """The rating that an image file itself holds, -1 (rejected) to 5; 0 for none, and for a file that exiv2
    does not know."""
    exiv2 = library()
    try:
        # mapped, because exiv2 opens no name that is not UTF-8
        with image_file.open("rb") as file:
            image = exiv2.ImageFactory.open(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        image.readMetadata()
    except (exiv2.Exiv2Error, ValueError):  # ValueError: an empty file
        return 0
    for key in _EMBEDDED_RATINGS:
        data = image.exifData() if key.startswith("Exif") else image.xmpData()
        if rating := whole_number(text_of(data, key)):
            # MicrosoftPhoto's are 1, 25, 50, 75, 99; smaller numbers are stars already
            is_percent = key in OTHER_RATINGS and (rating > 5 or rating == 1)
            return 1 + round(rating / 25) if is_percent else rating
    return 0
