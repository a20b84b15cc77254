"""Addresses that fsspec opens."""

import pytest

from tests.bulk.sources.conftest import contents
from vlm_aes.bulk import find_sources
from vlm_aes.errors import SourceError


def test_addresses(image_bytes):
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    store.pipe({f"/shoot/{i}.png": data for i, data in enumerate(image_bytes)})
    store.pipe({"/shoot/.hidden.png": b"x", "/shoot/notes.txt": b"x"})
    try:
        items = list(find_sources(["memory://shoot"]))
        assert [i.read() for i in items] == image_bytes
        assert items[0].path == "memory:///shoot/0.png"
        assert contents("memory://shoot/1.png") == image_bytes[1:2]
        store.rm("/shoot/2.png")
        assert str(items[2].read()).startswith("missing: ")
        for address, reason in (("memory://nowhere", "nothing is there"), ("nosuch://x", "nosuch")):
            with pytest.raises(SourceError, match=reason):
                contents(address)
    finally:
        store.rm("/shoot", recursive=True)
