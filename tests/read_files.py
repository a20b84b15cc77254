"""One photo in many files: what each of them is, and how it is read. Golden files hold the row of each, and
``docs/reading.md`` is made from this table: ``python -m tests.read_files``.
"""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tests.images.test_frame import FRAMES
from tests.images.test_profile import (
    ADOBE,
    DISPLAY_P3,
    LAB,
    REC_2020_LINEAR,
    chroma_chunk,
    cicp,
    encoded,
    gamma_chunk,
    png,
    tiff,
    told_in,
    with_codes,
)
from tests.photos import PHOTOS
from vlm_aes.images.profile import _matrix_profile

FOLDER = "awkward/told"
PLAIN = "plain.png"
"""The photo itself; the scores of the others are compared with its."""
PHOTO = PHOTOS[0].convert("RGB").crop((60, 20, 380, 260))
PRO_PHOTO = _matrix_profile(((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001), (0.3457, 0.3585)), 1.8)
_SRGB = (((0.64, 0.33), (0.30, 0.60), (0.15, 0.06), (0.3127, 0.3290)), None)
GRAY_12 = (np.asarray(PHOTO.convert("L")) / 255 * 4095).round().astype(np.uint16)
LEVELS = np.asarray(PHOTO)


def in_space(profile, kind="JPEG", **options):
    """The photo in the colour space of a profile, which is embedded."""
    return encoded(told_in(profile, PHOTO), kind, icc_profile=profile, **({"quality": 98} | options))


def adobe_by_exif_alone():
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R03"}
    return encoded(told_in(ADOBE, PHOTO), "JPEG", quality=98, exif=exif)


JPEG = encoded(PHOTO, "JPEG", quality=95)
BODY = JPEG.rindex(b"\xff\xda")


def zeros_from(share):
    """The JPEG with zeros from a share of its data on, and its end marker."""
    start = BODY + int((len(JPEG) - BODY) * share)
    return JPEG[:start] + bytes(len(JPEG) - 2 - start) + JPEG[-2:]


def cut(kind, share=0.5, **options):
    data = encoded(PHOTO, kind, **options)
    return data[: int(len(data) * share)]


def packed(write):
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def in_zip(buffer):
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("photo.jpg", JPEG)


def in_tar(buffer):
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("photo.jpg")
        info.size = len(JPEG)
        archive.addfile(info, io.BytesIO(JPEG))


