"""The images at an address that fsspec knows: object stores, archives, web servers."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from vlm_aes.errors import SourceError, short_text
from vlm_aes.images.formats import READABLE_SUFFIXES
from vlm_aes.images.result import ImageError
from vlm_aes.images.source import MAX_FILE_BYTES, ImageSource, file_too_large

_FINGERPRINT_KEYS = ("size", "ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "created")
"""What stores say of a file that tells whether it is unchanged."""


def remote_images(address: str) -> Iterator[ImageSource]:
    """The images at an address: a file, or all readable ones below it, by name. Raises SourceError where fsspec
    or what it needs is not installed, or the store refuses."""
    try:
        import fsspec
    except ImportError:
        raise SourceError(f"{address}: addresses need fsspec", "pip install 'vlm-aes[remote]'") from None
    try:
        store, root = fsspec.url_to_fs(address)
        if store.isfile(root):
            yield _remote_image(store, root, address, store.info(root))
            return
        matches = store.glob(root, detail=True) if "*" in root else store.find(root, detail=True)
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{address}: {short_text(error, 160)}") from None
    if not matches:
        raise SourceError(f"{address}: nothing is there")
    for name, about in sorted(matches.items()):
        parts = PurePosixPath(name)
        hidden = any(p.startswith(".") for p in parts.relative_to(parts.anchor).parts)
        readable = parts.suffix.lower() in READABLE_SUFFIXES
        if about.get("type") == "file" and readable and not hidden:
            yield _remote_image(store, name, store.unstrip_protocol(name), about)


def _remote_image(store: Any, name: str, address: str, about: dict[str, Any]) -> ImageSource:
    size_bytes = about.get("size") or 0

    def load() -> bytes | ImageError:
        if size_bytes > MAX_FILE_BYTES:
            return file_too_large(size_bytes)
        try:
            return bytes(store.cat_file(name))
        except FileNotFoundError:
            return ImageError("missing", "no such file; check the address")
        except Exception as error:  # each store has errors of its own
            return ImageError("unreadable", f"the store says {short_text(error, 120)}; try again with --resume")

    fingerprint = {k: str(about[k]) for k in _FINGERPRINT_KEYS if about.get(k) is not None}
    return ImageSource(address, load, fingerprint)
