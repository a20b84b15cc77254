"""Archives, plain, compressed, and one that breaks off."""

import io
import tarfile

from tests.bulk.sources.conftest import contents
from vlm_aes.bulk import find_sources
from vlm_aes.bulk.sources import count_images
from vlm_aes.images.open import ImageError


def test_archives_and_one_that_breaks_off(photos, image_bytes, tmp_path):
    for name in ("a-0.tar", "a-1.tar.gz"):
        with tarfile.open(tmp_path / name, "w:gz" if name.endswith("gz") else "w") as archive:
            for file in sorted(photos.iterdir()):
                archive.add(file, f"{file.stem}.png")
                label = io.BytesIO(b"3")
                about = tarfile.TarInfo(f"{file.stem}.cls")
                about.size = 1
                archive.addfile(about, label)
    assert contents(tmp_path / "a-0.tar") == image_bytes
    assert contents(tmp_path / "a-*.tar") == image_bytes
    assert contents(tmp_path / "a-1.tar.gz") == image_bytes
    first = next(find_sources([str(tmp_path / "a-0.tar")]))
    assert first.path == f"{tmp_path}/a-0.tar/0.png"
    assert count_images([str(tmp_path / "a-0.tar")]) is None
    with tarfile.open(tmp_path / "a-0.tar") as archive:
        second = archive.getmember("1.png")
    cut = second.offset_data + second.size // 2
    (tmp_path / "cut.tar").write_bytes((tmp_path / "a-0.tar").read_bytes()[:cut])
    good, last = contents(tmp_path / "cut.tar")
    assert good == image_bytes[0]
    assert isinstance(last, ImageError)
    assert str(last).startswith("truncated: the archive breaks off")
