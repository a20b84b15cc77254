"""The images of a WebDataset archive (``.tar``, ``.tar.gz``), read in one pass."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlm_aes.errors import short_text
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import MAX_FILE_BYTES, ImageSource, file_fingerprint, file_too_large

ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def archive_images(file: str) -> Iterator[ImageSource]:
    """The images of an archive, called ``FILE/NAME``; hidden files and other files are left out.

    An archive that breaks off gives the images before the break, then itself as an error row.
    """
    fingerprint = file_fingerprint(file)
    try:
        with tarfile.open(file, "r|*") as archive:
            for member in archive:
                name = Path(member.name)
                hidden = name.name.startswith(".")
                if member.isfile() and not hidden and name.suffix.lower() in READABLE_SUFFIXES:
                    yield _member_image(file, archive, member, fingerprint)
    except (tarfile.TarError, EOFError, OSError) as error:
        advice = f"the archive breaks off ({short_text(error, 160)}); get it anew"
        damage = ImageError("truncated", advice)
        yield ImageSource(file, lambda: damage)


def _member_image(
    file: str, archive: tarfile.TarFile, member: tarfile.TarInfo, fingerprint: dict[str, Any]
) -> ImageSource:
    data: bytes | ImageError
    if member.size > MAX_FILE_BYTES:
        data = file_too_large(member.size)
    else:
        content = archive.extractfile(member)
        data = content.read() if content else ImageError("unreadable", "it cannot be read")
    return ImageSource(f"{file}/{member.name}", lambda: data, {**fingerprint, "offset": member.offset})