COLORS, DEPTHS, DAMAGE, BORDERS, NO_PICTURES = (
    "Colours", "Depths and greys", "Damage", "Frames and bars", "No pictures",
)  # fmt: skip
FILES = {
    PLAIN: (COLORS, "sRGB without a profile", lambda: encoded(PHOTO, "PNG")),
    "srgb.jpg": (COLORS, "sRGB with its profile", lambda: in_space(_matrix_profile(*_SRGB))),
    "p3.jpg": (COLORS, "Display P3, as phones write it", lambda: in_space(DISPLAY_P3)),
    "adobe.jpg": (COLORS, "Adobe RGB", lambda: in_space(ADOBE)),
    "adobe-exif.jpg": (COLORS, "Adobe RGB that EXIF alone tells (R03)", adobe_by_exif_alone),
    "prophoto.png": (COLORS, "ProPhoto RGB", lambda: in_space(PRO_PHOTO, "PNG")),
    "linear.png": (COLORS, "linear Rec. 2020 with its profile", lambda: in_space(REC_2020_LINEAR, "PNG")),
    "lab.tif": (COLORS, "CIE Lab", lambda: encoded(told_in(LAB, PHOTO, "LAB"), "TIFF")),
    "chunks.png": (
        COLORS, "the PNG chunks `gAMA` and `cHRM` of Adobe RGB",
        lambda: png(told_in(ADOBE, PHOTO), gamma_chunk(256 / 563), chroma_chunk()),
    ),
    "cicp.png": (COLORS, "the PNG chunk `cICP` of Display P3", lambda: png(told_in(DISPLAY_P3, PHOTO), cicp(12, 13))),
    "codes.avif": (
        COLORS, "the codes `nclx` of Display P3 in AVIF",
        lambda: with_codes(encoded(told_in(DISPLAY_P3, PHOTO), "AVIF", quality=99, subsampling="4:4:4"), 12, 13),
    ),
    "broken-profile.jpg": (
        COLORS, "a damaged profile, which is passed over",
        lambda: encoded(PHOTO, "JPEG", quality=98, icc_profile=DISPLAY_P3[:300]),
    ),
    "grey-12.tif": (
        DEPTHS, "in grey, 12 bits of 16, as `MaxSampleValue` tells",
        lambda: tiff(GRAY_12, extratags=[(281, 3, 1, 4095, True)]),
    ),
    "white-is-zero.tif": (
        DEPTHS, "in grey, white is zero, 8 bits",
        lambda: tiff(255 - np.asarray(PHOTO.convert("L")), photometric="miniswhite"),
    ),
    "white-is-zero-16.tif": (
        DEPTHS, "in grey, white is zero, 16 bits",
        lambda: tiff(65535 - GRAY_12 * np.uint16(16), photometric="miniswhite"),
    ),
    "float.tif": (DEPTHS, "numbers from 0 to 1", lambda: tiff((LEVELS / 255).astype(np.float32), photometric="rgb")),
    "rgb-16.tif": (DEPTHS, "16 bits a channel", lambda: tiff(LEVELS * np.uint16(257), photometric="rgb")),
    "no-end.jpg": (DAMAGE, "the last two bytes are missing, and no pixel", lambda: JPEG[:-2]),
    "few-zeros.jpg": (DAMAGE, "the last part of the data is zeros", lambda: zeros_from(0.96)),
    "zeros.jpg": (DAMAGE, "two thirds of the data are zeros", lambda: zeros_from(0.33)),
    "half.jpg": (DAMAGE, "half of the file", lambda: cut("JPEG")),
    "half.png": (DAMAGE, "half of the file", lambda: cut("PNG")),
    "half.gif": (DAMAGE, "half of the file", lambda: cut("GIF")),
    "half.tif": (DAMAGE, "half of the file", lambda: cut("TIFF")),
    "half.webp": (DAMAGE, "half of the file", lambda: cut("WEBP")),
    **{
        f"frame-{name}.png": (BORDERS, words, lambda name=name: encoded(FRAMES[name](PHOTO), "PNG"))
        for name, words in {
            "white": "a white frame", "black": "a black frame", "letterbox": "bars above and below",
            "pillars": "bars at both sides", "polaroid": "a Polaroid border", "mat": "a mat with a black line",
            "scan": "the dark edge of a scan",
        }.items()
    },
    "framed.jpg": (
        BORDERS, "a white frame, saved as JPEG",
        lambda: encoded(ImageOps.expand(PHOTO, 24, "white"), "JPEG", quality=90),
    ),
    "zip.jpg": (NO_PICTURES, "a ZIP archive", lambda: packed(in_zip)),
    "tar.png": (NO_PICTURES, "a tar archive", lambda: packed(in_tar)),
    "gzip.jpg": (NO_PICTURES, "a gzip file", lambda: gzip.compress(JPEG, mtime=0)),
}  # fmt: skip
"""Name to its kind, what the file is, and what makes its bytes."""
INTRO = """# What we read and how

Written from the table of the tests by `python -m tests.read_files`. One photo stands in every file.
Its row is checked in each run of the tests. The last column says what came out: by how many points
the score differs from that of the plain file, a warning, or an error.

Colours are converted to sRGB with the profile or the numbers in the file, on the reduced picture.
A frame is left out of facts and score, and the fact `frame` says how large it is. Where pixels are
lost, the row has the warning `damaged`; where more than a tenth is, it is an error.
"""


def write(folder):
    """Write all files."""
    folder.mkdir(parents=True)
    for name, (_, _, make) in FILES.items():
        (folder / name).write_bytes(make())


def render():
    """The page, with what the golden rows hold."""
    golden = json.loads(Path(__file__).with_name("golden").joinpath("score.json").read_text(encoding="utf-8"))
    rows = {name: dict(zip(golden["columns"], golden[f"{FOLDER}/{name}"], strict=True)) for name in FILES}
    lines, plain = [INTRO], rows[PLAIN]["score"]
    for kind in dict.fromkeys(kind for kind, _, _ in FILES.values()):
        lines.append(f"## {kind}\n\n| file | what it is | what came out |\n|---|---|---|")
        for name, (own, words, _) in FILES.items():
            if own == kind:
                row = rows[name]
                frame = f", frame {row['fact_frame_percent']:.0f}%" if row["fact_frame_percent"] else ""
                lost = f", {row['fact_damaged_percent']:.1f}% lost" if row["fact_damaged_percent"] else ""
                score = "" if row["score"] is None else f"{row['score'] - plain:+.1f} points{frame}{lost}"
                told = [f"`{row[name]}`" for name in ("warning", "error") if row[name]]
                lines.append(f"| `{name}` | {words} | {', '.join(filter(None, [score, *told]))} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    (Path(__file__).parent.parent / "docs" / "reading.md").write_text(render(), encoding="utf-8")
