from PIL import Image

from tests.photos import gray
from vlm_aes.measure.exif import camera_settings


def test_camera_settings_are_read_and_damaged_files_have_none(tmp_path):
    exif = Image.Exif()
    exif[0x0110] = "Box\x00 No. 1"
    exif.get_ifd(0x8769).update({0x829A: 0.004, 0x829D: 2.8, 0x8827: 400, 0x920A: 35.0})
    gray(9).save(tmp_path / "a.jpg", exif=exif)
    gray(9).save(tmp_path / "b.png")
    (tmp_path / "c.jpg").write_bytes(b"no image")
    found = {
        "camera": "Box No. 1",
        "focal length": "35 mm",
        "aperture": "f/2.8",
        "shutter": "1/250 s",
        "ISO": "ISO 400",
    }
    assert camera_settings(tmp_path / "a.jpg") == camera_settings((tmp_path / "a.jpg").read_bytes()) == found
    for name in ("b.png", "c.jpg", "none.jpg"):
        assert camera_settings(tmp_path / name) == {}
